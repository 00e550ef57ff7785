//! The storage: is the data partition there, is there room, is it slow, is it worn.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hyper::Method;
use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::size;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::host::{DiskSpace, first_line, read_in};

/// The least share of space or inodes that is to be free, percent; with less than the second nothing works any more.
const LOW_PERCENT: u64 = 10;
const OUT_PERCENT: u64 = 2;
/// A write that takes longer is slow, ms.
const SLOW_WRITE_MS: u64 = 1000;
/// Partitions are to cover so much of a disk, percent.
const EXPANDED_PERCENT: u64 = 80;
/// Devices that are looked at.
const MOST_DEVICES: usize = 64;

const FREE: &str = "remove what is not needed: docker system df (or balena) shows what takes it, holdfast diagnose --fix prune-images \
                    removes images that nobody wants";

/// Whether the data partition is mounted and can be written to.
pub(super) fn data_partition(scene: &Scene) -> Judgement {
    let mount = scene.on_host("/mnt/data");
    let found = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let read_only = |path: &Path| rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    let (here, above) = (found(&mount), mount.parent().and_then(found));
    let places = [mount.as_path(), scene.settings.data_dir.as_path()];
    let locked: Vec<String> = places.iter().filter(|path| read_only(path)).map(|path| path.display().to_string()).collect();
    judge_partition(&mount, here.is_some(), here != above, &locked)
}

fn judge_partition(mount: &Path, exists: bool, mounted: bool, read_only: &[String]) -> Judgement {
    if !read_only.is_empty() {
        return Judgement::failed(
            format!("{} is read-only: nothing can be stored", read_only.join(" and ")),
            "the kernel makes a partition read-only when its storage fails: see the check kernel-log, then fsck and remount it",
        );
    }
    let mount = mount.display();
    match (exists, mounted) {
        (false, _) => Judgement::skipped(format!("this system has no data partition at {mount}")),
        (true, true) => Judgement::ok(format!("{mount} is mounted and writable")),
        (true, false) => Judgement::warning(
            format!("{mount} is a folder and nothing is mounted there: what is stored lies on the system's partition"),
            "systemctl status mnt-data.mount says why; a partition is found by its label resin-data or balena-data",
        ),
    }
}

/// Space where the agent and the engine keep what they have.
pub(super) async fn disk_space(scene: &Scene) -> Judgement {
    let engine = scene.ask_engine(Method::GET, "/info").await.ok();
    let root = engine.as_ref().and_then(|info| info["DockerRootDir"].as_str()).map(|root| scene.on_host(root));
    let places: Vec<PathBuf> = std::iter::once(scene.settings.data_dir.clone()).chain(root).collect();
    let looked = tokio::task::spawn_blocking(move || {
        places.iter().filter_map(|path| Some((path.display().to_string(), bytes_of(&rustix::fs::statvfs(path).ok()?)))).collect()
    });
    let figures: Vec<(String, (u64, u64))> = looked.await.unwrap_or_default();
    judge_room(&figures, size)
}

fn bytes_of(stat: &StatVfs) -> (u64, u64) {
    let DiskSpace { total_bytes, free_bytes } = DiskSpace::of(stat);
    (free_bytes, total_bytes)
}

/// Room for files, whatever their size.
pub(super) fn inodes(scene: &Scene) -> Judgement {
    let path = &scene.settings.data_dir;
    let figures = rustix::fs::statvfs(path).map(|stat| (path.display().to_string(), (stat.f_favail, stat.f_files)));
    judge_room(&figures.into_iter().collect::<Vec<_>>(), |count| format!("{count} inodes"))
}

/// What is free and what there is, by path; of something that `show` names.
fn judge_room(places: &[(String, (u64, u64))], show: impl Fn(u64) -> String) -> Judgement {
    let known = places.iter().filter(|(_, (_, total))| *total > 0);
    let percent = |(free, total): (u64, u64)| u64::try_from(u128::from(free) * 100 / u128::from(total)).unwrap_or(100);
    // The fullest first.
    let worst = known.min_by_key(|(_, room)| percent(*room));
    let Some((path, room)) = worst else {
        return Judgement::skipped("there is no data directory, or its file system does not count");
    };
    let sentence = format!("{} of {} are free at {path} ({} %)", show(room.0), show(room.1), percent(*room));
    match percent(*room) {
        free if free < OUT_PERCENT => Judgement::failed(sentence, FREE),
        free if free < LOW_PERCENT => Judgement::warning(sentence, FREE),
        _ => Judgement::ok(sentence),
    }
}

/// How long the devices took per write since the machine started.
pub(super) fn write_latency(scene: &Scene) -> Judgement {
    judge_latency(&read_in(&scene.machine, "proc/diskstats").unwrap_or_default())
}

fn judge_latency(diskstats: &str) -> Judgement {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = *words.get(2)?;
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        // Field 5: writes completed; field 8: ms spent writing. Three words stand before the first field.
        let (writes, ms) = (number(7)?, number(10)?);
        let counts = !["loop", "ram", "zram", "sr", "fd"].iter().any(|kind| name.starts_with(kind)) && writes > 0;
        counts.then(|| (ms / writes, name.to_owned()))
    };
    let slowest = diskstats.lines().filter_map(row).max();
    match slowest {
        None => Judgement::skipped("no storage was written to"),
        Some((ms, name)) if ms > SLOW_WRITE_MS => Judgement::warning(
            format!("a write to {name} took {ms} ms on average since the machine started"),
            "an SD card that slows down is often worn: see the check flash-wear, and replace it before it fails",
        ),
        Some((ms, name)) => Judgement::ok(format!("a write to {name}, the slowest device, took {ms} ms on average")),
    }
}

/// Whether the partitions cover the disk that the data lies on.
pub(super) fn disk_expansion(scene: &Scene) -> Judgement {
    let Ok(found) = fs::metadata(&scene.settings.data_dir) else { return Judgement::skipped("there is no data directory") };
    let device = format!("sys/dev/block/{}:{}", rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let partition = scene.machine.join(device);
    if !partition.join("partition").exists() {
        return Judgement::skipped("the data does not lie on a partition of a disk");
    }
    let disk = fs::canonicalize(partition).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let Some(disk) = disk else { return Judgement::skipped("the kernel does not show the disk") };
    let sectors = |folder: &Path| first_line(folder, "size").and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
    let below = fs::read_dir(&disk).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let used = below.filter(|path| path.join("partition").exists()).map(|path| sectors(&path)).fold(0, u64::saturating_add);
    judge_expansion(used, sectors(&disk), &disk.file_name().unwrap_or_default().to_string_lossy())
}

fn judge_expansion(used: u64, whole: u64, disk: &str) -> Judgement {
    if whole == 0 {
        return Judgement::skipped("the kernel does not tell the disk's size");
    }
    let percent = u128::from(used) * 100 / u128::from(whole);
    let sentence = format!("partitions cover {percent} % of {disk}");
    match percent < u128::from(EXPANDED_PERCENT) {
        true => Judgement::warning(
            sentence,
            "the data partition was not grown to the disk's size: restart the device once, or resize it",
        ),
        false => Judgement::ok(sentence),
    }
}

/// What eMMC storage says of its wear.
pub(super) fn flash_wear(scene: &Scene) -> Judgement {
    let blocks = fs::read_dir(scene.machine.join("sys/block")).into_iter().flatten().take(MOST_DEVICES).filter_map(Result::ok);
    let mut devices: Vec<(String, String, String)> = blocks
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let field = |field: &str| first_line(&scene.machine, &format!("sys/block/{name}/device/{field}"));
            Some((field("life_time")?, field("pre_eol_info").unwrap_or_default(), name))
        })
        .collect();
    devices.sort();
    judge_wear(&devices)
}

/// `life_time`, `pre_eol_info` and name of each device. A life time counts tenths of what the flash was made for, of its two
/// kinds of cells; 11 is beyond. `pre_eol_info` 2 says that four fifths of the spare blocks are used, 3 nearly all.
fn judge_wear(devices: &[(String, String, String)]) -> Judgement {
    let hex = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok();
    let mut worst = Judgement::skipped("no storage here counts its wear (eMMC does, SD cards do not)");
    for (life, end, name) in devices {
        let Some(tenths) = life.split_whitespace().filter_map(hex).max() else { continue };
        let spare = hex(end).unwrap_or(0);
        let sentence = format!("{name} has used {} % of the life it was made for", tenths.saturating_mul(10).min(110));
        let replace = "plan to replace the storage: it fails without further warning";
        let judged = match (tenths, spare) {
            (11.., _) | (_, 3..) => Judgement::failed(sentence, replace),
            (9.., _) | (_, 2) => Judgement::warning(sentence, replace),
            _ => Judgement::ok(sentence),
        };
        if judged.verdict > worst.verdict {
            worst = judged;
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn room_at_its_edges() {
        let verdict = |free, total| judge_room(&[("p".to_owned(), (free, total))], |n| n.to_string()).verdict;
        assert_eq!(verdict(100, 1000), Verdict::Ok);
        assert_eq!(verdict(99, 1000), Verdict::Warning);
        assert_eq!(verdict(20, 1000), Verdict::Warning);
        assert_eq!(verdict(19, 1000), Verdict::Failed);
        assert_eq!(verdict(0, 0), Verdict::Skipped);
        assert_eq!(verdict(u64::MAX, u64::MAX), Verdict::Ok);
        let two = [("a".to_owned(), (50, 100)), ("b".to_owned(), (1, 100))];
        assert!(judge_room(&two, |n| n.to_string()).sentence.contains("at b"), "the fullest is told");
    }

    #[test]
    fn partitions_mounted_or_not() {
        let verdict =
            |exists, mounted, read_only: &[String]| judge_partition(Path::new("/m"), exists, mounted, read_only).verdict;
        assert_eq!(verdict(true, true, &[]), Verdict::Ok);
        assert_eq!(verdict(true, false, &[]), Verdict::Warning);
        assert_eq!(verdict(false, false, &[]), Verdict::Skipped);
        assert_eq!(verdict(true, true, &["/data".into()]), Verdict::Failed);
    }

    #[test]
    fn slow_storage_is_told_and_nonsense_passed_over() {
        let line = |name: &str, writes: u64, ms: u64| format!("179 0 {name} 9 9 9 9 {writes} 9 9 {ms} 0 0 0\n");
        assert_eq!(judge_latency(&line("mmcblk0", 10, 10_009)).verdict, Verdict::Ok);
        assert_eq!(judge_latency(&line("mmcblk0", 10, 10_010)).verdict, Verdict::Warning);
        assert_eq!(judge_latency(&line("loop0", 1, 99_999)).verdict, Verdict::Skipped);
        assert_eq!(judge_latency(&line("sda", 0, 99_999)).verdict, Verdict::Skipped);
        assert_eq!(judge_latency("1 2\nx y z\n\n").verdict, Verdict::Skipped);
    }

    #[test]
    fn disks_grown_or_not() {
        assert_eq!(judge_expansion(80, 100, "d").verdict, Verdict::Ok);
        assert_eq!(judge_expansion(79, 100, "d").verdict, Verdict::Warning);
        assert_eq!(judge_expansion(1, 0, "d").verdict, Verdict::Skipped);
    }

    #[test]
    fn wear_by_the_worse_of_its_figures() {
        let verdict = |life: &str, end: &str| judge_wear(&[(life.into(), end.into(), "mmcblk0".into())]).verdict;
        assert_eq!(verdict("0x01 0x02", "0x01"), Verdict::Ok);
        assert_eq!(verdict("0x01 0x09", "0x01"), Verdict::Warning);
        assert_eq!(verdict("0x0b 0x01", "0x01"), Verdict::Failed);
        assert_eq!(verdict("0x01 0x01", "0x02"), Verdict::Warning);
        assert_eq!(verdict("0x01 0x01", "0x03"), Verdict::Failed);
        assert_eq!(verdict("none", ""), Verdict::Skipped);
        assert_eq!(judge_wear(&[]).verdict, Verdict::Skipped);
    }
}
