//! What can go wrong when the agent is to be replaced, and how an address is told.

use std::path::Path;

/// Why an agent was not replaced. The one that runs goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {message}")]
pub struct SlotError {
    /// The file or address it is about.
    pub object: String,
    /// What happened and what a person can do.
    pub message: String,
    /// Whoever was asked answered, and said no: asked again it is likely to say so again.
    pub refused: bool,
}

impl SlotError {
    /// About a file.
    pub(super) fn file(path: &Path, message: impl std::fmt::Display) -> SlotError {
        SlotError::of(&path.display().to_string(), message)
    }

    /// About anything; an address without what may be secret in it.
    pub fn of(object: &str, message: impl std::fmt::Display) -> SlotError {
        SlotError { object: shown_address(object), message: message.to_string(), refused: false }
    }

    /// The same, when that is the answer of whoever was asked.
    pub(super) fn refused(object: &str, message: impl std::fmt::Display) -> SlotError {
        SlotError { refused: true, ..SlotError::of(object, message) }
    }

    /// What the file system answered to an attempt.
    pub(super) fn io<'a>(path: &'a Path, what: &'a str) -> impl Fn(std::io::Error) -> SlotError + 'a {
        move |error| SlotError::file(path, format_args!("{what}: {error}"))
    }
}

/// An address as anybody may read it: what signs it or lets somebody in stands before the host or behind the path.
pub(super) fn shown_address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_what_lets_somebody_in() {
        for (address, shown) in [
            ("https://x.example/a/holdfast", "https://x.example/a/holdfast"),
            ("https://me:pass@x.example:8/h?X-Signature=abc#part", "https://x.example:8/h"),
            ("https://me@you:pass@x.example", "https://x.example"),
            ("https://x.example?sig=a/b@c", "https://x.example"),
            ("https://x.example/a@b", "https://x.example/a@b"),
            ("registry.example/agent:2@sha256:ab", "registry.example/agent:2@sha256:ab"),
            ("/data/agent/new", "/data/agent/new"),
        ] {
            assert_eq!(SlotError::of(address, "m").to_string(), format!("{shown}: m"));
        }
    }
}
