//! The agent's own version, below `/v3/agent`.

use std::path::PathBuf;

use hyper::StatusCode;
use serde_json::json as value;
use tokio::sync::mpsc::error::TrySendError;

use super::answer::{Outcome, Refusal, json, json_as};
use super::route::{Access, Call, Route};
use crate::slot::{Ask, Job, Source, decode_signature, sha256_of};

const REPLACED: &str = "the agent is being replaced already; holdfast self-update --show says how far it is";

pub(super) static ROUTES: [Route; 3] = [
    Route::get("/v3/agent", Access::Operator, |call| Box::pin(show(call))),
    Route::post("/v3/agent/update", Access::Operator, |call| Box::pin(update(call))),
    Route::post("/v3/agent/check", Access::Operator, |call| Box::pin(async move { ask(&call, Ask::Check) })),
];

/// Which version runs, which is kept, which is on trial, what became of the last attempt.
async fn show(call: Call) -> Outcome {
    let shown = call.state.update.shown.borrow().to_json();
    json(&shown)
}

/// Begins to install a version: `file`, `url` or `image`, with `sha256`, `signature` and `offline`.
async fn update(call: Call) -> Outcome {
    let fields = call.fields()?;
    let source = match (fields.text("file"), fields.text("url"), fields.text("image")) {
        (Some(file), None, None) if file.starts_with('/') => Source::File(PathBuf::from(file)),
        (None, Some(url), None) => Source::Url(url),
        (None, None, Some(image)) => Source::Image(image),
        _ => return Err(Refusal::bad("one of file (a whole path), url and image is expected")),
    };
    let sha256 =
        fields.text("sha256").map(|sum| sha256_of(&sum).ok_or_else(|| Refusal::bad("sha256 is not 64 hexadecimal digits")));
    let sha256 = sha256.transpose()?;
    let signature = match fields.text("signature") {
        None => None,
        Some(text) => {
            Some(decode_signature(&text).ok_or_else(|| Refusal::bad("signature is not an ed25519 signature in base64"))?)
        }
    };
    let shown = call.state.update.shown.borrow().clone();
    if shown.slots.trial.is_some() || shown.doing.is_some() {
        return Err(Refusal::new(StatusCode::CONFLICT, REPLACED));
    }
    let job = Job { source, sha256, signature, wish: None, offline: fields.switch("offline") };
    ask(&call, Ask::Install(Box::new(job)))
}

fn ask(call: &Call, what: Ask) -> Outcome {
    match call.state.update.asks.try_send(what) {
        Ok(()) => json_as(StatusCode::ACCEPTED, &value!({ "status": "accepted" })),
        Err(TrySendError::Full(_)) => Err(Refusal::new(StatusCode::CONFLICT, REPLACED)),
        Err(TrySendError::Closed(_)) => Err(Refusal::unavailable("the agent is ending; ask again once it is back")),
    }
}
