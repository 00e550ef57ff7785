//! Who may read the agent's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::some;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;

/// Permission bits of others than the owner.
const OTHERS: u32 = 0o077;
/// The file system of boot partitions, which keeps no modes.
const FAT: u64 = 0x4d44;
/// Backups that are looked at.
const MOST_FILES: usize = 200;

/// Whether files that hold keys are the agent's alone.
pub(super) fn permissions(scene: &Scene) -> Judgement {
    let (data, config) = (&scene.settings.data_dir, &scene.settings.config);
    if !data.exists() {
        return Judgement::skipped(format!("there is no {}", data.display()));
    }
    let mut files =
        vec![data.clone(), scene.settings.database.clone(), data.join("config.json.good"), data.join("telemetry.sqlite")];
    let backups = fs::read_dir(data.join("backups")).into_iter().flatten().take(MOST_FILES).filter_map(Result::ok);
    files.extend(backups.map(|entry| entry.path()));
    if !is_fat(config) {
        files.push(config.clone());
    }
    let looked = files.iter().filter_map(|file| {
        let found = fs::metadata(file).ok()?;
        Some((file.display().to_string(), found.permissions().mode() & 0o7777, found.uid()))
    });
    judge(&looked.collect::<Vec<_>>(), rustix::process::geteuid().as_raw())
}

fn is_fat(path: &Path) -> bool {
    #[allow(clippy::unnecessary_cast, reason = "its type differs between machines")]
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u64 == FAT)
}

/// Path, mode and owner of each.
fn judge(files: &[(String, u32, u32)], user: u32) -> Judgement {
    let open = files.iter().filter(|(_, mode, _)| mode & OTHERS != 0);
    let open = open.map(|(path, mode, _)| format!("{path} has mode {mode:04o}"));
    let foreign = files.iter().filter(|(.., owner)| *owner != 0 && *owner != user);
    let foreign = foreign.map(|(path, _, owner)| format!("{path} belongs to user {owner}"));
    let wrong: Vec<String> = open.chain(foreign).collect();
    if wrong.is_empty() {
        return Judgement::ok(format!("{} files and folders with keys in them are the agent's alone", files.len()));
    }
    Judgement::warning(
        format!("others than the agent may read its keys: {}", some(&wrong)),
        "chmod 0600 the files and 0700 the folder, chown them to root",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn one_bit_for_others_is_too_many() {
        let file = |mode, owner| [("f".to_owned(), mode, owner)];
        assert_eq!(judge(&file(0o600, 0), 0).verdict, Verdict::Ok);
        assert_eq!(judge(&file(0o700, 1000), 1000).verdict, Verdict::Ok);
        for (mode, owner) in [(0o640, 0), (0o604, 0), (0o601, 0), (0o600, 1000)] {
            assert_eq!(judge(&file(mode, owner), 0).verdict, Verdict::Warning, "{mode:o} {owner}");
        }
    }
}
