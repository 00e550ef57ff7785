//! A line of a service's log.

use super::Paint;
use super::words::plain;

/// Colours of services; not red, which is for errors.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "96"];
/// Columns for a service's name, where it is not longer.
const NAME_COLUMNS: usize = 12;

/// One line as people read it: when, who, what. On a terminal each service has a colour of its own, and of what the service
/// wrote at most colours reach the terminal, nothing that would move the cursor or worse.
pub(in crate::cli) fn log_line(time: &str, service: &str, stream: &str, message: &str, paint: Paint) -> String {
    let time = time.get(..19).unwrap_or(time).replace('T', " ");
    let mark = if stream == "stdout" { "|" } else { "!" };
    if paint == Paint::Plain {
        return format!("{time} {service:<NAME_COLUMNS$} {mark} {message}\n");
    }
    let (service, message) = (plain(service), harmless(message, paint.colours()));
    if !paint.colours() {
        return format!("{time} {service:<NAME_COLUMNS$} {mark} {message}\n");
    }
    let number = service.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let colour = COLOURS[number % COLOURS.len()];
    format!("\x1b[2m{time}\x1b[0m \x1b[{colour}m{service:<NAME_COLUMNS$} {mark}\x1b[0m {message}\x1b[0m\n")
}

/// The text without control characters other than tabs and, where they are wanted, colours.
fn harmless(text: &str, colours: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        safe.push_str(&rest[..at]);
        rest = &rest[at..];
        let colour = rest.strip_prefix("\x1b[").and_then(|codes| {
            let end = codes.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
            (codes[end..].starts_with('m')).then_some(&rest[..end + 3])
        });
        let skipped = colour.map_or_else(|| rest.chars().next().map_or(0, char::len_utf8), str::len);
        safe.push_str(colour.filter(|_| colours).unwrap_or_default());
        rest = &rest[skipped..];
    }
    safe.push_str(rest);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_are_as_they_came() {
        let line = log_line("2026-11-21T07:54:00.123456789Z", "till", "stderr", "a\x1b[2Jb", Paint::Plain);
        assert_eq!(line, "2026-11-21 07:54:00 till         ! a\x1b[2Jb\n");
    }

    #[test]
    fn of_what_a_service_writes_only_colours_reach_a_terminal() {
        assert_eq!(harmless("a\x1b[31;1mred\x1b[0m\tb", true), "a\x1b[31;1mred\x1b[0m\tb");
        assert_eq!(harmless("a\x1b[31;1mred\x1b[0m\tb", false), "ared\tb");
        assert_eq!(harmless("\x1b]0;title\x07\x1b[2J\x1b[5A\r\n\u{9b}31m", true), "]0;title[2J[5A31m");
        assert_eq!(harmless("\x1b[", true), "[");
        let dumb = Paint::Terminal { columns: 80, colours: false };
        assert_eq!(log_line("t", "main", "stdout", "\x1b[31mred\x1b[2J", dumb), "t main         | red[2J\n");
        let two =
            ["main", "mail"].map(|service| log_line("t", service, "stdout", "x", Paint::Terminal { columns: 80, colours: true }));
        assert!(two[0].contains("\x1b[") && two[0] != two[1].replace("mail", "main"), "{two:?}");
    }
}
