//! The simulation, seed after seed: `HOLDFAST_SIMULATION_SEEDS` says how many (2,000 when it says nothing, ten times as many
//! with all the long variants), `HOLDFAST_SIMULATION_FIRST` where to begin.
//! Of one seed alone the whole story is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::sandbox::simulation::{self, Broken, Reader, Summary};

/// So many failing seeds are told of; more would say the same.
const TOLD: usize = 5;

/// A seed takes some tenths of a second. One that lasts this long goes round without ever waiting or looking at its clock: no
/// limit of simulated time ends that.
const STUCK: Duration = Duration::from_secs(900);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Seeds on their way, and what came of the others.
struct Seeds {
    next: AtomicU64,
    end: u64,
    running: Mutex<BTreeMap<u64, Instant>>,
    failed: Mutex<Vec<Broken>>,
    /// The most of each, over all seeds.
    most: Mutex<(u32, u32)>,
    reader: Option<Reader>,
}

impl Seeds {
    /// Takes seed after seed.
    fn work(&self) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end || self.failed.lock().unwrap().len() >= TOLD {
                return;
            }
            self.running.lock().unwrap().insert(seed, Instant::now());
            match simulation::run(seed, self.reader.clone()) {
                Ok(Summary { repeated, looks, .. }) => {
                    let mut most = self.most.lock().unwrap();
                    *most = (most.0.max(repeated), most.1.max(looks));
                }
                Err(broken) => self.failed.lock().unwrap().push(broken),
            }
            self.running.lock().unwrap().remove(&seed);
        }
    }

    /// Ends the whole process on account of a seed that does not end: its thread cannot be made to.
    fn end_if_stuck(&self) {
        let stuck = self.running.lock().unwrap().iter().find(|(_, since)| since.elapsed() > STUCK).map(|(seed, _)| *seed);
        if let Some(seed) = stuck {
            let seconds = STUCK.as_secs();
            // Not by the macro, whose output a test keeps to itself.
            let _ = writeln!(std::io::stderr(), "seed {seed}: no end after {seconds} s\n  replay: {}", replay(seed));
            std::process::exit(101);
        }
    }
}

fn replay(seed: u64) -> String {
    format!("cargo run -- simulate --seed {seed}")
}

/// Runs seeds on every core.
fn run(first: u64, count: u64) -> Seeds {
    let seeds = Seeds {
        next: AtomicU64::new(first),
        end: first + count,
        running: Mutex::default(),
        failed: Mutex::default(),
        most: Mutex::default(),
        // Of one seed alone the whole story.
        reader: (count == 1).then(|| Arc::new(|line: &str| println!("{line}")) as Reader),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(|| seeds.work())).collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(100));
            seeds.end_if_stuck();
        }
    });
    seeds
}

#[test]
fn every_seed_settles_and_keeps_the_rules() {
    let usual = if std::env::var_os("HOLDFAST_TEST_ALL").is_some() { 20_000 } else { 2_000 };
    let count = number("HOLDFAST_SIMULATION_SEEDS").unwrap_or(usual);
    let first = number("HOLDFAST_SIMULATION_FIRST").unwrap_or(0);
    let started = Instant::now();
    let seeds = run(first, count);
    let (failed, (repeated, looks)) = (seeds.failed.into_inner().unwrap(), seeds.most.into_inner().unwrap());
    println!("{count} seeds from {first} in {:.1} s", started.elapsed().as_secs_f64());
    println!("within a minute of their time: the same {repeated} times at most, {looks} looks at the clock at most");
    for broken in &failed {
        println!("{broken}\n  replay: {}", replay(broken.seed));
        for line in &broken.story {
            println!("    {line}");
        }
    }
    assert!(failed.is_empty(), "{} seed(s) broke a rule", failed.len());
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let story = |seed| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let _ = simulation::run(seed, Some(Arc::new(move |line: &str| kept.lock().unwrap().push(line.to_owned()))));
        std::mem::take(&mut *lines.lock().unwrap())
    };
    for seed in [3, 17, 42] {
        let (one, other) = (story(seed), story(seed));
        assert!(one.len() > 10);
        assert!(one == other, "seed {seed} differs from itself");
    }
}
