//! One HTTP request over a unix socket: how the demo, from outside, looks at the agent's API and at a real engine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Largest answer that is read.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What an engine says went wrong, else the body as text.
    pub fn message(&self) -> String {
        match self.json()["message"].as_str() {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(&self.body).trim().to_owned(),
        }
    }
}

/// Sends a request without a body and reads the whole answer within `limit`.
///
/// # Errors
/// When nobody answers, in time and with a body that is not too large.
pub async fn request(socket: &Path, method: Method, path: &str, limit: Duration) -> Result<Answer> {
    match tokio::time::timeout(limit, exchange(socket, method.clone(), path)).await {
        Ok(answer) => answer.with_context(|| format!("{method} {path} at {}", socket.display())),
        Err(_) => bail!("{method} {path} at {}: no answer within {} s", socket.display(), limit.as_secs()),
    }
}

async fn exchange(socket: &Path, method: Method, path: &str) -> Result<Answer> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|e| anyhow::anyhow!("{e}"))?;
        anyhow::Ok(Answer { status, body: body.to_bytes() })
    };
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            // The answer may have been read to its end together with the connection.
            answer.await
        }
    }
}

/// Percent-encodes what is not plain, for a query.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn it_reads_an_answer_and_gives_up_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 17\r\n\r\n{\"message\":\"no!\"}").unwrap();
            let first = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let held = listener.accept().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            drop(held);
            first
        });
        let answer = request(&path, Method::GET, "/x?y=1", Duration::from_secs(5)).await.unwrap();
        assert_eq!((answer.status, answer.message()), (404, "no!".to_owned()));
        let late = request(&path, Method::GET, "/x", Duration::from_millis(50)).await.unwrap_err();
        assert!(format!("{late:#}").contains("no answer within"), "{late:#}");
        assert!(server.join().unwrap().starts_with("GET /x?y=1 HTTP/1.1"));
    }

    #[tokio::test]
    async fn nobody_there_is_said() {
        let error = request(Path::new("/nonexistent/s"), Method::GET, "/", Duration::from_secs(1)).await.unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/s"), "{error:#}");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(encode("{\"a\":[\"b c\"]}"), "%7B%22a%22%3A%5B%22b%20c%22%5D%7D");
    }
}
