//! The agent's own log: to stderr, one line an entry, without times, since the journal has them.

use std::io::Write;
use std::os::fd::AsFd;

use env_logger::{Builder, Env};
use log::Level;

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Starts logging. Under journald every line begins with its priority, so that `journalctl -p` works; elsewhere with the
/// word for it. A second call changes nothing.
pub fn start() {
    let journal = std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
    let mut builder = Builder::from_env(Env::default().default_filter_or(DEFAULT_FILTER));
    builder.format(move |out, record| {
        let text = record.args().to_string();
        // Where an entry of this detail comes from is what its reader wants to know.
        let source = if record.level() >= Level::Debug { format!("{}: ", record.target()) } else { String::new() };
        out.write_all(entry(record.level(), &format!("{source}{text}"), journal).as_bytes())
    });
    let _ = builder.try_init();
}

/// One entry, every line of it marked.
fn entry(level: Level, text: &str, journal: bool) -> String {
    let mark = if journal { format!("<{}>", priority(level)) } else { format!("{level:<5} ") };
    let mut entry = String::with_capacity(text.len() + mark.len() + 1);
    for line in text.trim_end().lines().chain(text.trim_end().is_empty().then_some("")) {
        entry.push_str(&mark);
        entry.push_str(line);
        entry.push('\n');
    }
    entry
}

/// The syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Whether `JOURNAL_STREAM` (`device:inode`) names our stderr: a child process may have inherited the variable and write
/// elsewhere.
fn is_stderr(stream: &str) -> bool {
    let Ok(stat) = rustix::fs::fstat(std::io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_for_people_and_for_the_journal() {
        assert_eq!(entry(Level::Info, "started", false), "INFO  started\n");
        assert_eq!(entry(Level::Error, "a\nb\n", true), "<3>a\n<3>b\n");
        assert_eq!(entry(Level::Warn, "", true), "<4>\n");
    }

    #[test]
    fn another_stream_is_not_ours() {
        assert!(!is_stderr("0:0"));
        assert!(!is_stderr(""));
    }
}
