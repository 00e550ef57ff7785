//! The device maker's own checks: programs in `/etc/holdfast/checks.d/` that print JSON.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::finding::{Finding, Judgement, Verdict};
use super::process::{Ran, run as run_program};
use super::scene::Scene;

/// Where they are.
const FOLDER: &str = "/etc/holdfast/checks.d";
/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many are run at once.
const AT_ONCE: usize = 4;
/// How many there may be.
const MOST: usize = 64;
/// More of what one prints is not read, bytes.
const MOST_BYTES: usize = 64 * 1024;
/// How many findings one may have.
const MOST_FINDINGS: usize = 32;
/// The longest text of a finding, characters.
const LONGEST_CHARS: usize = 500;
/// The exit code of a check that has nothing to look at on this device.
const NOT_APPLICABLE: i32 = 2;
/// Permission bits that let others than the owner change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Runs all of them, at most for `limit`; in the order of their names.
pub(super) async fn run(scene: Arc<Scene>, limit: Duration) -> Vec<Finding> {
    let folder = scene.on_host(FOLDER);
    if let Err(reason) = is_trusted(&folder, true) {
        let missing = !folder.exists();
        let skipped = Judgement::skipped(format!("{}: {reason}", folder.display()));
        return if missing { Vec::new() } else { vec![finding("checks.d", skipped, Instant::now())] };
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
    let mut programs: Vec<PathBuf> = entries.map(|entry| entry.path()).take(MOST).collect();
    programs.retain(|path| name_of(path).is_some_and(|name| !name.starts_with('.')));
    programs.sort();
    let (end, here) = (Instant::now() + limit, scene.is_host());
    let runs = stream::iter(programs).map(|program| async move {
        let name = name_of(&program).unwrap_or_default().to_owned();
        let left = end.saturating_duration_since(Instant::now()).min(LIMIT);
        let work = tokio::task::spawn_blocking(move || one(&program, left, here));
        work.await.unwrap_or_else(|_| vec![finding(&name, Judgement::failed("this broke off", ""), Instant::now())])
    });
    runs.buffered(AT_ONCE).concat().await
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn finding(name: &str, judgement: Judgement, begin: Instant) -> Finding {
    Finding { name: name.to_owned(), judgement, took: begin.elapsed() }
}

fn one(program: &Path, limit: Duration, here: bool) -> Vec<Finding> {
    let (begin, name) = (Instant::now(), name_of(program).unwrap_or_default());
    let alone = |judgement| vec![finding(name, judgement, begin)];
    if let Err(reason) = is_trusted(program, false) {
        return alone(Judgement::skipped(reason));
    }
    if limit.is_zero() {
        return alone(Judgement::skipped("the checks before it took all the time there is"));
    }
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    match run_program(command.current_dir("/"), limit, MOST_BYTES) {
        Ok(ran) => {
            let rows = understood(name, &ran, limit);
            rows.into_iter().map(|(name, judgement)| finding(&name, judgement, begin)).collect()
        }
        // In a container there may be nothing that could run a script of the host's.
        Err(cause) if !here => alone(Judgement::skipped(format!("it cannot be run beside the host's files: {cause}"))),
        Err(cause) => alone(Judgement::failed(format!("it cannot be started: {cause}"), "mend its first line or its format")),
    }
}

/// Whether a file may be run, or a folder looked into: nobody but root may have had a hand in it.
fn is_trusted(path: &Path, folder: bool) -> Result<(), String> {
    let found = path.symlink_metadata().map_err(|error| error.to_string())?;
    let mode = found.permissions().mode();
    let kind = if folder { found.is_dir() } else { found.is_file() };
    match () {
        () if !kind => Err(format!("it is no plain {}", if folder { "folder" } else { "file" })),
        () if !folder && mode & 0o111 == 0 => Err("it is not executable".to_owned()),
        () if found.uid() != 0 => Err("it does not belong to root".to_owned()),
        () if mode & WRITABLE_BY_OTHERS != 0 => Err(format!("others than root may write to it (mode {:04o})", mode & 0o7777)),
        () => Ok(()),
    }
}

/// What a program meant by its exit code and what it printed.
fn understood(name: &str, ran: &Ran, limit: Duration) -> Vec<(String, Judgement)> {
    let alone = |judgement| vec![(name.to_owned(), judgement)];
    let failed = |sentence: String| alone(Judgement::failed(sentence, "mend this check; it belongs to the device's maker"));
    if ran.too_much {
        return failed(format!("it printed more than {} KiB and was ended", MOST_BYTES / 1024));
    }
    let Some(status) = ran.status else { return failed(format!("it was not done within {} s and was ended", limit.as_secs())) };
    if status.code() == Some(NOT_APPLICABLE) {
        return alone(Judgement::skipped("not applicable to this device, it says"));
    }
    let rows = match serde_json::from_slice::<Value>(&ran.output) {
        Ok(Value::Array(rows)) => rows,
        Ok(row @ Value::Object(_)) => vec![row],
        _ => Vec::new(),
    };
    let read: Option<Vec<_>> = rows.iter().take(MOST_FINDINGS).map(|row| row_of(name, row)).collect();
    read.filter(|rows| !rows.is_empty()).unwrap_or_else(|| {
        let came = shortened(&String::from_utf8_lossy(&ran.output));
        failed(format!("it ended with {status} and printed no findings: {came:?}"))
    })
}

/// `{name, verdict, sentence, remedy}`; the name may be left out.
fn row_of(program: &str, row: &Value) -> Option<(String, Judgement)> {
    let text = |field: &str| shortened(row[field].as_str().unwrap_or_default());
    let verdict = Verdict::of(row["verdict"].as_str()?)?;
    let name = match text("name") {
        own if own.is_empty() || own == program => program.to_owned(),
        own => format!("{program}/{own}"),
    };
    Some((name, Judgement { verdict, sentence: text("sentence"), remedy: text("remedy") }))
}

/// One line of bounded length.
fn shortened(text: &str) -> String {
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_CHARS + 1).collect();
    match clean.char_indices().nth(LONGEST_CHARS) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn ran(code: i32, output: &str) -> Vec<(String, Judgement)> {
        let status = Some(ExitStatus::from_raw(code << 8));
        understood("p", &Ran { status, output: output.into(), too_much: false }, LIMIT)
    }

    #[test]
    fn findings_are_read_alone_and_in_lists() {
        let one = ran(0, r#"{"verdict":"warning","sentence":"warm","remedy":"a fan"}"#);
        assert_eq!(one, [("p".to_owned(), Judgement::warning("warm", "a fan"))]);
        let two =
            ran(1, r#"[{"name":"p","verdict":"ok","sentence":"a"},{"name":"fan","verdict":"failed","sentence":"b\u0007"}]"#);
        assert_eq!(two[0], ("p".to_owned(), Judgement::ok("a")));
        assert_eq!((two[1].0.as_str(), two[1].1.sentence.as_str()), ("p/fan", "b "));
    }

    #[test]
    fn nonsense_is_a_failure_with_what_came() {
        for (code, output) in [(0, "hello"), (0, ""), (0, "[]"), (0, "7"), (1, r#"{"verdict":"fine"}"#), (127, "{")] {
            let rows = ran(code, output);
            assert_eq!(rows[0].1.verdict, Verdict::Failed, "{output}");
            assert!(rows[0].1.sentence.contains(&format!("{output:?}")), "{}", rows[0].1.sentence);
        }
        assert_eq!(ran(2, "anything")[0].1.verdict, Verdict::Skipped);
        let long = ran(0, &"x".repeat(9000));
        assert!(long[0].1.sentence.len() < 700);
        let many = format!("[{}]", vec![r#"{"verdict":"ok"}"#; 100].join(","));
        assert_eq!(ran(0, &many).len(), MOST_FINDINGS);
    }

    #[test]
    fn what_others_can_change_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("check");
        std::fs::write(&file, "").unwrap();
        let with = |mode| {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            is_trusted(&file, false).map_err(|why| why.split(' ').next_back().unwrap().to_owned())
        };
        assert_eq!(with(0o644), Err("executable".into()));
        if std::fs::metadata(&file).unwrap().uid() == 0 {
            assert_eq!(with(0o755), Ok(()));
            assert_eq!(with(0o775), Err("0775)".into()));
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(is_trusted(&link, false).is_err());
        assert!(is_trusted(folder.path(), false).is_err());
    }
}
