//! `restart`: when the engine itself starts a container again.

use crate::container::RestartPolicy;
use crate::target::reading::{Section, Weight};

/// Reads the policy. What is missing or unreadable means `always` (behaviour §4.1); the latter is named.
pub fn read(section: &mut Section<'_, '_>) -> RestartPolicy {
    let Some(field) = section.take("restart") else { return RestartPolicy::default() };
    match field.value.as_str() {
        Some("no") => RestartPolicy::No,
        Some("always") => RestartPolicy::Always,
        Some("on-failure") => RestartPolicy::OnFailure,
        Some("unless-stopped") => RestartPolicy::UnlessStopped,
        Some(counted) if counted.starts_with("on-failure:") => {
            section.findings.name(&field, "failures are not counted: it is started again however often it fails");
            RestartPolicy::OnFailure
        }
        _ => {
            section.expected(Weight::Name, &field, "\"no\", always, on-failure or unless-stopped (in quotes; always is used)");
            RestartPolicy::Always
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::reading::{Field, Findings};

    #[test]
    fn policies() {
        for (value, wanted, named) in [
            (json!(null), RestartPolicy::Always, 0),
            (json!("no"), RestartPolicy::No, 0),
            (json!("always"), RestartPolicy::Always, 0),
            (json!("on-failure"), RestartPolicy::OnFailure, 0),
            (json!("on-failure:3"), RestartPolicy::OnFailure, 1),
            (json!("unless-stopped"), RestartPolicy::UnlessStopped, 0),
            (json!(false), RestartPolicy::Always, 1),
            (json!("sometimes"), RestartPolicy::Always, 1),
        ] {
            let service = json!({ "restart": value });
            let (root, mut findings) = (Field::root(&service), Findings::new(0));
            assert_eq!(read(&mut Section::of(&root, &mut findings)), wanted, "{service}");
            assert_eq!(findings.take_unsupported().len(), named, "{service}");
        }
    }
}
