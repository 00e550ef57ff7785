//! What `/v3/db` and `/v3/target/history` answer, as types that the command line reads back.

use std::collections::BTreeMap;

use holdfast_plan::policy::Now;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::moment::{Ago, date};
use super::reading::{FromAnswer, field, read_by_field};
use super::status::Database;
use crate::store::{Figures, Snapshot, SnapshotKind, Written};

/// The database in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DatabaseAnswer {
    /// How it is.
    pub database: Database,
    /// Its pages.
    pub pages: Pages,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// What was written since the agent started.
    pub writes: WritesAnswer,
}

/// Pages of the main file, and the log beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Bytes of a page.
    pub bytes_each: u64,
    /// All of them.
    pub all: u64,
    /// Those that hold nothing.
    pub free: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
}

/// What was written, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WritesAnswer {
    /// Whether this kernel counts bytes by thread; without it every number of bytes is 0.
    pub bytes_counted: bool,
    /// Since the agent started.
    pub since_start: BTreeMap<String, Written>,
    /// By day, the newest last.
    pub days: Vec<DayRow>,
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayRow {
    /// The day in UTC; `None` while the clock was not set.
    pub date: Option<String>,
    /// By cause.
    pub by_cause: BTreeMap<String, Written>,
}

impl DatabaseAnswer {
    pub(super) fn new(database: Database, figures: Figures) -> DatabaseAnswer {
        let Figures { page_bytes, pages, free_pages, log_bytes, rows, writes } = figures;
        let days = writes.days.into_iter().map(|day| DayRow { date: day.day.map(date), by_cause: day.by_cause });
        DatabaseAnswer {
            database,
            pages: Pages { bytes_each: page_bytes, all: pages, free: free_pages, log_bytes },
            rows,
            writes: WritesAnswer { bytes_counted: writes.bytes_counted, since_start: writes.since_start, days: days.collect() },
        }
    }
}

/// Past states, newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History {
    /// They.
    pub snapshots: Vec<SnapshotRow>,
}

/// A past state.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotRow {
    /// Grows with each.
    pub id: i64,
    /// What was wanted, or what was there.
    pub kind: SnapshotKind,
    /// When, if the clock was trusted then and is now.
    pub taken: Option<Ago>,
    /// Where a target came from.
    pub source: Option<String>,
    /// Whether only releases and images are left of a target that was too long to keep.
    pub shortened: bool,
    /// The state itself.
    pub state: Box<RawValue>,
}

read_by_field!(History { snapshots });

impl FromAnswer for SnapshotRow {
    fn from_answer(value: &Value) -> SnapshotRow {
        SnapshotRow {
            id: field(value, "id"),
            kind: if value["kind"] == "target" { SnapshotKind::Target } else { SnapshotKind::Current },
            taken: field(value, "taken"),
            source: field(value, "source"),
            shortened: field(value, "shortened"),
            // What was JSON a moment ago is JSON still.
            state: RawValue::from_string(value["state"].to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }
}

impl History {
    /// From what the store keeps.
    pub fn new(snapshots: Vec<Snapshot>, now: Now) -> History {
        let row = |snapshot: Snapshot| {
            let Snapshot { id, kind, taken_ms, source, shortened, state } = snapshot;
            let taken = taken_ms.and_then(|ms| Ago::from_wall(ms, now));
            // The schema lets nothing else in than JSON.
            let state = RawValue::from_string(state).ok()?;
            Some(SnapshotRow { id, kind, taken, source, shortened, state })
        };
        History { snapshots: snapshots.into_iter().filter_map(row).collect() }
    }
}
