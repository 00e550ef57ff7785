//! Answers and refusals.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

/// Pieces of a body that is made while it is sent. An error breaks the answer off, so that nobody takes it for whole.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// The body of an answer: whole, or made while it is sent.
pub(super) type AnswerBody = Either<Full<Bytes>, StreamBody<Pieces>>;

/// A finished answer.
pub(super) type Answer = Response<AnswerBody>;

/// What a handler gives back.
pub(super) type Outcome = Result<Answer, Refusal>;

/// The body of a refused or failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// Always `failed`.
    pub status: String,
    /// What was wrong, with its cause chain.
    pub message: String,
}

/// A request that is refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub message: String,
    /// Methods to name in `Allow`.
    pub allow: Option<String>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into(), allow: None }
    }

    /// 503: the agent cannot do it now.
    pub fn unavailable(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 400: the request is wrong.
    pub fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn into_answer(self) -> Answer {
        let failure = Failure { status: "failed".into(), message: self.message };
        let body = serde_json::to_vec(&failure).unwrap_or_else(|_| br#"{"status":"failed","message":""}"#.to_vec());
        let mut answer = finished(self.status, "application/json; charset=utf-8", body);
        if let Some(allow) = self.allow.and_then(|methods| HeaderValue::from_str(&methods).ok()) {
            answer.headers_mut().insert(ALLOW, allow);
        }
        answer
    }
}

/// 200 with a JSON body.
pub(super) fn json(value: &impl Serialize) -> Outcome {
    json_as(StatusCode::OK, value)
}

/// A JSON body.
pub(super) fn json_as(status: StatusCode, value: &impl Serialize) -> Outcome {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(finished(status, "application/json; charset=utf-8", body)),
        Err(cause) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer could not be written: {cause}"))),
    }
}

/// 200 with a body that is JSON already.
pub(super) fn json_text(body: impl Into<Bytes>) -> Answer {
    finished(StatusCode::OK, "application/json; charset=utf-8", body)
}

/// A plain text answer.
pub(super) fn text(status: StatusCode, body: &'static str) -> Answer {
    finished(status, "text/plain; charset=utf-8", body)
}

/// A plain text answer that is made for the occasion.
pub(super) fn words(status: StatusCode, body: String) -> Answer {
    finished(status, "text/plain; charset=utf-8", body)
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

/// 200 with a body that is made while it is sent.
pub(super) fn streamed(content_type: &'static str, pieces: Pieces) -> Answer {
    let mut answer = Response::new(Either::Right(StreamBody::new(pieces)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A finished answer with any body.
pub(super) fn finished(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
