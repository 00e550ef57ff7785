//! The members of an object, taken by name; what nobody took is named at the end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Field, Findings, Weight, boolean, integer, kind, text};

/// An object that is being read. Keys may be written `snake_case` or `camelCase`; members that are `null` or an empty
/// object count as absent (behaviour §4.1); keys that begin with `x-` are notes to oneself and are passed over.
pub struct Section<'a, 'f> {
    parent: &'a Field<'a>,
    members: Vec<(Cow<'a, str>, &'a str, &'a Value)>,
    /// Where mistakes go.
    pub findings: &'f mut Findings,
}

impl<'a, 'f> Section<'a, 'f> {
    /// Opens an object; anything else has no members.
    pub fn of(parent: &'a Field<'a>, findings: &'f mut Findings) -> Section<'a, 'f> {
        let members = parent.value.as_object().into_iter().flatten();
        let members = members
            .filter(|(key, value)| !key.starts_with("x-") && !is_absent(value))
            .map(|(key, value)| (snake_case(key), key.as_str(), value))
            .collect();
        Section { parent, members, findings }
    }

    /// Takes a member out, by its `snake_case` name.
    pub fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let at = self.members.iter().position(|(canonical, _, _)| canonical == name)?;
        let (_, key, value) = self.members.remove(at);
        Some(self.parent.member(key, value))
    }

    /// A boolean.
    pub fn flag(&mut self, name: &str, weight: Weight) -> Option<bool> {
        let field = self.take(name)?;
        let read = boolean(field.value);
        if read.is_none() {
            self.expected(weight, &field, "true or false");
        }
        read
    }

    /// A whole number from a range.
    pub fn integer(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let field = self.take(name)?;
        let read = integer(field.value).filter(|number| range.contains(number));
        if read.is_none() {
            let (from, to) = range.into_inner();
            let wanted = match (from, to) {
                (i64::MIN, i64::MAX) => "a whole number".to_owned(),
                (from, i64::MAX) => format!("a whole number of at least {from}"),
                (from, to) => format!("a whole number from {from} to {to}"),
            };
            self.expected(Weight::Name, &field, &wanted);
        }
        read
    }

    /// A text; empty means absent.
    pub fn text(&mut self, name: &str, weight: Weight) -> Option<String> {
        let field = self.take(name)?;
        let read = text(field.value);
        if read.is_none() {
            self.expected(weight, &field, "a string");
        }
        read.filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    /// A list of texts; a single text is a list of one.
    pub fn list(&mut self, name: &str, weight: Weight) -> Vec<String> {
        let Some(field) = self.take(name) else { return Vec::new() };
        texts(&field, weight, self.findings)
    }

    /// Pairs, as an object or as a list of `key=value`; pairs without a value are absent.
    pub fn pairs(&mut self, name: &str, weight: Weight) -> BTreeMap<String, String> {
        let Some(field) = self.take(name) else { return BTreeMap::new() };
        pairs(&field, weight, self.findings)
    }

    /// Notes that something else was expected at a field.
    pub fn expected(&mut self, weight: Weight, field: &Field<'_>, wanted: &str) {
        self.findings.note(weight, field, expected(wanted, field.value));
    }

    /// Names what nobody took. `reason` knows why a key is not supported; keys it maps to an empty text are passed over.
    pub fn finish(self, reason: impl Fn(&str) -> Option<&'static str>) {
        for (canonical, key, value) in &self.members {
            let why = reason(canonical).unwrap_or("is not known to the agent and is left out");
            if !why.is_empty() {
                self.findings.name(&self.parent.member(key, value), why);
            }
        }
    }
}

/// "expected … here, found …", without the value.
pub fn expected(wanted: &str, found: &Value) -> String {
    let found = match found {
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) if wanted == "a string" => "a string that cannot be used",
        other => kind(other),
    };
    format!("expected {wanted}, found {found}")
}

/// A list of texts, or a single one.
pub fn texts(field: &Field<'_>, weight: Weight, findings: &mut Findings) -> Vec<String> {
    if let Some(single) = text(field.value) {
        return if single.is_empty() { Vec::new() } else { vec![single.into_owned()] };
    }
    if !field.value.is_array() {
        findings.note(weight, field, expected("a string or a list of strings", field.value));
    }
    let mut list = Vec::new();
    for item in field.items() {
        match text(item.value) {
            Some(text) => list.push(text.into_owned()),
            None => findings.note(weight, &item, expected("a string", item.value)),
        }
    }
    list
}

/// Pairs as an object or as a list of `key=value`.
pub fn pairs(field: &Field<'_>, weight: Weight, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    if !field.value.is_object() && !field.value.is_array() {
        findings.note(weight, field, expected("an object or a list of key=value", field.value));
    }
    for (key, value) in field.members().filter(|(_, value)| !value.value.is_null()) {
        match text(value.value) {
            Some(text) => drop(pairs.insert(key.to_owned(), text.into_owned())),
            None => findings.note(weight, &value, expected("a string", value.value)),
        }
    }
    for item in field.items().filter(|item| !item.value.is_null()) {
        match text(item.value) {
            Some(text) => {
                if let Some((key, value)) = text.split_once('=') {
                    pairs.insert(key.to_owned(), value.to_owned());
                }
            }
            None => findings.note(weight, &item, expected("key=value", item.value)),
        }
    }
    pairs
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(|object| object.is_empty())
}

fn snake_case(key: &str) -> Cow<'_, str> {
    if !key.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let mut snake = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_found_in_both_spellings_and_leftovers_are_named() {
        let value = json!({"capAdd": ["A"], "mem_limit": null, "ipam": {}, "x-note": 1, "odd": 1, "quiet": 1, "tty": "maybe"});
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let mut section = Section::of(&root, &mut findings);
        assert_eq!(section.list("cap_add", Weight::Name), ["A"]);
        assert!(section.take("mem_limit").is_none() && section.take("ipam").is_none());
        assert_eq!(section.flag("tty", Weight::Name), None);
        section.finish(|key| (key == "quiet").then_some(""));
        let named: Vec<String> = findings.take_unsupported().into_iter().map(|offence| offence.path).collect();
        assert_eq!(named, ["tty", "odd"]);
    }

    #[test]
    fn pairs_come_as_objects_and_as_lists() {
        let mut findings = Findings::new(0);
        for value in [json!({"A": "1", "B": 2, "C": null}), json!(["A=1", "B=2", "C", null])] {
            let read = pairs(&Field::root(&value), Weight::Refuse, &mut findings);
            assert_eq!(read, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]), "{value}");
        }
        assert!(findings.is_clean());
        pairs(&Field::root(&json!({"A": []})), Weight::Refuse, &mut findings);
        assert_eq!(findings.into_offences()[0].to_string(), "A: expected a string, found a list");
    }
}
