//! `name=value` words in a kernel command line.

use super::line::lossy;

/// Where each word stands.
fn words(text: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in text.iter().enumerate() {
        match (byte.is_ascii_whitespace(), start) {
            (true, Some(from)) => {
                found.push((from, at));
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    found.extend(start.map(|from| (from, text.len())));
    found
}

fn named(text: &[u8], name: &str) -> Vec<(usize, usize)> {
    let beginning = format!("{name}=");
    words(text).into_iter().filter(|(from, to)| text[*from..*to].starts_with(beginning.as_bytes())).collect()
}

/// The value of a word; the last one counts, as it does for the kernel.
pub(super) fn value(text: &[u8], name: &str) -> Option<String> {
    let (from, to) = *named(text, name).last()?;
    Some(lossy(&text[from + name.len() + 1..to]))
}

/// The text with the word set or removed; the others keep their places and the spaces between them.
pub(super) fn with(text: &[u8], name: &str, value: Option<&str>) -> Vec<u8> {
    let mut found = named(text, name);
    let mut text = text.to_vec();
    let last = found.pop();
    for (from, to) in found.into_iter().rev() {
        cut(&mut text, from, to);
    }
    let shifted = named(&text, name).pop();
    match (value, last.and(shifted)) {
        (Some(value), Some((from, to))) => {
            text.splice(from..to, format!("{name}={value}").into_bytes());
        }
        (Some(value), None) => {
            if text.last().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                text.push(b' ');
            }
            text.extend(format!("{name}={value}").into_bytes());
        }
        (None, Some((from, to))) => cut(&mut text, from, to),
        (None, None) => {}
    }
    text
}

/// Takes a word out with the blank before it, or after it when it is the first.
fn cut(text: &mut Vec<u8>, from: usize, to: usize) {
    if from > 0 {
        text.drain(from - 1..to);
    } else {
        let after = usize::from(text.get(to).is_some());
        text.drain(from..to + after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str, value: Option<&str>) -> String {
        lossy(&with(text.as_bytes(), "isolcpus", value))
    }

    #[test]
    fn words_are_set_and_removed_in_place() {
        assert_eq!(edit("${cbootargs}  ro isolcpus=2 quiet", Some("1,3")), "${cbootargs}  ro isolcpus=1,3 quiet");
        assert_eq!(edit("ro rootwait", Some("2")), "ro rootwait isolcpus=2");
        assert_eq!(edit("", Some("2")), "isolcpus=2");
        assert_eq!(edit("isolcpus=1 ro isolcpus=2 quiet", None), "ro quiet");
        assert_eq!(edit("isolcpus=1 ro isolcpus=2", Some("7")), "ro isolcpus=7");
        assert_eq!(edit("myisolcpus=1", None), "myisolcpus=1");
        assert_eq!(value(b"isolcpus=1 isolcpus=2", "isolcpus").as_deref(), Some("2"));
    }
}
