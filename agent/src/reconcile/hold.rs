//! Keeping a volume from its services while somebody copies it. The hold lives exactly as long as the one who asked keeps
//! his end: a request that breaks off, a client that dies and an agent that ends all let go of it.

use std::time::Duration;

use holdfast_plan::plan::{HoldVerdict, Plan};
use holdfast_plan::policy::{Force, Hold, Purpose};
use tokio::sync::{mpsc, watch};

use super::Request;

/// How long services may take to let go of a volume. Longer than an ordinary grace period, shorter than a person's patience.
const READY_LIMIT: Duration = Duration::from_secs(10 * 60);

/// How it stands with a volume that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HoldState {
    /// Services are still being stopped.
    #[default]
    Pending,
    /// Nothing uses the volume any more.
    Ready {
        /// Update locks of the application that were broken for it.
        broken: Vec<String>,
    },
    /// It cannot be had.
    Refused(HoldRefusal),
    /// Something uses it again, against the agent's will.
    Lost,
}

/// Why a volume cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRefusal {
    /// Because of an update lock?
    pub locked: bool,
    /// Why, in a sentence.
    pub why: String,
}

/// A request to keep a volume from its services.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    hold: Hold,
    state: watch::Sender<HoldState>,
}

impl HoldRequest {
    /// Says no.
    pub(super) fn refuse(self, locked: bool, why: String) {
        self.state.send_replace(HoldState::Refused(HoldRefusal { locked, why }));
    }

    /// Says yes for as long as what comes back is kept: for tests of whoever asks.
    #[cfg(test)]
    pub fn grant(self) -> impl Sized {
        self.state.send_replace(HoldState::Ready { broken: Vec::new() });
        self.state
    }
}

/// A volume that nothing uses; its services run again once this is dropped.
#[derive(Debug)]
pub struct Held {
    state: watch::Receiver<HoldState>,
    /// Update locks of the application that were broken for it.
    pub broken: Vec<String>,
}

impl Held {
    /// Asks the loop for a volume and waits until nothing uses it. `from` asks, for the log and for whoever breaks locks.
    ///
    /// # Errors
    /// When an application holds its update lock, when the services cannot be stopped, or when the agent is ending.
    pub async fn ask(
        requests: &mpsc::Sender<Request>,
        volume: &str,
        purpose: Purpose,
        force: bool,
        from: &str,
    ) -> Result<Held, HoldRefusal> {
        let refusal = |why: &str| HoldRefusal { locked: false, why: why.to_owned() };
        let force = force.then(|| Force::Request { from: from.to_owned() });
        let (state, mut states) = watch::channel(HoldState::Pending);
        let request = HoldRequest { hold: Hold { volume: volume.to_owned(), purpose, force }, state };
        if requests.try_send(Request::Hold(request)).is_err() {
            return Err(refusal("too many requests wait already, or the agent is ending; try again"));
        }
        let decided = async { states.wait_for(|state| *state != HoldState::Pending).await.map(|state| state.clone()) };
        let state = match tokio::time::timeout(READY_LIMIT, decided).await {
            Ok(Ok(state)) => state,
            Ok(Err(_)) => return Err(refusal("the agent is ending")),
            Err(_) => {
                let why = format!(
                    "its services did not let go of it within {} min; they go on (holdfast status says what was waited for)",
                    READY_LIMIT.as_secs() / 60
                );
                return Err(refusal(&why));
            }
        };
        match state {
            HoldState::Ready { broken } => Ok(Held { state: states, broken }),
            HoldState::Refused(refusal) => Err(refusal),
            HoldState::Pending | HoldState::Lost => Err(refusal("something uses it again")),
        }
    }

    /// Whether the volume is still nobody's: not once something uses it again, or the agent is ending.
    pub fn is_good(&self) -> bool {
        matches!(*self.state.borrow(), HoldState::Ready { .. }) && self.state.has_changed().is_ok()
    }
}

/// The loop's end of a hold.
#[derive(Debug)]
pub(super) struct ActiveHold {
    pub hold: Hold,
    /// Locks of the application that were broken for it.
    pub broken: Vec<String>,
    state: watch::Sender<HoldState>,
}

impl ActiveHold {
    pub fn new(request: HoldRequest) -> ActiveHold {
        let HoldRequest { hold, state } = request;
        log::info!("volume {} is kept from its services for a {}", hold.volume, hold.purpose);
        ActiveHold { hold, broken: Vec::new(), state }
    }

    /// Whether somebody still waits for it or works with it.
    pub fn is_wanted(&self) -> bool {
        !self.state.is_closed()
    }

    /// Passes the plan's verdict on; `false` when it was refused, which ends it.
    pub fn judge(&mut self, plan: &Plan) -> bool {
        let was_ready = matches!(*self.state.borrow(), HoldState::Ready { .. });
        let state = match &plan.hold {
            Some(HoldVerdict::Ready) if !was_ready => HoldState::Ready { broken: self.broken.clone() },
            Some(HoldVerdict::Refused { locked, why }) => HoldState::Refused(HoldRefusal { locked: *locked, why: why.clone() }),
            Some(HoldVerdict::Pending) if was_ready => HoldState::Lost,
            _ => return true,
        };
        let goes_on = matches!(state, HoldState::Ready { .. });
        self.state.send_replace(state);
        goes_on
    }
}

impl Drop for ActiveHold {
    fn drop(&mut self) {
        log::info!("volume {} is its services' again", self.hold.volume);
    }
}

/// Ends when whoever asked for a volume has let go of it.
pub(super) async fn abandoned(hold: Option<&ActiveHold>) {
    match hold {
        Some(hold) => hold.state.closed().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_with(verdict: HoldVerdict) -> Plan {
        Plan { hold: Some(verdict), ..Plan::default() }
    }

    async fn asked() -> (tokio::task::JoinHandle<Result<Held, HoldRefusal>>, ActiveHold) {
        let (requests, mut received) = mpsc::channel(1);
        let asking = tokio::spawn(async move { Held::ask(&requests, "5_data", Purpose::Backup, true, "test").await });
        let Some(Request::Hold(request)) = received.recv().await else { panic!("a hold is asked for") };
        (asking, ActiveHold::new(request))
    }

    #[tokio::test]
    async fn it_lasts_as_long_as_the_one_who_asked_keeps_it() {
        let (asking, mut active) = asked().await;
        assert_eq!(active.hold.force, Some(Force::Request { from: "test".into() }));
        active.broken.push("updates.lock of main".into());
        assert!(active.judge(&plan_with(HoldVerdict::Pending)) && active.judge(&plan_with(HoldVerdict::Ready)));
        let held = asking.await.unwrap().unwrap();
        assert_eq!(held.broken, ["updates.lock of main"]);
        assert!(held.is_good() && active.is_wanted());
        drop(held);
        abandoned(Some(&active)).await;
        assert!(!active.is_wanted());
    }

    #[tokio::test]
    async fn a_refusal_ends_it_and_says_why() {
        let (asking, mut active) = asked().await;
        assert!(!active.judge(&plan_with(HoldVerdict::Refused { locked: true, why: "held".into() })));
        assert_eq!(asking.await.unwrap().unwrap_err(), HoldRefusal { locked: true, why: "held".into() });
    }

    #[tokio::test]
    async fn what_is_used_again_is_lost() {
        let (asking, mut active) = asked().await;
        assert!(active.judge(&plan_with(HoldVerdict::Ready)));
        let held = asking.await.unwrap().unwrap();
        assert!(!active.judge(&plan_with(HoldVerdict::Pending)));
        assert!(!held.is_good());
    }

    #[tokio::test]
    async fn an_agent_that_ends_lets_go() {
        let (asking, mut active) = asked().await;
        active.judge(&plan_with(HoldVerdict::Ready));
        let held = asking.await.unwrap().unwrap();
        drop(active);
        assert!(!held.is_good());
    }
}
