//! From the poll to the loop.

use tokio::sync::{mpsc, watch};

use crate::cloud::{Arrived, PollNow, Timing};
use crate::policy::variable;
use crate::reconcile::{Request, TargetInForce};
use crate::settings::Settings;

/// The pace of the cloud loops, which a device variable may change.
pub(super) struct Pace {
    pub settings: Settings,
    pub timing: watch::Sender<Timing>,
}

impl Pace {
    fn follow(&self, target: &holdfast_plan::target::DeviceTarget) {
        let text = variable(&target.config, "SUPERVISOR_POLL_INTERVAL");
        let (poll_interval, fault) = self.settings.poll_interval_under(text);
        if let Some(fault) = fault {
            log::warn!("{}: {}", fault.subject, fault.message);
        }
        self.timing.send_if_modified(|timing| std::mem::replace(&mut timing.poll_interval, poll_interval) != poll_interval);
    }
}

/// Hands new targets and the requests that came with a poll on to the loop.
pub(super) async fn arrivals(
    mut arrived: mpsc::Receiver<Arrived>,
    target: watch::Sender<Option<TargetInForce>>,
    requests: mpsc::Sender<Request>,
    pace: Pace,
    shutdown: watch::Receiver<bool>,
) {
    if let Some(stored) = target.borrow().as_ref() {
        pace.follow(&stored.target);
    }
    while let Some(Arrived { target: new, source, asked }) = arrived.recv().await {
        if let Some(new) = new {
            pace.follow(&new);
            target.send_replace(Some(TargetInForce { target: new, source }));
        }
        if let Some(PollNow { from, force, cancel }) = asked
            && requests.send(Request::Look { from, force, cancel }).await.is_err()
        {
            break;
        }
    }
    // The poll has ended: the agent is ending. The target stays readable until it has.
    super::ended(shutdown).await;
}

/// Keeps the channels of an unmanaged device open.
pub(super) async fn idle(
    target: watch::Sender<Option<TargetInForce>>,
    mut polls: mpsc::Receiver<PollNow>,
    shutdown: watch::Receiver<bool>,
) {
    let answer = async { while polls.recv().await.is_some() {} };
    tokio::select! {
        () = super::ended(shutdown) => {}
        () = answer => {}
    }
    drop(target);
}
