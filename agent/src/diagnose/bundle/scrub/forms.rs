//! The second net: known secrets as they are, and as they look in base64, in an address and in JSON.

use std::collections::{BTreeSet, HashMap};

use super::REMOVED;
use crate::settings::decoded_text;

/// Every form is found by its first bytes.
const HEAD_BYTES: usize = 4;
/// Shorter secrets are not looked for in base64: what is left of them there stands in other texts too.
const LEAST_ENCODED_BYTES: usize = 6;

/// What is looked for.
pub(super) struct Forms {
    by_head: HashMap<[u8; HEAD_BYTES], Vec<Form>>,
    /// Whether any begins with these two bytes.
    begins: Vec<bool>,
}

struct Form {
    text: String,
    /// Part of a longer text in base64, all of which goes.
    encoded: bool,
}

impl Forms {
    pub fn of(known: &BTreeSet<String>) -> Forms {
        let mut forms = Forms { by_head: HashMap::new(), begins: vec![false; 1 << 16] };
        for secret in known {
            let escaped = in_json(secret);
            let twice = in_json(&escaped);
            // In an address a blank may be a plus; everything else is read back before it is looked at.
            for text in [secret.replace(' ', "+"), twice, escaped, secret.clone()] {
                forms.add(text, false);
            }
            if secret.len() >= LEAST_ENCODED_BYTES {
                for shift in 0..3 {
                    let text = in_base64(secret.as_bytes(), shift);
                    forms.add(text.replace('+', "-").replace('/', "_"), true);
                    forms.add(text, true);
                }
            }
        }
        forms
    }

    fn add(&mut self, text: String, encoded: bool) {
        let Some(head) = text.as_bytes().first_chunk::<HEAD_BYTES>().copied() else { return };
        let forms = self.by_head.entry(head).or_default();
        if forms.iter().all(|form| form.text != text) {
            self.begins[usize::from(u16::from_be_bytes([head[0], head[1]]))] = true;
            forms.push(Form { text, encoded });
        }
    }

    /// The text without them, and how many there were; `None` when there are none.
    pub fn remove(&self, text: &str) -> Option<(String, usize)> {
        let mut spans = self.spans(text.as_bytes());
        if let Some((decoded, starts)) = from_address(text.as_bytes()) {
            let place = |at: usize| starts.get(at).map_or(text.len(), |start| *start as usize);
            spans.extend(self.spans(&decoded).into_iter().map(|(from, to)| (place(from), place(to))));
        }
        spans.sort_unstable();
        // Where they overlap, what is left of one between others would tell a part of it.
        spans.dedup_by(|next, last| {
            let one = next.0 <= last.1;
            last.1 = if one { last.1.max(next.1) } else { last.1 };
            one
        });
        (!spans.is_empty()).then(|| (without(text, &spans), spans.len()))
    }

    /// Where they stand.
    fn spans(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        for (at, head) in bytes.windows(HEAD_BYTES).enumerate() {
            if !self.begins[usize::from(u16::from_be_bytes([head[0], head[1]]))] {
                continue;
            }
            let forms = head.first_chunk().and_then(|head| self.by_head.get(head)).into_iter().flatten();
            for form in forms.filter(|form| bytes[at..].starts_with(form.text.as_bytes())) {
                let (mut from, mut to) = (at, at + form.text.len());
                if form.encoded {
                    from -= bytes[..from].iter().rev().take_while(|byte| is_base64(**byte)).count();
                    to += bytes[to..].iter().take_while(|byte| is_base64(**byte)).count();
                }
                spans.push((from, to));
            }
        }
        spans
    }
}

/// The bytes of a text in which `%41` stands for `A`, and where each of them began; `None` when nothing is written so.
fn from_address(text: &[u8]) -> Option<(Vec<u8>, Vec<u32>)> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte_at = |at: usize| match text[at..] {
        [b'%', high, low, ..] => Some(hex(high)? << 4 | hex(low)?),
        _ => None,
    };
    (0..text.len()).find(|at| byte_at(*at).is_some())?;
    let (mut bytes, mut starts, mut at) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let decoded = byte_at(at);
        bytes.push(decoded.unwrap_or(text[at]));
        starts.push(u32::try_from(at).ok()?);
        at += if decoded.is_some() { 3 } else { 1 };
    }
    Some((bytes, starts))
}

fn without(text: &str, spans: &[(usize, usize)]) -> String {
    let (mut cleaned, mut at) = (String::with_capacity(text.len()), 0);
    for (from, to) in spans {
        cleaned.push_str(&text[at..*from]);
        cleaned.push_str(REMOVED);
        at = *to;
    }
    cleaned.push_str(&text[at..]);
    cleaned
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// As it stands between quotes in JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The characters of base64 that are made of these bytes alone, when so many bytes (0 to 2) of three stand before them.
fn in_base64(bytes: &[u8], shift: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| {
        let byte = (at / 8).checked_sub(shift).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
        usize::from(byte >> (7 - at % 8) & 1)
    };
    let first = (shift * 8).div_ceil(6);
    let end = (shift + bytes.len()) * 8 / 6;
    (first..end).map(|at| char::from(ALPHABET[(0..6).fold(0, |value, n| value << 1 | bit(at * 6 + n))])).collect()
}

/// What a text in base64 says, in either alphabet, if that is a text again.
pub(super) fn decoded(text: &str) -> Option<String> {
    if text.len() < 8 || !text.bytes().all(is_base64) {
        return None;
    }
    let plain = decoded_text(&text.replace('-', "+").replace('_', "/"))?;
    plain.chars().all(|c| !c.is_control()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};

    fn cleaned(secrets: &[&str], text: &str) -> String {
        let known = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        Forms::of(&known).remove(text).map_or_else(|| text.to_owned(), |(cleaned, _)| cleaned)
    }

    /// As it stands in an address (RFC 3986).
    fn in_address(text: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
    }

    /// Encoded by another program.
    fn base64(text: &str) -> String {
        use std::io::Write;
        let mut child = Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "p\u{e4}ss wörd/\"1+2?\\";
        let json = serde_json::to_string(secret).unwrap();
        for text in [
            format!("a {secret} b"),
            format!("{{\"a\":{json}}}"),
            serde_json::to_string(&format!("{{\"a\":{json}}}")).unwrap(),
            format!("?q={}", in_address(secret)),
            format!("?q={}", in_address(secret).to_ascii_lowercase()),
            format!("?q={}", in_address(secret).replace("%20", "+")),
            format!("?q={}%2", secret.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()),
        ] {
            let cleaned = cleaned(&[secret], &text);
            assert!(cleaned.contains(REMOVED) && !cleaned.contains("rd") && !cleaned.contains("1+2"), "{text} -> {cleaned}");
        }
    }

    #[test]
    fn base64_is_found_wherever_it_stands_in_it() {
        let secret = "hunter2-and-more";
        for before in ["", "u", "us", "user:", "d_0123456789:"] {
            let text = base64(&format!("{before}{secret}{}", "x".repeat(before.len())));
            assert_eq!(cleaned(&[secret], &format!("Basic {text} rest")), "Basic (removed) rest", "{before}");
        }
        let odd = "\u{ff}\u{fe}~~~???>>>";
        let url_safe = base64(odd).replace('+', "-").replace('/', "_");
        assert_eq!(cleaned(&[odd], &url_safe), REMOVED);
        assert_eq!(decoded(&base64("user:hunter2")).as_deref(), Some("user:hunter2"));
    }

    #[test]
    fn secrets_that_overlap_leave_nothing() {
        assert_eq!(cleaned(&["abcdef", "defghi", "cdef"], "xabcdefghiy"), "x(removed)y");
        assert_eq!(cleaned(&["abcdef"], "abcdeabcdef"), "abcde(removed)");
        assert_eq!(cleaned(&["abc"], "abc"), "abc", "too short to be looked for");
        assert!(Forms::of(&BTreeSet::new()).remove("anything").is_none());
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left_in_any_text(secret in "\\PC{6,20}", before in "\\PC{0,10}", after in "\\PC{0,10}") {
            let text = format!("{before}{secret}{after}");
            let result = cleaned(&[&secret], &text);
            prop_assert!(!result.contains(&secret) || REMOVED.contains(&secret));
            let encoded = base64(&text);
            prop_assert!(cleaned(&[&secret], &encoded).contains(REMOVED));
        }
    }
}
