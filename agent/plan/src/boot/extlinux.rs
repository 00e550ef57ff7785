//! `extlinux/extlinux.conf`: the `FDT` and `APPEND` lines of the label that is booted.

use super::line::{body, end, lossy, split, usual_end};
use super::{Changes, Values, word};

/// Name and rest of a directive.
fn directive(line: &[u8]) -> Option<(String, &[u8])> {
    let text = line.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") {
        return None;
    }
    let at = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    Some((lossy(&text[..at]).to_ascii_uppercase(), text[at..].trim_ascii()))
}

fn is(line: &[u8], name: &str) -> bool {
    directive(line).is_some_and(|(found, _)| found == name)
}

/// First and last line (not included) of the label that is booted.
fn booted(lines: &[Vec<u8>]) -> Result<(usize, usize), String> {
    let default = lines.iter().filter_map(|line| directive(line)).find(|(name, _)| name == "DEFAULT");
    let (_, label) = default.ok_or("it names no DEFAULT label")?;
    let starts = |line: &Vec<u8>| directive(line).is_some_and(|(name, rest)| name == "LABEL" && rest == label);
    let from = lines.iter().position(starts).ok_or_else(|| format!("its DEFAULT label {} is missing", lossy(label)))?;
    let rest = lines[from + 1..].iter().position(|line| is(line, "LABEL"));
    Ok((from, rest.map_or(lines.len(), |length| from + 1 + length)))
}

fn find(lines: &[Vec<u8>], (from, to): (usize, usize), name: &str) -> Option<usize> {
    (from..to).find(|at| is(&lines[*at], name))
}

/// What the booted label says.
pub(super) fn read(text: &[u8]) -> Result<Values, String> {
    let lines = split(text);
    let label = booted(&lines)?;
    let rest = |name: &str| find(&lines, label, name).and_then(|at| directive(&lines[at])).map(|(_, rest)| rest);
    let mut values = Values::new();
    values.extend(rest("FDT").map(|fdt| ("fdt".to_owned(), vec![lossy(fdt)])));
    values.extend(rest("APPEND").and_then(|text| word::value(text, "isolcpus")).map(|cpus| ("isolcpus".to_owned(), vec![cpus])));
    Ok(values)
}

/// The text with some keys of the booted label changed.
pub(super) fn edit(text: &[u8], changes: &Changes) -> Result<Vec<u8>, String> {
    let mut lines = split(text);
    for (key, values) in changes {
        let label = booted(&lines)?;
        let value = values.as_ref().and_then(|values| values.first()).map(String::as_str);
        match key.as_str() {
            "isolcpus" => {
                let at = find(&lines, label, "APPEND").ok_or("its DEFAULT label has no APPEND line")?;
                lines[at] = with_rest(&lines[at], |rest| word::with(rest, "isolcpus", value));
            }
            "fdt" => set_fdt(&mut lines, label, value),
            other => return Err(format!("it has no place for {other}")),
        }
    }
    Ok(lines.concat())
}

fn set_fdt(lines: &mut Vec<Vec<u8>>, label: (usize, usize), value: Option<&str>) {
    match (find(lines, label, "FDT"), value) {
        (Some(at), Some(value)) => lines[at] = with_rest(&lines[at], |_| value.as_bytes().to_vec()),
        (Some(at), None) => {
            lines.remove(at);
        }
        (None, Some(value)) => {
            let ending = usual_end(lines.iter().map(Vec::as_slice));
            let after = find(lines, label, "LINUX").unwrap_or(label.0);
            if end(&lines[after]).is_empty() {
                lines[after].extend_from_slice(ending);
            }
            let indent: Vec<u8> = match after == label.0 {
                true => b"      ".to_vec(),
                false => lines[after].iter().copied().take_while(|byte| matches!(byte, b' ' | b'\t')).collect(),
            };
            lines.insert(after + 1, [&indent, b"FDT ".as_slice(), value.as_bytes(), ending].concat());
        }
        (None, None) => {}
    }
}

/// The line with another rest: indentation, name and line end stay.
fn with_rest(line: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let text = body(line);
    let indent = text.len() - text.trim_ascii_start().len();
    let name = text[indent..].iter().position(u8::is_ascii_whitespace).unwrap_or(text.len() - indent);
    let blanks = text[indent + name..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let head = &text[..indent + name + blanks];
    let gap: &[u8] = if blanks == 0 { b" " } else { b"" };
    [head, gap, &change(text[head.len()..].trim_ascii_end()), end(line)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "DEFAULT primary\nTIMEOUT 30\n\nMENU TITLE Boot Options\n\nLABEL primary\n      MENU LABEL primary Image\n      \
                        LINUX /Image\n      APPEND ${cbootargs} ${resin_kernel_root} ro rootwait isolcpus=2\n\n\
                        LABEL backup\n      FDT /old.dtb\n      APPEND ro isolcpus=7\n";

    fn changes(key: &str, value: Option<&str>) -> Changes {
        Changes::from([(key.to_owned(), value.map(|value| vec![value.to_owned()]))])
    }

    fn edited(key: &str, value: Option<&str>) -> String {
        lossy(&edit(FILE.as_bytes(), &changes(key, value)).unwrap())
    }

    #[test]
    fn reads_the_booted_label_only() {
        let values = read(FILE.as_bytes()).unwrap();
        assert_eq!(values, Values::from([("isolcpus".into(), vec!["2".into()])]));
    }

    #[test]
    fn changes_one_thing_at_a_time() {
        assert_eq!(edited("isolcpus", Some("1,3")), FILE.replace("isolcpus=2", "isolcpus=1,3"));
        assert_eq!(edited("isolcpus", None), FILE.replace(" isolcpus=2", ""));
        let with_fdt = edited("fdt", Some("/boot/my.dtb"));
        assert_eq!(with_fdt, FILE.replace("LINUX /Image\n", "LINUX /Image\n      FDT /boot/my.dtb\n"));
        assert_eq!(lossy(&edit(with_fdt.as_bytes(), &changes("fdt", None)).unwrap()), FILE);
        let other = edit(with_fdt.as_bytes(), &changes("fdt", Some("/x"))).unwrap();
        assert_eq!(read(&other).unwrap()["fdt"], ["/x"]);
    }

    #[test]
    fn files_it_cannot_place_a_value_in_are_refused() {
        assert!(read(b"").is_err());
        assert!(read(b"DEFAULT a\nLABEL b\n").is_err());
        assert!(edit(b"DEFAULT a\nLABEL a\n", &changes("isolcpus", Some("1"))).is_err());
        let added = edit(b"DEFAULT a\nLABEL a", &changes("fdt", Some("/x"))).unwrap();
        assert_eq!(added, b"DEFAULT a\nLABEL a\n      FDT /x\n");
    }
}
