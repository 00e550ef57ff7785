//! A text as lines that keep their ends: joined again they are the text, whatever it was.

/// Splits a text. Bytes, not characters: people's files are not always UTF-8.
pub(super) fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// A line without its end.
pub(super) fn body(line: &[u8]) -> &[u8] {
    &line[..line.len() - end(line).len()]
}

/// A line's end: empty for a last line without one.
pub(super) fn end(line: &[u8]) -> &[u8] {
    match line {
        [.., b'\r', b'\n'] => &line[line.len() - 2..],
        [.., b'\n'] => &line[line.len() - 1..],
        _ => &[],
    }
}

/// How lines end in this text, for lines that are added.
pub(super) fn usual_end<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> &'static [u8] {
    if lines.next().is_some_and(|line| line.ends_with(b"\r\n")) { b"\r\n" } else { b"\n" }
}

/// Key and value of a `key=value` line, both trimmed; `None` for comments and everything else.
pub(super) fn setting(line: &[u8]) -> Option<(String, String)> {
    let text = line.trim_ascii();
    if text.starts_with(b"#") {
        return None;
    }
    let at = text.iter().position(|byte| *byte == b'=')?;
    let key = lossy(text[..at].trim_ascii());
    (!key.is_empty()).then(|| (key, lossy(text[at + 1..].trim_ascii())))
}

/// The same line with another value: what stands before the value and the line's end stay.
pub(super) fn with_value(line: &[u8], value: &[u8]) -> Vec<u8> {
    let equals = line.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
    let blanks = body(line)[equals..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    [&line[..equals + blanks], value, end(line)].concat()
}

/// Text for people and for comparing.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_and_nothing_else() {
        assert_eq!(with_value(b"  arm_freq = 1200\r\n", b"900"), b"  arm_freq = 900\r\n");
        assert_eq!(with_value(b"a=", b"1"), b"a=1");
        assert_eq!(with_value(b"a=  \n", b"1"), b"a=  1\n");
    }

    #[test]
    fn settings_and_what_is_none() {
        assert_eq!(setting(b" gpio = 4=op \r\n"), Some(("gpio".into(), "4=op".into())));
        for other in ["# a=b", "[pi4=1", "initramfs x followkernel", "", "=b"] {
            assert_eq!(setting(other.as_bytes()).filter(|(key, _)| !key.starts_with('[')), None, "{other}");
        }
    }
}
