//! From the client's errors to ours: is the engine away, is the object missing, in use, or was the call refused.

use std::error::Error as _;

use bollard::errors::Error;

use crate::engine::EngineError;

/// Says which object an error of the client hit. `address` is the engine's, `limit_s` the limit the call had.
pub(super) fn engine_error(address: &str, object: &str, limit_s: u64, error: Error) -> EngineError {
    let object = object.to_owned();
    match error {
        Error::DockerResponseServerError { status_code, message } => from_status(object, status_code, message),
        Error::DockerStreamError { error } => EngineError::Failed { object, message: error },
        Error::RequestTimeoutError => EngineError::TimedOut { object, seconds: limit_s },
        Error::SocketNotFoundError(path) => {
            EngineError::Unreachable { address: address.to_owned(), cause: format!("there is no socket {path}") }
        }
        // A connection that cannot be made and one that breaks off both mean that the engine went away.
        error @ (Error::HyperLegacyError { .. } | Error::HyperResponseError { .. } | Error::IOError { .. }) => {
            EngineError::Unreachable { address: address.to_owned(), cause: root_cause(&error) }
        }
        Error::JsonSerdeError { err } if err.is_eof() => {
            EngineError::Unreachable { address: address.to_owned(), cause: "the answer broke off".into() }
        }
        error => EngineError::Failed { object, message: format!("the engine's answer was not understood: {}", chain(&error)) },
    }
}

fn from_status(object: String, status: u16, message: String) -> EngineError {
    let message = if message.trim().is_empty() { format!("the engine answered {status}") } else { message.trim().to_owned() };
    match status {
        404 => EngineError::NotFound { object, message },
        409 => EngineError::Conflict { object, message },
        // Podman's answers to a name that is taken, and to the removal of a container that runs.
        500 if message.contains("already in use by") || message.contains("as it is running") => {
            EngineError::Conflict { object, message }
        }
        _ => EngineError::Failed { object, message },
    }
}

/// What is at the bottom of an error: the layers of the client above it say nothing a person could use.
fn root_cause(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The error and its causes in one line; a cause that repeats what was said already is left out.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

/// Whether the client could not read an answer that otherwise reported success.
pub(super) fn is_unreadable(error: &EngineError) -> bool {
    matches!(error, EngineError::Failed { message, .. } if message.starts_with("the engine's answer was not understood"))
}

/// Gone is fine: turns "not found" into success.
pub(super) fn gone_is_fine(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// The engine's words in an error, where it spoke.
pub(super) fn words(error: &EngineError) -> &str {
    match error {
        EngineError::NotFound { message, .. } | EngineError::Conflict { message, .. } | EngineError::Failed { message, .. } => {
            message
        }
        EngineError::Unreachable { cause, .. } => cause,
        EngineError::TimedOut { .. } => "",
    }
}

/// The same error with the engine's words followed by a hint for people.
pub(super) fn with_hint(error: EngineError, hint: &str) -> EngineError {
    match error {
        EngineError::NotFound { object, message } => EngineError::NotFound { object, message: format!("{message} ({hint})") },
        EngineError::Conflict { object, message } => EngineError::Conflict { object, message: format!("{message} ({hint})") },
        EngineError::Failed { object, message } => EngineError::Failed { object, message: format!("{message} ({hint})") },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> EngineError {
        engine_error("unix:///x", "container a", 5, Error::DockerResponseServerError { status_code, message: message.into() })
    }

    #[test]
    fn the_status_decides_the_kind() {
        assert!(matches!(answer(404, "no"), EngineError::NotFound { .. }));
        assert!(matches!(answer(409, "busy"), EngineError::Conflict { .. }));
        assert_eq!(answer(500, "").to_string(), "container a: the engine answered 500");
        assert!(matches!(
            engine_error("unix:///x", "list", 5, Error::RequestTimeoutError),
            EngineError::TimedOut { seconds: 5, .. }
        ));
    }

    #[test]
    fn a_broken_connection_is_an_engine_that_is_away() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for error in [Error::SocketNotFoundError("/x".into()), Error::IOError { err: refused }] {
            let error = engine_error("unix:///x", "list", 5, error);
            assert!(error.is_unreachable() && error.to_string().contains("unix:///x"), "{error}");
        }
    }

    #[test]
    fn gone_is_fine_only_when_gone() {
        assert!(gone_is_fine(Err(answer(404, "no"))).is_ok());
        assert!(gone_is_fine(Err(answer(409, "no"))).is_err());
    }
}
