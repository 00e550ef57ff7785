//! The device's time zone, read from the host.

use std::path::Path;

/// Where a host keeps its zone.
const LOCALTIME: &str = "etc/localtime";

/// A zone file is a few kB; more is not one.
const MAX_BYTES: u64 = 256 * 1024;

/// The device's time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: tz::TimeZone,
}

impl Zone {
    /// Reads the zone of the host under `host_root`; UTC when there is none that can be read.
    pub fn of_host(host_root: &Path) -> Zone {
        let path = host_root.join(LOCALTIME);
        let small = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MAX_BYTES);
        let bytes = if small { std::fs::read(&path).ok() } else { None };
        Zone::from_bytes(bytes.as_deref().unwrap_or_default())
    }

    fn from_bytes(bytes: &[u8]) -> Zone {
        Zone { zone: tz::TimeZone::from_tz_data(bytes).unwrap_or_else(|_| tz::TimeZone::utc()) }
    }

    /// Distance of local time from UTC at a moment, seconds.
    pub fn offset_s(&self, unix_s: i64) -> i64 {
        self.zone.find_local_time_type(unix_s).map_or(0, |local| i64::from(local.ut_offset()))
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone::from_bytes(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zone_is_utc() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Zone::of_host(folder.path()).offset_s(1_800_000_000), 0);
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join(LOCALTIME), b"nonsense").unwrap();
        assert_eq!(Zone::of_host(folder.path()).offset_s(1_800_000_000), 0);
    }

    #[test]
    fn a_zone_file_counts() {
        // Version 1 header, one local time type: +01:00, no transitions.
        let mut bytes = b"TZif".to_vec();
        bytes.extend([0; 16]);
        for count in [0u32, 0, 0, 0, 1, 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(3600i32.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(b"CET\0");
        assert_eq!(Zone::from_bytes(&bytes).offset_s(0), 3600);
    }
}
