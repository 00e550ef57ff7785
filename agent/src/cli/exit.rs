//! How a command ends (`interface.md`, "Exit codes").

use std::process::ExitCode;

use crate::client::ClientError;
use crate::settings::SettingsError;

/// Something failed; the cause chain is on stderr.
pub(super) const FAILED: u8 = 1;
/// Wrong usage.
pub(super) const USAGE: u8 = 2;
/// The agent is not reachable.
pub(super) const NOT_REACHABLE: u8 = 3;
/// Refused by an update lock.
pub(super) const LOCKED: u8 = 4;

/// The API's status for a held lock (protocol §17.1).
const HTTP_LOCKED: u16 = 423;

/// Wrong usage that only shows when arguments are looked at together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub String);

/// Prints what clap has to say; help and version are no errors.
pub(super) fn usage(said: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to complain.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// Prints a failure with its causes and turns it into an exit code.
pub(super) fn code(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "holdfast: {error:#}");
    ExitCode::from(code_of(&error))
}

pub(super) fn code_of(error: &anyhow::Error) -> u8 {
    let is_usage = |cause: &(dyn std::error::Error + 'static)| cause.is::<SettingsError>() || cause.is::<Usage>();
    if error.chain().any(is_usage) {
        return USAGE;
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) {
        Some(error) if error.is_not_reachable() => NOT_REACHABLE,
        Some(ClientError::Refused { status: HTTP_LOCKED, .. }) => LOCKED,
        _ => FAILED,
    }
}

/// Whether the reader of our output went away (`holdfast status | head`): its business, not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<super::output::ClosedPipe>().is_some())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::settings::{Flags, Settings};

    #[test]
    fn codes_of_the_interface() {
        let refused = |status| anyhow::Error::new(ClientError::Refused { status, message: "m".into() });
        let away = ClientError::NotReachable { socket: "s".into(), cause: ErrorKind::NotFound.into() };
        assert_eq!(code_of(&anyhow::Error::new(away).context("asking")), NOT_REACHABLE);
        let far = ClientError::RemoteNotReachable { host: "h".into(), cause: ErrorKind::NotFound.into() };
        assert_eq!(code_of(&far.into()), NOT_REACHABLE);
        let wrong = Settings::load(&Flags { poll_interval: Some("soon".into()), ..Flags::default() }, |_| None).unwrap_err();
        assert_eq!(code_of(&wrong.into()), USAGE);
        assert_eq!(code_of(&Usage("both".into()).into()), USAGE);
        assert_eq!(code_of(&refused(423)), LOCKED);
        assert_eq!(code_of(&refused(503)), FAILED);
        assert_eq!(code_of(&anyhow::anyhow!("other")), FAILED);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = anyhow::Error::new(super::super::output::ClosedPipe).context("printing");
        assert_eq!(format!("{:?}", code(Err(gone))), format!("{:?}", ExitCode::SUCCESS));
    }
}
