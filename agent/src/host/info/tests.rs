//! Whole machines: usual, odd and hostile ones.

use std::path::Path;

use super::machine::Machine;
use super::*;

#[test]
fn a_raspberry_pi() {
    let machine = Machine::raspberry_pi();
    let mut sampler = Sampler::new(machine.root());
    let seen = sampler.look();
    let expected = Metrics {
        cpu_usage: Some(26),
        cpu_temp: Some(49),
        cpu_id: Some("10000000abcdef01".into()),
        memory_usage: Some(542),
        memory_total: Some(3793),
        storage_block_device: "/dev/mmcblk0p6".into(),
        storage_usage: seen.storage_usage,
        storage_total: seen.storage_total,
        is_undervolted: false,
    };
    assert_eq!(seen, expected);
    assert!(seen.storage_total > Some(0) && seen.storage_usage <= seen.storage_total, "{seen:?}");
    machine.file("proc/stat", "cpu  4805 150 1120 16250 520 0 30 0 0 0\n").file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    let later = sampler.look();
    assert_eq!((later.cpu_usage, later.is_undervolted), (Some(100), true));
    machine.file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
    let later = sampler.look();
    assert_eq!((later.cpu_usage, later.is_undervolted), (None, true));
}

#[test]
fn a_pc_without_a_data_partition() {
    let expected = Metrics {
        cpu_usage: Some(20),
        cpu_temp: Some(54),
        cpu_id: Some("/7xyz123/cnabc0012345/".into()),
        memory_usage: Some(4000),
        memory_total: Some(16_000),
        ..Metrics::default()
    };
    assert_eq!(Sampler::new(Machine::pc().root()).look(), expected);
}

#[test]
fn a_machine_that_shows_nothing() {
    assert_eq!(Sampler::new(Machine::bare().root()).look(), Metrics::default());
    assert_eq!(Sampler::new(Path::new("/nonexistent/machine")).look(), Metrics::default());
}

/// Every file there is, in turn empty, of garbage, huge, a folder, missing.
#[test]
fn no_content_of_any_file_disturbs_the_others() {
    let paths = [
        "proc/stat",
        "proc/meminfo",
        "proc/self/mounts",
        "sys/firmware/devicetree/base/serial-number",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/class/thermal/thermal_zone0/type",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm",
        "dev/kmsg",
    ];
    let huge = "9".repeat(8 * 1024 * 1024);
    for path in paths {
        let whole = Sampler::new(Machine::raspberry_pi().root()).look();
        for content in ["", "\u{0}\u{1}garbage\n\n", "-1 -1 -1", "cpu  \nMemTotal:\n/dev/", &huge] {
            let machine = Machine::raspberry_pi();
            machine.file(path, content);
            let seen = Sampler::new(machine.root()).look();
            let kept = [
                seen.cpu_usage == whole.cpu_usage,
                seen.cpu_temp == whole.cpu_temp,
                seen.cpu_id == whole.cpu_id,
                seen.memory_total == whole.memory_total,
                seen.storage_block_device == whole.storage_block_device,
                !seen.is_undervolted,
            ];
            assert!(kept.iter().filter(|kept| **kept).count() >= 5, "{path}: {seen:?}");
        }
        let machine = Machine::raspberry_pi();
        std::fs::remove_file(machine.root().join(path)).unwrap();
        std::fs::create_dir(machine.root().join(path)).unwrap();
        Sampler::new(machine.root()).look();
    }
}

#[test]
fn names_are_the_reports() {
    let value = serde_json::to_value(Sampler::new(Machine::pc().root()).look()).unwrap();
    let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "cpu_id",
        "cpu_temp",
        "cpu_usage",
        "is_undervolted",
        "memory_total",
        "memory_usage",
        "storage_block_device",
        "storage_total",
        "storage_usage",
    ];
    let mut names = names;
    names.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn this_machine_is_looked_at_quickly() {
    let mut sampler = Sampler::new(Path::new("/"));
    let seen = sampler.look();
    assert!(seen.memory_total > Some(0) && seen.cpu_usage.is_some(), "{seen:?}");
}
