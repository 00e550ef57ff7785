//! Counters of containers, from their control groups: version 2, or the several hierarchies of version 1.
//!
//! Where a container's group lies depends on the engine, its driver and what it runs in itself; every one of them puts the
//! container's id into the name of its folder. So the folder is searched once and kept in mind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::super::file::{first_line, read_in};
use super::Watched;
use super::machine::traffic;
use crate::usage::ContainerUsage;

/// How many folders are looked into when a container's is searched.
const MAX_FOLDERS: usize = 4096;
/// How deep below the root containers' folders lie: one engine inside another's container comes to six.
const MAX_DEPTH: usize = 8;
/// Shorter ids could be part of anything.
const SHORTEST_ID: usize = 12;
/// From here on a limit of version 1 means that there is none.
const NO_LIMIT_BYTES: u64 = 1 << 60;
/// Names that the processor's hierarchy of version 1 is mounted under.
const V1_CPU: [&str; 2] = ["cpuacct", "cpu,cpuacct"];

/// Where control groups are.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The root whose `sys/fs/cgroup` is used; `None` where there is none.
    root: Option<PathBuf>,
    /// The hierarchy to search in, and for version 1 to read processor time from; empty for version 2.
    cpu: &'static str,
    version_2: bool,
    /// Folder of each container below a hierarchy; `None` for one that was searched in vain.
    known: BTreeMap<String, Option<String>>,
}

impl Groups {
    /// Those mounted below a root, if there are any.
    pub fn find(root: &Path) -> Option<Groups> {
        let mounted = root.join("sys/fs/cgroup");
        let version_2 = mounted.join("cgroup.controllers").exists();
        let cpu = if version_2 { Some("") } else { V1_CPU.into_iter().find(|name| mounted.join(name).is_dir()) };
        cpu.map(|cpu| Groups { root: Some(root.to_owned()), cpu, version_2, known: BTreeMap::new() })
    }

    /// Looks at these containers, whose processes `/proc` of `machine` shows.
    pub fn look(&mut self, machine: &Path, containers: &[Watched]) -> BTreeMap<String, ContainerUsage> {
        let Some(root) = self.root.clone() else { return BTreeMap::new() };
        let wanted: BTreeSet<&str> = containers.iter().map(|container| container.id.as_str()).collect();
        self.known.retain(|id, _| wanted.contains(id.as_str()));
        let new: Vec<&str> = wanted.into_iter().filter(|id| !self.known.contains_key(*id)).collect();
        if !new.is_empty() {
            let found = search(&root.join("sys/fs/cgroup").join(self.cpu), &new);
            self.known.extend(new.into_iter().map(|id| (id.to_owned(), found.get(id).cloned())));
        }
        let mut usage = BTreeMap::new();
        for container in containers {
            let Some(Some(folder)) = self.known.get(&container.id) else { continue };
            match self.read(&root, machine, folder, container.own_network) {
                Some(read) => drop(usage.insert(container.id.clone(), read)),
                // It has gone, or was started again elsewhere: searched anew the next time.
                None => drop(self.known.remove(&container.id)),
            }
        }
        usage
    }

    fn read(&self, root: &Path, machine: &Path, folder: &str, own_network: bool) -> Option<ContainerUsage> {
        let mut usage = if self.version_2 { version_2(root, folder)? } else { version_1(root, self.cpu, folder)? };
        if own_network {
            let process = first_line(root, &path(self.cpu, folder, "cgroup.procs"));
            let text = process.and_then(|process| read_in(machine, &format!("proc/{process}/net/dev"))).unwrap_or_default();
            (usage.network_in_bytes, usage.network_out_bytes) = traffic(&text, |name| name != "lo");
        }
        Some(usage)
    }
}

/// A file of a container's group.
fn path(hierarchy: &str, folder: &str, file: &str) -> String {
    format!("sys/fs/cgroup/{hierarchy}/{folder}/{file}")
}

/// The folders named after these ids, as paths below `top`.
fn search(top: &Path, ids: &[&str]) -> BTreeMap<String, String> {
    let ids: Vec<&str> = ids.iter().copied().filter(|id| id.len() >= SHORTEST_ID).collect();
    let mut found = BTreeMap::new();
    let mut folders = VecDeque::from([(String::new(), 0)]);
    for _ in 0..MAX_FOLDERS {
        let Some((folder, depth)) = folders.pop_front().filter(|_| found.len() < ids.len()) else { break };
        let entries = std::fs::read_dir(top.join(&folder)).into_iter().flatten().flatten().take(MAX_FOLDERS);
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let below = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match ids.iter().find(|id| name.contains(**id)) {
                Some(id) => drop(found.entry((*id).to_owned()).or_insert(below)),
                None if depth < MAX_DEPTH => folders.push_back((below, depth + 1)),
                None => {}
            }
        }
    }
    found
}

fn version_2(root: &Path, folder: &str) -> Option<ContainerUsage> {
    let text = |file: &str| read_in(root, &path("", folder, file));
    let number = |file: &str| text(file)?.trim().parse::<u64>().ok();
    let cpu_us = field(&text("cpu.stat")?, "usage_usec")?;
    let cache = text("memory.stat").and_then(|stat| field(&stat, "inactive_file")).unwrap_or_default();
    let io = text("io.stat").unwrap_or_default();
    let bytes = |kind: &str| sum(io.split_whitespace().filter_map(|word| word.strip_prefix(kind)?.strip_prefix('=')));
    Some(ContainerUsage {
        cpu_us,
        memory_bytes: number("memory.current").unwrap_or_default().saturating_sub(cache),
        memory_limit_bytes: number("memory.max"),
        block_read_bytes: bytes("rbytes"),
        block_write_bytes: bytes("wbytes"),
        ..ContainerUsage::default()
    })
}

fn version_1(root: &Path, cpu: &str, folder: &str) -> Option<ContainerUsage> {
    let text = |hierarchy: &str, file: &str| read_in(root, &path(hierarchy, folder, file));
    let number = |hierarchy: &str, file: &str| text(hierarchy, file)?.trim().parse::<u64>().ok();
    let cpu_ns = number(cpu, "cpuacct.usage")?;
    let cache = text("memory", "memory.stat").and_then(|stat| field(&stat, "total_inactive_file")).unwrap_or_default();
    let io = text("blkio", "blkio.throttle.io_service_bytes").unwrap_or_default();
    // `8:0 Read 4096`, a line for each device and kind.
    let bytes = |kind: &str| {
        sum(io.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().filter(|word| *word == kind).and_then(|_| words.next())
        }))
    };
    Some(ContainerUsage {
        cpu_us: cpu_ns / 1000,
        memory_bytes: number("memory", "memory.usage_in_bytes").unwrap_or_default().saturating_sub(cache),
        memory_limit_bytes: number("memory", "memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT_BYTES),
        block_read_bytes: bytes("Read"),
        block_write_bytes: bytes("Write"),
        ..ContainerUsage::default()
    })
}

/// The number behind a name in a file of lines `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn sum<'a>(numbers: impl Iterator<Item = &'a str>) -> u64 {
    numbers.filter_map(|number| number.parse::<u64>().ok()).fold(0, u64::saturating_add)
}
