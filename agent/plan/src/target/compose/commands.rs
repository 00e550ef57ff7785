//! `command` and `entrypoint`: a list of words, or one text that is split into words the way a shell would.

use crate::target::reading::{Section, Weight, expected, text};

/// Characters that end a word and are words of their own.
const OPERATORS: &str = "|&;()<>";

/// Operators of more than one character, longest first.
const LONG_OPERATORS: [&str; 9] = ["<<<", "||", "&&", ";;", "|&", "<(", ">>", ">&", "<&"];

/// Reads a command; `None` leaves the image's in force. The wrong program must not run, so a mistake refuses the app.
pub fn read(section: &mut Section<'_, '_>, name: &str) -> Option<Vec<String>> {
    let field = section.take(name)?;
    if let Some(line) = field.value.as_str() {
        return match words(line) {
            Ok(words) => Some(words),
            Err(message) => {
                section.findings.refuse(&field, message);
                None
            }
        };
    }
    if !field.value.is_array() {
        section.expected(Weight::Refuse, &field, "a string or a list of strings");
        return None;
    }
    let mut words = Vec::new();
    for item in field.items() {
        match text(item.value) {
            Some(word) => words.push(word.into_owned()),
            None => section.findings.refuse(&item, expected("a string", item.value)),
        }
    }
    Some(words)
}

/// Splits a line into words: quotes and backslashes as in a shell, `$` and globs kept as they are, operators as words of
/// their own (behaviour §4.1).
pub fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => {
                let (text, length) = quoted(rest, c)?;
                word.get_or_insert_default().push_str(&text);
                used = length;
            }
            '\\' => {
                let escaped = rest.chars().nth(1);
                word.get_or_insert_default().push(escaped.unwrap_or('\\'));
                used += escaped.map_or(0, char::len_utf8);
            }
            c if OPERATORS.contains(c) => {
                words.extend(word.take());
                let long = LONG_OPERATORS.into_iter().find(|operator| rest.starts_with(operator));
                let operator = long.unwrap_or(&rest[..used]);
                words.push(operator.to_owned());
                used = operator.len();
            }
            c => word.get_or_insert_default().push(c),
        }
        rest = &rest[used..];
    }
    words.extend(word);
    Ok(words)
}

/// The content of a quoted text and how many bytes it took. In double quotes a backslash escapes `"`, `\` and `$`.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), &'static str> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((content, at + c.len_utf8())),
            '\\' if quote == '"' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\' | '$')) {
                Some((_, escaped)) => content.push(escaped),
                None => content.push('\\'),
            },
            c => content.push(c),
        }
    }
    Err("a quote is opened and never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_words() {
        for (line, wanted) in [
            ("", vec![]),
            ("  ", vec![]),
            ("npm start", vec!["npm", "start"]),
            ("sh -c 'echo \"a b\" && exit 1'", vec!["sh", "-c", "echo \"a b\" && exit 1"]),
            ("sh -c \"echo \\\"$HOME\\\" \\n\"", vec!["sh", "-c", "echo \"$HOME\" \\n"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            ("''", vec![""]),
            ("a\\ b \\", vec!["a b", "\\"]),
            ("ls *.txt ${X}", vec!["ls", "*.txt", "${X}"]),
            ("a&&b;c 2>/dev/null", vec!["a", "&&", "b", ";", "c", "2", ">", "/dev/null"]),
            ("x >> y | z", vec!["x", ">>", "y", "|", "z"]),
            ("é ü", vec!["é", "ü"]),
            ("a # b", vec!["a", "#", "b"]),
        ] {
            assert_eq!(words(line).unwrap(), wanted, "{line}");
        }
        assert!(words("echo it's").is_err());
        assert!(words("\"").is_err());
    }
}
