//! What the callers of the cloud and of registries share: the certificates that are trusted, a client made of them, an
//! answer's body read within limits, an error with its causes on one line, a registry's credentials.

mod body;
#[cfg(test)]
pub(crate) mod canned;
mod chain;
mod client;
mod registry_auth;
mod roots;
mod socket;

pub use body::{BodyError, Limits, read_text, shorten};
pub use chain::chain;
pub use client::{Options, client, is_loopback, tls};
pub use registry_auth::RegistryAuth;
pub use roots::gather as trusted_roots;
pub use socket::{ask, exchange};
