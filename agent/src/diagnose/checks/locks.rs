//! Update locks that nobody gives back.

use std::path::Path;

use holdfast_plan::current::{LockHolder, Locks};

use super::some;
use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::lock::LockRoot;

const DAY_MS: i64 = 86_400_000;

/// Whether a lock is older than a day, and whether some of the agent's own are left without an agent.
pub(super) fn locks(scene: &Scene) -> Judgement {
    let root = LockRoot::new(scene.on_host(&scene.settings.lock_dir.to_string_lossy()));
    match root.look() {
        Ok(locks) => judge(&locks, scene.clock.now().machine_ms, scene.is_held(), root.path()),
        Err(error) => Judgement::failed(error.to_string(), "see who may read that folder"),
    }
}

fn judge(locks: &Locks, now_ms: i64, agent_runs: bool, root: &Path) -> Judgement {
    let each = locks.held.iter().flat_map(|(app, services)| services.iter().map(move |(service, lock)| (app, service, lock)));
    let (mut old, mut ours, mut held) = (Vec::new(), Vec::new(), 0);
    for (app, service, lock) in each {
        held += 1;
        match &lock.holder {
            LockHolder::Application { file, since_ms: Some(since) } if now_ms.saturating_sub(*since) > DAY_MS => {
                let days = now_ms.saturating_sub(*since) / DAY_MS;
                old.push(format!("{service} of app {app} holds {file} for {days} days"));
            }
            LockHolder::Agent { .. } if !agent_runs => ours.push(format!("{service} of app {app}")),
            _ => {}
        }
    }
    match (old.is_empty(), ours.is_empty()) {
        (true, true) if held == 0 => Judgement::ok("nobody holds an update lock"),
        (true, true) => Judgement::ok(format!("{held} update locks are held, none for longer than a day")),
        (false, _) => Judgement::warning(
            format!("{}: no update reaches it", some(&old)),
            format!(
                "see whether the application still needs it; holdfast update --force passes it once, and the file lies in {}",
                root.display()
            ),
        ),
        (true, false) => Judgement::warning(
            format!("no agent runs, and its locks are left: {}", some(&ours)),
            "the agent takes them back when it starts; holdfast diagnose --fix stale-locks removes them now",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Verdict;
    use holdfast_plan::current::ServiceLock;

    #[test]
    fn a_day_is_long_and_a_dead_agent_holds_nothing() {
        let verdict = |holder, now_ms, runs| {
            let mut locks = Locks::default();
            locks.held.entry(7).or_default().insert("main".into(), ServiceLock { holder });
            judge(&locks, now_ms, runs, Path::new("/l")).verdict
        };
        let application = |since_ms| LockHolder::Application { file: "updates.lock".into(), since_ms };
        assert_eq!(verdict(application(Some(0)), DAY_MS, true), Verdict::Ok);
        assert_eq!(verdict(application(Some(0)), DAY_MS + 1, true), Verdict::Warning);
        assert_eq!(verdict(application(None), DAY_MS * 9, true), Verdict::Ok);
        assert_eq!(verdict(application(Some(i64::MIN)), i64::MAX, true), Verdict::Warning);
        assert_eq!(verdict(LockHolder::Agent { complete: true }, 0, true), Verdict::Ok);
        assert_eq!(verdict(LockHolder::Agent { complete: false }, 0, false), Verdict::Warning);
        assert_eq!(judge(&Locks::default(), 0, false, Path::new("/l")).verdict, Verdict::Ok);
    }
}
