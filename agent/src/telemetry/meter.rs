//! From counters to what happened between two looks.

use std::collections::BTreeMap;

use holdfast_plan::container::NetworkMode;
use holdfast_plan::current::{Container, Health};
use holdfast_plan::policy::Now;

use super::book::{Latest, MachineLatest};
use super::column::Row;
use crate::host::{DiskSpace, MachineUsage, Watched};
use crate::usage::ContainerUsage;

/// What 0 °C is, Kelvin.
const FREEZING: i64 = 273;

/// What the last look found.
#[derive(Debug, Default)]
pub(super) struct Meter {
    looked: Option<Now>,
    machine: MachineUsage,
    containers: BTreeMap<String, Before>,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    usage: Option<ContainerUsage>,
    started_ms: Option<i64>,
    restarts: i64,
}

/// A container as it is looked at.
pub(super) fn watched(container: &Container) -> Watched {
    // What shares a network with others shares its counters, too.
    let own_network = !matches!(container.spec.network_mode, NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::None);
    Watched { id: container.id.clone(), own_network }
}

impl Meter {
    /// What the machine did since the last look. Call it before [`Meter::containers`].
    pub fn machine(&mut self, usage: MachineUsage, disk: Option<DiskSpace>, now: Now) -> MachineLatest {
        let before = std::mem::replace(&mut self.machine, usage);
        let all = usage.cpu_all_ticks.saturating_sub(before.cpu_all_ticks);
        let row = (self.looked.is_some() && all > 0).then(|| {
            let busy = usage.cpu_busy_ticks.saturating_sub(before.cpu_busy_ticks).min(all);
            let cpu = scaled(busy, 1_000_000, all);
            let temperature = usage.temperature_celsius.map_or(0, |celsius| u64::try_from(celsius + FREEZING).unwrap_or(0));
            let network_in = usage.network_in_bytes.saturating_sub(before.network_in_bytes);
            let network_out = usage.network_out_bytes.saturating_sub(before.network_out_bytes);
            let used = disk.map_or(0, |disk| disk.total_bytes.saturating_sub(disk.free_bytes));
            let own = [used, usage.load_milli, temperature, temperature];
            one_look(cpu, usage.memory_bytes, [network_in, network_out], own)
        });
        MachineLatest { boot_ms: now.boot_ms, usage, disk, row }
    }

    /// What each of the containers did since the last look.
    pub fn containers<'a>(
        &mut self,
        containers: &'a [Container],
        usage: &BTreeMap<String, ContainerUsage>,
        now: Now,
    ) -> Vec<(&'a Container, Latest)> {
        let looks = containers.iter().map(|container| {
            let used = usage.get(&container.id).copied().filter(|_| container.is_up());
            let row = self.row(container, used, now);
            let latest = Latest {
                boot_ms: now.boot_ms,
                container: container.id.clone(),
                is_up: container.is_up(),
                restarts: u64::try_from(container.restart_count).unwrap_or_default(),
                usage: used,
                row,
            };
            (container, latest)
        });
        let looks: Vec<_> = looks.collect();
        let before = |(container, latest): &(&Container, Latest)| {
            let (started_ms, restarts) = (container.started_ms, container.restart_count);
            (container.id.clone(), Before { usage: latest.usage, started_ms, restarts })
        };
        self.containers = looks.iter().map(before).collect();
        self.looked = Some(now);
        looks
    }

    fn row(&self, container: &Container, used: Option<ContainerUsage>, now: Now) -> Option<Row> {
        let looked = self.looked?;
        let elapsed_ms = u64::try_from(now.boot_ms - looked.boot_ms).ok().filter(|elapsed| *elapsed > 0)?;
        let before = self.containers.get(&container.id);
        let restarts = before.map_or(0, |before| {
            let by_engine = u64::try_from(container.restart_count - before.restarts).unwrap_or_default();
            by_engine.max(u64::from(before.started_ms != container.started_ms))
        });
        let Some(used) = used else {
            // One that does not run is no row, unless it was just tried.
            return (restarts > 0).then(|| [1, 0, 0, 0, 0, 0, 0, 0, 0, restarts, health(container)]);
        };
        let base = match before {
            Some(Before { usage: Some(usage), started_ms, .. }) if *started_ms == container.started_ms => {
                // Counters that run backwards began anew.
                if used.cpu_us < usage.cpu_us { ContainerUsage::default() } else { *usage }
            }
            Some(Before { started_ms, .. }) if *started_ms != container.started_ms => ContainerUsage::default(),
            // It was started since the last look.
            None if container.started_ms.is_some_and(|started| started >= looked.machine_ms) => ContainerUsage::default(),
            _ => return None,
        };
        let cpu = scaled(used.cpu_us - base.cpu_us, 1000, elapsed_ms);
        let network_in = used.network_in_bytes.saturating_sub(base.network_in_bytes);
        let network_out = used.network_out_bytes.saturating_sub(base.network_out_bytes);
        let read = used.block_read_bytes.saturating_sub(base.block_read_bytes);
        let written = used.block_write_bytes.saturating_sub(base.block_write_bytes);
        Some(one_look(cpu, used.memory_bytes, [network_in, network_out], [read, written, restarts, health(container)]))
    }
}

/// A row of one look, in which what is on average is also the most; with the subject's own columns at its end.
fn one_look(cpu: u64, memory: u64, [network_in, network_out]: [u64; 2], [seventh, eighth, ninth, tenth]: [u64; 4]) -> Row {
    [1, cpu, cpu, memory, memory, network_in, network_out, seventh, eighth, ninth, tenth]
}

/// Place of the health's word in the list of them.
fn health(container: &Container) -> u64 {
    match container.health {
        None => 0,
        Some(Health::Healthy) => 1,
        Some(Health::Starting) => 2,
        Some(Health::Unhealthy) => 3,
    }
}

fn scaled(part: u64, by: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * u128::from(by) / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
