//! A fixed number of rows, one for each step of time, the newest pushing the oldest out.
//!
//! Times are not stored: a row's place says how many steps it lies before the newest. So they can neither run backwards nor
//! stand twice, whatever the clock does, and a row costs 22 bytes.

use super::column::{COLUMNS, Columns, Fold, Gathered, Row};
use super::packed::{pack, unpack};

/// Rows that are written to storage together.
pub(super) const CHUNK_ROWS: usize = 24;
/// Bytes of such a piece, at most.
pub(super) const CHUNK_BYTES: usize = CHUNK_ROWS * COLUMNS * 2;
/// The most rows a ring can have: each chunk has a bit of its own in a word.
pub(super) const MOST_ROWS: usize = CHUNK_ROWS * 64;

/// How long the steps of a ring are and how many it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub step_ms: i64,
    /// A multiple of [`CHUNK_ROWS`], at most [`MOST_ROWS`].
    pub rows: usize,
}

/// Where a ring stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The newest step, counted from 1970.
    pub step: i64,
    /// Its place.
    pub place: usize,
}

/// The ring.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    shape: Shape,
    columns: &'static Columns,
    head: Option<Head>,
    /// As much as was needed so far; what lies behind is empty.
    cells: Vec<u16>,
    /// The newest row before it was packed.
    open: Gathered,
    /// What packing took off sums in earlier rows: it goes into the next.
    carry: Row,
    /// Chunks that changed since they were last taken out, a bit for each.
    changed: u64,
}

impl Ring {
    pub fn new(shape: Shape, columns: &'static Columns) -> Ring {
        debug_assert!(shape.step_ms > 0 && shape.rows > 0 && shape.rows <= MOST_ROWS && shape.rows.is_multiple_of(CHUNK_ROWS));
        Ring { shape, columns, head: None, cells: Vec::new(), open: Gathered::default(), carry: [0; COLUMNS], changed: 0 }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes in what was measured at a time, ms since 1970. A time a little before the newest counts for the newest; one far
    /// before it means that the clock was ahead: then what is there is taken to lie right before it.
    pub fn add(&mut self, at_ms: i64, row: &Row) {
        let head = self.move_to(at_ms.div_euclid(self.shape.step_ms));
        self.open.add(row, self.columns);
        let whole = self.whole();
        self.put(head.place, &whole.map(pack));
    }

    /// The newest row, with what earlier ones could not hold.
    fn whole(&self) -> Row {
        let row = self.open.row(self.columns);
        std::array::from_fn(|place| row[place].saturating_add(self.carry[place]))
    }

    fn move_to(&mut self, step: i64) -> Head {
        let Some(head) = self.head else {
            let head = Head { step, place: 0 };
            self.head = Some(head);
            return head;
        };
        let steps = match step.saturating_sub(head.step) {
            -1 | 0 => return head,
            back if back < 0 => 1,
            ahead => usize::try_from(ahead).unwrap_or(usize::MAX),
        };
        let whole = self.whole();
        for (place, column) in self.columns.iter().enumerate() {
            // What a row cannot hold is not carried past a gap: it was long ago.
            let keeps = column.fold == Fold::Sum && steps < self.shape.rows;
            self.carry[place] = if keeps { whole[place] - unpack(pack(whole[place])) } else { 0 };
        }
        self.open = Gathered::default();
        let place = self.clear_ahead(head.place, steps);
        let head = Head { step, place };
        self.head = Some(head);
        head
    }

    /// Empties the next places and returns the last of them.
    fn clear_ahead(&mut self, from: usize, steps: usize) -> usize {
        if steps >= self.shape.rows {
            self.cells = Vec::new();
            self.changed = u64::MAX;
            return 0;
        }
        let mut place = from;
        for _ in 0..steps {
            place = (place + 1) % self.shape.rows;
            if place * COLUMNS < self.cells.len() {
                self.put(place, &[0; COLUMNS]);
            }
        }
        place
    }

    fn put(&mut self, place: usize, packed: &[u16; COLUMNS]) {
        let chunk = place / CHUNK_ROWS;
        let needed = (chunk + 1) * CHUNK_ROWS * COLUMNS;
        if self.cells.len() < needed {
            self.cells.reserve_exact(needed - self.cells.len());
            self.cells.resize(needed, 0);
        }
        self.cells[place * COLUMNS..][..COLUMNS].copy_from_slice(packed);
        self.changed |= 1 << chunk;
    }

    /// The row of a step; `None` where nothing was measured.
    pub fn row(&self, step: i64) -> Option<Row> {
        let head = self.head?;
        let back = usize::try_from(head.step.checked_sub(step)?).ok().filter(|back| *back < self.shape.rows)?;
        let place = (head.place + self.shape.rows - back) % self.shape.rows;
        let cells = self.cells.get(place * COLUMNS..(place + 1) * COLUMNS)?;
        (cells[0] > 0).then(|| std::array::from_fn(|column| unpack(cells[column])))
    }

    /// The steps that are kept, oldest first, whether or not anything was measured in them.
    pub fn steps(&self) -> std::ops::Range<i64> {
        let rows = self.shape.rows as i64;
        self.head.map_or(0..0, |head| head.step.saturating_sub(rows - 1)..head.step.saturating_add(1))
    }

    /// Takes in what another ring kept in steps of another length.
    pub fn absorb(&mut self, other: &Ring) {
        for step in other.steps() {
            if let Some(row) = other.row(step) {
                self.add(step.saturating_mul(other.shape.step_ms), &row);
            }
        }
    }

    /// Whether anything changed since it was last taken out.
    pub fn is_changed(&self) -> bool {
        self.changed != 0
    }

    /// What changed: numbers of chunks, and their bytes.
    pub fn take_changes(&mut self) -> Vec<(usize, Vec<u8>)> {
        let changed = std::mem::take(&mut self.changed);
        let chunks = (0..self.shape.rows / CHUNK_ROWS).filter(|chunk| changed & (1 << chunk) != 0);
        let bytes = |chunk: usize| {
            let begin = (chunk * CHUNK_ROWS * COLUMNS).min(self.cells.len());
            let end = (begin + CHUNK_ROWS * COLUMNS).min(self.cells.len());
            self.cells[begin..end].iter().flat_map(|cell| cell.to_le_bytes()).collect()
        };
        chunks.map(|chunk| (chunk, bytes(chunk))).collect()
    }

    /// Everything has to be written again.
    pub fn all_changed(&mut self) {
        self.changed = u64::MAX;
    }

    /// A ring from what was written of it; `None` when that cannot be one.
    pub fn restore(shape: Shape, columns: &'static Columns, head: Head, chunks: &[(usize, Vec<u8>)]) -> Option<Ring> {
        let sound = shape.step_ms > 0 && (1..=MOST_ROWS).contains(&shape.rows) && shape.rows.is_multiple_of(CHUNK_ROWS);
        if !sound || head.place >= shape.rows || head.step < 0 || head.step.checked_mul(shape.step_ms).is_none() {
            return None;
        }
        let mut ring = Ring::new(shape, columns);
        let used = chunks.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(chunk, _)| chunk + 1).max().unwrap_or(0);
        ring.cells.reserve_exact(used.min(shape.rows / CHUNK_ROWS) * CHUNK_ROWS * COLUMNS);
        for (chunk, bytes) in chunks.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            // What lies behind the end is left from a longer one.
            if *chunk >= shape.rows / CHUNK_ROWS {
                continue;
            }
            if bytes.len() != CHUNK_BYTES {
                return None;
            }
            for (row, bytes) in bytes.chunks_exact(COLUMNS * 2).enumerate() {
                let cell = |column: usize| u16::from_le_bytes([bytes[column * 2], bytes[column * 2 + 1]]);
                ring.put(chunk * CHUNK_ROWS + row, &std::array::from_fn(cell));
            }
        }
        ring.head = Some(head);
        ring.changed = 0;
        if let Some(newest) = ring.row(head.step) {
            ring.open.add(&newest, columns);
        }
        Some(ring)
    }
}

#[cfg(test)]
mod tests;
