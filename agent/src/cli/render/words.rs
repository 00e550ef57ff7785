//! Times, sizes, commits and images, short enough to be read.

/// A length of time, its two largest units.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) if minutes < 5 && seconds % 60 > 0 => format!("{minutes} min {} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) if minutes % 60 > 0 => format!("{hours} h {} min", minutes % 60),
        (0, hours, _) => format!("{hours} h"),
        (days, hours, _) if hours % 24 > 0 => format!("{days} d {} h", hours % 24),
        (days, ..) => format!("{days} d"),
    }
}

/// A number of bytes.
pub(in crate::cli) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A commit's first seven characters.
pub(super) fn commit(commit: &str) -> String {
    commit.chars().take(7).collect()
}

/// An image: twelve digits of its digest (or id), else its last name with the tag.
pub(super) fn image(reference: &str) -> String {
    let digest =
        reference.rsplit_once('@').map(|(_, digest)| digest).or_else(|| reference.starts_with("sha256:").then_some(reference));
    match digest.and_then(|digest| digest.split_once(':')) {
        Some((_, digits)) => digits.chars().take(12).collect(),
        None => reference.rsplit('/').next().unwrap_or(reference).to_owned(),
    }
}

/// A bar that fills up.
pub(super) fn bar(percent: u8) -> String {
    const CELLS: usize = 20;
    let full = usize::from(percent.min(100)) * CELLS / 100;
    format!("[{}{}] {percent} %", "#".repeat(full), "-".repeat(CELLS - full))
}

/// Text without control characters: names and errors come from outside and must not steer the terminal.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || c == '\t' {
                ' '
            } else if c.is_control() {
                '?'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (ms, text) in [
            (-5, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (3_599_000, "59 min"),
            (3_600_000, "1 h"),
            (5_400_000, "1 h 30 min"),
            (86_400_000, "1 d"),
            (100_000_000, "1 d 3 h"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }

    #[test]
    fn sizes_and_bars() {
        assert_eq!([size(0), size(1023), size(4096), size(1_500_000)], ["0 B", "1023 B", "4.0 KiB", "1.4 MiB"]);
        assert_eq!(size(u64::MAX), "16777216 TiB");
        assert_eq!(bar(45), "[#########-----------] 45 %");
        assert_eq!(bar(100), "[####################] 100 %");
        assert_eq!(bar(0), "[--------------------] 0 %");
    }

    #[test]
    fn images_and_commits() {
        assert_eq!(image("localhost:5000/v2/ab@sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(image("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(image("registry/team/app:1.2"), "app:1.2");
        assert_eq!(commit("0123456789"), "0123456");
        assert_eq!(commit("abc"), "abc");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{9b}"), "a?[2Jb c?");
    }
}
