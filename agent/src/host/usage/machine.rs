//! The machine's counters, and those of a network.

use std::path::Path;

use super::super::file::{first_line, read_in};
use super::super::info::{cpu, memory, temperature};
use super::super::interface::is_internal;
use super::MachineUsage;

const MIB: u64 = 1024 * 1024;

/// Looks at the machine.
pub(super) fn read(machine: &Path) -> MachineUsage {
    let stat = read_in(machine, "proc/stat").unwrap_or_default();
    let (cpu_all_ticks, cpu_busy_ticks) = cpu::parse(&stat).map(cpu::CpuTimes::ticks).unwrap_or_default();
    let memory = memory::read(machine);
    let mib = |mib: u64| mib.saturating_mul(MIB);
    // The network of the machine's first process: the agent may live in another one.
    let interfaces = read_in(machine, "proc/1/net/dev").or_else(|| read_in(machine, "proc/net/dev")).unwrap_or_default();
    let (network_in_bytes, network_out_bytes) = traffic(&interfaces, |name| !is_internal(name) && !name.starts_with("veth"));
    MachineUsage {
        cpu_all_ticks,
        cpu_busy_ticks,
        processors: stat.lines().filter(|line| is_processor(line)).count() as u64,
        memory_bytes: memory.map_or(0, |memory| mib(memory.used_mib)),
        memory_total_bytes: memory.map_or(0, |memory| mib(memory.total_mib)),
        load_milli: first_line(machine, "proc/loadavg").and_then(|line| thousandths(&line)).unwrap_or_default(),
        temperature_celsius: temperature::read(machine),
        network_in_bytes,
        network_out_bytes,
    }
}

/// `cpu0 …`, not the line of all together.
fn is_processor(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The first number of a line, in thousandths.
fn thousandths(line: &str) -> Option<u64> {
    let number = line.split_whitespace().next()?.parse::<f64>().ok()?;
    // Saturates, and makes nothing of what is no number.
    Some((number * 1000.0) as u64)
}

/// Bytes received and sent over the interfaces that count, from a file of the form of `/proc/net/dev`.
pub(super) fn traffic(text: &str, counts: impl Fn(&str) -> bool) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| {
        let (name, figures) = line.split_once(':')?;
        let mut figures = figures.split_whitespace().map(|figure| figure.parse::<u64>().ok());
        let received = figures.next()??;
        Some((name.trim(), received, figures.nth(7)??))
    });
    let counted = interfaces.filter(|(name, ..)| counts(name));
    counted.fold((0, 0), |sum: (u64, u64), (_, received, sent)| (sum.0.saturating_add(received), sum.1.saturating_add(sent)))
}
