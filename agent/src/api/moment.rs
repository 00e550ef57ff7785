//! Points in time as answers carry them: relative always, as a date where the clock can be trusted.

use holdfast_plan::policy::Now;
use serde::Serialize;

use super::reading::read_by_field;

pub(super) use crate::calendar::date;
pub use crate::calendar::rfc3339;

/// A moment that has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ago {
    /// How long ago, ms.
    pub ago_ms: i64,
    /// When, RFC 3339 in UTC, if the clock is trusted.
    pub utc: Option<String>,
}

read_by_field!(Ago { ago_ms, utc });

/// A moment to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ahead {
    /// How long from now, ms; 0 when it is due.
    pub in_ms: i64,
    /// When, RFC 3339 in UTC, if the clock is trusted.
    pub utc: Option<String>,
}

read_by_field!(Ahead { in_ms, utc });

impl Ago {
    /// From a time since boot, ms.
    pub fn from_boot(boot_ms: i64, now: Now) -> Ago {
        let ago_ms = now.boot_ms.saturating_sub(boot_ms).max(0);
        Ago { ago_ms, utc: now.wall_ms.map(|wall| rfc3339(wall.saturating_sub(ago_ms))) }
    }

    /// From a wall clock time, ms since 1970. `None` while this device's clock is not trusted: it could only mislead.
    pub fn from_wall(wall_ms: i64, now: Now) -> Option<Ago> {
        now.wall_ms.map(|wall| Ago { ago_ms: wall.saturating_sub(wall_ms).max(0), utc: Some(rfc3339(wall_ms)) })
    }
}

impl Ahead {
    /// From a time since boot, ms.
    pub fn from_boot(boot_ms: i64, now: Now) -> Ahead {
        let in_ms = boot_ms.saturating_sub(now.boot_ms).max(0);
        Ahead { in_ms, utc: now.wall_ms.map(|wall| rfc3339(wall.saturating_add(in_ms))) }
    }

    /// From a wall clock time, ms since 1970. `None` while this device's clock is not trusted.
    pub fn from_wall(wall_ms: i64, now: Now) -> Option<Ahead> {
        now.wall_ms.map(|wall| Ahead { in_ms: wall_ms.saturating_sub(wall).max(0), utc: Some(rfc3339(wall_ms)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untrusted_clock_gives_no_dates() {
        let lost = Now { wall_ms: None, machine_ms: 0, boot_ms: 5_000 };
        assert_eq!(Ago::from_boot(2_000, lost), Ago { ago_ms: 3_000, utc: None });
        assert_eq!(Ago::from_wall(1, lost), None);
        let known = Now { wall_ms: Some(1_767_225_600_000), machine_ms: 0, boot_ms: 5_000 };
        assert_eq!(Ahead::from_boot(6_000, known).utc.as_deref(), Some("2026-01-01T00:00:01.000Z"));
        assert_eq!(Ahead::from_boot(1_000, known).in_ms, 0);
    }
}
