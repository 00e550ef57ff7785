//! Which of several images of one list is meant for this device.

/// A machine as registries name it. The operating system is always Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Architecture, as the distribution protocol writes it (`amd64`, `arm64`, `arm`, `386`, …).
    pub architecture: String,
    /// Version of the architecture, for `arm` the number after `v`.
    pub version: Option<u32>,
}

impl Platform {
    /// The machine this runs on.
    pub fn of_machine() -> Platform {
        Platform::named(&rustix::system::uname().machine().to_string_lossy())
    }

    /// A machine by the kernel's name for it.
    fn named(machine: &str) -> Platform {
        let (architecture, version) = match machine {
            "x86_64" => ("amd64", None),
            "aarch64" | "armv8l" => ("arm64", None),
            "i386" | "i486" | "i586" | "i686" => ("386", None),
            arm if arm.starts_with("armv") => ("arm", arm[4..].chars().next().and_then(|digit| digit.to_digit(10))),
            other => (other, None),
        };
        Platform { architecture: architecture.into(), version }
    }

    /// How far an image of a list is from what fits best; `None` when it does not run here. An engine takes the nearest.
    pub(super) fn distance(&self, os: &str, architecture: &str, variant: Option<&str>) -> Option<u32> {
        if os != "linux" {
            return None;
        }
        let version = variant.and_then(|variant| variant.trim_start_matches('v').parse::<u32>().ok());
        match (self.architecture.as_str(), architecture) {
            // Newer ones do not run; of the others the newest is best. Without a version, 7 is meant.
            ("arm", "arm") => self.version.unwrap_or(7).checked_sub(version.unwrap_or(7)),
            // 64-bit machines run 32-bit programs, mostly.
            ("arm64", "arm") => Some(100 + 8_u32.checked_sub(version.unwrap_or(7))?),
            (ours, theirs) if ours == theirs => Some(version.unwrap_or(0)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_by_the_kernels_name() {
        let of = |machine| {
            let platform = Platform::named(machine);
            (platform.architecture, platform.version)
        };
        assert_eq!(of("x86_64"), ("amd64".into(), None));
        assert_eq!(of("aarch64"), ("arm64".into(), None));
        assert_eq!(of("armv7l"), ("arm".into(), Some(7)));
        assert_eq!(of("armv6l"), ("arm".into(), Some(6)));
        assert_eq!(of("armv"), ("arm".into(), None));
        assert_eq!(of("riscv64"), ("riscv64".into(), None));
    }

    #[test]
    fn the_nearest_that_runs() {
        let v7 = Platform::named("armv7l");
        let v6 = Platform::named("armv6l");
        assert_eq!(v7.distance("linux", "arm", Some("v7")), Some(0));
        assert_eq!(v7.distance("linux", "arm", None), Some(0));
        assert!(v7.distance("linux", "arm", Some("v6")) < v7.distance("linux", "arm", Some("v5")));
        assert_eq!(v6.distance("linux", "arm", Some("v7")), None);
        let v8 = Platform::named("aarch64");
        assert!(v8.distance("linux", "arm64", Some("v8")) < v8.distance("linux", "arm", Some("v7")));
        assert_eq!(v8.distance("linux", "amd64", None), None);
        assert_eq!(v8.distance("unknown", "arm64", None), None);
        assert_eq!(v8.distance("windows", "arm64", None), None);
    }
}
