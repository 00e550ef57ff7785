//! What can go wrong when the command line asks the agent.

use std::io::{Error, ErrorKind};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody could be asked on this machine.
    #[error("the agent is not reachable at {socket}: {}", advice(cause))]
    NotReachable {
        /// The socket.
        socket: String,
        /// What happened; not a source, `advice` has said it already.
        cause: Error,
    },
    /// Another device could not be asked. Of its own kind, so that nothing is ever done on this machine in its stead.
    #[error("the agent is not reachable at {host}: {cause}")]
    RemoteNotReachable {
        /// As a person named it.
        host: String,
        /// What happened; not a source, it has been said already.
        cause: Error,
    },
    /// The agent took the request and did not answer in time.
    #[error("the agent took the request but did not answer within {seconds} s; its log may say why (journalctl -u holdfast)")]
    Silent {
        /// The limit.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the agent's answer broke off: {cause}; its log may say why (journalctl -u holdfast)")]
    Broken {
        /// How.
        cause: String,
    },
    /// The answer could not be read.
    #[error("the agent's answer could not be read, is it another version than this command line? {cause}")]
    Unreadable {
        /// Why.
        cause: String,
    },
    /// The agent refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The agent's words.
        message: String,
    },
}

impl ClientError {
    /// Whether nobody was there to be asked, here or elsewhere.
    pub fn is_not_reachable(&self) -> bool {
        matches!(self, ClientError::NotReachable { .. } | ClientError::RemoteNotReachable { .. })
    }
}

/// What happened, and what a person can do about it.
fn advice(cause: &Error) -> String {
    match cause.kind() {
        ErrorKind::NotFound => "no agent listens there. Does it run (systemctl status holdfast)? \
             One that listens elsewhere is found with --socket or HOLDFAST_SOCKET"
            .into(),
        ErrorKind::ConnectionRefused => {
            "the socket is there but the agent that made it is gone. Start it again (systemctl start holdfast)".into()
        }
        ErrorKind::PermissionDenied => {
            "you may not use its socket. Be root (sudo) or a member of the group that owns it (holdfast)".into()
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            "it is too busy to take a connection, or stuck. Try again; its log may say why (journalctl -u holdfast)".into()
        }
        _ => cause.to_string(),
    }
}
