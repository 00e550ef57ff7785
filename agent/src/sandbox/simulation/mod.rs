//! The simulation: the real loop on the simulated engine under paused time, with one seeded source of chance.
//!
//! A run throws targets and trouble at a device: locks that come and go, containers that die, calls that fail, hang or lose
//! their reply, full disks, engines that restart, agents that crash between any two steps. Every change of the engine is
//! checked as it is made ([`witness`]). Then the trouble ends, and the device must settle and be what was asked for
//! ([`ending`]). The same seed is the same run.

mod device;
mod dice;
mod ending;
mod ledger;
mod pace;
mod slow_store;
mod stay;
mod story;
mod time;
mod trouble;
mod verdict;
mod wish;
mod witness;

pub use story::Reader;

use fastrand::Rng;

use device::Device;
use trouble::Trouble;

/// What came of a run that kept every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Changes the agent made to the engine.
    pub acts: u64,
    /// Simulated time, seconds.
    pub seconds: u64,
    /// How often the same was done within a minute of it, at most.
    pub repeated: u32,
    /// How often the clock was looked at within a minute of it, at most.
    pub looks: u32,
}

/// A run that broke a rule.
#[derive(Clone, Debug, thiserror::Error)]
#[error("seed {seed}: {broken}")]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// The first rule that was broken.
    pub broken: String,
    /// The last lines of its story.
    pub story: Vec<String>,
}

/// Runs one seed, telling a reader what happens as it happens. Makes a runtime of its own: not to be called inside one.
///
/// # Errors
/// The first rule that was broken.
pub fn run(seed: u64, reader: Option<Reader>) -> Result<Summary, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let broken = |error: std::io::Error| Broken { seed, broken: format!("no runtime: {error}"), story: Vec::new() };
    runtime.map_err(broken)?.block_on(Box::pin(play(seed, reader)))
}

async fn play(seed: u64, reader: Option<Reader>) -> Result<Summary, Broken> {
    let mut rng = Rng::with_seed(seed);
    let mut device = Device::new(rng.fork(), reader);
    let verdict = device.witness.verdict.clone();
    tokio::select! {
        biased;
        () = verdict.over() => device.tell(|| format!("the run is over; {}", device.doing())),
        () = live(&mut device, &mut rng) => {}
    }
    device.crash().await;
    let story = &device.witness.story;
    match verdict.broken() {
        None => {
            let (acts, most) = (device.witness.ledger().acts, device.clock.pace.most());
            let seconds = device.clock.elapsed().as_secs();
            Ok(Summary { acts, seconds, repeated: most.done, looks: most.looks })
        }
        Some(broken) => Err(Broken { seed, broken, story: story.last() }),
    }
}

/// A device's life: trouble, then the end of it. Broken off where a rule is broken.
async fn live(device: &mut Device, rng: &mut Rng) {
    let mut trouble = Trouble::new(rng.fork());
    trouble.begin(device).await;
    for _ in 0..rng.u32(4..40) {
        trouble.pause(device).await;
        trouble.strike(device).await;
    }
    trouble.end(device).await;
    ending::settle(device).await;
}
