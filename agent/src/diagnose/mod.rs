//! What is wrong with this device, and what to do about it: checks with verdicts and remedies, and one file for support with
//! every secret removed.
//!
//! Everything is read here and now, from the host, the engine, the database file and the network; the agent is one of the
//! things that are looked at, so all of it works when that is dead. Nothing is written but the bundle, and a running agent
//! is not disturbed: the database is opened to read, lock files are looked at and left.
//!
//! | file | what |
//! |---|---|
//! | `finding` | a verdict with its sentence and remedy; all of them |
//! | `scene` | what the checks look at, and what several of them share |
//! | `checks/` | the checks by subject: each collects figures, and a pure function judges them |
//! | `makers`, `process` | the device maker's own checks: programs in `/etc/holdfast/checks.d/` |
//! | `bundle/` | the file for support |

mod bundle;
mod checks;
mod finding;
mod makers;
mod process;
mod scene;

pub use bundle::{Bundled, Extra, write as write_bundle};
pub use finding::{Finding, Judgement, Report, Verdict};
pub use scene::Scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::settings::{SettingFault, Settings};

/// How long one check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// How long the device maker's checks may take together: an answer of the local API has to be done before its own limit.
const MAKERS_LIMIT: Duration = Duration::from_secs(22);

/// Runs every check, all at once since most of them wait. It takes at most [`MAKERS_LIMIT`].
pub async fn examine(scene: &Arc<Scene>) -> Report {
    let own = checks::ALL.iter().map(|(name, work)| timed(name, work(scene.clone())));
    let (mut findings, makers) = tokio::join!(join_all(own), makers::run(scene.clone(), MAKERS_LIMIT));
    findings.extend(makers);
    Report { findings, wall_ms: scene.clock.now().wall_ms }
}

async fn timed(name: &str, work: checks::Working) -> Finding {
    let begin = Instant::now();
    let judgement = tokio::time::timeout(CHECK_LIMIT, work).await.unwrap_or_else(|_| {
        let sentence = format!("this was not done within {} s", CHECK_LIMIT.as_secs());
        Judgement::failed(sentence, "what it waits for hangs: the engine, the network or the storage; see the other checks")
    });
    Finding { name: name.to_owned(), judgement, took: begin.elapsed() }
}

/// The checks as a running agent offers them: one run at a time.
pub struct Diagnosis {
    settings: Settings,
    faults: Vec<SettingFault>,
    clock: Arc<dyn Clock>,
    turn: tokio::sync::Semaphore,
}

impl Diagnosis {
    /// For an agent with these settings.
    pub fn new(settings: Settings, faults: Vec<SettingFault>, clock: Arc<dyn Clock>) -> Diagnosis {
        Diagnosis { settings, faults, clock, turn: tokio::sync::Semaphore::new(1) }
    }

    /// Runs the checks; `None` while somebody else has them run.
    pub async fn run(&self) -> Option<Report> {
        let _turn = self.turn.try_acquire().ok()?;
        let scene = Scene::new(self.settings.clone(), self.faults.clone(), self.clock.clone());
        Some(examine(&Arc::new(scene)).await)
    }
}
