//! `logging`: a log driver and its options.

use crate::container::Logging;
use crate::target::reading::{Section, Weight};

/// Reads the log driver; without one the engine's own default gets the options.
pub fn read(section: &mut Section<'_, '_>) -> Option<Logging> {
    let field = section.take("logging")?;
    if !field.value.is_object() {
        section.expected(Weight::Name, &field, "an object");
        return None;
    }
    let mut parts = Section::of(&field, section.findings);
    let logging =
        Logging { driver: parts.text("driver", Weight::Name).unwrap_or_default(), options: parts.pairs("options", Weight::Name) };
    parts.finish(|_| None);
    (logging != Logging::default()).then_some(logging)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::reading::{Field, Findings};

    #[test]
    fn drivers() {
        let service = json!({"logging": {"driver": "json-file", "options": {"max-file": 3, "max-size": "1m"}}});
        let (root, mut findings) = (Field::root(&service), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings)).unwrap();
        assert_eq!((read.driver.as_str(), read.options["max-file"].as_str()), ("json-file", "3"));
        for (service, named) in [(json!({"logging": {"driver": null, "options": {}}}), 0), (json!({"logging": "none"}), 1)] {
            let root = Field::root(&service);
            assert_eq!(super::read(&mut Section::of(&root, &mut findings)), None, "{service}");
            assert_eq!(findings.take_unsupported().len(), named, "{service}");
        }
    }
}
