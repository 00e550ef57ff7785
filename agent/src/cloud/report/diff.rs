//! What has to be said anew (protocol §6.5).

use serde_json::Value;

use super::metrics::differs;
use crate::cloud::Report;

/// The fields that differ from the last report the cloud accepted. A field is sent whole, `apps` too. A field that is no
/// longer known cannot be taken back, and an empty object says nothing: neither is sent.
pub(super) fn diff(accepted: &Report, full: &Report) -> Report {
    full.iter()
        .filter(|(name, value)| differs(name, accepted.get(*name), value) && !is_empty_object(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(value: Value) -> Report {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn fields_go_one_by_one_and_apps_as_a_whole() {
        let accepted = report(json!({ "status": "Idle", "api_port": 1, "apps": { "a": { "x": 1 }, "b": { "x": 1 } } }));
        let mut full = accepted.clone();
        assert_eq!(diff(&accepted, &full), report(json!({})));
        full["api_port"] = json!(2);
        assert_eq!(diff(&accepted, &full), report(json!({ "api_port": 2 })));
        full["apps"]["b"]["x"] = json!(2);
        assert_eq!(diff(&accepted, &full), report(json!({ "api_port": 2, "apps": { "a": { "x": 1 }, "b": { "x": 2 } } })));
    }

    #[test]
    fn null_is_news_the_first_time_and_what_is_gone_or_empty_is_not() {
        let full = report(json!({ "provisioning_progress": null, "apps": {} }));
        let first = diff(&Report::new(), &full);
        assert_eq!(first, report(json!({ "provisioning_progress": null })));
        assert!(diff(&first, &full).is_empty());
        assert!(
            diff(&report(json!({ "ip_address": "10.0.0.1", "apps": { "a": {} } })), &report(json!({ "apps": {} }))).is_empty()
        );
    }
}
