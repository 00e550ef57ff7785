//! Reading an answer within limits of size and time. The limits hold for what comes out of decompression, so a small
//! answer that unpacks into a huge one is refused like any other.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::chain;

/// How much and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body, bytes, after decompression.
    pub size_bytes: usize,
    /// Longest silence between two pieces.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub total: Duration,
}

/// Why a body was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the answer is larger than {limit_bytes} bytes and is refused")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// It took longer than it may.
    #[error("{phase} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// Which phase.
        phase: &'static str,
        /// Its limit.
        limit: Duration,
    },
    /// It ended before it was complete.
    #[error("the answer broke off after {received} bytes: {cause}")]
    BrokeOff {
        /// Bytes received, after decompression.
        received: usize,
        /// The cause chain.
        cause: String,
    },
    /// It is not text.
    #[error("the answer is not UTF-8 text")]
    NotText,
}

/// Reads the whole body as text.
///
/// # Errors
/// When it breaks a limit, breaks off, or is not UTF-8.
pub async fn read_text(response: Response, limits: Limits) -> Result<String, BodyError> {
    if response.content_length().is_some_and(|announced| announced > limits.size_bytes as u64) {
        return Err(BodyError::TooLarge { limit_bytes: limits.size_bytes });
    }
    let whole = |_| BodyError::TimedOut { phase: "the answer's body as a whole", limit: limits.total };
    let body = timeout(limits.total, read_pieces(response, limits)).await.map_err(whole)??;
    String::from_utf8(body).map_err(|_| BodyError::NotText)
}

async fn read_pieces(mut response: Response, limits: Limits) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    loop {
        let silence = |_| BodyError::TimedOut { phase: "waiting for more of the answer's body", limit: limits.idle };
        match timeout(limits.idle, response.chunk()).await.map_err(silence)? {
            Ok(Some(piece)) if body.len() + piece.len() > limits.size_bytes => {
                return Err(BodyError::TooLarge { limit_bytes: limits.size_bytes });
            }
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(BodyError::BrokeOff { received: body.len(), cause: chain(&error.without_url()) });
            }
        }
    }
}

/// One short line of a text that came from outside.
pub fn shorten(text: &str) -> String {
    const LONGEST_CHARS: usize = 200;
    let text = text.trim();
    if text.starts_with('<') {
        return "an HTML page (a captive portal, a proxy or a wrong address?)".into();
    }
    let mut short: String =
        text.chars().take(LONGEST_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().count() > LONGEST_CHARS {
        short.push('…');
    }
    short
}
