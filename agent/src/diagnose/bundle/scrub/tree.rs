//! The first net in JSON.

use serde_json::Value;

use super::names::{is_environment, is_labels, is_ordinary_variable, is_platform_label, is_secret};
use super::{REMOVED, Scrubber};

/// JSON in a text in JSON: deeper than this nothing is looked for, it is removed.
const MOST_DEPTH: usize = 4;

/// Goes through a value. `place` is where it stands.
pub(super) fn scrub(scrubber: &mut Scrubber, place: &str, value: &mut Value, depth: usize) {
    match value {
        Value::Object(fields) => {
            // A name may hold what was remembered; the second net sees to that.
            for (name, field) in fields.iter_mut() {
                let place = format!("{place}/{name}");
                match field {
                    // What is set apart by its name, whatever it is; a switch or nothing is no secret.
                    field if is_secret(name) && holds_something(field) => remove(scrubber, &place, field, true),
                    Value::Object(variables) if is_environment(name) || is_labels(name) => {
                        let labels = is_labels(name);
                        variables.iter_mut().for_each(|(name, value)| variable(scrubber, &place, name, value, labels));
                    }
                    Value::Array(items) if is_environment(name) || is_labels(name) => {
                        let labels = is_labels(name);
                        items.iter_mut().for_each(|item| assignment(scrubber, &place, item, labels));
                    }
                    field => scrub(scrubber, &place, field, depth),
                }
            }
        }
        Value::Array(items) => list(scrubber, place, items, depth),
        Value::String(text) => *text = string(scrubber, place, text, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::String(text) => !text.is_empty() && text != REMOVED,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(_) => true,
    }
}

/// Removes a value and remembers every text in it.
fn remove(scrubber: &mut Scrubber, place: &str, value: &mut Value, secret: bool) {
    remember(scrubber, value, secret);
    *value = REMOVED.into();
    scrubber.note(place);
}

fn remember(scrubber: &mut Scrubber, value: &Value, secret: bool) {
    match value {
        Value::String(text) => scrubber.learn(text, secret),
        Value::Number(number) => scrubber.learn(&number.to_string(), secret),
        Value::Array(items) => items.iter().for_each(|item| remember(scrubber, item, secret)),
        Value::Object(fields) => fields.values().for_each(|field| remember(scrubber, field, secret)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A variable or a label.
fn variable(scrubber: &mut Scrubber, place: &str, name: &str, value: &mut Value, label: bool) {
    let secret = is_secret(name);
    if !holds_something(value) || (label && is_platform_label(name)) {
        return;
    }
    let ordinary = !label && is_ordinary_variable(name);
    if secret || !scrubber.with_environment {
        let place = format!("{place}/{name}");
        if ordinary {
            // Taken out here, and not everywhere else: half of the bundle speaks of it.
            *value = REMOVED.into();
            scrubber.note(&place);
        } else {
            remove(scrubber, &place, value, secret);
        }
    } else {
        scrub(scrubber, &format!("{place}/{name}"), value, 0);
    }
}

/// `NAME=value`.
fn assignment(scrubber: &mut Scrubber, place: &str, item: &mut Value, label: bool) {
    let Value::String(text) = item else { return scrub(scrubber, place, item, 0) };
    let Some((name, value)) = text.split_once('=') else { return };
    let mut held = Value::from(value);
    variable(scrubber, place, name, &mut held, label);
    if let Value::String(value) = held {
        *text = format!("{name}={value}");
    }
}

/// A list; in a command the word after `--password` is one.
fn list(scrubber: &mut Scrubber, place: &str, items: &mut [Value], depth: usize) {
    let mut follows_flag = false;
    for (at, item) in items.iter_mut().enumerate() {
        let place = format!("{place}/{at}");
        let flag = item.as_str().is_some_and(|text| text.starts_with('-') && !text.contains('=') && is_secret(text));
        if follows_flag && !flag && holds_something(item) {
            remove(scrubber, &place, item, true);
        } else {
            scrub(scrubber, &place, item, depth);
        }
        follows_flag = flag;
    }
}

/// A text, which may be JSON itself.
fn string(scrubber: &mut Scrubber, place: &str, text: &str, depth: usize) -> String {
    let may_be_json = text.trim_start().starts_with(['{', '[']);
    match serde_json::from_str::<Value>(text) {
        Ok(mut inner @ (Value::Object(_) | Value::Array(_))) if may_be_json => {
            if depth >= MOST_DEPTH {
                scrubber.note(place);
                return REMOVED.to_owned();
            }
            scrub(scrubber, place, &mut inner, depth + 1);
            inner.to_string()
        }
        _ => super::line::scrub(scrubber, place, text, false),
    }
}
