//! A page of text: headings, fields and items, wrapped to its width.

use super::words::plain;

/// Width of a page in columns, where nobody says another.
const WIDTH: usize = 80;
/// Column at which the values of fields begin.
const VALUE_COLUMN: usize = 10;

/// What a page is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Paint {
    /// Text only, of the same width everywhere.
    Plain,
    /// A terminal.
    Terminal {
        /// How wide it is.
        columns: u16,
        /// Whether it gets colours.
        colours: bool,
    },
}

impl Paint {
    /// Whether to colour.
    pub(in crate::cli) fn colours(self) -> bool {
        matches!(self, Paint::Terminal { colours: true, .. })
    }

    /// The width, where it is a terminal's.
    pub(in crate::cli) fn columns(self) -> Option<usize> {
        match self {
            Paint::Plain => None,
            Paint::Terminal { columns, .. } => Some(columns.into()),
        }
    }
}

/// Lines that lay themselves out.
pub(super) trait Block {
    /// The lines, on a terminal for its width.
    fn text(&self, columns: Option<usize>) -> String;
}

impl Block for String {
    fn text(&self, _columns: Option<usize>) -> String {
        self.clone()
    }
}

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Something waits.
    Held,
    /// Something is wrong.
    Bad,
    /// A heading.
    Heading,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Held => "33",
            Tone::Bad => "31",
            Tone::Heading => "1",
        }
    }
}

/// A page being written.
pub(super) struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    pub fn new(paint: Paint) -> Page {
        Page { text: String::new(), paint }
    }

    pub fn finish(self) -> String {
        self.text
    }

    /// An empty line, unless the page is empty.
    pub fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// Text from the left edge.
    pub fn sentence(&mut self, text: &str, tone: Tone) {
        let text = wrap(text, "", "", self.width());
        self.painted(text.trim_end(), tone);
        self.text.push('\n');
    }

    /// A heading on a line of its own, after an empty line.
    pub fn heading(&mut self, text: &str) {
        self.gap();
        self.painted(&plain(text), Tone::Heading);
        self.text.push('\n');
    }

    /// A name and its value; more lines of the value stand below each other.
    pub fn field(&mut self, name: &str, value: &str) {
        let first = format!("{name:<VALUE_COLUMN$}");
        self.text.push_str(&wrap(value, &first, &" ".repeat(VALUE_COLUMN), self.width()));
    }

    /// One of a list, indented.
    pub fn item(&mut self, text: &str) {
        self.text.push_str(&wrap(text, "  ", "    ", self.width()));
    }

    /// Lines that lay themselves out.
    pub fn block(&mut self, lines: &dyn Block) {
        self.text.push_str(&lines.text(self.paint.columns()));
    }

    fn width(&self) -> usize {
        self.paint.columns().unwrap_or(WIDTH)
    }

    fn painted(&mut self, text: &str, tone: Tone) {
        if self.paint.colours() {
            self.text.push_str(&format!("\x1b[{}m{text}\x1b[0m", tone.code()));
        } else {
            self.text.push_str(text);
        }
    }
}

/// Breaks text at spaces. A word that is longer than a line stands as it is, so that it can still be copied.
fn wrap(text: &str, first: &str, following: &str, width: usize) -> String {
    let text = plain(text);
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = following.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_hang() {
        let text = "word ".repeat(20);
        let wrapped = wrap(&text, "  ", "    ", WIDTH);
        assert_eq!(wrapped, format!("  {}\n    {}\n", ["word"; 15].join(" "), ["word"; 5].join(" ")));
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn long_words_stay_whole() {
        let long = "x".repeat(100);
        assert_eq!(wrap(&format!("a {long} b"), "", " ", WIDTH), format!("a\n {long}\n b\n"));
    }

    #[test]
    fn colours_only_where_asked_for() {
        let page = |paint| {
            let mut page = Page::new(paint);
            page.sentence("fine", Tone::Good);
            page.finish()
        };
        assert_eq!(page(Paint::Plain), "fine\n");
        assert_eq!(page(Paint::Terminal { columns: 40, colours: false }), "fine\n");
        assert_eq!(page(Paint::Terminal { columns: 40, colours: true }), "\x1b[32mfine\x1b[0m\n");
    }
}
