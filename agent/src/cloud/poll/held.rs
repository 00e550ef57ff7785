//! What is kept in memory of the target in force: enough to know it again, not the body itself, which may be large.

use crate::store::StoredTarget;

/// The identity of a body and the ETag that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    digest: Vec<u8>,
    /// What is sent as `If-None-Match`.
    pub etag: Option<String>,
}

impl Held {
    /// Of a body and its ETag.
    pub fn of(body: &str, etag: Option<String>) -> Held {
        Held { digest: ring::digest::digest(&ring::digest::SHA256, body.as_bytes()).as_ref().to_vec(), etag }
    }

    /// Whether both were the same body.
    pub fn same_body(&self, other: &Held) -> bool {
        self.digest == other.digest
    }
}

impl From<&StoredTarget> for Held {
    fn from(stored: &StoredTarget) -> Held {
        Held::of(&stored.body, stored.etag.clone())
    }
}
