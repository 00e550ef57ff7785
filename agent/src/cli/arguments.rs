//! Arguments that every command with a question to the agent takes.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::client::{Device, Host};

/// Where the agent listens unless told otherwise.
const DEFAULT_SOCKET: &str = "/run/holdfast/holdfast.sock";
/// The variable that says otherwise.
const SOCKET_VARIABLE: &str = "HOLDFAST_SOCKET";

/// How to reach the agent and how to print its answer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientArgs {
    /// The agent's socket [environment: HOLDFAST_SOCKET] [default: /run/holdfast/holdfast.sock]; with --host a path there
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Ask the agent of another device, through the system's ssh: ssh://[user@]address[:port]
    #[arg(long, value_name = "HOST", value_parser = Host::parse)]
    pub host: Option<Host>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl ClientArgs {
    /// Whose agent is asked: that of `--host`, else the one behind the socket of flag, environment or default.
    pub fn device(&self) -> Device {
        match &self.host {
            Some(host) => Device::over_ssh(host.clone(), self.socket.clone()),
            None => Device::from(&self.socket_here()),
        }
    }

    /// The socket on this machine: flag, environment, default.
    pub fn socket_here(&self) -> PathBuf {
        chosen(self.socket.clone(), std::env::var_os(SOCKET_VARIABLE))
    }
}

fn chosen(flag: Option<PathBuf>, variable: Option<OsString>) -> PathBuf {
    let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
    flag.or(variable).unwrap_or_else(|| DEFAULT_SOCKET.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_then_environment_then_default() {
        assert_eq!(chosen(Some("/a".into()), Some("/b".into())), PathBuf::from("/a"));
        assert_eq!(chosen(None, Some("/b".into())), PathBuf::from("/b"));
        assert_eq!(chosen(None, Some("".into())), PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(chosen(None, None), PathBuf::from(DEFAULT_SOCKET));
    }
}
