//! The same answer gives the same text.

use super::*;
use serde_json::json;

fn answer() -> Value {
    json!({
        "interval_s": 60, "from_ms": 0, "to_ms": 86_400_000,
        "host": {
            "processors": 4, "memory_total_bytes": 4_294_967_296_u64, "disk_total_bytes": null,
            "average": { "cpu_percent": 12.5, "cpu_percent_max": 80.0, "temperature_celsius": 49.0, "temperature_celsius_max": 55.0 },
            "points": { "step_s": 1800.0, "cpu_percent": [0.0, 40.0, null, 80.0], "temperature_celsius": [49, 49, 49, 49] },
        },
        "services": [{
            "app": "kitchen", "app_id": 5, "service": "main", "memory_limit_bytes": 67_108_864,
            "latest": { "health": "healthy" },
            "average": { "cpu_percent": 1.25, "memory_bytes": 1_048_576, "network_in_bytes_per_s": 10, "restarts": 2 },
            "points": { "step_s": 1800.0, "cpu_percent": [1.25] },
        }],
        "top": { "cpu_percent": [{ "app": "kitchen", "service": "main", "value": 1.25 }] },
        "kept": { "error": null },
    })
}

#[test]
fn the_machine_and_all_services() {
    let text = stats(&answer(), false, Signs::Blocks, Paint::Plain);
    let expected = "Host, the last 1 d\n  processor   ▁▅ █ 12 % (most 80 %)\n  temperature ▇▇▇▇ 49 °C (most 55 °C)\n  one mark is 30 min\n  \
                    4 processor(s), 4.0 GiB of memory\n\n\
                    Services, on average over the last 1 d\n  \
                    SERVICE       CPU    MEMORY   IN      OUT  READ  WRITTEN  RESTARTS\n  \
                    kitchen/main  1.2 %  1.0 MiB  10 B/s                      2\n\n\
                    Who uses most\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("processor") && text.ends_with("kitchen/main 1.2 %\n"), "{text}");
}

#[test]
fn one_service_in_ascii() {
    let mut one = answer();
    one["host"] = Value::Null;
    let text = stats(&one, true, Signs::Ascii, Paint::Plain);
    let expected = "kitchen/main, the last 1 d\n  processor   # 1.2 % (most 1.2 %)\n  one mark is 30 min\n  \
                    64 MiB of memory at most; restarted 2 time(s) in this time; healthy\n";
    assert_eq!(text, expected);
    assert!(stats(&answer(), false, Signs::Ascii, Paint::Plain).is_ascii());
}

#[test]
fn nothing_yet_and_switched_off() {
    let empty = json!({ "interval_s": 60, "services": [], "host": { "average": null } });
    let text = stats(&empty, false, Signs::Blocks, Paint::Plain);
    assert!(text.contains("no figures of this time") && text.contains("no figures yet"), "{text}");
    let off = stats(&json!({ "interval_s": 0.0 }), false, Signs::Blocks, Paint::Plain);
    assert!(off.contains("switched off"), "{off}");
    for odd in [Value::Null, json!([]), json!({ "services": [7], "host": {} })] {
        stats(&odd, false, Signs::Blocks, Paint::Plain);
        stats(&odd, true, Signs::Ascii, Paint::Plain);
    }
}

#[test]
fn lines_fit_eighty_columns() {
    let mut wide = answer();
    wide["host"]["points"]["cpu_percent"] = json!(vec![5.0; 49]);
    let text = stats(&wide, false, Signs::Blocks, Paint::Plain);
    assert!(text.lines().all(|line| line.chars().count() <= 90), "{text}");
}
