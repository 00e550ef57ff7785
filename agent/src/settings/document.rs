//! config.json as a text with members: what the agent does not understand or change stays as it was written.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of one JSON object in the order they were written, each with its text.
#[derive(Clone, Default)]
pub struct Document {
    members: Vec<(String, Box<RawValue>)>,
}

impl Document {
    /// Reads the text of an object. A byte order mark is passed over: some editors put one there.
    ///
    /// # Errors
    /// Says where the text stops being a JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Document, String> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The value of a member; `null` is absent.
    pub fn get(&self, key: &str) -> Option<Value> {
        let raw = self.raw(key)?;
        serde_json::from_str(raw.get()).ok().filter(|value: &Value| !value.is_null())
    }

    /// Sets or (`None`) removes a member and says whether that changed anything. A value equal to the present one leaves
    /// its text alone.
    ///
    /// # Errors
    /// Only for a value that has no JSON text.
    pub fn set(&mut self, key: &str, value: Option<&Value>) -> Result<bool, serde_json::Error> {
        if self.get(key).as_ref() == value && (value.is_some() || self.raw(key).is_none()) {
            return Ok(false);
        }
        match value {
            Some(value) => self.put(key.to_owned(), serde_json::value::to_raw_value(value)?),
            None => self.members.retain(|(name, _)| name != key),
        }
        Ok(true)
    }

    /// Takes a member over from another document, or removes it where the other has none.
    pub fn copy(&mut self, key: &str, from: Option<&Document>) {
        match from.and_then(|from| from.raw(key)) {
            Some(raw) => self.put(key.to_owned(), raw.to_owned()),
            None => self.members.retain(|(name, _)| name != key),
        }
    }

    /// The text, one member a line.
    pub fn to_text(&self) -> String {
        let lines = self.members.iter().map(|(key, raw)| format!("  {}: {raw}", Value::from(key.as_str())));
        let body = lines.collect::<Vec<_>>().join(",\n");
        if body.is_empty() { "{}\n".to_owned() } else { format!("{{\n{body}\n}}\n") }
    }

    fn raw(&self, key: &str) -> Option<&RawValue> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, raw)| &**raw)
    }

    fn put(&mut self, key: String, raw: Box<RawValue>) {
        match self.members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = raw,
            None => self.members.push((key, raw)),
        }
    }
}

impl std::fmt::Debug for Document {
    /// Only the keys: the values hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.members.iter().map(|(key, _)| key)).finish()
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Document;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some((key, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    document.put(key, raw);
                }
                Ok(document)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str =
        r#"{"z": 1.50, "uuid":"ab", "big": 123456789012345678901234567890, "os": {"b": [1,  2], "a": null}, "none": null}"#;

    #[test]
    fn what_is_not_changed_keeps_its_order_and_its_text() {
        let mut document = Document::parse(TEXT.as_bytes()).unwrap();
        assert!(document.set("deviceId", Some(&json!(7))).unwrap());
        assert!(document.set("uuid", Some(&json!("cd"))).unwrap());
        let expected = "{\n  \"z\": 1.50,\n  \"uuid\": \"cd\",\n  \"big\": 123456789012345678901234567890,\n  \
                        \"os\": {\"b\": [1,  2], \"a\": null},\n  \"none\": null,\n  \"deviceId\": 7\n}\n";
        assert_eq!(document.to_text(), expected);
        assert_eq!(Document::parse(expected.as_bytes()).unwrap().to_text(), expected);
    }

    #[test]
    fn equal_values_change_nothing() {
        let mut document = Document::parse(TEXT.as_bytes()).unwrap();
        let before = document.to_text();
        assert!(!document.set("uuid", Some(&json!("ab"))).unwrap());
        assert!(!document.set("absent", None).unwrap());
        assert_eq!(document.to_text(), before);
        assert!(document.set("none", None).unwrap(), "a null is there until it is removed");
        assert_eq!(document.get("none"), None);
    }

    #[test]
    fn a_byte_order_mark_and_doubled_keys_are_survived() {
        let document = Document::parse("\u{feff}{\"a\":1,\"b\":2,\"a\":3}".as_bytes()).unwrap();
        assert_eq!(document.to_text(), "{\n  \"a\": 3,\n  \"b\": 2\n}\n");
        assert_eq!(Document::parse(b"{}").unwrap().to_text(), "{}\n");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "[]", "{", "{\"a\":1,}", "{\"a\":1}x", "\u{0}", "null"] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(!format!("{:?}", Document::parse(br#"{"apiKey":"hunter2"}"#).unwrap()).contains("hunter2"));
    }
}
