//! From the body of an answer to this device's target.

use holdfast_plan::target::{self, DeviceTarget};
use serde_json::Value;

use crate::cloud::CloudError;
use crate::http::shorten;

/// Reads a body as the target of the device `uuid`.
///
/// # Errors
/// When the document as a whole cannot be this device's target: it says what stands there instead.
pub(super) fn read(body: &str, uuid: &str) -> Result<DeviceTarget, CloudError> {
    let refused = |what: String| CloudError::NotATarget(what);
    if body.trim().is_empty() {
        return Err(refused("it is empty".into()));
    }
    let document: Value =
        serde_json::from_str(body).map_err(|error| refused(format!("it is not JSON ({error}): {}", shorten(body))))?;
    if !document.is_object() {
        return Err(refused(format!("it is JSON but not an object: {}", shorten(body))));
    }
    target::parse(&document, uuid).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_target_is_refused_with_what_it_is() {
        for (body, words) in [
            ("", "empty"),
            ("<html><body>Sign in", "HTML page"),
            ("{\"a\":", "not JSON"),
            ("[1]", "not an object"),
            ("{\"other\": {}}", "no entry for this device"),
        ] {
            let error = read(body, "u").unwrap_err().to_string();
            assert!(error.contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn depth_without_end_is_an_error_and_not_a_crash() {
        assert!(read(&format!("{}{}", "{\"u\":".repeat(100_000), "1"), "u").is_err());
    }
}
