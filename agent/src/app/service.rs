//! What the service manager hears of the loop: that it ticks, and what it is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::api::phase_sentence;
use crate::host::ServiceManager;
use crate::reconcile::{Phase, View};

/// How often the loop ticks when nobody asks for more.
const TICK: Duration = Duration::from_secs(60);

/// How often the loop has to tick: three times within the watchdog's limit, so that one late tick is no emergency.
pub(super) fn tick_every(manager: &ServiceManager) -> Duration {
    manager.watchdog().map_or(TICK, |limit| TICK.min(limit / 3))
}

/// Passes the loop's ticks on to the watchdog until the agent ends, and says what the loop is at. A tick is passed on once:
/// this task being alive proves nothing.
pub(super) async fn tell(
    manager: Arc<ServiceManager>,
    tick: Arc<AtomicI64>,
    mut view: watch::Receiver<Arc<View>>,
    shutdown: watch::Receiver<bool>,
) {
    let ended = super::ended(shutdown);
    tokio::pin!(ended);
    let (mut fed, mut said) = (None, String::new());
    loop {
        let ticked = Some(tick.load(Ordering::Relaxed));
        if manager.watchdog().is_some() && ticked != fed {
            manager.alive();
            fed = ticked;
        }
        let now = sentence(&view.borrow_and_update());
        if now != said {
            manager.status(&now);
            said = now;
        }
        let again = async {
            match manager.watchdog() {
                Some(_) => tokio::time::sleep(tick_every(&manager)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut ended => return,
            changed = view.changed() => if changed.is_err() { return ended.await },
            () = again => {}
        }
    }
}

/// The phase as `holdfast status` words it.
fn sentence(view: &View) -> String {
    match view.phase {
        Phase::Starting => "Starting: the first look at the engine is under way.".to_owned(),
        _ => phase_sentence(view),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A manager with a watchdog of 9 s, and the socket it listens on.
    fn watched() -> (Arc<ServiceManager>, UnixDatagram, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some("9000000".into()),
            _ => None,
        };
        (Arc::new(ServiceManager::from_environment(variable, 1)), listener, folder)
    }

    fn heard(by: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| by.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ticks_feeds_the_watchdog_and_one_that_is_stuck_does_not() {
        let (manager, listener, _folder) = watched();
        assert_eq!(tick_every(&manager), Duration::from_secs(3));
        let (tick, shutdown) = (Arc::new(AtomicI64::new(1)), watch::Sender::new(false));
        let view = watch::Sender::new(Arc::new(View::default()));
        let task = tokio::spawn(tell(manager, tick.clone(), view.subscribe(), shutdown.subscribe()));
        for now in 2..5 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            tick.store(now, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let fed = heard(&listener).iter().filter(|word| *word == "WATCHDOG=1").count();
        assert!((3..=4).contains(&fed), "fed {fed} times by 4 ticks");
        // The loop is stuck now, but the picture of it may still be published by others.
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            view.send_modify(|_| {});
        }
        assert_eq!(heard(&listener), Vec::<String>::new());
        shutdown.send_replace(true);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_is_said_once() {
        let (manager, listener, _folder) = watched();
        let shutdown = watch::Sender::new(false);
        let view = watch::Sender::new(Arc::new(View::default()));
        let task = tokio::spawn(tell(manager, Arc::new(AtomicI64::new(1)), view.subscribe(), shutdown.subscribe()));
        for phase in [Phase::Starting, Phase::Settled, Phase::Settled] {
            tokio::time::sleep(Duration::from_millis(10)).await;
            view.send_replace(Arc::new(View { phase, ..View::default() }));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let said: Vec<String> = heard(&listener).into_iter().filter(|word| word.starts_with("STATUS=")).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("everything runs as the target asks"), "{said:?}");
        shutdown.send_replace(true);
        task.await.unwrap();
    }

    #[test]
    fn without_a_watchdog_the_loop_keeps_its_own_pace() {
        assert_eq!(tick_every(&ServiceManager::default()), TICK);
    }
}
