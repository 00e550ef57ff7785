//! How full a disk may get.

use serde::Serialize;

/// The share of a disk that downloads may fill, percent of its size: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Watermark(u64);

impl Watermark {
    /// Where nothing else is asked for. The rest is for what applications write, and file systems slow down when full.
    pub const DEFAULT: Watermark = Watermark(90);

    /// Percent of the disk's size.
    pub fn percent(self) -> u64 {
        self.0
    }

    /// How many bytes of a disk of this size may be taken.
    pub fn of(self, total_bytes: u64) -> u64 {
        // In 128 bits: a hundred times a disk's size need not fit into 64.
        u64::try_from(u128::from(total_bytes) * u128::from(self.0) / 100).unwrap_or(u64::MAX)
    }
}

impl Default for Watermark {
    fn default() -> Self {
        Watermark::DEFAULT
    }
}

impl std::str::FromStr for Watermark {
    type Err = String;

    /// Reads `85` or `85 %`; the error says what was expected.
    fn from_str(text: &str) -> Result<Watermark, String> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse() {
            Ok(percent @ 1..=100) => Ok(Watermark(percent)),
            _ => Err(format!("\"{}\" is not a percentage from 1 to 100", text.chars().take(40).collect::<String>())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_as_people_write_them() {
        for text in ["85", " 85 ", "85%", "85 %"] {
            assert_eq!(text.parse::<Watermark>().unwrap().percent(), 85, "{text}");
        }
        for text in ["", "0", "101", "-1", "ninety", "0.9", "%"] {
            assert!(text.parse::<Watermark>().unwrap_err().contains("from 1 to 100"), "{text}");
        }
    }

    #[test]
    fn of_any_disk() {
        assert_eq!(Watermark::DEFAULT.of(1_000), 900);
        assert_eq!("100".parse::<Watermark>().unwrap().of(u64::MAX), u64::MAX);
    }
}
