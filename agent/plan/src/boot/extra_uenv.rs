//! `extra_uEnv.txt`: `custom_fdt_file` and the words of `extra_os_cmdline`.

use super::line::{lossy, setting, split, usual_end, with_value};
use super::{Changes, Values, word};

const FDT: &str = "custom_fdt_file";
const COMMAND_LINE: &str = "extra_os_cmdline";

fn find(lines: &[Vec<u8>], key: &str) -> Option<usize> {
    lines.iter().rposition(|line| setting(line).is_some_and(|(name, _)| name == key))
}

fn value_of(lines: &[Vec<u8>], key: &str) -> Option<String> {
    find(lines, key).and_then(|at| setting(&lines[at])).map(|(_, value)| value)
}

/// What the file says.
pub(super) fn read(text: &[u8]) -> Result<Values, String> {
    let lines = split(text);
    let mut values = Values::new();
    values.extend(value_of(&lines, FDT).map(|fdt| ("fdt".to_owned(), vec![fdt])));
    let cpus = value_of(&lines, COMMAND_LINE).and_then(|text| word::value(text.as_bytes(), "isolcpus"));
    values.extend(cpus.map(|cpus| ("isolcpus".to_owned(), vec![cpus])));
    Ok(values)
}

/// The text with some keys changed.
pub(super) fn edit(text: &[u8], changes: &Changes) -> Result<Vec<u8>, String> {
    let mut lines = split(text);
    for (key, values) in changes {
        let value = values.as_ref().and_then(|values| values.first()).map(String::as_str);
        match key.as_str() {
            "fdt" => put(&mut lines, FDT, value),
            "isolcpus" => {
                let before = value_of(&lines, COMMAND_LINE).unwrap_or_default();
                let after = lossy(&word::with(before.as_bytes(), "isolcpus", value));
                if after != before {
                    put(&mut lines, COMMAND_LINE, Some(after.as_str()).filter(|text| !text.trim().is_empty()));
                }
            }
            other => return Err(format!("it has no place for {other}")),
        }
    }
    Ok(lines.concat())
}

fn put(lines: &mut Vec<Vec<u8>>, key: &str, value: Option<&str>) {
    match (find(lines, key), value) {
        (Some(at), Some(value)) => lines[at] = with_value(&lines[at], value.as_bytes()),
        (Some(_), None) => lines.retain(|line| setting(line).is_none_or(|(name, _)| name != key)),
        (None, Some(value)) => {
            let end = usual_end(lines.iter().map(Vec::as_slice));
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with(b"\n")) {
                last.extend_from_slice(end);
            }
            lines.push([key.as_bytes(), b"=", value.as_bytes(), end].concat());
        }
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# boot variables\ncustom_fdt_file=my.dtb\nextra_os_cmdline=quiet isolcpus=3,4 console=tty0\nbootdelay=2\n";

    fn edited(text: &str, key: &str, value: Option<&str>) -> String {
        let changes = Changes::from([(key.to_owned(), value.map(|value| vec![value.to_owned()]))]);
        lossy(&edit(text.as_bytes(), &changes).unwrap())
    }

    #[test]
    fn reads_and_changes_only_its_own() {
        let expected = Values::from([("fdt".into(), vec!["my.dtb".into()]), ("isolcpus".into(), vec!["3,4".into()])]);
        assert_eq!(read(FILE.as_bytes()).unwrap(), expected);
        assert_eq!(edited(FILE, "isolcpus", Some("1")), FILE.replace("3,4", "1"));
        assert_eq!(edited(FILE, "isolcpus", None), FILE.replace(" isolcpus=3,4", ""));
        assert_eq!(edited(FILE, "fdt", None), FILE.replace("custom_fdt_file=my.dtb\n", ""));
        assert_eq!(edited("", "isolcpus", Some("1")), "extra_os_cmdline=isolcpus=1\n");
        assert_eq!(edited("extra_os_cmdline=isolcpus=1\n", "isolcpus", None), "");
        assert_eq!(edited("a=b", "fdt", Some("x.dtb")), "a=b\ncustom_fdt_file=x.dtb\n");
    }
}
