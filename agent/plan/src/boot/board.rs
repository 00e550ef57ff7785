//! Which devices have which back-end (behaviour §11).

use semver::Version;

/// What tells a device's back-ends.
#[derive(Clone, Debug, Default)]
pub struct Board<'a> {
    /// Device type slug.
    pub device_type: &'a str,
    /// `META_BALENA_VERSION` of os-release.
    pub meta_balena: Option<&'a str>,
    /// Whether `extra_uEnv.txt` lies on the boot partition.
    pub has_extra_uenv: bool,
}

const RASPBERRY_ALIKE: [&str; 9] = [
    "fincm3",
    "rt-rpi-300",
    "243390-rpi3",
    "nebra-hnt",
    "revpi-connect",
    "revpi-connect-s",
    "revpi-core-3",
    "revpi-connect-4",
    "raspberrypi",
];
const UENV_ENDINGS: [&str; 4] = ["-nano", "-nano-emmc", "-nano-2gb-devkit", "-tx2"];
const UENV_PARTS: [&str; 5] = ["-tx2-nx", "-agx-orin-", "-orin-nx-", "-orin-nano-", "imx8mm-var-som"];
const UENV_NAMES: [&str; 4] = ["iot-gate-imx8plus", "iot-gate-imx8plus-d1d8", "imx8m-var-dart", "imx8mm-var-dart"];
/// The first version whose Jetson devices no longer read extlinux.conf.
const WITHOUT_EXTLINUX: Version = Version::new(2, 47, 0);

pub(super) fn has_config_txt(board: &Board<'_>) -> bool {
    board.device_type.starts_with("raspberry") || RASPBERRY_ALIKE.contains(&board.device_type)
}

pub(super) fn has_extlinux(board: &Board<'_>) -> bool {
    let version = board.meta_balena.and_then(|version| Version::parse(version.trim().trim_start_matches('v')).ok());
    board.device_type.starts_with("jetson-") && version.is_some_and(|version| version < WITHOUT_EXTLINUX)
}

pub(super) fn has_extra_uenv(board: &Board<'_>) -> bool {
    let name = board.device_type;
    let known = UENV_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || UENV_PARTS.iter().any(|part| name.contains(part))
        || UENV_NAMES.contains(&name);
    known && board.has_extra_uenv
}

pub(super) fn any(_: &Board<'_>) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(device_type: &str) -> Board<'_> {
        Board { device_type, ..Board::default() }
    }

    #[test]
    fn device_types() {
        for name in ["raspberrypi4-64", "raspberry-pi", "fincm3", "revpi-connect-4"] {
            assert!(has_config_txt(&board(name)), "{name}");
        }
        assert!(!has_config_txt(&board("generic-amd64")) && !has_config_txt(&board("")));
        for (version, has) in [("2.46.1+rev1", true), ("2.47.0", false), ("x", false), ("v2.40.0", true)] {
            let jetson = Board { meta_balena: Some(version), ..board("jetson-tx2") };
            assert_eq!(has_extlinux(&jetson), has, "{version}");
        }
        assert!(!has_extlinux(&board("jetson-tx2")), "an unknown version has none");
        for name in ["jetson-nano", "jetson-tx2", "jetson-agx-orin-devkit", "imx8mm-var-som-nrt", "iot-gate-imx8plus"] {
            assert!(has_extra_uenv(&Board { has_extra_uenv: true, ..board(name) }), "{name}");
            assert!(!has_extra_uenv(&board(name)), "{name} without the file");
        }
    }
}
