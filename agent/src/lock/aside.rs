//! Names in the lock root that stand for nothing: drafts of lock files, and folders on their way out.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::folder::{Folder, MAX_ENTRIES};

/// What such a name begins with. No app's folder does.
const ASIDE_PREFIX: &str = ".holdfast-";

/// How deep a folder on its way out is cleared.
const MAX_DEPTH: usize = 32;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A new name that stands for nothing.
pub(super) fn aside_name() -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{ASIDE_PREFIX}{}-{number}", std::process::id())
}

/// Clears away what an agent that was killed left in the lock root. Best effort: leftovers do no harm.
pub(super) fn sweep(root: &Folder) {
    let Ok(entries) = Dir::read_from(root) else { return };
    let mut left = MAX_ENTRIES;
    for entry in entries.take(MAX_ENTRIES).filter_map(Result::ok) {
        let aside = entry.file_name().to_str().ok().filter(|name| name.starts_with(ASIDE_PREFIX));
        if let Some((name, Err(errno))) = aside.map(|name| (name, remove_tree(root, name, &mut left))) {
            log::debug!("{}: left for later: {errno}", root.path_of(name).display());
        }
    }
}

/// Removes a file or a folder with what is in it, following no link, at most `left` entries.
pub(super) fn remove_tree(parent: &Folder, name: &str, left: &mut usize) -> Result<(), Errno> {
    remove_below(parent, name, left, MAX_DEPTH)
}

fn remove_below(parent: &Folder, name: &str, left: &mut usize, depth: usize) -> Result<(), Errno> {
    *left = left.checked_sub(1).ok_or(Errno::TOOBIG)?;
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return rustix::fs::unlinkat(parent, name, AtFlags::empty());
    }
    let depth = depth.checked_sub(1).ok_or(Errno::TOOBIG)?;
    let folder = parent.child(name)?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        // A name that is not UTF-8 is left; the folder then stays, out of sight.
        match entry.file_name().to_str() {
            Ok("." | "..") => {}
            Ok(name) => remove_below(&folder, name, left, depth)?,
            Err(_) => return Err(Errno::ILSEQ),
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
