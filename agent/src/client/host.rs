//! A device as a person names it: `ssh://[user@]address[:port]`.

use std::fmt::{Display, Formatter, Result as FmtResult};

/// What is expected of the text.
const EXPECTED: &str = "expected ssh://[user@]address[:port], for example ssh://root@192.168.1.7";

/// Where an SSH server is asked for. Nothing in it can be taken for an option of ssh, or for more than a word by a shell that
/// a `ProxyCommand` hands it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    address: String,
    port: Option<u16>,
}

impl Host {
    /// Reads `ssh://[user@]address[:port]`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn parse(text: &str) -> Result<Host, String> {
        let rest = text.strip_prefix("ssh://").ok_or_else(|| EXPECTED.to_owned())?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(word("user", user, "._-+@")?), place),
            None => (None, rest),
        };
        let (address, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (address, after) = bracketed.split_once(']').ok_or("the bracket of the address is not closed")?;
                let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(EXPECTED)?) };
                (word("address", address, "._-:%")?, port)
            }
            None => {
                let (address, port) = place.split_once(':').map_or((place, None), |(address, port)| (address, Some(port)));
                (word("address", address, "._-")?, port)
            }
        };
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err("the port is a number from 1 to 65535; an IPv6 address stands in brackets".into()),
        };
        Ok(Host { user, address, port })
    }

    /// `[user@]address`, as ssh takes it.
    pub(super) fn destination(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.address),
            None => self.address.clone(),
        }
    }

    /// The port, where one was named.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}

/// A part of the name: letters, digits and a few signs, none of which an option of ssh begins with.
fn word(what: &str, text: &str, signs: &str) -> Result<String, String> {
    let strange = |c: &char| !c.is_ascii_alphanumeric() && !signs.contains(*c);
    match (text, text.chars().find(strange)) {
        ("", _) => Err(format!("the {what} is empty; {EXPECTED}")),
        (_, Some(c)) => Err(format!("the {what} may not contain {c:?}; {EXPECTED}")),
        _ if text.starts_with('-') => Err(format!("the {what} may not begin with '-'; {EXPECTED}")),
        _ => Ok(text.to_owned()),
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Host { user, address, port } = self;
        f.write_str("ssh://")?;
        if let Some(user) = user {
            write!(f, "{user}@")?;
        }
        if address.contains(':') {
            write!(f, "[{address}]")?
        } else {
            f.write_str(address)?
        }
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown_again() {
        for (text, destination, port) in [
            ("ssh://shed-7", "shed-7", None),
            ("ssh://root@192.168.1.7", "root@192.168.1.7", None),
            ("ssh://root@shed_7.local:22222", "root@shed_7.local", Some(22222)),
            ("ssh://[fe80::1%eth0]:2222", "fe80::1%eth0", Some(2222)),
            ("ssh://me@example.org@gate", "me@example.org@gate", None),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.destination().as_str(), host.port()), (destination, port), "{text}");
            assert_eq!(host.to_string(), text);
        }
        assert_eq!(Host::parse("ssh://a/").unwrap().to_string(), "ssh://a");
    }

    #[test]
    fn nothing_can_become_an_option_or_a_command() {
        for text in [
            "",
            "shed-7",
            "-oProxyCommand=touch /tmp/x",
            "ssh://",
            "ssh://-oProxyCommand=touch",
            "ssh://-oProxyCommand=touch@host",
            "ssh://root@-oProxyCommand=touch",
            "ssh://[-oProxyCommand]",
            "ssh://@host",
            "ssh://root@",
            "ssh://a b",
            "ssh://$(reboot)",
            "ssh://`reboot`",
            "ssh://a;reboot",
            "ssh://a'b",
            "ssh://a\nb",
            "ssh://a:0",
            "ssh://a:65536",
            "ssh://a:x",
            "ssh://::1",
            "ssh://[::1",
            "ssh://[::1]x",
            "ssh://a/b",
            "http://a",
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }
}
