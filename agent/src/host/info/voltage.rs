//! Whether the supply voltage was ever too low: by the kernel's log, as the cloud's other agents tell it (protocol §6.2),
//! and by what a Raspberry Pi's firmware says.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::super::file::first_line;
use super::kernel_log;
use super::temperature::numbered;

/// Bits of the firmware's word: too low now, and too low at some time since the start.
const THROTTLED_BITS: u64 = 1 | 1 << 16;

/// What is known so far. Once low is low until the machine starts again.
#[derive(Debug, Default)]
pub(super) struct Voltage {
    low: bool,
    /// Stays open, so that each record is read once.
    log: Option<OwnedFd>,
}

impl Voltage {
    /// Looks at what is new.
    pub(super) fn was_low(&mut self, machine: &Path) -> bool {
        self.low = self.low || firmware_says_low(machine) || self.log_says_low(machine);
        if self.low {
            self.log = None;
        }
        self.low
    }

    fn log_says_low(&mut self, machine: &Path) -> bool {
        if self.log.is_none() {
            self.log = kernel_log::open(machine);
        }
        let Some(log) = &self.log else { return false };
        let mut low = false;
        kernel_log::each(log, |record| {
            low = speaks_of_low_voltage(record);
            !low
        });
        low
    }
}

/// A line with "under" and after it "voltage".
fn speaks_of_low_voltage(record: &[u8]) -> bool {
    record.split(|byte| *byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        line.split_once("under").is_some_and(|(_, rest)| rest.contains("voltage"))
    })
}

fn firmware_says_low(machine: &Path) -> bool {
    let throttled = first_line(machine, "sys/devices/platform/soc/soc:firmware/get_throttled");
    let bits = throttled.and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    bits.is_some_and(|bits| bits & THROTTLED_BITS != 0) || sensor_says_low(machine)
}

fn sensor_says_low(machine: &Path) -> bool {
    numbered(machine, "sys/class/hwmon/hwmon").iter().any(|folder| {
        let field = |name: &str| first_line(machine, &format!("{folder}/{name}"));
        field("name").as_deref() == Some("rpi_volt") && field("in0_lcrit_alarm").as_deref() == Some("1")
    })
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::*;

    const WARNING: &str = "4,512,1234567,-;hwmon hwmon1: Undervoltage detected!\n SUBSYSTEM=hwmon\n";

    #[test]
    fn a_warning_in_the_log_is_found_and_kept() {
        let machine = Machine::bare();
        let mut voltage = Voltage::default();
        assert!(!voltage.was_low(machine.root()));
        machine.file("dev/kmsg", "6,1,0,-;Booting Linux on physical CPU 0x0\n6,2,0,-;under way\n");
        assert!(!voltage.was_low(machine.root()));
        let path = machine.root().join("dev/kmsg");
        let log = std::fs::read_to_string(&path).unwrap() + WARNING;
        std::fs::write(&path, log).unwrap();
        assert!(voltage.was_low(machine.root()), "what was appended is read");
        std::fs::remove_file(&path).unwrap();
        assert!(voltage.was_low(machine.root()));
    }

    #[test]
    fn spellings() {
        for text in ["Under-voltage detected! (0x00050005)", "Undervoltage detected!", "UNDER  VOLTAGE"] {
            assert!(speaks_of_low_voltage(text.as_bytes()), "{text}");
        }
        for text in ["Voltage normalised", "voltage under control", "under\nvoltage", "", "\u{fffd}"] {
            assert!(!speaks_of_low_voltage(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_raspberry_pis_firmware_and_sensor_are_heard() {
        for (text, low) in [("0", false), ("50000\n", true), ("0x1", true), ("8", false), ("rubbish", false), ("", false)] {
            let machine = Machine::bare();
            machine.file("sys/devices/platform/soc/soc:firmware/get_throttled", text);
            assert_eq!(Voltage::default().was_low(machine.root()), low, "{text}");
        }
        let machine = Machine::bare();
        machine.file("sys/class/hwmon/hwmon3/name", "rpi_volt\n").file("sys/class/hwmon/hwmon3/in0_lcrit_alarm", "1\n");
        assert!(Voltage::default().was_low(machine.root()));
    }

    #[test]
    fn what_lies_in_the_logs_place_neither_blocks_nor_counts() {
        let machine = Machine::bare();
        std::fs::create_dir_all(machine.root().join("dev")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, machine.root().join("dev/kmsg"), 0o600.into()).unwrap();
        assert!(!Voltage::default().was_low(machine.root()));
        let huge = Machine::bare();
        huge.file("dev/kmsg", &"x\n".repeat(3_000_000));
        assert!(!Voltage::default().was_low(huge.root()));
    }
}
