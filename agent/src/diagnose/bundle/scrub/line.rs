//! The first net in lines of text: logs, configuration files, messages.

use super::names::is_secret;
use super::{REMOVED, Scrubber};

/// Words before a credential.
const SCHEMES: [&str; 4] = ["bearer ", "basic ", "digest ", "negotiate "];
/// A token that begins so is JSON in base64: a JSON web token, or the credentials of a registry.
const ENCODED_JSON: &str = "eyJ";
const LEAST_TOKEN: usize = 16;

/// Goes through a text line by line. With `remember`, values of names that speak of a secret are remembered.
pub(super) fn scrub(scrubber: &mut Scrubber, place: &str, text: &str, remember: bool) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        match private_key(line, &mut in_key) {
            None => cleaned.push_str(&one(scrubber, place, line, remember)),
            Some((before, rest)) => {
                if remember {
                    scrubber.learn(line, true);
                }
                cleaned.push_str(&one(scrubber, place, before, remember));
                scrubber.note(place);
                cleaned.push_str(REMOVED);
                cleaned.push_str(&one(scrubber, place, rest, remember));
            }
        }
        cleaned.push_str(end);
    }
    cleaned
}

/// What stands before and after a private key in PEM, in a line that is of one or holds it whole (as in a text in JSON).
fn private_key<'a>(line: &'a str, in_key: &mut bool) -> Option<(&'a str, &'a str)> {
    let begins = line.find("-----BEGIN ").filter(|at| line[*at..].contains("PRIVATE KEY"));
    let at = match (begins, *in_key) {
        (Some(at), false) => at,
        (_, true) => 0,
        (None, false) => return None,
    };
    // Of several the last one counts: what lies between them goes too.
    let end = line[at..].rfind("-----END ").map(|from| at + from).filter(|end| !line[*end..].contains("-----BEGIN "));
    *in_key = end.is_none();
    let rest = end.and_then(|end| line[end..].rsplit_once("-----")).map_or("", |(_, rest)| rest);
    Some((&line[..at], rest))
}

fn one(scrubber: &mut Scrubber, place: &str, line: &str, remember: bool) -> String {
    let mut spans = userinfo(line);
    spans.extend(assigned(line, remember));
    spans.extend(flagged(line));
    spans.extend(schemed(line));
    spans.extend(encoded(line));
    spans.retain(|(from, to)| from < to && &line[*from..*to] != REMOVED);
    spans.sort_unstable();
    let (mut cleaned, mut at) = (String::with_capacity(line.len()), 0);
    for (from, to) in spans {
        let value = &line[from..to];
        if remember || looks_made_up(value) {
            scrubber.learn(value, true);
        }
        if let Some((_, password)) = value.split_once(':').filter(|_| line[..from].ends_with("://")) {
            scrubber.learn(password, true);
        }
        scrubber.learn_within(value);
        if to <= at {
            continue;
        }
        cleaned.push_str(&line[at..from.max(at)]);
        // Two that touch are shown as one.
        if from > at || at == 0 {
            cleaned.push_str(REMOVED);
        }
        scrubber.note(place);
        at = to;
    }
    cleaned.push_str(&line[at..]);
    cleaned
}

/// Whether a value that stood in a log after a name that speaks of a secret is one to be looked for elsewhere, and no word
/// of a sentence.
fn looks_made_up(value: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| value.as_bytes().iter().any(kind);
    value.len() >= 8 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !value.contains(' ')
}

type Span = (usize, usize);

/// `user:password` in `scheme://user:password@host`.
fn userinfo(line: &str) -> Vec<Span> {
    let starts = line.match_indices("://").map(|(at, _)| at + 3);
    starts
        .filter_map(|from| {
            let rest = &line[from..];
            let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'<>\\,".contains(c)).unwrap_or(rest.len());
            // A password may hold what ends an address: then the last @ before a blank counts.
            let at = rest[..end].rfind('@').or_else(|| {
                let word = rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
                let at = rest[..word].find('@')?;
                rest[..at].contains(':').then_some(at)
            })?;
            Some((from, from + at))
        })
        .collect()
}

/// User and password of every address in a text.
pub(super) fn credentials(text: &str) -> Vec<(&str, &str)> {
    text.lines().flat_map(|line| userinfo(line).into_iter().filter_map(|(from, to)| line[from..to].split_once(':'))).collect()
}

/// The value in `name=value`, `name: value`, `"name":"value"` where the name speaks of a secret. In a configuration it goes
/// to the end of its line.
fn assigned(line: &str, configuration: bool) -> Vec<Span> {
    let signs = line.match_indices(['=', ':']).filter(|(at, _)| !line[*at..].starts_with("://"));
    let span = |(at, _): (usize, &str)| {
        let before = line[..at].trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'', '\\', ']']);
        let of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let start = before.char_indices().rev().take_while(|(_, c)| of_name(*c)).last().map_or(before.len(), |(at, _)| at);
        let name = &before[start..];
        (!name.is_empty() && is_secret(name)).then(|| value_after(line, at + 1, name, configuration))?
    };
    signs.filter_map(span).collect()
}

/// Where a value begins and ends that stands somewhere after this place.
fn value_after(line: &str, from: usize, name: &str, configuration: bool) -> Option<Span> {
    // `==`, `:=`, `: "` and, in JSON in JSON, `\":\"` all lead to a value.
    let rest = line[from..].trim_start_matches(['=', ':', ' ', '\t', '\\']);
    let from = line.len() - rest.len();
    let whole = ["authorization", "cookie"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    let length = match rest.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = &rest[1..];
            let escaped = line[..from].ends_with('\\');
            let length =
                if configuration && !ends_well(inner, quote) { inner.rfind(quote) } else { closing(inner, quote, escaped) };
            return Some((from + 1, from + 1 + length.unwrap_or(inner.len())));
        }
        '[' | '{' => enclosed(rest),
        _ if configuration => rest.trim_end().len(),
        _ if whole => rest.find(['"', '\'']).unwrap_or(rest.len()),
        _ => rest.find(|c: char| c.is_whitespace() || ",;&\"'`)}]<>\\".contains(c)).unwrap_or(rest.len()),
    };
    Some((from, from + length))
}

/// How long a list or an object is that a text begins with; to the text's end where it is not closed.
fn enclosed(text: &str) -> usize {
    let (mut depth, mut quoted, mut backslashes, mut usual) = (0, false, 0, None);
    for (at, c) in text.char_indices() {
        match c {
            // A quote with more backslashes than the first one had stands in a text.
            '"' => quoted ^= *usual.get_or_insert(backslashes) == backslashes,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted && depth == 1 => return at + 1,
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    text.len()
}

/// Where a quoted text ends: at a quote without a backslash, or, where its first one has one, at the next that has too.
fn closing(inner: &str, quote: char, escaped: bool) -> Option<usize> {
    let mut backslashes = 0;
    for (at, c) in inner.char_indices() {
        match c {
            '\\' => backslashes += 1,
            c if c == quote && escaped && backslashes > 0 => return Some(at - backslashes),
            c if c == quote && backslashes % 2 == 0 => return Some(at),
            _ => backslashes = 0,
        }
    }
    None
}

/// Whether what follows the closing quote is what follows a value.
fn ends_well(inner: &str, quote: char) -> bool {
    let rest = closing(inner, quote, false).map_or("", |at| &inner[at + 1..]);
    rest.trim_start().chars().next().is_none_or(|c| ",;}])#".contains(c))
}

/// The word after `--password`.
fn flagged(line: &str) -> Vec<Span> {
    let words: Vec<Span> = line
        .split_whitespace()
        .map(|word| {
            // Both are of the same text.
            let from = word.as_ptr() as usize - line.as_ptr() as usize;
            (from, from + word.len())
        })
        .collect();
    let flag =
        |(from, to): Span| line[from..to].starts_with('-') && !line[from..to].contains(['=', ':']) && is_secret(&line[from..to]);
    words.windows(2).filter(|pair| flag(pair[0]) && !line[pair[1].0..].starts_with('-')).map(|pair| pair[1]).collect()
}

/// What follows `Bearer` and the like.
fn schemed(line: &str) -> Vec<Span> {
    let lower = line.to_ascii_lowercase();
    let found = SCHEMES.iter().flat_map(|scheme| lower.match_indices(scheme).map(|(at, word)| at + word.len()));
    found.map(|from| (from, from + run(&line[from..]))).filter(|(from, to)| to - from >= LEAST_TOKEN / 2).collect()
}

/// Tokens that are JSON in base64.
fn encoded(line: &str) -> Vec<Span> {
    let found = line.match_indices(ENCODED_JSON).map(|(from, _)| (from, from + run(&line[from..])));
    found.filter(|(from, to)| to - from >= LEAST_TOKEN).collect()
}

/// How many characters of a token a text begins with.
fn run(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || "._~+/=-".contains(c))).unwrap_or(text.len())
}
