//! Addresses of engines: Unix sockets only.

use std::path::PathBuf;

use super::{EngineError, Result};

/// Where an engine is looked for when no address is given, in this order.
pub const DEFAULT_ADDRESSES: [&str; 3] =
    ["unix:///var/run/balena-engine.sock", "unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"];

/// An engine's address: a Unix socket. `Display` gives the normal form, `unix:///path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Path of the socket, absolute.
    pub socket: PathBuf,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unix://{}", self.socket.display())
    }
}

impl std::str::FromStr for Address {
    type Err = EngineError;

    /// Reads `unix:///path` as well as the short form `unix:/path` that `DOCKER_HOST` may hold.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let refuse = |why: &str| {
            let message = format!("{why}; expected a Unix socket, for example unix:///var/run/docker.sock");
            EngineError::Failed { object: format!("engine address \"{text}\""), message }
        };
        let Some(rest) = text.strip_prefix("unix:") else {
            return Err(match text.split_once("://") {
                Some((scheme, _)) => refuse(&format!("the scheme {scheme} is not supported")),
                None => refuse("it has no scheme"),
            });
        };
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if !path.starts_with('/') || path.len() < 2 {
            return Err(refuse("the path of the socket is not absolute"));
        }
        Ok(Address { socket: PathBuf::from(path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_brought_into_normal_form() {
        for text in ["unix:///run/x.sock", "unix:/run/x.sock", " unix:///run/x.sock\n"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), "unix:///run/x.sock");
        }
    }

    #[test]
    fn other_addresses_are_refused_by_name() {
        for (text, why) in [
            ("tcp://127.0.0.1:2375", "scheme tcp"),
            ("ssh://root@host", "scheme ssh"),
            ("/var/run/docker.sock", "no scheme"),
            ("unix://var/run/docker.sock", "not absolute"),
            ("unix:///", "not absolute"),
            ("", "no scheme"),
        ] {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains(why) && message.contains(text), "{message}");
        }
    }
}
