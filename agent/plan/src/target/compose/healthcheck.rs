//! `healthcheck`: every part that is not given is the image's.

use super::durations;
use crate::container::Healthcheck;
use crate::target::reading::{Section, Weight, expected, text};

/// The engine refuses shorter times than a millisecond.
const LEAST_NS: i64 = 1_000_000;

/// Reads a health check; `None` leaves the image's in force. What is checked must be readable, or the app is refused:
/// others may wait for it to be healthy. Unreadable times are named.
pub fn read(section: &mut Section<'_, '_>) -> Option<Healthcheck> {
    let field = section.take("healthcheck")?;
    if !field.value.is_object() {
        section.expected(Weight::Refuse, &field, "an object");
        return None;
    }
    let mut parts = Section::of(&field, section.findings);
    let disabled = parts.flag("disable", Weight::Refuse).unwrap_or(false);
    let test = test(&mut parts);
    let check = Healthcheck {
        test: if disabled { Some(vec!["NONE".into()]) } else { test },
        interval_ns: time(&mut parts, "interval"),
        timeout_ns: time(&mut parts, "timeout"),
        start_period_ns: time(&mut parts, "start_period"),
        retries: parts.integer("retries", 0..=i64::from(i32::MAX)),
    };
    parts.finish(|key| (key == "start_interval").then_some("the engine's API 1.41 cannot set it"));
    (check != Healthcheck::default()).then_some(check)
}

fn test(parts: &mut Section<'_, '_>) -> Option<Vec<String>> {
    let field = parts.take("test")?;
    if let Some(line) = field.value.as_str() {
        return (!line.is_empty()).then(|| vec!["CMD-SHELL".into(), line.into()]);
    }
    let mut words = Vec::new();
    for item in field.items() {
        match text(item.value) {
            Some(word) => words.push(word.into_owned()),
            None => parts.findings.refuse(&item, expected("a string", item.value)),
        }
    }
    match words.first().map(String::as_str) {
        Some("NONE" | "CMD" | "CMD-SHELL") => Some(words),
        None if field.value.is_array() => None,
        _ => {
            parts.findings.refuse(&field, "expected a string, or a list that begins with NONE, CMD or CMD-SHELL");
            None
        }
    }
}

fn time(parts: &mut Section<'_, '_>, name: &str) -> Option<i64> {
    let field = parts.take(name)?;
    let time = durations::nanoseconds(field.value).filter(|ns| *ns == 0 || *ns >= LEAST_NS);
    if time.is_none() {
        parts.expected(Weight::Name, &field, durations::FORM);
    }
    time
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::target::reading::{Field, Findings};

    fn check(healthcheck: Value) -> (Option<Healthcheck>, usize, usize) {
        let value = json!({ "healthcheck": healthcheck });
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings));
        let named = findings.take_unsupported().len();
        (read, named, findings.into_offences().len())
    }

    #[test]
    fn tests_and_times() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        for (value, test) in [
            (json!({"test": "true"}), words(&["CMD-SHELL", "true"])),
            (json!({"test": ["CMD", "a", 1]}), words(&["CMD", "a", "1"])),
            (json!({"test": ["NONE"]}), words(&["NONE"])),
            (json!({"disable": true, "test": "true"}), words(&["NONE"])),
        ] {
            assert_eq!(check(value.clone()), (Some(Healthcheck { test, ..Healthcheck::default() }), 0, 0), "{value}");
        }
        let (read, named, refused) =
            check(json!({"interval": "1m30s", "timeout": "5s", "start_period": "2s", "startPeriod": null, "retries": "3"}));
        let wanted = Healthcheck {
            test: None,
            interval_ns: Some(90_000_000_000),
            timeout_ns: Some(5_000_000_000),
            start_period_ns: Some(2_000_000_000),
            retries: Some(3),
        };
        assert_eq!((read, named, refused), (Some(wanted), 0, 0));
        assert_eq!(check(json!({"startPeriod": "2s"})).0.unwrap().start_period_ns, Some(2_000_000_000));
    }

    #[test]
    fn mistakes() {
        assert_eq!(
            check(json!({"interval": 30, "timeout": "soon", "retries": -1, "start_interval": "1s", "odd": 1})),
            (None, 5, 0)
        );
        assert_eq!(check(json!({"interval": "10us"})), (None, 1, 0));
        for value in [json!("curl"), json!({"test": ["curl"]}), json!({"test": 5}), json!({"test": ["CMD", []]})] {
            assert_eq!(check(value.clone()).2, 1, "{value}");
        }
        assert_eq!(check(json!({})), (None, 0, 0));
        assert_eq!(check(json!({"test": []})), (None, 0, 0));
    }
}
