//! `environment` of a composition; the target's own is laid over it.

use std::collections::BTreeMap;

use crate::target::reading::{Section, Weight, pairs};

/// Reads a composition's environment: variables without a value are absent.
pub fn read(section: &mut Section<'_, '_>) -> BTreeMap<String, String> {
    let Some(field) = section.take("environment") else { return BTreeMap::new() };
    let environment = pairs(&field, Weight::Refuse, section.findings);
    if environment.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
        section.findings.refuse(&field, "a variable in it has a name no environment can hold");
    }
    environment
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::target::reading::{Field, Findings};

    fn environment(value: Value) -> (Vec<String>, bool) {
        let service = json!({ "environment": value });
        let (root, mut findings) = (Field::root(&service), Findings::new(0));
        let read = read(&mut Section::of(&root, &mut findings));
        (read.into_iter().map(|(name, value)| format!("{name}={value}")).collect(), findings.is_clean())
    }

    #[test]
    fn variables() {
        let wanted = vec!["A=1".to_owned(), "C=2".to_owned(), "D=true".to_owned()];
        assert_eq!(environment(json!({"A": "1", "B": null, "C": 2, "D": true})), (wanted.clone(), true));
        assert_eq!(environment(json!(["A=1", "B", "C=2", "D=true"])), (wanted, true));
        assert!(!environment(json!({"": "x"})).1);
        assert!(!environment(json!({"A=B": "x"})).1);
        assert!(!environment(json!({"A": ["x"]})).1);
    }
}
