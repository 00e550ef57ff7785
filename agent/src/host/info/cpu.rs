//! The processor: how busy it is, and its serial number.

use std::path::Path;

use super::super::file::{first_line, read_in};

/// Time all processors together have spent since the machine started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct CpuTimes {
    all: u64,
    idle: u64,
}

impl CpuTimes {
    /// All of it, and the part that was not idle.
    pub(in crate::host) fn ticks(self) -> (u64, u64) {
        (self.all, self.all.saturating_sub(self.idle))
    }

    /// The part of the time between two looks that was not idle; `None` when no time has passed.
    pub(super) fn busy_percent_since(self, before: CpuTimes) -> Option<u64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        // Idle time may run backwards by a tick or two; and it counts waiting for disks.
        let busy = all - self.idle.saturating_sub(before.idle).min(all);
        Some((busy.saturating_mul(100) + all / 2) / all)
    }
}

/// From `/proc/stat`.
pub(super) fn times(machine: &Path) -> Option<CpuTimes> {
    parse(&read_in(machine, "proc/stat")?)
}

/// The line of all processors: user, nice, system, idle, waiting for disks, interrupts twice, stolen. Guests' time, which
/// follows, is part of user and nice.
pub(in crate::host) fn parse(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let idle = ticks.get(3)?.saturating_add(ticks.get(4).copied().unwrap_or(0));
    Some(CpuTimes { all: ticks.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks)), idle })
}

/// Where a serial number may stand, in this order (protocol §6.2).
const SERIAL_NUMBERS: [&str; 4] = [
    "proc/device-tree/serial-number",
    "proc/device-tree/product-sn",
    "sys/devices/soc0/serial_number",
    "sys/class/dmi/id/board_serial",
];

/// A longer one is none, bytes.
const LONGEST_ID: usize = 128;

/// The first serial number that is one: the cloud takes printable ASCII alone.
pub(super) fn id(machine: &Path) -> Option<String> {
    SERIAL_NUMBERS.iter().find_map(|path| serial_number(&first_line(machine, path)?))
}

/// The device tree ends its texts with a zero byte.
fn serial_number(line: &str) -> Option<String> {
    let text = line.split('\0').next().unwrap_or_default().trim();
    let plain = !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    plain.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_is_what_is_not_idle() {
        let before = parse("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!(before, CpuTimes { all: 1000, idle: 800 });
        let now = parse("cpu  150 0 125 900 125 0 0 0 50 0\n").unwrap();
        assert_eq!(now.busy_percent_since(before), Some(25));
        assert_eq!(now.busy_percent_since(CpuTimes::default()), Some(21));
        assert_eq!(now.busy_percent_since(now), None);
        assert_eq!(before.busy_percent_since(now), None);
        let backwards = CpuTimes { all: 1100, idle: 790 };
        assert_eq!(backwards.busy_percent_since(before), Some(100));
    }

    #[test]
    fn what_is_no_such_line_is_nothing() {
        for text in ["", "cpu\n", "cpu  1 2 3\n", "cpu  a b c d e\n", "cpu0 1 2 3 4\n", "cpu  -1 2 3 4\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let huge = format!("cpu  {max} {max} {max} {max} {max}\n", max = u64::MAX);
        assert_eq!(parse(&huge).unwrap().busy_percent_since(CpuTimes::default()), Some(0));
    }

    #[test]
    fn serial_numbers_are_plain_text() {
        for (line, expected) in [
            ("10000000ABCDEF01\0", Some("10000000abcdef01")),
            (" To be filled ", Some("to be filled")),
            ("\0", None),
            ("\u{fffd}\u{fffd}", None),
            ("a\u{7}b", None),
        ] {
            assert_eq!(serial_number(line).as_deref(), expected, "{line:?}");
        }
        assert_eq!(serial_number(&"1".repeat(LONGEST_ID + 1)), None);
    }
}
