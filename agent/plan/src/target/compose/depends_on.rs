//! `depends_on`: a list of services, or an object with a condition for each.

use std::collections::BTreeMap;

use super::networks::Names;
use crate::target::reading::{Field, Findings, Section, Weight, expected, string};
use crate::target::{Condition, Dependency};

/// Reads dependencies. A wrong one refuses the app: its order would not be the one asked for.
pub fn read(section: &mut Section<'_, '_>, names: &impl Names) -> BTreeMap<String, Dependency> {
    let mut dependencies = BTreeMap::new();
    let Some(field) = section.take("depends_on") else { return dependencies };
    if !field.value.is_array() && !field.value.is_object() {
        section.expected(Weight::Refuse, &field, "a list or an object of services");
    }
    for item in field.items() {
        match string(item.value) {
            Some(name) if names.has_service(name) => drop(dependencies.insert(name.to_owned(), Dependency::default())),
            Some(name) => section.findings.refuse(&item, unknown(name)),
            None => section.findings.refuse(&item, expected("the name of a service", item.value)),
        }
    }
    for (name, member) in field.members() {
        let (dependency, required) = detail(&member, section.findings);
        if names.has_service(name) {
            dependencies.insert(name.to_owned(), dependency);
        } else if required {
            section.findings.refuse(&member, unknown(name));
        }
    }
    dependencies
}

fn unknown(name: &str) -> String {
    format!("the release has no service {name}")
}

fn detail(member: &Field<'_>, findings: &mut Findings) -> (Dependency, bool) {
    if !member.value.is_null() && !member.value.is_object() {
        findings.refuse(member, expected("an object", member.value));
    }
    let mut parts = Section::of(member, findings);
    let condition = condition(&mut parts);
    let required = parts.flag("required", Weight::Refuse).unwrap_or(true);
    if parts.take("restart").is_some_and(|field| field.value == true) {
        parts.findings.name(member, "a service is not restarted because one it depends on was");
    }
    parts.finish(|_| None);
    (Dependency { condition }, required)
}

fn condition(parts: &mut Section<'_, '_>) -> Condition {
    let Some(field) = parts.take("condition") else { return Condition::default() };
    match string(field.value) {
        Some("service_started") => Condition::ServiceStarted,
        Some("service_healthy") => Condition::ServiceHealthy,
        Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
        _ => {
            let wanted = "expected service_started, service_healthy or service_completed_successfully";
            parts.findings.refuse(&field, wanted);
            Condition::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Known;

    impl Names for Known {
        fn has_network(&self, _: &str) -> bool {
            false
        }
        fn has_service(&self, name: &str) -> bool {
            matches!(name, "a" | "b")
        }
    }

    fn dependencies(depends_on: Value) -> (Vec<(String, Condition)>, Vec<String>, usize) {
        let value = json!({ "depends_on": depends_on });
        let (root, mut findings) = (Field::root(&value), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings), &Known);
        let named = findings.take_unsupported().len();
        let refused = findings.into_offences().iter().map(|offence| offence.path.clone()).collect();
        (read.into_iter().map(|(name, dependency)| (name, dependency.condition)).collect(), refused, named)
    }

    #[test]
    fn both_forms() {
        let started = Condition::ServiceStarted;
        for (value, wanted) in [
            (json!(["a", "b"]), vec![("a", started), ("b", started)]),
            (json!({"a": null, "b": {}}), vec![("a", started), ("b", started)]),
            (json!({"a": {"condition": "service_healthy"}}), vec![("a", Condition::ServiceHealthy)]),
            (
                json!({"a": {"condition": "service_completed_successfully", "required": true, "restart": false}}),
                vec![("a", Condition::ServiceCompletedSuccessfully)],
            ),
            (json!({"gone": {"required": false}}), vec![]),
            (json!([]), vec![]),
            (json!({}), vec![]),
        ] {
            let wanted = wanted.into_iter().map(|(name, condition)| (name.to_owned(), condition)).collect();
            assert_eq!(dependencies(value.clone()), (wanted, vec![], 0), "{value}");
        }
        assert_eq!(dependencies(json!({"a": {"restart": true}})).2, 1);
    }

    #[test]
    fn mistakes() {
        for (value, path) in [
            (json!(["a", "gone"]), "depends_on[1]"),
            (json!([1]), "depends_on[0]"),
            (json!("a"), "depends_on"),
            (json!({"gone": {}}), "depends_on.gone"),
            (json!({"a": {"condition": "service_happy"}}), "depends_on.a.condition"),
            (json!({"a": "service_healthy"}), "depends_on.a"),
        ] {
            assert_eq!(dependencies(value.clone()).1, [path], "{value}");
        }
    }
}
