//! `ulimits`: a number for both limits, or `{soft, hard}`.

use std::collections::BTreeMap;

use crate::container::Ulimit;
use crate::target::reading::{Field, Findings, Section, Weight, expected, integer};

/// Reads limits; unreadable ones are named and left out.
pub fn read(section: &mut Section<'_, '_>) -> BTreeMap<String, Ulimit> {
    let mut limits = BTreeMap::new();
    let Some(field) = section.take("ulimits") else { return limits };
    if !field.value.is_object() {
        section.expected(Weight::Name, &field, "an object of limits");
    }
    for (name, member) in field.members().filter(|(_, member)| !member.value.is_null()) {
        limits.extend(limit(&member, section.findings).map(|limit| (name.to_owned(), limit)));
    }
    limits
}

fn limit(field: &Field<'_>, findings: &mut Findings) -> Option<Ulimit> {
    if let Some(both) = integer(field.value).filter(|number| *number >= -1) {
        return Some(Ulimit { soft: both, hard: both });
    }
    let mut parts = Section::of(field, findings);
    let (soft, hard) = (parts.integer("soft", -1..=i64::MAX), parts.integer("hard", -1..=i64::MAX));
    parts.finish(|_| None);
    let limit = soft.or(hard).zip(hard.or(soft)).map(|(soft, hard)| Ulimit { soft, hard });
    if limit.is_none() {
        findings.note(Weight::Name, field, expected("a number or soft and hard", field.value));
    }
    limit
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits() {
        for (value, wanted) in [
            (json!(1024), Some((1024, 1024))),
            (json!("1024"), Some((1024, 1024))),
            (json!(-1), Some((-1, -1))),
            (json!({"soft": 1, "hard": "2"}), Some((1, 2))),
            (json!({"hard": 2}), Some((2, 2))),
            (json!("many"), None),
            (json!({}), None),
            (json!([1]), None),
        ] {
            let value = json!({"ulimits": {"nofile": value}});
            let (root, mut findings) = (Field::root(&value), Findings::new(0));
            let read = read(&mut Section::of(&root, &mut findings));
            assert_eq!(read.get("nofile").map(|limit| (limit.soft, limit.hard)), wanted, "{value}");
            assert_eq!((findings.take_unsupported().is_empty(), findings.is_clean()), (wanted.is_some(), true), "{value}");
        }
    }
}
