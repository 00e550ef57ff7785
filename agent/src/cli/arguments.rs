//! Arguments that every command with a question to the agent takes.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where the agent listens unless told otherwise.
const DEFAULT_SOCKET: &str = "/run/holdfast/holdfast.sock";
/// The variable that says otherwise.
const SOCKET_VARIABLE: &str = "HOLDFAST_SOCKET";

/// How to reach the agent and how to print its answer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientArgs {
    /// The agent's socket [environment: HOLDFAST_SOCKET] [default: /run/holdfast/holdfast.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl ClientArgs {
    /// The socket: flag, environment, default.
    pub fn socket(&self) -> PathBuf {
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
