//! The processor's temperature, from the kernel's thermal zones or, where there are none, its sensors.

use std::path::Path;

use super::super::file::first_line;

/// How many zones or sensors are looked at.
const MAX_SENSORS: u32 = 64;

/// Sensors of processors, by their driver.
const DRIVERS: [&str; 5] = ["coretemp", "k10temp", "zenpower", "cpu_thermal", "scpi_sensors"];

/// °C; `None` when nothing tells.
pub(in crate::host) fn read(machine: &Path) -> Option<i64> {
    zone(machine).or_else(|| sensor(machine))
}

/// The zone that is the processor's by its name, else the first.
fn zone(machine: &Path) -> Option<i64> {
    let zones = numbered(machine, "sys/class/thermal/thermal_zone");
    let readings = zones.iter().filter_map(|zone| {
        let temperature = degrees(&first_line(machine, &format!("{zone}/temp"))?)?;
        let name = first_line(machine, &format!("{zone}/type")).unwrap_or_default().to_ascii_lowercase();
        let is_processor = ["cpu", "x86_pkg_temp", "soc"].iter().any(|word| name.contains(word));
        Some((!is_processor, temperature))
    });
    // Of equals the first is taken.
    readings.min_by_key(|(other, _)| *other).map(|(_, temperature)| temperature)
}

fn sensor(machine: &Path) -> Option<i64> {
    let sensors = numbered(machine, "sys/class/hwmon/hwmon");
    let is_processor =
        |folder: &&String| first_line(machine, &format!("{folder}/name")).is_some_and(|name| DRIVERS.contains(&name.as_str()));
    sensors.iter().filter(is_processor).find_map(|folder| degrees(&first_line(machine, &format!("{folder}/temp1_input"))?))
}

/// Folders that the kernel numbers, in the order of their numbers; numbers may be left out.
pub(super) fn numbered(machine: &Path, prefix: &str) -> Vec<String> {
    let (folder, name) = prefix.rsplit_once('/').unwrap_or((".", prefix));
    let entries = std::fs::read_dir(machine.join(folder)).into_iter().flatten().take(1024).filter_map(Result::ok);
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix(name)?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers.into_iter().take(MAX_SENSORS as usize).map(|number| format!("{prefix}{number}")).collect()
}

/// From thousandths; what no processor has is not believed.
fn degrees(thousandths: &str) -> Option<i64> {
    let thousandths = thousandths.parse::<i64>().ok().filter(|value| (-100_000..=200_000).contains(value))?;
    Some((thousandths + 500).div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::*;

    #[test]
    fn the_processors_zone_goes_first_then_the_first_one_then_a_sensor() {
        let machine = Machine::bare();
        assert_eq!(read(machine.root()), None);
        machine.file("sys/class/hwmon/hwmon0/name", "acpitz\n").file("sys/class/hwmon/hwmon0/temp1_input", "1000\n");
        machine.file("sys/class/hwmon/hwmon10/name", "coretemp\n").file("sys/class/hwmon/hwmon10/temp1_input", "61000\n");
        assert_eq!(read(machine.root()), Some(61));
        machine.file("sys/class/thermal/thermal_zone0/type", "acpitz\n").file("sys/class/thermal/thermal_zone0/temp", "27800\n");
        assert_eq!(read(machine.root()), Some(28));
        machine.file("sys/class/thermal/thermal_zone2/type", "x86_pkg_temp\n");
        assert_eq!(read(machine.root()), Some(28), "a zone that says nothing");
        machine.file("sys/class/thermal/thermal_zone2/temp", "45499\n");
        assert_eq!(read(machine.root()), Some(45));
    }

    #[test]
    fn what_is_no_temperature_is_none() {
        for text in ["", "warm", "999999999", "-999999", "45.5"] {
            assert_eq!(degrees(text), None, "{text}");
        }
        assert_eq!((degrees("-1500"), degrees("-400"), degrees("499")), (Some(-1), Some(0), Some(0)));
    }
}
