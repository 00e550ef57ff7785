//! How the embedded cloud misbehaves on request.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};

use crate::sandbox::listener::{Body, full, set, text};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The target (`GET …/state`).
    State,
    /// The report (`PATCH …/state`).
    Report,
    /// The log stream.
    Logs,
    /// Registry tokens.
    Token,
    /// A device registers.
    Register,
    /// A device is looked for by its uuid.
    Find,
    /// A device is given its key.
    DeviceKey,
    /// A device is named or pinned.
    Name,
    /// A release is looked for by its commit.
    Release,
    /// `GET /ping` and everything else.
    Other,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This status with a short text.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    TooManyRequests {
        /// The seconds.
        retry_after_s: u64,
    },
    /// 200 with a web page, as a captive portal gives.
    Html,
    /// Half of the announced body, then the connection closes.
    HalfBody,
    /// 200 with a JSON body of this many bytes.
    Oversize {
        /// Size of the body.
        bytes: usize,
    },
    /// The request is read and never answered.
    Silent,
    /// The connection closes without an answer.
    HangUp,
}

/// How the cloud behaves from now on. The default is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Wait this long before each answer.
    pub delay: Duration,
    /// Fail like this.
    pub failure: Option<Failure>,
    /// Only requests to this endpoint are affected; `None` is all.
    pub only: Option<Endpoint>,
    /// Only this many requests are affected; `None` is without end.
    pub times: Option<u32>,
    /// The request is carried out first: only its answer is lost to the failure.
    pub late: bool,
}

impl Behaviour {
    /// Every request fails like this.
    pub fn failing(failure: Failure) -> Behaviour {
        Behaviour { failure: Some(failure), ..Behaviour::default() }
    }

    /// What holds for one request; counts it.
    pub(super) fn apply(&mut self, endpoint: Endpoint) -> Behaviour {
        if self.only.is_some_and(|only| only != endpoint) || self.times == Some(0) {
            return Behaviour::default();
        }
        self.times = self.times.map(|n| n - 1);
        self.clone()
    }
}

/// What the whole of an answer to the poll would have been.
const HALF_BODY: &str = r#"{"0123456789abcdef0123456789abcdef":{"name":"half","config":{},"apps":{}}}"#;

/// Largest piece a body is sent in.
const PIECE_BYTES: usize = 64 * 1024;

impl Failure {
    /// Carries the failure out.
    pub(super) async fn answer(&self) -> std::io::Result<Response<Body>> {
        match self {
            Failure::Status(status) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Ok(text(status, "the embedded cloud was told to fail"))
            }
            Failure::TooManyRequests { retry_after_s } => {
                let mut response = text(StatusCode::TOO_MANY_REQUESTS, "too many requests");
                set(&mut response, "retry-after", &retry_after_s.to_string());
                Ok(response)
            }
            Failure::Html => {
                let mut response = Response::new(full("<!doctype html><title>Sign in</title><p>Please accept the terms.</p>"));
                set(&mut response, "content-type", "text/html; charset=utf-8");
                Ok(response)
            }
            Failure::HalfBody => Ok(half_body()),
            Failure::Oversize { bytes } => Ok(oversize(*bytes)),
            Failure::Silent => std::future::pending().await,
            Failure::HangUp => Err(std::io::Error::other("told to hang up")),
        }
    }
}

fn half_body() -> Response<Body> {
    let half = Bytes::from_static(&HALF_BODY.as_bytes()[..HALF_BODY.len() / 2]);
    // The pause lets the first half leave before the connection breaks.
    let frames = futures_util::stream::unfold(Some(half), |rest| async move {
        match rest {
            Some(half) => Some((Ok(Frame::data(half)), None)),
            None => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err(std::io::Error::other("told to send half")), None))
            }
        }
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    set(&mut response, "content-type", "application/json; charset=utf-8");
    set(&mut response, "content-length", &HALF_BODY.len().to_string());
    response
}

/// A JSON string of exactly that many bytes, sent piece by piece.
fn oversize(bytes: usize) -> Response<Body> {
    let frames = futures_util::stream::unfold(0, move |sent| async move {
        let size = PIECE_BYTES.min(bytes - sent);
        let mut piece = vec![b'x'; size];
        if sent == 0
            && let Some(first) = piece.first_mut()
        {
            *first = b'"';
        }
        if sent + size == bytes
            && let Some(last) = piece.last_mut()
        {
            *last = b'"';
        }
        (size > 0).then(|| (Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))), sent + size))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    set(&mut response, "content-type", "application/json; charset=utf-8");
    response
}
