//! Printing, also to a reader that goes away.

use std::io::{ErrorKind, IsTerminal, Write};

use serde::Serialize;

use super::render::Paint;
use crate::client::Reply;

/// The reader of our output went away. Ends the command without a word.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output went away")]
pub(super) struct ClosedPipe;

/// Prints text as it is.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Err(ClosedPipe.into()),
        Err(cause) => Err(anyhow::Error::new(cause).context("the output could not be written")),
    }
}

/// A remark beside the output; nobody may be listening.
pub(super) fn remark(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints a value as JSON for people and programs alike.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints an answer's JSON as the agent wrote it, so that nothing it says is lost on a command line of another version.
pub(super) fn print_answer(reply: &Reply) -> anyhow::Result<()> {
    print(&format!("{}\n", String::from_utf8_lossy(&reply.body)))
}

/// The narrowest and the widest page a terminal gets: lines that are longer are hard to read.
const NARROWEST: u16 = 40;
const WIDEST: u16 = 160;

/// How pages look on standard output: on a terminal as wide as it is and in colours, unless `NO_COLOR` is set or the terminal
/// knows none.
pub(super) fn paint() -> Paint {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return Paint::Plain;
    }
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let measured = || rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col);
    let columns = said.or_else(measured).filter(|columns| *columns > 0).unwrap_or(80).clamp(NARROWEST, WIDEST);
    Paint::Terminal { columns, colours: wanted && is_terminal() }
}

/// Whether a person reads along, on something that can be drawn on.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
}
