//! Download and update windows against the clock.

use holdfast_plan::policy::{Gate, Now, Opening, Windows};

use super::Zone;

/// Whether a window is open. A window that cannot be read keeps its gate closed: whoever set one meant to hold something
/// back. So does a clock that is not set.
pub(super) fn gate(text: &str, variable: &str, what: &str, zone: &Zone, now: Now) -> Gate {
    let windows: Windows = match text.parse() {
        Ok(windows) => windows,
        Err(wrong) => {
            return Gate::Until {
                wall_ms: None,
                why: format!("the device variable {variable} cannot be understood, correct it: {wrong}"),
            };
        }
    };
    let Some(wall_ms) = now.wall_ms else {
        return Gate::Until { wall_ms: None, why: format!("the clock is not set, so the {what} window {text} cannot be kept") };
    };
    match windows.opening(wall_ms.div_euclid(1000), |at| zone.offset_s(at)) {
        Opening::OpenUntil(_) => Gate::Open,
        Opening::ClosedUntil(at) => {
            Gate::Until { wall_ms: Some(at * 1000), why: format!("the {what} window {text} opens {}", local_text(at, zone)) }
        }
    }
}

/// `2026-11-16 22:00` in local time.
fn local_text(unix_s: i64, zone: &Zone) -> String {
    let local = unix_s + zone.offset_s(unix_s);
    match tz::UtcDateTime::from_timespec(local, 0) {
        Ok(t) => format!("{:04}-{:02}-{:02} {:02}:{:02}", t.year(), t.month(), t.month_day(), t.hour(), t.minute()),
        Err(_) => format!("at {unix_s} s since 1970"),
    }
}
