//! The content of a volume, out and in: `/v3/volumes/{name}/archive`. It passes through in pieces, so its size does not
//! matter. The services that use the volume are stopped for as long as the request lasts, however it ends.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast_plan::current::{EngineState, Volume};
use holdfast_plan::policy::Purpose;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::ApiState;
use super::answer::{Outcome, Refusal, json, streamed};
use super::body::Fields;
use super::caller::Caller;
use super::reading::{FromAnswer, field, read_by_field};
use super::volumes::{find, volume_row};
use crate::engine::{Content, EngineError};
use crate::reconcile::{Held, HoldRefusal, View};
use crate::volume::{Counts, END_OF_ARCHIVE, Manifest, Walk};

/// Header of a volume's content that says what it is the content of: a [`Copied`] as JSON.
pub const VOLUME_HEADER: &str = "x-holdfast-volume";

/// The longest that a client may be silent while it sends a content: its services stand still for it.
const SILENCE: Duration = Duration::from_secs(60);

/// What a content is the content of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Copied {
    /// The volume's name in the engine.
    pub volume: String,
    /// Numeric id of its app.
    pub app_id: u64,
    /// Name of its app.
    pub app: String,
    /// Services that were stopped for it.
    pub stopped: Vec<String>,
    /// Update locks that were broken for it.
    pub broken: Vec<String>,
}

read_by_field!(Copied { volume, app_id, app, stopped, broken });

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restored {
    /// Of which volume.
    #[serde(flatten)]
    pub copied: Copied,
    /// What is in it now.
    pub counts: Counts,
    /// SHA-256 of the content's tar stream, in hex.
    pub sha256: String,
}
impl FromAnswer for Restored {
    fn from_answer(value: &Value) -> Restored {
        // The fields of what it is the content of lie among its own.
        Restored { copied: Copied::from_answer(value), counts: field(value, "counts"), sha256: field(value, "sha256") }
    }
}

/// The volume of such a path.
pub(super) fn volume_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/v3/volumes/")?.strip_suffix("/archive")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Answers a request for a volume's content.
pub(super) async fn answer(state: &ApiState, name: &str, query: &Fields, request: Request<Incoming>) -> Outcome {
    match *request.method() {
        Method::GET => send(state, name, query).await,
        Method::PUT => receive(state, name, query, request.into_body()).await,
        _ => {
            let message = "a volume's content answers to GET, PUT";
            let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message);
            refusal.allow = Some("GET, PUT".into());
            Err(refusal)
        }
    }
}

/// What a request has to do with.
struct Subject {
    volume: Volume,
    image: String,
    copied: Copied,
}

impl Subject {
    fn of(view: &View, name: &str, state: &ApiState) -> Result<Subject, Refusal> {
        let volume = find(view, name)?;
        let image = some_image(&view.current.engine)?;
        let row = volume_row(view, volume, state.now());
        let stopped = row.used_by.into_iter().filter(|user| user.running).map(|user| user.service).collect();
        let copied = Copied { volume: row.name, app_id: row.app_id, app: row.app, stopped, broken: Vec::new() };
        Ok(Subject { volume: volume.clone(), image, copied })
    }

    /// Waits until nothing uses the volume.
    async fn hold(&mut self, state: &ApiState, purpose: Purpose, force: bool) -> Result<Held, Refusal> {
        // Nobody else gets this far.
        let from = Caller::Operator.to_string();
        let held = Held::ask(&state.requests, &self.volume.name, purpose, force, &from).await;
        let held = held.map_err(|HoldRefusal { locked, why }| {
            let message = format!("volume {} cannot be had for a {purpose}: {why}", self.volume.name);
            Refusal::new(if locked { StatusCode::LOCKED } else { StatusCode::CONFLICT }, message)
        })?;
        self.copied.broken = held.broken.clone();
        // While the volume is held the agent removes no image, so what is there now stays.
        let engine = state.engine.observe().await.map_err(|error| refused(&error))?;
        self.image = some_image(&engine)?;
        Ok(held)
    }
}

/// Any image: best one that a container keeps from being removed.
fn some_image(engine: &EngineState) -> Result<String, Refusal> {
    let has = |id: &&String| engine.images.iter().any(|image| image.id == **id);
    let used = engine.containers.iter().map(|container| &container.image_id).find(has);
    used.or_else(|| engine.images.first().map(|image| &image.id)).cloned().ok_or_else(|| {
        Refusal::unavailable(
            "the engine has no image at all, and a copy of a volume needs one, whichever; install a release or pull any image first",
        )
    })
}

fn refused(error: &EngineError) -> Refusal {
    let status = match error {
        EngineError::Conflict { .. } => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, error.to_string())
}

/// Sends a volume's content. With `live=1` its services go on meanwhile; with `force=1` update locks are broken.
async fn send(state: &ApiState, name: &str, query: &Fields) -> Outcome {
    let mut subject = Subject::of(&state.view(), name, state)?;
    let held = if query.switch("live") {
        subject.copied.stopped.clear();
        None
    } else {
        Some(subject.hold(state, Purpose::Backup, query.switch("force")).await?)
    };
    let content = state.engine.read_volume(&subject.volume.name, &subject.image).await.map_err(|error| refused(&error))?;
    // The hold lives in the stream, and the stream as long as the connection.
    let pieces = stream::unfold(Some((content, held)), |sending| async move {
        let (mut content, held) = sending?;
        if held.as_ref().is_some_and(|held| !held.is_good()) {
            return Some((Err(io::Error::other("a service uses the volume again")), None));
        }
        match content.next().await? {
            Ok(bytes) => Some((Ok(Frame::data(bytes)), Some((content, held)))),
            Err(cause) => {
                log::warn!("the copy of a volume breaks off: {cause}");
                Some((Err(cause), None))
            }
        }
    });
    let mut answer = streamed("application/x-tar", Box::pin(pieces));
    let about = serde_json::to_vec(&subject.copied).unwrap_or_default();
    if let Ok(about) = HeaderValue::from_bytes(&about) {
        answer.headers_mut().insert(VOLUME_HEADER, about);
    }
    Ok(answer)
}

/// Replaces a volume's content by what is sent: a tar stream whose names begin with `./`. `sha256` says what it must add up
/// to; with `force=1` update locks are broken.
async fn receive(state: &ApiState, name: &str, query: &Fields, body: Incoming) -> Outcome {
    let expected = query.text("sha256").map(|sum| sum.to_ascii_lowercase());
    let mut subject = Subject::of(&state.view(), name, state)?;
    // What is wrong with what was sent is not the agent's failure.
    let sent = StatusCode::UNPROCESSABLE_ENTITY;
    let untouched = |volume: &Volume, cause: &str| Refusal::new(sent, format!("volume {} is as it was: {cause}", volume.name));
    // Nobody has to stop for nothing.
    if body.size_hint().exact() == Some(0) {
        return Err(untouched(&subject.volume, "nothing was sent, and a tar stream is expected"));
    }
    let held = subject.hold(state, Purpose::Restore, query.switch("force")).await?;
    let subject = subject;
    let passing = Arc::new(Mutex::new(Passing::default()));
    let mut content = incoming(body, Arc::clone(&passing));
    // Nothing is taken away before the beginning of an archive is there.
    let first = match content.next().await {
        Some(Ok(first)) => first,
        Some(Err(cause)) => return Err(untouched(&subject.volume, &cause.to_string())),
        None => return Err(untouched(&subject.volume, "nothing was sent")),
    };
    let content = Box::pin(stream::iter([Ok(first)]).chain(content));
    state.engine.empty_volume(&subject.volume).await.map_err(|error| refused(&error))?;
    log::info!("volume {} is empty and is being filled from an archive", subject.volume.name);
    let written = state.engine.write_volume(&subject.volume.name, &subject.image, content).await;
    let lost = !held.is_good();
    let incomplete = |status: StatusCode, what: String| {
        let volume = &subject.volume.name;
        let message = format!(
            "volume {volume} is not restored whole: {what}; its services start on what is in it now, so repeat the restore"
        );
        log::error!("{message}");
        Refusal::new(status, message)
    };
    let Passing { walk, broken } = std::mem::take(&mut *passing.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some(cause) = broken {
        return Err(incomplete(sent, cause));
    }
    written.map_err(|error| incomplete(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let summary = walk.finish().map_err(|cause| incomplete(sent, cause.to_string()))?;
    if expected.is_some_and(|expected| expected != summary.sha256) {
        return Err(incomplete(sent, format!("what arrived adds up to SHA-256 {}", summary.sha256)));
    }
    if summary.manifest.is_some() {
        Manifest::of(&summary).map_err(|cause| incomplete(sent, cause.to_string()))?;
    }
    if lost {
        return Err(incomplete(StatusCode::CONFLICT, "a service used it meanwhile".into()));
    }
    log::info!("volume {} is restored: {} files, {} bytes", subject.volume.name, summary.counts.files, summary.counts.file_bytes);
    json(&Restored { copied: subject.copied, counts: summary.counts, sha256: summary.sha256 })
}

/// What is known of a content while it passes.
#[derive(Default)]
struct Passing {
    walk: Walk,
    /// Why it broke off.
    broken: Option<String>,
}

/// The body of a request as content for the engine, looked at as it passes: a manifest in it is none of the volume's.
fn incoming(body: Incoming, passing: Arc<Mutex<Passing>>) -> Content {
    Box::pin(stream::unfold(Some((body, passing)), |receiving| async move {
        let (mut body, passing) = receiving?;
        match next_content(&mut body, &passing).await {
            Ok(Some(content)) => Some((Ok(content), Some((body, passing)))),
            // The end mark was held back until the stream had shown that it is whole.
            Ok(None) => Some((Ok(Bytes::from_static(&END_OF_ARCHIVE)), None)),
            Err(cause) => {
                passing.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(cause.clone());
                Some((Err(io::Error::other(cause)), None))
            }
        }
    }))
}

/// The next bytes that belong to the volume; `None` once all of them have come.
async fn next_content(body: &mut Incoming, passing: &Mutex<Passing>) -> Result<Option<Bytes>, String> {
    let walk = |bytes: &Bytes| {
        let mut content = Vec::with_capacity(bytes.len());
        let mut passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
        passing.walk.feed(bytes, &mut content).map(|()| content).map_err(|cause| cause.to_string())
    };
    loop {
        let silent = |_| format!("nothing was sent for {} s", SILENCE.as_secs());
        let Some(frame) = tokio::time::timeout(SILENCE, body.frame()).await.map_err(silent)? else {
            let passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
            return if passing.walk.is_whole() { Ok(None) } else { Err("what was sent breaks off in the middle".into()) };
        };
        let frame = frame.map_err(|cause| format!("what was sent broke off: {cause}"))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let content = walk(&bytes)?;
        if !content.is_empty() {
            return Ok(Some(content.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(volume_of("/v3/volumes/5_data/archive"), Some("5_data"));
        for path in ["/v3/volumes", "/v3/volumes//archive", "/v3/volumes/a/b/archive", "/v3/volumes/a"] {
            assert_eq!(volume_of(path), None, "{path}");
        }
    }
}
