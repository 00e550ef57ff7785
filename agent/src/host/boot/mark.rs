//! The mark `reboot-after-apply`: this boot does not know yet what was set (behaviour §12).
//!
//! It names the boot it was made in. The modification time alone, which others go by, misleads as soon as the clock is set.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::host::HostError;
use crate::settings::replace_file;

/// How the first line begins.
const BOOT: &str = "boot ";
/// Why, when somebody else made the mark.
const SOMEBODY: &str = "the mark reboot-after-apply";
/// More than any mark has, bytes.
const MAX_BYTES: usize = 64 * 1024;

/// The mark's file.
#[derive(Debug)]
pub(in crate::host) struct Mark {
    pub path: PathBuf,
    /// The kernel's id of this boot.
    pub boot_id: String,
}

impl Mark {
    /// Why this boot has to end; empty when it need not.
    pub fn reasons(&self, boot_time_ms: Option<i64>) -> BTreeSet<String> {
        let Ok(metadata) = fs::symlink_metadata(&self.path) else { return BTreeSet::new() };
        let text = if metadata.is_file() { fs::read(&self.path).unwrap_or_default() } else { Vec::new() };
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_BYTES)]).into_owned();
        let mut lines = text.lines();
        match lines.next().and_then(|line| line.strip_prefix(BOOT)) {
            Some(boot) if boot == self.boot_id => lines.map(str::to_owned).collect(),
            Some(_) => BTreeSet::new(),
            None => {
                let later = boot_time_ms.is_some_and(|booted| metadata.mtime().saturating_mul(1000) > booted);
                later.then(|| SOMEBODY.to_owned()).into_iter().collect()
            }
        }
    }

    /// Adds a reason, one line.
    pub fn set(&self, why: &str) -> Result<(), HostError> {
        let why = why.replace(|c: char| c.is_control(), " ");
        let mut reasons = self.reasons(None);
        if !reasons.insert(why) {
            return Ok(());
        }
        let lines = reasons.iter().map(|reason| format!("{reason}\n")).collect::<String>();
        let text = format!("{BOOT}{}\n{lines}", self.boot_id);
        let folder = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.and_then(|()| replace_file(&self.path, text.as_bytes(), 0o644)).map_err(|error| HostError::File {
            path: self.path.display().to_string(),
            message: format!("the mark that a restart is due cannot be written, so nothing was changed: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_for_its_boot_only() {
        let folder = tempfile::tempdir().unwrap();
        let mark = |boot: &str| Mark { path: folder.path().join("run/mark"), boot_id: boot.into() };
        assert!(mark("a").reasons(Some(0)).is_empty());
        mark("a").set("x\ny").unwrap();
        mark("a").set("b").unwrap();
        mark("a").set("b").unwrap();
        assert_eq!(mark("a").reasons(None), BTreeSet::from(["b".into(), "x y".into()]));
        assert!(mark("b").reasons(Some(0)).is_empty(), "the device has started again since");
        mark("b").set("c").unwrap();
        assert_eq!(mark("b").reasons(None), BTreeSet::from(["c".into()]));
    }

    #[test]
    fn the_mark_of_others_goes_by_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let mark = Mark { path: folder.path().join("mark"), boot_id: "a".into() };
        fs::write(&mark.path, "").unwrap();
        assert_eq!(mark.reasons(Some(1_000)).len(), 1);
        assert!(mark.reasons(Some(i64::MAX)).is_empty() && mark.reasons(None).is_empty());
    }
}
