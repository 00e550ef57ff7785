//! The data partition: which device it is on, and how full that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::file::{open_in, read_in};

/// The device with all its file systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// For example `/dev/mmcblk0p6`.
    pub(super) device: String,
    /// MiB.
    pub(super) used_mib: u64,
    /// MiB.
    pub(super) total_mib: u64,
}

/// Where the data partition is mounted, the surest first.
const DATA: [&str; 2] = ["/mnt/data", "/data"];

/// How many file systems are added up.
const MAX_FILE_SYSTEMS: usize = 16;

const MIB: u64 = 1024 * 1024;

/// `None` when nothing is mounted that looks like a data partition.
pub(super) fn read(machine: &Path) -> Option<Storage> {
    let mounts = parse(&read_in(machine, "proc/self/mounts").or_else(|| read_in(machine, "proc/mounts"))?);
    let device = data_device(&mounts)?.to_owned();
    // One file system may be mounted in many places, and counts once.
    let mut places: BTreeMap<&str, &Path> = BTreeMap::new();
    for (on, at) in mounts.iter().filter(|(on, _)| on.starts_with(&device)) {
        places.entry(on).or_insert(at);
    }
    let sizes = places.values().take(MAX_FILE_SYSTEMS).filter_map(|at| size(machine, at));
    let (used, total) = sizes.fold((0, 0), |sum: (u64, u64), size| (sum.0.saturating_add(size.0), sum.1.saturating_add(size.1)));
    Some(Storage { device, used_mib: used / MIB, total_mib: total / MIB })
}

/// Used and total bytes of the file system mounted there.
fn size(machine: &Path, at: &Path) -> Option<(u64, u64)> {
    let stat = open_in(machine, at, OFlags::PATH).and_then(rustix::fs::fstatvfs).ok()?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Some((used.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// The device of the data partition (protocol §6.2: mounted at a path that contains `/data`).
fn data_device(mounts: &[(String, PathBuf)]) -> Option<&str> {
    let usual = DATA.iter().find_map(|usual| mounts.iter().find(|(_, at)| at == Path::new(usual)));
    let any = || mounts.iter().find(|(_, at)| at.to_string_lossy().contains("/data"));
    usual.or_else(any).map(|(device, _)| device.as_str())
}

/// Mounted block devices, with where they are mounted.
fn parse(mounts: &str) -> Vec<(String, PathBuf)> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let (device, at) = (words.next()?, words.next()?);
        device.starts_with("/dev/").then(|| (unescaped(device), PathBuf::from(unescaped(at))))
    };
    mounts.lines().filter_map(mount).collect()
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| if text.contains(from) { text.replace(from, to) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(mounts: &str) -> Option<String> {
        data_device(&parse(mounts)).map(str::to_owned)
    }

    #[test]
    fn the_data_partition_is_found() {
        let balena = "/dev/mmcblk0p2 / ext4 ro 0 0\ntmpfs /mnt/data/x tmpfs rw 0 0\n/dev/mmcblk0p5 /mnt/state ext4 rw 0 0\n\
                      /dev/mmcblk0p6 /var/lib/docker ext4 rw 0 0\n/dev/mmcblk0p6 /mnt/data ext4 rw 0 0\n";
        assert_eq!(device(balena).as_deref(), Some("/dev/mmcblk0p6"));
        assert_eq!(device("/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /srv/database ext4 rw 0 0\n").as_deref(), Some("/dev/sdb1"));
        assert_eq!(device("/dev/sdb1 /srv/data ext4 rw 0 0\n/dev/sda3 /data ext4 rw 0 0\n").as_deref(), Some("/dev/sda3"));
        assert_eq!(device("/dev/sda1 / ext4 rw 0 0\noverlay /data overlay rw 0 0\n"), None);
        assert_eq!(device("/dev/sda2 /my\\040disk/data ext4 rw 0 0").as_deref(), Some("/dev/sda2"));
        for rubbish in ["", "\n\n", "/dev/sda1", "/dev/sda1 ", "\0\0", " /data ext4"] {
            assert_eq!(device(rubbish), None, "{rubbish:?}");
        }
    }
}
