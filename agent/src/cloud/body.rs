//! Reading an answer within limits of size and time. The limits hold for what comes out of decompression, so a small
//! answer that unpacks into a huge one is refused like any other.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::CloudError;
use super::error::chain;

/// How much and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Largest body, bytes, after decompression.
    pub size_bytes: usize,
    /// Longest silence between two pieces.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub total: Duration,
}

/// Reads the whole body as text.
pub(super) async fn read_text(response: Response, limits: Limits, call: &str) -> Result<String, CloudError> {
    let too_large = || CloudError::TooLarge { call: call.to_owned(), limit_bytes: limits.size_bytes };
    if response.content_length().is_some_and(|announced| announced > limits.size_bytes as u64) {
        return Err(too_large());
    }
    let timed_out = |phase, limit| CloudError::TimedOut { call: call.to_owned(), phase, limit };
    let body = timeout(limits.total, read_pieces(response, limits, call))
        .await
        .map_err(|_| timed_out("the answer's body as a whole", limits.total))??;
    String::from_utf8(body).map_err(|_| CloudError::NotATarget("it is not UTF-8 text".into()))
}

async fn read_pieces(mut response: Response, limits: Limits, call: &str) -> Result<Vec<u8>, CloudError> {
    let mut body = Vec::new();
    loop {
        let piece = timeout(limits.idle, response.chunk()).await.map_err(|_| CloudError::TimedOut {
            call: call.to_owned(),
            phase: "waiting for more of the answer's body",
            limit: limits.idle,
        })?;
        match piece {
            Ok(Some(piece)) if body.len() + piece.len() > limits.size_bytes => {
                return Err(CloudError::TooLarge { call: call.to_owned(), limit_bytes: limits.size_bytes });
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(error) => {
                let cause = chain(&error.without_url());
                return Err(CloudError::BrokeOff { call: call.to_owned(), received: body.len(), cause });
            }
        }
    }
}

/// The beginning of an error's body, as far as it helps a person: one short line, and HTML only named.
pub(super) async fn excerpt(response: Response, call: &str) -> String {
    let limits = Limits { size_bytes: 16 * 1024, idle: Duration::from_secs(5), total: Duration::from_secs(10) };
    let text = read_text(response, limits, call).await.unwrap_or_default();
    match shorten(&text) {
        short if short.is_empty() => short,
        short => format!(": {short}"),
    }
}

/// One short line of a text that came from outside.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST_CHARS: usize = 200;
    let text = text.trim();
    if text.starts_with('<') {
        return "an HTML page (a captive portal, a proxy or a wrong apiEndpoint?)".into();
    }
    let mut short: String =
        text.chars().take(LONGEST_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().count() > LONGEST_CHARS {
        short.push('…');
    }
    short
}
