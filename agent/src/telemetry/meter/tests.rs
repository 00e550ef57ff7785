//! Restarts, replacements, counters that run backwards.

use std::sync::Arc;

use holdfast_plan::container::ContainerSpec;
use holdfast_plan::current::ContainerState;

use super::*;
use crate::telemetry::column::{CPU, LOOKS, MEMORY, NETWORK, RESTARTS};

fn container(id: &str, started_ms: i64, restarts: i64, state: ContainerState) -> Container {
    Container {
        id: id.into(),
        app_id: 1,
        app_uuid: None,
        service: "main".into(),
        service_id: None,
        commit: String::new(),
        release_id: None,
        cloud_image_id: None,
        handing_over: false,
        image_id: String::new(),
        created_ms: 0,
        started_ms: Some(started_ms),
        finished_ms: None,
        state,
        exit_code: 0,
        error: String::new(),
        health: Some(Health::Unhealthy),
        restart_count: restarts,
        spec: Arc::new(ContainerSpec::default()),
        image_config: None,
    }
}

fn up(id: &str, started_ms: i64, restarts: i64) -> Container {
    container(id, started_ms, restarts, ContainerState::Running)
}

fn now(boot_ms: i64) -> Now {
    Now { wall_ms: None, machine_ms: 1_000_000 + boot_ms, boot_ms }
}

fn used(cpu_us: u64, network: u64) -> ContainerUsage {
    ContainerUsage { cpu_us, memory_bytes: 500, network_in_bytes: network, ..ContainerUsage::default() }
}

/// The row of one container at a look.
fn look(meter: &mut Meter, container: &Container, usage: Option<ContainerUsage>, boot_ms: i64) -> Option<Row> {
    let usage = usage.map(|usage| (container.id.clone(), usage)).into_iter().collect();
    let found = meter.containers(std::slice::from_ref(container), &usage, now(boot_ms));
    found.into_iter().next().unwrap().1.row
}

#[test]
fn what_happened_between_two_looks() {
    let mut meter = Meter::default();
    let main = up("a", 5, 0);
    assert_eq!(look(&mut meter, &main, Some(used(9_000_000, 100)), 0), None, "nothing to compare with");
    let row = look(&mut meter, &main, Some(used(24_000_000, 700)), 60_000).unwrap();
    assert_eq!((row[LOOKS], row[CPU], row[MEMORY], row[NETWORK[0]]), (1, 250_000, 500, 600), "a quarter of a processor");
    assert_eq!((row[RESTARTS], row[10]), (0, 3));
    assert_eq!(look(&mut meter, &main, None, 120_000), None, "nobody could read it");
    assert_eq!(look(&mut meter, &main, Some(used(30_000_000, 800)), 180_000), None, "and there is a gap in its counters");
    assert_eq!(look(&mut meter, &main, Some(used(30_000_000, 800)), 180_000), None, "no time has passed");
}

#[test]
fn a_container_that_is_new_or_was_started_again_began_at_zero() {
    let mut meter = Meter::default();
    look(&mut meter, &up("a", 5, 0), Some(used(9_000_000, 100)), 0);
    let again = up("a", 1_030_000, 1);
    let row = look(&mut meter, &again, Some(used(12_000_000, 50)), 60_000).unwrap();
    assert_eq!((row[CPU], row[NETWORK[0]], row[RESTARTS]), (200_000, 50, 1));
    let by_hand = up("a", 1_090_000, 1);
    let row = look(&mut meter, &by_hand, Some(used(6_000_000, 5)), 120_000).unwrap();
    assert_eq!((row[CPU], row[RESTARTS]), (100_000, 1));
    let replaced = up("b", 1_150_000, 0);
    let row = look(&mut meter, &replaced, Some(used(3_000_000, 7)), 180_000).unwrap();
    assert_eq!((row[CPU], row[NETWORK[0]], row[RESTARTS]), (50_000, 7, 0));
    let older = up("c", 1_000_000, 0);
    assert_eq!(look(&mut meter, &older, Some(used(3_000_000, 7)), 240_000), None, "it ran before anybody looked");
    let backwards = up("c", 1_000_000, 0);
    let row = look(&mut meter, &backwards, Some(used(60, 7)), 300_000).unwrap();
    assert_eq!(row[CPU], 1);
}

#[test]
fn one_that_is_tried_again_and_again_counts_its_restarts() {
    let mut meter = Meter::default();
    look(&mut meter, &container("a", 5, 3, ContainerState::Restarting), None, 0);
    let row = look(&mut meter, &container("a", 9, 7, ContainerState::Restarting), None, 60_000).unwrap();
    assert_eq!((row[LOOKS], row[CPU], row[RESTARTS]), (1, 0, 4));
    assert_eq!(look(&mut meter, &container("a", 9, 7, ContainerState::Exited), Some(used(1, 1)), 120_000), None);
}

#[test]
fn the_machine() {
    let mut meter = Meter::default();
    let usage = |all, busy, network| MachineUsage {
        cpu_all_ticks: all,
        cpu_busy_ticks: busy,
        network_in_bytes: network,
        temperature_celsius: Some(-3),
        load_milli: 520,
        ..MachineUsage::default()
    };
    let disk = Some(DiskSpace { total_bytes: 100, free_bytes: 60 });
    assert_eq!(meter.machine(usage(1000, 500, 9), disk, now(0)).row, None);
    meter.containers(&[], &BTreeMap::new(), now(0));
    let row = meter.machine(usage(2000, 750, 19), disk, now(60_000)).row.unwrap();
    assert_eq!(row, [1, 250_000, 250_000, 0, 0, 10, 0, 40, 520, 270, 270]);
    meter.containers(&[], &BTreeMap::new(), now(60_000));
    let row = meter.machine(usage(3000, 100, 0), None, now(120_000)).row.unwrap();
    assert_eq!((row[CPU], row[NETWORK[0]], row[7]), (0, 0, 0), "nothing runs backwards");
}
