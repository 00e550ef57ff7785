//! Looks after the database while the agent runs: backups on a schedule, the full check once a week, both in idle time.

use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::policy::Now;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::Clock;
use crate::events::{Event, Level};
use crate::reconcile::{Phase, View};
use crate::store::{Outcome, Recovery, Store, StoreError, StoreHealth, Task};

/// After a start, the first backup or the rest of the first check is not made before this.
const SETTLING: Duration = Duration::from_secs(10 * 60);
/// Time between full checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(7 * 86_400);
/// How long a full check may take: commits wait for it.
const CHECK_LIMIT: Duration = Duration::from_secs(45);
/// How long something that is due waits for idle time; then it is done all the same.
const IDLE_PATIENCE: Duration = Duration::from_secs(3600);
/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(3600);

/// What is looked after, and how.
pub(super) struct Upkeep {
    pub store: Arc<dyn Store>,
    /// Time between backups; zero makes none.
    pub interval: Duration,
    /// Whether the check at the start went over everything.
    pub fully_checked: bool,
    pub view: watch::Receiver<Arc<View>>,
    pub clock: Arc<dyn Clock>,
    pub events: broadcast::Sender<Event>,
    pub shutdown: watch::Receiver<bool>,
}

/// Says what became of the database at this start.
pub(super) fn recovered(events: &broadcast::Sender<Event>, recovery: Recovery, now: Now) {
    let level = if recovery.outcome == Outcome::Rebuilt { Level::Error } else { Level::Warning };
    say(events, level, recovery.message, now);
}

fn say(events: &broadcast::Sender<Event>, level: Level, message: String, now: Now) {
    match level {
        Level::Error => log::error!("{message}"),
        _ => log::warn!("{message}"),
    }
    // Nobody listening is fine.
    let _ = events.send(Event::note(level, message, now.wall_ms));
}

/// Runs until the agent ends.
pub(super) async fn keep_up(mut upkeep: Upkeep) {
    let mut shutdown = upkeep.shutdown.clone();
    tokio::select! {
        () = upkeep.run() => {}
        _ = shutdown.wait_for(|down| *down) => {}
    }
}

impl Upkeep {
    async fn run(&mut self) {
        let begin = Instant::now();
        let wait = first_backup(&self.store.health().await, self.interval, self.clock.now());
        let mut backup_at = wait.map(|wait| begin + wait);
        let mut check_at = begin + if self.fully_checked { CHECK_INTERVAL } else { SETTLING };
        loop {
            sleep_until(backup_at.map_or(check_at, |at| at.min(check_at))).await;
            self.idle().await;
            if backup_at.is_some_and(|at| at <= Instant::now()) {
                let done = self.back_up().await;
                backup_at = Some(Instant::now() + if done { self.interval } else { RETRY });
            }
            if check_at <= Instant::now() {
                let done = self.check().await;
                check_at = Instant::now() + if done { CHECK_INTERVAL } else { RETRY };
            }
        }
    }

    /// Waits until nothing is being done.
    async fn idle(&mut self) {
        let idle = |view: &Arc<View>| view.doing.is_empty() && !matches!(view.phase, Phase::Starting | Phase::Applying);
        // Whether it came in time or not, or the loop is gone: the work is to be done.
        let _ = timeout(IDLE_PATIENCE, self.view.wait_for(idle)).await;
    }

    async fn back_up(&self) -> bool {
        match self.store.upkeep(Task::Backup { only_if_changed: true }).await {
            Ok(done) => {
                log::debug!("database: {}", done.text);
                true
            }
            Err(error) => self.failed("no backup of the database was made", &error),
        }
    }

    /// What is found damaged is dealt with by the store, which has the database opened anew.
    async fn check(&self) -> bool {
        match self.store.upkeep(Task::Check { limit: CHECK_LIMIT }).await {
            Ok(done) if done.ok => true,
            Ok(done) => {
                let level = if done.findings.is_empty() { Level::Warning } else { Level::Error };
                say(&self.events, level, format!("{}: {}", done.text, done.findings.join("; ")), self.clock.now());
                true
            }
            Err(error) => self.failed("the database could not be checked", &error),
        }
    }

    fn failed(&self, what: &str, error: &StoreError) -> bool {
        let message = format!("{what}: {error}; tried again in {} min", RETRY.as_secs() / 60);
        say(&self.events, Level::Warning, message, self.clock.now());
        false
    }
}

/// How long after a start the first backup is due; `None` when none are to be made. Where nobody can tell how old the newest
/// one is, it is due soon: one that would hold the same is not made.
fn first_backup(health: &StoreHealth, interval: Duration, now: Now) -> Option<Duration> {
    if interval.is_zero() {
        return None;
    }
    let newest = health.newest_backup.as_ref().and_then(|backup| backup.taken_ms);
    let age = now.wall_ms.zip(newest).and_then(|(now, taken)| u64::try_from(now - taken).ok()).map(Duration::from_millis);
    let wait = age.map_or(Duration::ZERO, |age| interval.saturating_sub(age));
    Some(wait.clamp(SETTLING.min(interval), interval))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BackupInfo;

    const NOW_MS: i64 = 1_788_000_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn wait(taken_ms: Option<Option<i64>>, wall_ms: Option<i64>, interval: Duration) -> Option<Duration> {
        let backup = |taken_ms| BackupInfo { taken_ms, ..BackupInfo::default() };
        let health = StoreHealth { newest_backup: taken_ms.map(backup), ..StoreHealth::default() };
        first_backup(&health, interval, Now { wall_ms, machine_ms: 5, boot_ms: 5 })
    }

    #[test]
    fn the_first_backup_follows_the_age_of_the_newest() {
        let day = 24 * HOUR;
        assert_eq!(wait(None, Some(NOW_MS), day), Some(SETTLING), "none yet");
        assert_eq!(wait(Some(Some(NOW_MS - 3_600_000)), Some(NOW_MS), day), Some(23 * HOUR));
        assert_eq!(wait(Some(Some(NOW_MS - 90 * 3_600_000)), Some(NOW_MS), day), Some(SETTLING), "overdue");
        assert_eq!(wait(Some(Some(NOW_MS + 1)), Some(NOW_MS), day), Some(SETTLING), "from a clock that was ahead");
        assert_eq!(wait(Some(None), Some(NOW_MS), day), Some(SETTLING), "taken in 1970");
        assert_eq!(wait(Some(Some(NOW_MS)), None, day), Some(SETTLING), "it is 1970 now");
        assert_eq!(wait(None, None, Duration::from_secs(1)), Some(Duration::from_secs(1)));
        assert_eq!(wait(None, None, Duration::ZERO), None);
    }
}
