//! The HTTP clients that registries are asked with.

/// One client for registries elsewhere, one for those on this machine, which no proxy stands before.
pub(super) struct Clients {
    pub away: reqwest::Client,
    pub here: reqwest::Client,
}
