//! How the machine is doing: what the cloud shows beside a device (protocol §6.2). Everything is read from `/proc`, `/sys`
//! and the kernel's log; no program is started, every read is bounded, and what cannot be read is not known.

pub(super) mod cpu;
pub(crate) mod kernel_log;
pub(super) mod memory;
mod storage;
pub(super) mod temperature;
mod voltage;

use std::path::{Path, PathBuf};

use serde::Serialize;

use self::cpu::CpuTimes;
use self::voltage::Voltage;

/// One look at the machine. The fields are called what the report calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// How busy the processors were since the last look (at first: since the start of the machine), percent.
    pub cpu_usage: Option<u64>,
    /// Temperature of the processor, °C.
    pub cpu_temp: Option<i64>,
    /// Serial number of the processor or board, lower case.
    pub cpu_id: Option<String>,
    /// Memory in use, without what the kernel gives back when it is needed, MiB.
    pub memory_usage: Option<u64>,
    /// Memory of the machine, MiB.
    pub memory_total: Option<u64>,
    /// The block device that holds the data partition; empty when there is none.
    pub storage_block_device: String,
    /// Used space on it, MiB.
    pub storage_usage: Option<u64>,
    /// Its size, MiB.
    pub storage_total: Option<u64>,
    /// Whether the supply voltage was too low at some time since the machine started.
    pub is_undervolted: bool,
}

/// Takes looks at a machine, and keeps between them what the next one builds on.
#[derive(Debug)]
pub(super) struct Sampler {
    machine: PathBuf,
    before: CpuTimes,
    voltage: Voltage,
}

impl Sampler {
    /// For the machine whose `/proc`, `/sys` and `/dev` lie below a root.
    pub(super) fn new(machine: &Path) -> Sampler {
        Sampler { machine: machine.to_owned(), before: CpuTimes::default(), voltage: Voltage::default() }
    }

    /// Looks.
    pub(super) fn look(&mut self) -> Metrics {
        let machine = &self.machine;
        let now = cpu::times(machine);
        let cpu_usage = now.and_then(|now| now.busy_percent_since(self.before));
        self.before = now.unwrap_or(self.before);
        let memory = memory::read(machine);
        let storage = storage::read(machine);
        Metrics {
            cpu_usage,
            cpu_temp: temperature::read(machine),
            cpu_id: cpu::id(machine),
            memory_usage: memory.map(|memory| memory.used_mib),
            memory_total: memory.map(|memory| memory.total_mib),
            storage_usage: storage.as_ref().map(|storage| storage.used_mib),
            storage_total: storage.as_ref().map(|storage| storage.total_mib),
            storage_block_device: storage.map(|storage| storage.device).unwrap_or_default(),
            is_undervolted: self.voltage.was_low(machine),
        }
    }
}

#[cfg(test)]
pub(super) mod machine;
#[cfg(test)]
mod tests;
