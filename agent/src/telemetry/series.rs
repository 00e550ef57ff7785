//! The history of one subject: the last day finely, the last week and the last month ever more coarsely.

use std::time::Duration;

use super::column::{Columns, Gathered, Row};
use super::ring::{CHUNK_ROWS, Ring, Shape};

/// How many degrees of fineness there are.
pub(super) const TIERS: usize = 3;
/// Rows of each: a day of minutes, a week of quarters of an hour, and the whole of what is kept.
const ROWS: [usize; TIERS] = [1440, 672, 360];
/// Steps of the second, and what steps of the third are a multiple of, ms.
const MIDDLE_STEP_MS: i64 = 15 * 60_000;
/// The most points one answer has of one subject.
pub const MOST_POINTS: usize = 1500;

/// The shapes of a series' rings, finest first.
pub(super) fn shapes(interval: Duration, retention: Duration) -> [Shape; TIERS] {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1);
    let (interval, retention) = (ms(interval), ms(retention));
    let coarse = (retention / ROWS[2] as i64).max(1) as u64;
    let steps = [interval, MIDDLE_STEP_MS.max(interval), coarse.next_multiple_of(MIDDLE_STEP_MS as u64) as i64];
    std::array::from_fn(|tier| {
        let needed = usize::try_from(retention / steps[tier]).unwrap_or(usize::MAX);
        Shape { step_ms: steps[tier], rows: needed.clamp(1, ROWS[tier]).next_multiple_of(CHUNK_ROWS) }
    })
}

/// The history of one subject.
#[derive(Clone, Debug)]
pub struct Series {
    pub(super) rings: [Ring; TIERS],
    columns: &'static Columns,
}

/// Rows in even steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// When the first step begins, ms since 1970.
    pub first_ms: i64,
    /// Length of a step, ms.
    pub step_ms: i64,
    /// What was measured in each.
    pub rows: Vec<Option<Row>>,
}

impl Series {
    pub(super) fn new(shapes: &[Shape; TIERS], columns: &'static Columns) -> Series {
        Series { rings: shapes.map(|shape| Ring::new(shape, columns)), columns }
    }

    /// What its columns are.
    pub fn columns(&self) -> &'static Columns {
        self.columns
    }

    pub(super) fn add(&mut self, at_ms: i64, row: &Row) {
        self.rings.iter_mut().for_each(|ring| ring.add(at_ms, row));
    }

    /// When something was last measured, ms since 1970.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        let [finest, ..] = &self.rings;
        finest.head().map(|head| head.step.saturating_mul(finest.shape().step_ms))
    }

    /// What was measured between two times, as one row.
    pub fn average(&self, from_ms: i64, to_ms: i64) -> Option<Row> {
        let ring = self.ring_for(from_ms);
        let step = ring.shape().step_ms;
        self.gather(ring, from_ms.div_euclid(step)..to_ms.div_euclid(step).saturating_add(1))
    }

    /// What was measured between two times, in steps as long as asked for or, where that is too fine, as fine as there is.
    pub fn points(&self, from_ms: i64, to_ms: i64, step_ms: i64) -> Points {
        let ring = self.ring_for(from_ms);
        let fine = ring.shape().step_ms;
        let least = (to_ms.saturating_sub(from_ms).max(0) / (MOST_POINTS as i64 - 1)).max(step_ms).max(1);
        let merged = least.saturating_add(fine - 1) / fine;
        let step_ms = fine.saturating_mul(merged);
        let (first, last) = (from_ms.div_euclid(step_ms), to_ms.div_euclid(step_ms));
        let row = |step: i64| {
            let begin = step.saturating_mul(merged);
            self.gather(ring, begin..begin.saturating_add(merged))
        };
        let rows = (first..last.saturating_add(1)).take(MOST_POINTS).map(row).collect();
        Points { first_ms: first.saturating_mul(step_ms), step_ms, rows }
    }

    /// The finest ring that goes back so far.
    fn ring_for(&self, from_ms: i64) -> &Ring {
        let [.., coarsest] = &self.rings;
        let goes_back = |ring: &&Ring| {
            let step = ring.shape().step_ms;
            ring.head().is_none() || ring.steps().start.saturating_sub(2).saturating_mul(step) <= from_ms
        };
        self.rings.iter().find(goes_back).unwrap_or(coarsest)
    }

    fn gather(&self, ring: &Ring, steps: std::ops::Range<i64>) -> Option<Row> {
        let kept = ring.steps();
        let mut gathered = Gathered::default();
        for row in (steps.start.max(kept.start)..steps.end.min(kept.end)).filter_map(|step| ring.row(step)) {
            gathered.add(&row, self.columns);
        }
        (!gathered.is_empty()).then(|| gathered.row(self.columns))
    }
}
