//! Reading what a client sends: bounded in size and time, JSON or urlencoded (protocol §17.1).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use serde_json::Value;

use super::answer::Refusal;

/// Reads a body of at most `limit` bytes that arrives within `time`.
pub(super) async fn read(body: Incoming, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    let too_large =
        || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than the {limit} bytes that are read here"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(cause)) => Err(Refusal::bad(format!("the body could not be read: {cause}"))),
        Err(_) => {
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", time.as_secs_f32())))
        }
    }
}

/// The fields of a small request body.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields(BTreeMap<String, Value>);

impl Fields {
    /// Reads JSON or urlencoded fields. Clients often leave the content type out: then an opening brace tells.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Fields, Refusal> {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Ok(Fields::default());
        }
        if content_type.contains("json") || body.starts_with(b"{") {
            return match serde_json::from_slice::<Value>(body) {
                Ok(Value::Object(fields)) => Ok(Fields(fields.into_iter().collect())),
                Ok(_) => Err(Refusal::bad("the body is JSON but not an object")),
                Err(cause) => Err(Refusal::bad(format!("the body is not JSON: {cause}"))),
            };
        }
        Ok(Fields::urlencoded(body))
    }

    /// Reads urlencoded fields: those of a form, or what stands after the question mark.
    pub fn urlencoded(text: &[u8]) -> Fields {
        let fields = text.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).map(|field| {
            let at = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            (unescape(&field[..at], true), Value::String(unescape(field.get(at + 1..).unwrap_or_default(), true)))
        });
        Fields(fields.collect())
    }

    /// A field as it came.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A switch: `1`, `true`, `"true"`, `"on"`, `"1"` in any case are on, everything else is off.
    pub fn switch(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(is_on)
    }

    /// Every field.
    pub fn all(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// A whole number, also as a text.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }
}

/// Whether a value means "on" (protocol §17.1).
pub(super) fn is_on(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() == Some(1.0),
        Value::String(text) => ["1", "true", "on"].iter().any(|on| text.eq_ignore_ascii_case(on)),
        _ => false,
    }
}

/// Takes back the escapes of a path, or of `application/x-www-form-urlencoded`, where a plus is a blank. A broken escape stands
/// for itself.
pub(super) fn unescape(field: &[u8], plus_is_blank: bool) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) if plus_is_blank => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of one hex digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn force(content_type: &str, body: &str) -> bool {
        Fields::parse(content_type, body.as_bytes()).unwrap().switch("force")
    }

    #[test]
    fn booleans_in_all_their_forms() {
        for on in ["1", "true", "\"true\"", "\"on\"", "\"1\"", "\"TRUE\"", "1.0"] {
            assert!(force("application/json", &format!("{{\"force\":{on}}}")), "{on}");
        }
        for off in ["0", "false", "\"yes\"", "null", "[1]", "2", "\"\""] {
            assert!(!force("application/json", &format!("{{\"force\":{off}}}")), "{off}");
        }
    }

    #[test]
    fn forms_and_missing_content_types() {
        assert!(force("application/x-www-form-urlencoded", "cancel=0&force=On"));
        assert!(force("", "f%6Frce=tr%75e"));
        assert!(force("", " {\"force\": true} "));
        assert!(!force("", "force"));
        assert!(!force("", "force=%"));
        assert!(!force("application/json", ""));
    }

    #[test]
    fn what_is_no_json_is_said_so() {
        assert!(Fields::parse("application/json", b"{\"force\":").is_err());
        assert!(Fields::parse("application/json", b"[true]").is_err());
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(b"a+b%2Bc%2", true), "a b+c%2");
        assert_eq!(unescape(b"%zz%FF", true), "%zz\u{fffd}");
    }
}
