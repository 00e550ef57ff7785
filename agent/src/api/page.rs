//! `/`: one page that shows a person what the device does, and why, and lets them act.
//!
//! Its source lies in `page/`: the build puts it into one piece and packs it (`build.rs`). It is sent as it is packed to whoever
//! takes that, as every browser does. It shows nothing by itself: what it shows it asks of the API, with the key it is given, so
//! the page itself is anybody's to have.
//!
//! Its policy lets it run and look like what was built here and nothing else, ask this API and nobody else, and stand in no
//! other site's frame.

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, HeaderName, HeaderValue, VARY};
use ring::digest::{SHA256, digest};

use super::answer::{Outcome, Refusal, finished};
use super::route::{Access, Call, Route};

pub(super) static ROUTES: [Route; 1] = [Route::get("/", Access::Open, |call| Box::pin(async move { page(&call) }))];

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz"));

/// What every answer with the page carries beside its policy.
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

fn page(call: &Call) -> Outcome {
    let policy = policy()?;
    let mut answer = if call.takes_gzip {
        let mut answer = finished(StatusCode::OK, "text/html; charset=utf-8", PACKED);
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        finished(StatusCode::OK, "text/html; charset=utf-8", unpacked()?)
    };
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert("content-security-policy", policy);
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// Whether a client takes what is packed with gzip, by the header in which it says so.
pub(super) fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = quality.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

fn unpacked() -> Result<String, Refusal> {
    let mut text = String::new();
    match GzDecoder::new(PACKED).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(cause) => Err(damaged(&cause.to_string())),
    }
}

fn damaged(cause: &str) -> Refusal {
    let message = format!("the page in this binary is damaged, install the agent anew: {cause}");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// What the page may do. Made when it is first asked for: most devices never are.
fn policy() -> Result<HeaderValue, Refusal> {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    if let Some(policy) = POLICY.get() {
        return Ok(policy.clone());
    }
    let page = unpacked()?;
    let (Some(style), Some(script)) = (hash(&page, "<style>", "</style>"), hash(&page, "<script type=\"module\">", "</script>"))
    else {
        return Err(damaged("it has no style or no script"));
    };
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let policy = HeaderValue::try_from(policy).map_err(|cause| damaged(&cause.to_string()))?;
    Ok(POLICY.get_or_init(|| policy).clone())
}

/// The hash by which a policy names what stands between two marks.
fn hash(page: &str, begin: &str, end: &str) -> Option<String> {
    let (_, rest) = page.split_once(begin)?;
    let (content, _) = rest.split_once(end)?;
    Some(format!("sha256-{}", base64(digest(&SHA256, content.as_bytes()).as_ref())))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or_default()));
        for at in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the whole page may take of the binary, packed: a third of what a person was promised.
    const MOST_BYTES: usize = 20 * 1024;

    #[test]
    fn it_is_small_and_in_one_piece() {
        assert!(PACKED.len() <= MOST_BYTES, "{} bytes", PACKED.len());
        let page = unpacked().ok().unwrap();
        for once in ["<style>", "<script type=\"module\">", "</script>", "</style>", "</html>"] {
            assert_eq!(page.matches(once).count(), 1, "{once}");
        }
        for part in ["function show(", "function serviceRow(", "function figure(", "setInterval(tick", "--ground:"] {
            assert!(page.contains(part), "{part}");
        }
        // The namespace of drawings is a name, not an address.
        let text = page.replace("http://www.w3.org/2000/svg", "");
        for outside in ["http:", "https:", "src=", "@import", "url(", "//cdn", " style=", " onclick="] {
            assert!(!text.contains(outside), "{outside} in the page");
        }
    }

    /// What a device, a release or a log says must never become markup.
    #[test]
    fn text_is_only_ever_set_as_text() {
        let page = unpacked().ok().unwrap();
        for sink in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "localStorage"]
        {
            assert!(!page.contains(sink), "{sink}");
        }
    }

    #[test]
    fn the_policy_names_what_is_in_the_page() {
        let page = unpacked().ok().unwrap();
        let policy = policy().ok().unwrap();
        let policy = policy.to_str().unwrap();
        for (begin, end) in [("<style>", "</style>"), ("<script type=\"module\">", "</script>")] {
            let content = &page[page.find(begin).unwrap() + begin.len()..page.find(end).unwrap()];
            let hash = base64(digest(&SHA256, content.as_bytes()).as_ref());
            assert!(hash.len() == 44 && policy.contains(&format!("'sha256-{hash}'")), "{policy}");
        }
        for word in
            ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
        {
            assert!(policy.contains(word), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }

    #[test]
    fn who_takes_gzip() {
        for taken in ["gzip", "deflate, gzip;q=0.5, *", "br,GZIP "] {
            assert!(takes_gzip(taken), "{taken}");
        }
        for refused in ["", "identity", "gzip;q=0", "br, gzip; q=0.0", "gzipped"] {
            assert!(!takes_gzip(refused), "{refused}");
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"), ("?>~", "Pz5+")]
        {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
