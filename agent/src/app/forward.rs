//! From the poll to the loop.

use tokio::sync::{mpsc, watch};

use super::local_mode::{LocalLinks, Targets};
use crate::cloud::{Arrived, PollNow, Timing};
use crate::policy::{truthy, variable};
use crate::reconcile::{Request, TargetInForce};
use crate::settings::Settings;

/// What device variables change in the loops of the cloud side: their pace, and whether messages are sent.
pub(super) struct Pace {
    pub settings: Settings,
    pub timing: watch::Sender<Timing>,
    /// Whether messages go to the cloud (`SUPERVISOR_LOG_CONTROL`).
    pub log_stream: watch::Sender<bool>,
}

impl Pace {
    fn follow(&self, target: &holdfast_plan::target::DeviceTarget) {
        let logs = variable(&target.config, "SUPERVISOR_LOG_CONTROL").is_none_or(truthy);
        self.log_stream.send_if_modified(|on| std::mem::replace(on, logs) != logs);
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
    mut targets: Targets,
    mut local: LocalLinks,
    pace: Pace,
    shutdown: watch::Receiver<bool>,
) {
    if let Some(stored) = targets.of_cloud() {
        pace.follow(stored);
    }
    loop {
        let Arrived { target: new, source, asked } = tokio::select! {
            arrived = arrived.recv() => match arrived {
                Some(arrived) => arrived,
                None => break,
            },
            Some(set) = local.arrived.recv() => {
                local.set(&mut targets, set).await;
                continue;
            }
        };
        if let Some(new) = new {
            pace.follow(&new);
            targets.take_clouds(TargetInForce { target: new, source }).await;
            local.target.send_replace(targets.in_force());
        }
        if let Some(PollNow { from, force, cancel }) = asked
            && local.requests.send(Request::Look { from, force, cancel }).await.is_err()
        {
            break;
        }
    }
    // The poll has ended: the agent is ending. The target stays readable until it has.
    super::ended(shutdown).await;
}

/// Keeps the channels of an unmanaged device open.
pub(super) async fn idle(
    mut targets: Targets,
    mut local: LocalLinks,
    mut polls: mpsc::Receiver<PollNow>,
    shutdown: watch::Receiver<bool>,
) {
    let ended = super::ended(shutdown);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => return,
            Some(_) = polls.recv() => {}
            Some(set) = local.arrived.recv() => local.set(&mut targets, set).await,
        }
    }
}
