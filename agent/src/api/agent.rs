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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::api::tests::Given;
    use crate::slot::{Binary, Shown, Slot, Slots, Starts, Trial, UpdateLink};

    #[tokio::test]
    async fn one_replacement_at_a_time() {
        let (asks, mut asked) = mpsc::channel(1);
        let shown = watch::Sender::new(Arc::<Shown>::default());
        let given = Given { update: UpdateLink { asks, shown: shown.subscribe() }, ..Given::default() };
        let served = given.serve().await;
        let update = |body: &'static str| served.refused("POST", "/v3/agent/update", body);
        let wanted = r#"{"file":"/x/holdfast"}"#;
        shown.send_modify(|shown| Arc::make_mut(shown).doing = Some("obtaining".into()));
        assert_eq!(update(wanted).await.0, 409);
        let binary = Binary { slot: Slot::A, sha256: "x".into(), version: "1".into() };
        let trial = Trial { binary, starts: Starts::default(), total: 1, schema: 2, cloud: false, wish: None, verdict: None };
        let slots = Slots { trial: Some(trial), ..Slots::default() };
        shown.send_replace(Arc::new(Shown { slots, ..Shown::default() }));
        assert_eq!(update(wanted).await.0, 409);
        assert!(asked.try_recv().is_err(), "none of them waits for its turn");
        shown.send_replace(Arc::default());
        for wrong in [r#"{"file":"x"}"#, r#"{"url":"http://x","sha256":"gg"}"#, r#"{"url":"http://x","signature":"AA"}"#, "{}"] {
            assert_eq!(update(wrong).await.0, 400, "{wrong}");
        }
        crate::client::post(&served.socket, "/v3/agent/update", wanted.to_owned()).await.unwrap();
        assert!(matches!(asked.try_recv(), Ok(Ask::Install(job)) if job.source == Source::File("/x/holdfast".into())));
    }
}
