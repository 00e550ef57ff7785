//! How much is done in how little simulated time. That time moves only while everybody waits, and no further than to the next
//! thing somebody waits for: an agent that does the same again and again hardly moves it, and would never come to the end of
//! the time it has. It is accused instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::verdict::Verdict;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// So often one thing may be done within a window.
const MOST: u32 = 100;

/// So often the clock may be looked at within a window: every round of the agent does, also one that changes nothing.
const MOST_LOOKS: u32 = 20_000;

/// Counts what is done in a run.
pub(super) struct Pace {
    verdict: Arc<Verdict>,
    window: Mutex<Window>,
}

struct Window {
    begun: Instant,
    looks: u32,
    done: BTreeMap<String, u32>,
    most: Most,
}

/// The most that was ever counted in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Most {
    /// Of one thing.
    pub done: u32,
    /// Of looks at the clock.
    pub looks: u32,
}

impl Pace {
    pub fn new(verdict: Arc<Verdict>) -> Pace {
        let window = Window { begun: Instant::now(), looks: 0, done: BTreeMap::new(), most: Most::default() };
        Pace { verdict, window: Mutex::new(window) }
    }

    /// Something is done to the engine or the store.
    pub fn did(&self, what: &str) {
        self.count(|window| {
            let count = match window.done.get_mut(what) {
                Some(count) => count,
                None => window.done.entry(what.to_owned()).or_default(),
            };
            *count += 1;
            let count = *count;
            window.most.done = window.most.done.max(count);
            (count == MOST + 1).then(|| format!("the same is done over and over: {}", window.repeated()))
        });
    }

    /// Somebody looks at the clock.
    pub fn looked(&self) {
        self.count(|window| {
            window.looks += 1;
            window.most.looks = window.most.looks.max(window.looks);
            (window.looks == MOST_LOOKS + 1).then(|| {
                let seconds = window.begun.elapsed().as_secs_f64();
                format!("round after round without rest: the clock was looked at {MOST_LOOKS} times within {seconds:.1} s")
            })
        });
    }

    /// The most that was ever counted.
    pub fn most(&self) -> Most {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).most
    }

    fn count(&self, count: impl FnOnce(&mut Window) -> Option<String>) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.begun.elapsed() > WINDOW {
            (window.begun, window.looks) = (Instant::now(), 0);
            window.done.clear();
        }
        let broken = count(&mut window);
        drop(window);
        broken.into_iter().for_each(|broken| self.verdict.accuse(broken));
    }
}

impl Window {
    /// Everything that is done about as often as what is done too often.
    fn repeated(&self) -> String {
        let often = self.done.iter().filter(|(_, count)| **count > MOST / 2);
        let often: Vec<String> = often.map(|(what, count)| format!("{what} ({count} times)")).collect();
        format!("{} within {:.1} s", often.join(", "), self.begun.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> (Arc<Verdict>, Pace) {
        let verdict = Arc::new(Verdict::default());
        (verdict.clone(), Pace::new(verdict))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_over_and_over_is_named() {
        let (verdict, pace) = pace();
        pace.did("pulled an image");
        for _ in 0..MOST {
            pace.did("made a network");
            pace.did("removed a network");
        }
        assert_eq!(verdict.broken(), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        pace.did("made a network");
        let broken = verdict.broken().unwrap();
        assert!(broken.ends_with("made a network (101 times), removed a network (100 times) within 2.0 s"), "{broken}");
        verdict.over().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_now_and_then_may_be_done_for_ever() {
        let (verdict, pace) = pace();
        for _ in 0..50 * MOST {
            pace.did("made a network");
            pace.looked();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(verdict.broken(), None);
        assert!((50..=MOST).contains(&pace.most().done));
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_that_change_nothing_are_counted_too() {
        let (verdict, pace) = pace();
        (0..=MOST_LOOKS).for_each(|_| pace.looked());
        assert!(verdict.broken().unwrap().contains("within 0.0 s"));
    }
}
