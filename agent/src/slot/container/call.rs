//! The engine, asked in its own JSON: a container is copied with every setting it has, also those this agent does not know.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::error::SlotError;

/// The oldest version the agent works with.
const API: &str = "/v1.41";
/// Stopping a container takes as long as it may take to end.
const LIMIT: Duration = Duration::from_secs(120);
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// More of a refusal is not told, characters: why a version failed is stored, and has to fit.
const TOLD: usize = 500;

/// An engine's socket.
#[derive(Clone, Debug)]
pub struct EngineLink {
    /// Where it is.
    pub socket: PathBuf,
}

impl EngineLink {
    /// Whether the engine has an image.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn has_image(&self, image: &str) -> Result<bool, SlotError> {
        Ok(self.get(&format!("/images/{image}/json")).await?.is_some())
    }

    /// Asks for an object; `None` when it is not there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, SlotError> {
        self.call(Method::GET, path, None).await
    }

    /// Has something done.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Option<Value>, SlotError> {
        self.call(Method::POST, path, body).await
    }

    /// Starts a container.
    pub(super) async fn start(&self, container: &str) -> Result<(), SlotError> {
        let done = self.post(&format!("/containers/{container}/start"), None).await?;
        let missing = || SlotError::refused(container, "the engine has not this container, or not something that it needs");
        done.map(drop).ok_or_else(missing)
    }

    /// Removes a container, running or not; gone is fine. `volumes`: with those that have no name.
    pub(super) async fn remove(&self, container: &str, volumes: bool) -> Result<(), SlotError> {
        let path = format!("/containers/{container}?force=1&v={}", u8::from(volumes));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    /// Removes an image nothing needs any more; that it is needed is no failure.
    pub(super) async fn remove_image(&self, image: &str) {
        if let Err(error) = self.call(Method::DELETE, &format!("/images/{image}"), None).await {
            log::debug!("{error}");
        }
    }

    /// Gives a container another name.
    pub(super) async fn rename(&self, container: &str, name: &str) -> Result<(), SlotError> {
        self.post(&format!("/containers/{container}/rename?name={name}"), None).await.map(drop)
    }

    /// Changes when the engine starts a container by itself.
    pub(super) async fn set_restart(&self, container: &str, policy: &Value) -> Result<(), SlotError> {
        let change = serde_json::json!({ "RestartPolicy": policy });
        self.post(&format!("/containers/{container}/update"), Some(&change)).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, SlotError> {
        let object = format!("the engine at {}: {method} {path}", self.socket.display());
        let failed = |why: String| SlotError::of(&object, why);
        let answered = timeout(LIMIT, self.exchange(method, path, body)).await;
        let (status, body) = answered
            .map_err(|_| failed(format!("no answer within {} s", LIMIT.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            // Already so.
            StatusCode::NOT_MODIFIED => Ok(Some(Value::Null)),
            _ if status.is_success() => Ok(Some(serde_json::from_slice(&body).unwrap_or_default())),
            _ => {
                let said: String = String::from_utf8_lossy(&body).trim().chars().take(TOLD).collect();
                Err(SlotError::refused(&object, format_args!("{status} {said}")))
            }
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let content = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{API}{path}"))
            .header(HOST, "engine")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(content)))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes()))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            answered = &mut answer => answered,
            // The rest is read from what the connection left.
            _ = connection => answer.await,
        }
    }
}
