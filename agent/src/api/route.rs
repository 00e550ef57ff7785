//! What a route is: its place in the table, what it expects, its handler.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use hyper::Method;

use super::ApiState;
use super::answer::{Outcome, Refusal};
use super::body::Fields;

/// What a route expects as a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// None; what is sent is not read.
    None,
    /// A few fields.
    Small,
    /// A target document. One at a time: several would be a good part of a small device's memory.
    Target,
}

/// A request on its way to its handler.
pub(super) struct Call {
    pub state: ApiState,
    pub body: Bytes,
    pub content_type: String,
    /// Whether the client asks for JSON where that is a choice.
    pub wants_json: bool,
}

impl Call {
    /// The fields of a small body.
    pub fn fields(&self) -> Result<Fields, Refusal> {
        Fields::parse(&self.content_type, &self.body)
    }
}

/// A handler at work.
pub(super) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One row of the table.
pub(super) struct Route {
    pub method: Method,
    pub path: &'static str,
    pub body: BodyKind,
    pub handler: fn(Call) -> Running,
}
