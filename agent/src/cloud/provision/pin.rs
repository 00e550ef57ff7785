//! The wish of a preload to stay at its release.

use std::collections::BTreeMap;

use serde_json::Value;

/// Under which name the wish is stored until the cloud knows of it, in balena's words.
pub const PIN_DEVICE: &str = "pinDevice";

/// The release a device is to be pinned to once its cloud knows it. Until then it is not polled for: the fleet may be at
/// another release already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The fleet's number.
    pub app: u64,
    /// The release's commit.
    pub commit: String,
}

impl Pin {
    /// The wish among the stored values. One that cannot be read is none.
    pub fn stored(values: &BTreeMap<String, String>) -> Option<Pin> {
        let pin: Value = serde_json::from_str(values.get(PIN_DEVICE)?).ok()?;
        Some(Pin { app: pin["app"].as_u64()?, commit: pin["commit"].as_str()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_wish_is_read_or_is_none() {
        let stored = |text: &str| Pin::stored(&BTreeMap::from([(PIN_DEVICE.to_owned(), text.to_owned())]));
        assert_eq!(stored(r#"{"app":5,"commit":"c0ffee"}"#), Some(Pin { app: 5, commit: "c0ffee".into() }));
        for text in ["", "null", r#"{"app":5}"#, r#"{"app":"5","commit":"c"}"#, r#"{"app":5,"commit":7}"#] {
            assert_eq!(stored(text), None, "{text}");
        }
        assert_eq!(Pin::stored(&BTreeMap::new()), None);
    }
}
