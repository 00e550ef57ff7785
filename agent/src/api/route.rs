//! What a route is: its place in the table, what it expects, its handler.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use hyper::Method;

use super::ApiState;
use super::answer::{Outcome, Refusal};
use super::body::{Fields, unescape};
use super::caller::Caller;
use crate::store::KeyOwner;

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

/// What a caller needs to use a route. On the unix socket everybody is the operator: who can open it may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: `/ping` and `/v1/healthy` (protocol §17.2), and the page at `/`.
    Open,
    /// Any key. What a service's key reaches of it is its own app: the handler asks [`Caller::may_touch`].
    Key,
    /// The device as a whole: the global key, or the key of a service that carries the label for it.
    Device,
    /// What is the operator's alone: the socket, or the global key.
    Operator,
    /// The same, and without a key whoever is near the device, at an address that was opened for them, to look on. It shows
    /// nothing secret to [`Caller::Nobody`].
    Look,
}

/// A request on its way to its handler.
pub(super) struct Call {
    pub state: ApiState,
    /// Who asks.
    pub caller: Caller,
    /// Whose key came along, where it is one that is taken.
    pub key: Option<KeyOwner>,
    /// What stood in the places of the path that begin with a colon, in their order.
    pub parameters: Vec<String>,
    /// What stood after the question mark.
    pub query: Fields,
    /// The header `Last-Event-ID`, where it is a number.
    pub last_event_id: Option<i64>,
    pub body: Bytes,
    pub content_type: String,
    /// Whether the client asks for JSON where that is a choice.
    pub wants_json: bool,
    /// Whether the client takes an answer that is packed with gzip.
    pub takes_gzip: bool,
}

impl Call {
    /// The fields of a small body.
    pub fn fields(&self) -> Result<Fields, Refusal> {
        Fields::parse(&self.content_type, &self.body)
    }

    /// Who asks, for the log. The command line says that it is, and only the operator is believed.
    pub fn asked_by(&self, fields: &Fields) -> String {
        match self.caller {
            Caller::Operator if fields.switch("operator") => "command line".to_owned(),
            _ => self.caller.to_string(),
        }
    }
}

/// A handler at work.
pub(super) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// One row of the table.
pub(super) struct Route {
    pub method: Method,
    /// With a colon before a part that may be anything: `/v1/apps/:appId`.
    pub path: &'static str,
    pub access: Access,
    pub body: BodyKind,
    pub handler: fn(Call) -> Running,
    /// Whether it answers once something is done, and may take as long as that does.
    pub slow: bool,
}

impl Route {
    /// One that reads.
    pub const fn get(path: &'static str, access: Access, handler: fn(Call) -> Running) -> Route {
        Route { method: Method::GET, path, access, body: BodyKind::None, handler, slow: false }
    }

    /// One that acts, with a few fields.
    pub const fn post(path: &'static str, access: Access, handler: fn(Call) -> Running) -> Route {
        Route { method: Method::POST, path, access, body: BodyKind::Small, handler, slow: false }
    }

    /// One that acts and answers once that is done: as long as a connection may last in balena's API (protocol §17.1).
    pub const fn slow(path: &'static str, access: Access, handler: fn(Call) -> Running) -> Route {
        Route { method: Method::POST, path, access, body: BodyKind::Small, handler, slow: true }
    }

    /// One that changes what is there, with a few fields.
    pub const fn patch(path: &'static str, access: Access, handler: fn(Call) -> Running) -> Route {
        Route { method: Method::PATCH, path, access, body: BodyKind::Small, handler, slow: false }
    }

    /// What stands in the places of the path's parameters; `None` when it is not this route's path.
    pub fn parameters(&self, path: &str) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let mut given = path.split('/');
        for part in self.path.split('/') {
            let value = given.next()?;
            if part.starts_with(':') && !value.is_empty() {
                found.push(unescape(value.as_bytes(), false));
            } else if part != value {
                return None;
            }
        }
        given.next().is_none().then_some(found)
    }

    /// Whether a caller may use it at all.
    pub fn admits(&self, caller: &Caller) -> bool {
        match (self.access, caller) {
            (Access::Open, _) | (_, Caller::Operator) => true,
            (Access::Key, Caller::Service { .. }) => true,
            (Access::Device, caller @ Caller::Service { .. }) => caller.may_control(),
            (Access::Operator | Access::Look, Caller::Service { .. }) | (_, Caller::Nobody) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &'static str, access: Access) -> Route {
        Route::get(path, access, |_| Box::pin(async { Err(Refusal::bad("")) }))
    }

    #[test]
    fn parameters_stand_in_their_places() {
        let one = route("/v1/apps/:appId/stop", Access::Key);
        assert_eq!(one.parameters("/v1/apps/7/stop"), Some(vec!["7".to_owned()]));
        assert_eq!(one.parameters("/v1/apps/a%2Fb+c/stop"), Some(vec!["a/b+c".to_owned()]));
        for other in ["/v1/apps//stop", "/v1/apps/7", "/v1/apps/7/stop/now", "/v1/apps/7/start", ""] {
            assert_eq!(one.parameters(other), None, "{other}");
        }
        assert_eq!(route("/ping", Access::Open).parameters("/ping"), Some(vec![]));
    }

    #[test]
    fn who_may_do_what() {
        let service = |controls_host| Caller::Service { app: 1, service: "main".into(), controls_host };
        let admitted = |access| {
            [Caller::Operator, service(true), service(false), Caller::Nobody].map(|caller| route("/", access).admits(&caller))
        };
        assert_eq!(admitted(Access::Open), [true; 4]);
        assert_eq!(admitted(Access::Key), [true, true, true, false]);
        assert_eq!(admitted(Access::Device), [true, true, false, false]);
        assert_eq!(admitted(Access::Operator), [true, false, false, false]);
        assert_eq!(admitted(Access::Look), [true, false, false, false], "who looks on is told by where they are");
    }
}
