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

/// Prints a value as JSON for people and programs alike.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints an answer's JSON as the agent wrote it, so that nothing it says is lost on a command line of another version.
pub(super) fn print_answer(reply: &Reply) -> anyhow::Result<()> {
    print(&format!("{}\n", String::from_utf8_lossy(&reply.body)))
}

/// Colours for standard output: on a terminal, unless `NO_COLOR` is set.
pub(super) fn paint() -> Paint {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && is_terminal() { Paint::Colour } else { Paint::Plain }
}

/// Whether a person reads along.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
