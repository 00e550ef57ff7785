//! os-release, the file by which an operating system says what it is.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::read_in;

/// The fields of os-release that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OsRelease {
    /// `PRETTY_NAME`.
    pub(super) pretty_name: Option<String>,
    /// `ID`.
    pub(super) id: Option<String>,
    /// `VERSION_ID`, else the first word of `VERSION`.
    pub(super) version: Option<String>,
    /// `VARIANT_ID`.
    pub(super) variant_id: Option<String>,
    /// `BALENA_BOARD_REV`, else `RESIN_BOARD_REV`.
    pub(super) board_rev: Option<String>,
}

/// Reads the host's os-release; empty when there is none.
pub(super) fn read(root: &Path) -> OsRelease {
    let text = read_in(root, "etc/os-release").or_else(|| read_in(root, "usr/lib/os-release"));
    parse(&text.unwrap_or_default())
}

fn parse(text: &str) -> OsRelease {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((key, value)) = line.split_once('=') {
            fields.insert(key.trim_end(), unquoted(value.trim()));
        }
    }
    let mut field = |key: &str| fields.remove(key).filter(|value| !value.is_empty());
    OsRelease {
        pretty_name: field("PRETTY_NAME"),
        id: field("ID"),
        version: field("VERSION_ID").or_else(|| Some(field("VERSION")?.split_whitespace().next()?.to_owned())),
        variant_id: field("VARIANT_ID"),
        board_rev: field("BALENA_BOARD_REV").or_else(|| field("RESIN_BOARD_REV")),
    }
}

/// A value as a shell would read it: quotes off, backslashes resolved except in single quotes.
fn unquoted(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split('\'').next().unwrap_or_default().to_owned();
    }
    let (inner, quoted) = value.strip_prefix('"').map_or((value, false), |inner| (inner, true));
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            '"' if quoted => break,
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{OsRelease, parse, read, unquoted};

    #[test]
    fn values_are_read_as_a_shell_would() {
        for (written, read) in [
            ("balenaOS", "balenaOS"),
            ("\"balenaOS 6.1.2\"", "balenaOS 6.1.2"),
            ("'single \\quoted'", "single \\quoted"),
            (r#""a \"b\" \$c \\d \`e""#, r#"a "b" $c \d `e"#),
            ("\"no end", "no end"),
            ("'no end", "no end"),
            ("\"trailing\\", "trailing"),
            ("", ""),
            ("\"", ""),
        ] {
            assert_eq!(unquoted(written), read, "{written}");
        }
    }

    #[test]
    fn the_fields_that_matter_are_found() {
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            ("", OsRelease::default()),
            (
                "NAME=\"balenaOS\"\r\nPRETTY_NAME=\"balenaOS 6.1.2\"\r\nVARIANT_ID=\"prod\"\r\n",
                OsRelease { pretty_name: some("balenaOS 6.1.2"), variant_id: some("prod"), ..OsRelease::default() },
            ),
            (
                "# PRETTY_NAME=no\nPRETTY_NAME='Debian'\nRESIN_BOARD_REV=old\nBALENA_BOARD_REV=\"new\"\nrubbish\n=\n",
                OsRelease { pretty_name: some("Debian"), board_rev: some("new"), ..OsRelease::default() },
            ),
            (
                "ID=balena-os\nVERSION=\"6.1.2 (x)\"\n",
                OsRelease { id: some("balena-os"), version: some("6.1.2"), ..OsRelease::default() },
            ),
            ("VARIANT_ID=\nRESIN_BOARD_REV=f0c8", OsRelease { board_rev: some("f0c8"), ..OsRelease::default() }),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_second_place_counts_when_the_first_is_missing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()), OsRelease::default());
        std::fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        std::fs::write(root.path().join("usr/lib/os-release"), "PRETTY_NAME=lib").unwrap();
        assert_eq!(read(root.path()).pretty_name.as_deref(), Some("lib"));
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), "PRETTY_NAME=etc").unwrap();
        assert_eq!(read(root.path()).pretty_name.as_deref(), Some("etc"));
    }
}
