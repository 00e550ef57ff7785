//! Memory, processors and processes. Mistakes here are named and the default used: the app runs, with other limits.

use super::{durations, sizes};
use crate::container::{DEFAULT_SHM_SIZE_BYTES, Options};
use crate::target::reading::{Section, Weight, integer, text};

/// More processors than any device has.
const MOST_CPUS: f64 = 4096.0;

/// Reads memory limits.
pub fn memory(section: &mut Section<'_, '_>, options: &mut Options) {
    options.mem_limit_bytes = sizes::read(section, "mem_limit").unwrap_or(0);
    options.mem_reservation_bytes = sizes::read(section, "mem_reservation").unwrap_or(0);
    options.memswap_limit_bytes = sizes::read_or_unlimited(section, "memswap_limit").unwrap_or(0);
    options.mem_swappiness = section.integer("mem_swappiness", 0..=100);
    options.shm_size_bytes = sizes::read(section, "shm_size").filter(|size| *size > 0).unwrap_or(DEFAULT_SHM_SIZE_BYTES);
    options.oom_score_adj = section.integer("oom_score_adj", -1000..=1000).unwrap_or(0);
    options.oom_kill_disable = section.flag("oom_kill_disable", Weight::Name).unwrap_or(false);
    options.pids_limit = section.integer("pids_limit", -1..=i64::MAX).unwrap_or(0).max(0);
}

/// Reads what concerns processors.
pub fn cpu(section: &mut Section<'_, '_>, options: &mut Options) {
    options.nano_cpus = cpus(section).unwrap_or(0);
    options.cpu_shares = section.integer("cpu_shares", 0..=i64::MAX).unwrap_or(0);
    options.cpu_quota_us = microseconds(section, "cpu_quota").unwrap_or(0);
    options.cpu_period_us = microseconds(section, "cpu_period").unwrap_or(0);
    options.cpuset = section.text("cpuset", Weight::Name).unwrap_or_default();
}

fn cpus(section: &mut Section<'_, '_>) -> Option<i64> {
    let field = section.take("cpus")?;
    let read = text(field.value).and_then(|text| text.trim().parse::<f64>().ok());
    let read = read.filter(|cpus| (0.0..=MOST_CPUS).contains(cpus));
    if read.is_none() {
        section.expected(Weight::Name, &field, "a number of processors such as 0.5");
    }
    read.map(|cpus| (cpus * 1e9).round() as i64)
}

/// Microseconds as a number, or a duration.
fn microseconds(section: &mut Section<'_, '_>, name: &str) -> Option<i64> {
    let field = section.take(name)?;
    let read = integer(field.value).or_else(|| durations::nanoseconds(field.value).map(|ns| ns / 1000));
    if read.is_none() {
        section.expected(Weight::Name, &field, "microseconds or a duration such as 50ms");
    }
    read
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::target::reading::{Field, Findings};

    fn options(service: &Value) -> (Options, Vec<String>) {
        let (root, mut findings) = (Field::root(service), Findings::new(0));
        let mut options = Options::default();
        let mut section = Section::of(&root, &mut findings);
        memory(&mut section, &mut options);
        cpu(&mut section, &mut options);
        (options, findings.take_unsupported().into_iter().map(|offence| offence.path).collect())
    }

    #[test]
    fn every_field() {
        let (read, named) = options(&json!({
            "mem_limit": "1.5g", "mem_reservation": "64m", "memswap_limit": -1, "mem_swappiness": "10", "shm_size": "128m",
            "oom_score_adj": -500, "oom_kill_disable": true, "pids_limit": 100, "cpus": "0.5", "cpu_shares": 512,
            "cpu_quota": "50ms", "cpu_period": 100000, "cpuset": 0,
        }));
        let wanted = Options {
            mem_limit_bytes: 3 << 29,
            mem_reservation_bytes: 64 << 20,
            memswap_limit_bytes: -1,
            mem_swappiness: Some(10),
            shm_size_bytes: 128 << 20,
            oom_score_adj: -500,
            oom_kill_disable: true,
            pids_limit: 100,
            nano_cpus: 500_000_000,
            cpu_shares: 512,
            cpu_quota_us: 50_000,
            cpu_period_us: 100_000,
            cpuset: "0".into(),
            ..Options::default()
        };
        assert_eq!((read, named.len()), (wanted, 0));
    }

    #[test]
    fn mistakes_are_named_and_defaults_used() {
        for (key, value) in [
            ("mem_limit", json!("lots")),
            ("mem_limit", json!(-1)),
            ("memswap_limit", json!(-2)),
            ("mem_swappiness", json!(101)),
            ("shm_size", json!([])),
            ("oom_score_adj", json!(1001)),
            ("oom_kill_disable", json!("x")),
            ("pids_limit", json!("x")),
            ("cpus", json!("many")),
            ("cpus", json!("NaN")),
            ("cpus", json!(-1)),
            ("cpus", json!(1e300)),
            ("cpu_quota", json!("x")),
            ("cpu_shares", json!(0.5)),
            ("cpuset", json!({"a": 1})),
        ] {
            assert_eq!(options(&json!({ key: value })), (Options::default(), vec![key.to_owned()]), "{key}");
        }
        assert_eq!(options(&json!({"pids_limit": -1})).0.pids_limit, 0);
    }
}
