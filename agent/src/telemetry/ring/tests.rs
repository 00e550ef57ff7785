//! Sums, bounds and times, whatever comes and whenever.

use super::*;
use crate::telemetry::column::{CONTAINER, LOOKS, NETWORK};
use proptest::prelude::*;

const SHAPE: Shape = Shape { step_ms: 1000, rows: 48 };

fn ring() -> Ring {
    Ring::new(SHAPE, &CONTAINER)
}

fn row(cpu: u64, network_in: u64) -> Row {
    [1, cpu, cpu, 7, 7, network_in, 0, 0, 0, 0, 1]
}

fn rows(ring: &Ring) -> Vec<(i64, Row)> {
    ring.steps().filter_map(|step| Some((step, ring.row(step)?))).collect()
}

#[test]
fn looks_of_one_step_become_one_row() {
    let mut ring = ring();
    for (at, cpu) in [(10_000, 10), (10_400, 20), (10_999, 60)] {
        ring.add(at, &row(cpu, 5));
    }
    assert_eq!(rows(&ring), [(10, [3, 30, 60, 7, 7, 15, 0, 0, 0, 0, 1])]);
}

#[test]
fn gaps_stay_gaps_and_the_oldest_go() {
    let mut ring = ring();
    for at in [0, 1000, 5000, 47_000] {
        ring.add(at, &row(1, 1));
    }
    assert_eq!(rows(&ring).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1, 5, 47]);
    ring.add(49_000, &row(1, 1));
    assert_eq!(rows(&ring).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [5, 47, 49]);
    ring.add(49_000 + 48_000, &row(1, 1));
    assert_eq!(rows(&ring).len(), 1, "a gap longer than all there is");
}

#[test]
fn a_clock_that_jumps_back_moves_the_past_along() {
    let mut ring = ring();
    for at in [100_000, 101_000, 102_000] {
        ring.add(at, &row(1, 1));
    }
    ring.add(101_900, &row(1, 1));
    assert_eq!(rows(&ring).last().unwrap().1[LOOKS], 2, "a little back is the newest step");
    ring.add(50_000, &row(9, 1));
    let found: Vec<(i64, u64)> = rows(&ring).iter().map(|(step, row)| (*step, row[1])).collect();
    assert_eq!(found, [(47, 1), (48, 1), (49, 1), (50, 9)]);
}

#[test]
fn what_is_written_comes_back() {
    let mut ring = ring();
    (0..100).filter(|at| at % 7 != 3).for_each(|at| ring.add(at * 1000, &row(at as u64, 100_000 + at as u64)));
    let mut chunks = ring.take_changes();
    assert!(!ring.is_changed() && chunks.len() == 2);
    ring.add(100_500, &row(5, 5));
    let later = ring.take_changes();
    assert_eq!(later.len(), 1, "only what changed");
    chunks.retain(|(chunk, _)| *chunk != later[0].0);
    chunks.extend(later);
    let back = Ring::restore(SHAPE, &CONTAINER, ring.head().unwrap(), &chunks).unwrap();
    assert_eq!(rows(&back), rows(&ring));
    let (mut back, mut ring) = (back, ring);
    back.add(100_900, &row(7, 5));
    ring.add(100_900, &row(7, 5));
    assert_eq!(rows(&back), rows(&ring), "the newest row goes on");
}

#[test]
fn what_cannot_be_a_ring_is_none() {
    let head = Head { step: 5, place: 5 };
    let restore = |shape, head, chunks: &[(usize, Vec<u8>)]| Ring::restore(shape, &CONTAINER, head, chunks);
    assert!(restore(SHAPE, head, &[(0, vec![1; CHUNK_BYTES])]).is_some());
    assert!(restore(SHAPE, head, &[(0, vec![1; CHUNK_BYTES]), (2, vec![1; 3])]).is_some(), "left from a longer one");
    assert!(restore(SHAPE, head, &[(0, vec![1; CHUNK_BYTES - 1])]).is_none());
    for shape in [Shape { step_ms: 0, rows: 48 }, Shape { step_ms: 1, rows: 47 }, Shape { step_ms: 1, rows: 24 * 65 }] {
        assert!(restore(shape, head, &[]).is_none(), "{shape:?}");
    }
    for head in [Head { step: -1, place: 0 }, Head { step: i64::MAX, place: 0 }, Head { step: 1, place: 48 }] {
        assert!(restore(SHAPE, head, &[]).is_none(), "{head:?}");
    }
}

#[test]
fn steps_of_another_length_are_taken_in() {
    let mut fine = ring();
    (0..40).for_each(|at| fine.add(at * 1000, &row(10, 100)));
    let mut coarse = Ring::new(Shape { step_ms: 4000, rows: 24 }, &CONTAINER);
    coarse.absorb(&fine);
    let found = rows(&coarse);
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|(_, row)| row[..6] == [4, 10, 10, 7, 7, 400]), "{found:?}");
}

proptest! {
    /// Nothing that passed is lost, nothing is invented, and there is never more than the ring holds.
    #[test]
    fn sums_are_kept(steps in proptest::collection::vec((0_i64..3000, 0_u64..1 << 40), 1..100)) {
        let mut ring = Ring::new(Shape { step_ms: 1000, rows: MOST_ROWS }, &CONTAINER);
        let (mut at, mut sum, mut peak) = (1_000_000, 0, 0);
        for (later, bytes) in steps {
            at += later;
            ring.add(at, &row(bytes, bytes));
            sum += bytes;
            peak = peak.max(bytes);
        }
        let found = rows(&ring);
        let kept: u64 = found.iter().map(|(_, row)| row[NETWORK[0]]).sum();
        let last = found.last().unwrap().1[NETWORK[0]];
        // The newest row is rounded until the next takes over what it could not hold.
        prop_assert!(kept <= sum && sum - kept <= last / 2048 + 1, "{sum} {kept}");
        prop_assert_eq!(found.iter().map(|(_, row)| row[2]).max(), Some(unpack(pack(peak))));
    }

    /// Means over all rows are the mean of all looks.
    #[test]
    fn means_are_kept(steps in proptest::collection::vec((0_i64..1500, 0_u64..1_000_000), 1..100)) {
        let mut ring = Ring::new(Shape { step_ms: 1000, rows: MOST_ROWS }, &CONTAINER);
        let mut at = 0;
        let mut gathered = Gathered::default();
        for (later, cpu) in &steps {
            at += later;
            ring.add(at, &row(*cpu, 0));
        }
        rows(&ring).iter().for_each(|(_, row)| gathered.add(row, &CONTAINER));
        let mean = steps.iter().map(|(_, cpu)| *cpu as f64).sum::<f64>() / steps.len() as f64;
        let found = gathered.row(&CONTAINER);
        prop_assert_eq!(found[LOOKS], steps.len() as u64);
        prop_assert!((found[1] as f64 - mean).abs() <= mean / 1000.0 + 1.0, "{mean} {found:?}");
    }

    /// Whatever the clock does, times only go forward, and the newest row is the last that came.
    #[test]
    fn times_only_go_forward(times in proptest::collection::vec(0_i64..10_000_000, 1..200)) {
        let mut ring = ring();
        for at in times {
            let before = ring.head();
            ring.add(at, &row(1, 1));
            let found = rows(&ring);
            prop_assert!(found.len() <= SHAPE.rows);
            prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let newest = found.last().unwrap();
            let step = at.div_euclid(SHAPE.step_ms);
            prop_assert!(newest.0 == step || before.is_some_and(|before| before.step == step + 1 && newest.0 == before.step));
            prop_assert!(newest.1[LOOKS] >= 1);
        }
    }

    /// No bytes in a file can do harm.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), CHUNK_BYTES), place in 0_usize..48, step in 0_i64..1 << 40, at: i64) {
        let head = Head { step, place };
        let mut ring = Ring::restore(SHAPE, &CONTAINER, head, &[(1, bytes)]).unwrap();
        ring.add(at, &[u64::MAX; COLUMNS]);
        ring.add(at.saturating_add(1000), &[u64::MAX; COLUMNS]);
        prop_assert!(rows(&ring).len() <= SHAPE.rows);
    }
}
