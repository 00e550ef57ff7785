//! `holdfast dial-stdio`: what `--host` runs at the device. Standard input goes to the agent's socket and what comes from there
//! to standard output, so any SSH server that runs commands will do.

use std::fs::File;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::ClientArgs;
use crate::client::ClientError;

/// How much is carried at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Arguments of `dial-stdio`.
#[derive(Debug, clap::Args)]
pub(super) struct DialArgs {
    /// The agent's socket [environment: HOLDFAST_SOCKET] [default: /run/holdfast/holdfast.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Ends when the agent closes its side, which it does at the end of the input, or when nobody reads any more.
pub(super) fn run(args: DialArgs) -> anyhow::Result<ExitCode> {
    let path = ClientArgs { socket: args.socket, ..ClientArgs::default() }.socket_here();
    let from_agent =
        UnixStream::connect(&path).map_err(|cause| ClientError::NotReachable { socket: path.display().to_string(), cause })?;
    let to_agent = from_agent.try_clone().context("the socket could not be shared")?;
    // Not std's own, which hold text back until a line is full.
    let input = whole(std::io::stdin().as_fd().try_clone_to_owned());
    let output = whole(std::io::stdout().as_fd().try_clone_to_owned());
    let (mut input, mut output) = (input?, output?);
    // Blocked on its input when the agent ends first; the process ends without it.
    std::thread::spawn(move || {
        let mut to_agent = to_agent;
        let _ = carry(&mut input, &mut to_agent);
        let _ = to_agent.shutdown(Shutdown::Write);
    });
    let mut from_agent = from_agent;
    // Whoever is at the other end tells how the conversation ended.
    let _ = carry(&mut from_agent, &mut output);
    Ok(ExitCode::SUCCESS)
}

fn whole(handle: Result<OwnedFd>) -> anyhow::Result<File> {
    handle.map(File::from).context("standard input and output are needed")
}

/// Carries everything until there is no more, each piece as soon as it is there.
fn carry(from: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&piece[..count])?,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_carried_in_its_order() {
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let mut got = Vec::new();
        carry(&mut sent.as_slice(), &mut got).unwrap();
        assert_eq!(got, sent);
    }
}
