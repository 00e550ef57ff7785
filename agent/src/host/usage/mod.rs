//! What the machine and its containers have used so far: the kernel's own counters, from `/proc` and the control groups.
//!
//! Reading them costs some microseconds, wakes nobody and starts nothing; asking the engine takes it a second or two.

mod cgroup;
mod machine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cgroup::Groups;

use crate::usage::ContainerUsage;

/// What the machine has used since it started. What cannot be read is zero or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineUsage {
    /// Time of all processors together, ticks.
    pub cpu_all_ticks: u64,
    /// The part of it in which they were busy.
    pub cpu_busy_ticks: u64,
    /// How many processors there are.
    pub processors: u64,
    /// Memory in use now, bytes.
    pub memory_bytes: u64,
    /// Memory of the machine, bytes.
    pub memory_total_bytes: u64,
    /// Average number of runnable tasks over the last minute, thousandths.
    pub load_milli: u64,
    /// Temperature of the processor, °C.
    pub temperature_celsius: Option<i64>,
    /// Bytes received on the device's own interfaces.
    pub network_in_bytes: u64,
    /// Bytes sent on them.
    pub network_out_bytes: u64,
}

/// A container to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Engine id.
    pub id: String,
    /// Whether it has a network of its own: else what passes is somebody else's.
    pub own_network: bool,
}

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The machine.
    pub machine: MachineUsage,
    /// Those of the containers whose counters can be read here, by engine id.
    pub containers: BTreeMap<String, ContainerUsage>,
}

/// Reads the counters, and keeps in mind where those of each container are.
#[derive(Debug)]
pub(super) struct Counters {
    /// Whose `/proc` is read.
    machine: PathBuf,
    groups: Groups,
}

impl Counters {
    /// For the host at a root; where its `/proc` and `/sys` are not mounted there, the machine's own are read.
    pub fn new(host_root: &Path) -> Counters {
        let own = Path::new("/");
        let has = |root: &&Path, path: &str| root.join(path).exists();
        let machine = [host_root, own].into_iter().find(|root| has(root, "proc/stat")).unwrap_or(own);
        let groups = [host_root, own].into_iter().find_map(Groups::find).unwrap_or_default();
        Counters { machine: machine.to_owned(), groups }
    }

    /// Looks at the machine and these containers; others are forgotten.
    pub fn look(&mut self, containers: &[Watched]) -> Usage {
        Usage { machine: machine::read(&self.machine), containers: self.groups.look(&self.machine, containers) }
    }
}

#[cfg(test)]
mod tests;
