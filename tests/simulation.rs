//! The simulation, seed after seed: `HOLDFAST_SIMULATION_SEEDS` says how many (2,000 when it says nothing, ten times as many
//! with all the long variants), `HOLDFAST_SIMULATION_FIRST` where to begin.
// runs: beside the others
// profile: release

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use holdfast::sandbox::simulation::{self, Broken};

/// So many failing seeds are told of; more would say the same.
const TOLD: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs seeds on every core; returns the failing ones.
fn run(first: u64, count: u64) -> Vec<Broken> {
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failed.lock().unwrap().len() >= TOLD {
                        return;
                    }
                    if let Err(broken) = simulation::run(seed, None) {
                        failed.lock().unwrap().push(broken);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn every_seed_settles_and_keeps_the_rules() {
    let usual = if std::env::var_os("HOLDFAST_TEST_ALL").is_some() { 20_000 } else { 2_000 };
    let count = number("HOLDFAST_SIMULATION_SEEDS").unwrap_or(usual);
    let first = number("HOLDFAST_SIMULATION_FIRST").unwrap_or(0);
    let started = Instant::now();
    let failed = run(first, count);
    println!("{count} seeds from {first} in {:.1} s", started.elapsed().as_secs_f64());
    for broken in &failed {
        println!("{broken}\n  replay: cargo run -- simulate --seed {}", broken.seed);
        for line in &broken.story {
            println!("    {line}");
        }
    }
    assert!(failed.is_empty(), "{} seed(s) broke a rule", failed.len());
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let story = |seed| {
        let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let _ = simulation::run(seed, Some(std::sync::Arc::new(move |line: &str| kept.lock().unwrap().push(line.to_owned()))));
        std::mem::take(&mut *lines.lock().unwrap())
    };
    for seed in [3, 17, 42] {
        let (one, other) = (story(seed), story(seed));
        assert!(one.len() > 10);
        assert!(one == other, "seed {seed} differs from itself");
    }
}
