//! Measurements in the report (protocol §6.5): they change all the time, so they are said seldom and coarsely.

use std::time::Duration;

use serde_json::Value;

use crate::cloud::Report;

/// The fields that alone are no reason to report, unless the last report is [`METRICS_INTERVAL`] old.
const METRICS: [&str; 8] =
    ["cpu_usage", "memory_usage", "memory_total", "storage_usage", "storage_total", "storage_block_device", "cpu_temp", "cpu_id"];

/// How long after a report measurements alone are a reason for the next.
pub(super) const METRICS_INTERVAL: Duration = Duration::from_secs(300);

/// Whether there is nothing but measurements.
pub(super) fn only_metrics(fields: &Report) -> bool {
    !fields.is_empty() && fields.keys().all(|name| METRICS.contains(&name.as_str()))
}

/// Whether a field says something else than before. Some measurements are told apart in steps alone.
pub(super) fn differs(name: &str, before: Option<&Value>, now: &Value) -> bool {
    let step = match name {
        "cpu_usage" => 20,
        "cpu_temp" => 5,
        "memory_usage" => 10,
        _ => return before != Some(now),
    };
    match (before.and_then(Value::as_i64), now.as_i64()) {
        (Some(before), Some(now)) => before.div_euclid(step) != now.div_euclid(step),
        _ => before != Some(now),
    }
}

/// The measurements of a device whose hardware is not to be reported on: said once to be unknown.
pub fn without_hardware(mut metrics: Report) -> Report {
    METRICS.iter().for_each(|name| drop(metrics.insert((*name).to_owned(), Value::Null)));
    metrics
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(value: Value) -> Report {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn small_changes_are_none() {
        for (name, before, now, expected) in [
            ("cpu_usage", json!(19), json!(0), false),
            ("cpu_usage", json!(19), json!(20), true),
            ("cpu_temp", json!(45), json!(49), false),
            ("cpu_temp", json!(49), json!(50), true),
            ("cpu_temp", json!(-1), json!(1), true),
            ("memory_usage", json!(100), json!(109), false),
            ("memory_usage", json!(109), json!(110), true),
            ("cpu_temp", Value::Null, json!(45), true),
            ("cpu_temp", json!(45), Value::Null, true),
            ("cpu_temp", Value::Null, Value::Null, false),
            ("storage_usage", json!(100), json!(101), true),
            ("is_undervolted", json!(false), json!(true), true),
        ] {
            assert_eq!(differs(name, Some(&before), &now), expected, "{name}: {before} {now}");
        }
        assert!(differs("cpu_usage", None, &json!(3)) && differs("cpu_usage", None, &Value::Null));
    }

    #[test]
    fn low_voltage_is_more_than_a_measurement() {
        assert!(only_metrics(&report(json!({ "cpu_temp": 1, "cpu_id": "x" }))));
        assert!(!only_metrics(&report(json!({ "cpu_temp": 1, "is_undervolted": true }))));
        assert!(!only_metrics(&Report::new()));
        let quiet = without_hardware(report(json!({ "cpu_temp": 1, "is_undervolted": true })));
        assert_eq!((&quiet["cpu_temp"], &quiet["is_undervolted"], quiet.len()), (&Value::Null, &json!(true), 9));
    }
}
