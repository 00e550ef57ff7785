//! The clock: set, and right.

use std::time::UNIX_EPOCH;

use super::network;
use crate::calendar::{rfc3339, seconds_of};
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;

/// Beyond this a clock is not well kept, and beyond that certificates and schedules go wrong, seconds.
const OFF_S: i64 = 30;
const WRONG_S: i64 = 300;
/// How much later than now a file may have been written, ms.
const SLACK_MS: i64 = 60_000;

const REMEDY: &str = "see that time synchronisation runs (timedatectl) and that UDP port 123 is not blocked; ntpServers in config.json names other servers";

/// Whether the clock is set, and how far it is from the cloud's.
pub(super) async fn clock(scene: &Scene) -> Judgement {
    let answer = network::answer(scene).await;
    let now = scene.clock.now();
    let mark = scene.on_host("/run/systemd/timesync/synchronized");
    let written = std::fs::metadata(&scene.settings.database)
        .ok()
        .and_then(|file| i64::try_from(file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok());
    judge(&Seen {
        now_ms: now.machine_ms,
        trusted: now.wall_ms.is_some(),
        cloud_ahead_s: answer.ok().and_then(|answer| answer.ahead_s),
        written_ms: written,
        synchronised: mark.exists(),
    })
}

struct Seen {
    now_ms: i64,
    /// Whether it says at least the year of this agent.
    trusted: bool,
    /// How far the cloud's clock is ahead.
    cloud_ahead_s: Option<i64>,
    /// When the database was last written.
    written_ms: Option<i64>,
    synchronised: bool,
}

fn judge(seen: &Seen) -> Judgement {
    let says = rfc3339(seen.now_ms);
    if !seen.trusted {
        return Judgement::failed(format!("it was never set: it says {says}"), REMEDY);
    }
    if let Some(ahead) = seen.cloud_ahead_s {
        let way = if ahead > 0 { "behind" } else { "ahead of" };
        let sentence = format!("it is {} s {way} the cloud's", ahead.unsigned_abs());
        return match ahead.unsigned_abs() {
            off if off > WRONG_S.unsigned_abs() => Judgement::failed(format!("{sentence}: it says {says}"), REMEDY),
            off if off > OFF_S.unsigned_abs() => Judgement::warning(sentence, REMEDY),
            _ => Judgement::ok(sentence),
        };
    }
    if seen.written_ms.is_some_and(|written| written.saturating_sub(seen.now_ms) > SLACK_MS) {
        return Judgement::failed(format!("it went back: it says {says}, and the database was written later than that"), REMEDY);
    }
    Judgement::ok(if seen.synchronised {
        format!("it is set and was synchronised since the machine started: {says}")
    } else {
        format!("it is set: {says}; no cloud answers that could tell whether it is right")
    })
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let time: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = time[..] else { return None };
    seconds_of([year.parse().ok()?, i64::try_from(month).ok()? + 1, day.parse().ok()?], [hour, minute, second])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;

    #[test]
    fn clocks_at_their_edges() {
        let seen = |trusted, cloud_ahead_s, written_ms| Seen {
            now_ms: 1_800_000_000_000,
            trusted,
            cloud_ahead_s,
            written_ms,
            synchronised: false,
        };
        let verdict = |seen: Seen| judge(&seen).verdict;
        assert_eq!(verdict(seen(false, Some(0), None)), Verdict::Failed);
        for (ahead, expected) in [
            (30, Verdict::Ok),
            (31, Verdict::Warning),
            (300, Verdict::Warning),
            (301, Verdict::Failed),
            (i64::MIN, Verdict::Failed),
        ] {
            assert_eq!(verdict(seen(true, Some(ahead), None)), expected, "{ahead}");
            assert_eq!(verdict(seen(true, Some(ahead.saturating_neg()), None)), expected, "-{ahead}");
        }
        assert_eq!(verdict(seen(true, None, Some(1_800_000_060_000))), Verdict::Ok);
        assert_eq!(verdict(seen(true, None, Some(1_800_000_060_001))), Verdict::Failed);
        assert_eq!(verdict(seen(true, None, None)), Verdict::Ok);
        assert!(judge(&seen(true, Some(40), None)).sentence.contains("40 s behind the cloud's"));
    }

    #[test]
    fn dates_of_http() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for text in
            ["", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nob 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "a b c d e GMT"]
        {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
