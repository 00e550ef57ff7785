//! Memory, from `/proc/meminfo`.

use std::path::Path;

use super::super::file::read_in;

/// How much there is and how much is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) struct Memory {
    /// MiB.
    pub(in crate::host) used_mib: u64,
    /// MiB.
    pub(in crate::host) total_mib: u64,
}

/// `None` when the kernel does not say.
pub(in crate::host) fn read(machine: &Path) -> Option<Memory> {
    parse(&read_in(machine, "proc/meminfo")?)
}

/// In use is what is neither free nor a cache (protocol §6.2).
fn parse(meminfo: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let total = kib("MemTotal").filter(|total| *total > 0)?;
    let unused = ["MemFree", "Cached", "Buffers", "SReclaimable"].iter().filter_map(|name| kib(name));
    let unused = unused.fold(0, u64::saturating_add);
    Some(Memory { used_mib: total.saturating_sub(unused) / 1024, total_mib: total / 1024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_not_in_use() {
        let text = "MemTotal:        1024000 kB\nMemFree:          102400 kB\nMemAvailable: 9 kB\nBuffers:  1024 kB\n\
                    Cached:           204800 kB\nSwapCached: 77 kB\nSReclaimable:      2048 kB\n";
        assert_eq!(parse(text), Some(Memory { used_mib: 697, total_mib: 1000 }));
    }

    #[test]
    fn an_odd_file_is_survived() {
        for text in ["", "MemTotal: kB", "MemTotal: 0 kB", "MemTotal: -5 kB", "MemFree: 5 kB", "MemTotal"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let more_free_than_there_is = format!("MemTotal: 2048 kB\nMemFree: {} kB\nCached: 7 kB\n", u64::MAX);
        assert_eq!(parse(&more_free_than_there_is), Some(Memory { used_mib: 0, total_mib: 2 }));
    }
}
