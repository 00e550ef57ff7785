//! Device type and architecture.

use std::path::Path;

use serde::Deserialize;

use super::file::read_in;

/// What the boot partition's `device-type.json` says (protocol §10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceType {
    /// Device type slug.
    pub(super) slug: Option<String>,
    /// Architecture slug.
    pub(super) arch: Option<String>,
}

/// Reads the host's; each field is empty where the file does not give it.
pub(super) fn read(root: &Path) -> DeviceType {
    read_in(root, "mnt/boot/device-type.json").map(|text| parse(&text)).unwrap_or_default()
}

fn parse(text: &str) -> DeviceType {
    #[derive(Deserialize)]
    struct File {
        slug: Option<serde_json::Value>,
        arch: Option<serde_json::Value>,
    }
    let word = |value: Option<serde_json::Value>| value?.as_str().filter(|word| !word.is_empty()).map(str::to_owned);
    match serde_json::from_str::<File>(text) {
        Ok(file) => DeviceType { slug: word(file.slug), arch: word(file.arch) },
        Err(error) => {
            log::warn!("device-type.json cannot be read ({error}): device type and architecture are taken from elsewhere");
            DeviceType::default()
        }
    }
}

/// The architecture slug of this machine.
pub(super) fn machine_arch() -> String {
    arch_of(&rustix::system::uname().machine().to_string_lossy())
}

/// The slug of what `uname -m` says; its own word where there is none.
fn arch_of(machine: &str) -> String {
    let slug = match machine {
        "x86_64" => "amd64",
        "aarch64" | "arm64" => "aarch64",
        "armv7l" | "armv8l" => "armv7hf",
        "armv6l" => "rpi",
        "i386" | "i486" | "i586" | "i686" => "i386",
        other => other,
    };
    slug.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{DeviceType, arch_of, parse, read};

    #[test]
    fn the_file_is_read_as_far_as_it_goes() {
        let both = DeviceType { slug: Some("raspberrypi4-64".into()), arch: Some("aarch64".into()) };
        for (text, expected) in [
            (r#"{"slug":"raspberrypi4-64","arch":"aarch64","name":"Raspberry Pi 4","yocto":{"machine":"x"}}"#, both),
            (r#"{"slug":"x"}"#, DeviceType { slug: Some("x".into()), arch: None }),
            (r#"{"slug":7,"arch":"i386"}"#, DeviceType { slug: None, arch: Some("i386".into()) }),
            (r#"{"slug":"","arch":null}"#, DeviceType::default()),
            ("[]", DeviceType::default()),
            ("{\"slug\":", DeviceType::default()),
            ("", DeviceType::default()),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn it_lies_on_the_boot_partition() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()), DeviceType::default());
        std::fs::create_dir_all(root.path().join("mnt/boot")).unwrap();
        std::fs::write(root.path().join("mnt/boot/device-type.json"), r#"{"slug":"generic-amd64","arch":"amd64"}"#).unwrap();
        assert_eq!(read(root.path()).slug.as_deref(), Some("generic-amd64"));
    }

    #[test]
    fn machines_have_slugs() {
        for (machine, slug) in [
            ("x86_64", "amd64"),
            ("aarch64", "aarch64"),
            ("armv7l", "armv7hf"),
            ("armv6l", "rpi"),
            ("i686", "i386"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(arch_of(machine), slug);
        }
    }
}
