//! What is asked of one app through the local API: restart, purge, stop, start. The plan does it, round after round; here it
//! is taken up and answered. It goes on to its end whether or not whoever asked still waits.

use holdfast_plan::memory::Remember;
use holdfast_plan::order::{Order, Task};
use holdfast_plan::plan::{OrderVerdict, Plan};
use holdfast_plan::policy::Force;
use holdfast_plan::target::AppId;
use tokio::sync::oneshot;

use super::Reconciler;
use crate::events::Level;
use crate::store::Change;

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppOrderError {
    /// An application holds its update lock.
    Locked(String),
    /// Something else is being done to the app; a moment later it may not be.
    Busy(String),
    /// It failed, or cannot be done.
    Failed(String),
}

/// Where the outcome goes.
pub(super) type Reply = oneshot::Sender<Result<(), AppOrderError>>;

/// A request for something to be done to an app.
pub(super) struct Asked {
    pub from: String,
    pub force: bool,
    pub app: AppId,
    pub task: Task,
    pub reply: Reply,
}

/// An order that ended, with whoever waits for it.
pub(super) struct Ended {
    reply: Option<Reply>,
    outcome: Result<(), AppOrderError>,
}

impl Ended {
    /// Tells whoever asked, who may have gone away.
    pub fn tell(self) {
        if let Some(reply) = self.reply {
            let _ = reply.send(self.outcome);
        }
    }
}

impl Reconciler {
    /// Takes an order up, one at a time for each app.
    pub(super) fn accept_order(&mut self, asked: Asked) {
        let Asked { from, force, app, task, reply } = asked;
        let refused = if let Some(order) = self.memory.orders.get(&app) {
            Some(AppOrderError::Busy(format!("Locks for app {app} are held: a {} of it is under way", order.task.word())))
        } else {
            let away = self.away.as_ref();
            away.map(|away| AppOrderError::Failed(format!("the container engine does not answer: {}", away.error)))
        };
        if let Some(refused) = refused {
            let _ = reply.send(Err(refused));
            return;
        }
        let now = self.tools.clock.now();
        let service = task.service().map(str::to_owned);
        let message = format!("{} asked for by the {from}{}", task.word(), if force { " with force" } else { "" });
        self.announcer.say(Level::Info, Some(&self.name_of(app)), service.as_deref(), message, now.wall_ms);
        let containers = &self.last.current.engine.containers;
        let of_service = containers.iter().filter(|c| c.app_id == app && Some(&c.service) == service.as_ref());
        let present = of_service.max_by_key(|c| (!c.handing_over, c.created_ms));
        let force = force.then_some(Force::Request { from });
        let order = Order { started_ms: present.and_then(|c| c.started_ms), ..Order::new(task, force, now.boot_ms) };
        // What failed before says nothing of this.
        let beginnings = [format!("container {app}/"), format!("volume {app}_")];
        self.memory.failures.retain(|key, _| !beginnings.iter().any(|beginning| key.starts_with(beginning)));
        // What has to go is told by what is there now, not by what was there when the loop last looked closely.
        self.tools.engine.forget_cache();
        self.memory.orders.insert(app, order);
        self.replies.insert(app, reply);
    }

    /// What an earlier run of the agent began goes on.
    pub(super) fn resume_orders(&mut self) {
        let now = self.tools.clock.now();
        for (app, order) in std::mem::take(&mut self.memory.orders) {
            let message = format!("the {} that was under way when the agent ended goes on", order.task.word());
            self.announcer.say(Level::Info, Some(&self.name_of(app)), order.task.service(), message, now.wall_ms);
            self.memory.orders.insert(app, order.resumed(now.boot_ms));
        }
    }

    /// Takes the orders that ended off the record.
    pub(super) async fn end_orders(&mut self, plan: &Plan) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (app, verdict) in &plan.orders {
            let Some(order) = self.memory.orders.remove(app) else { continue };
            if order.is_stored() {
                // Where that cannot be written now, the next start finds everything gone that has to go, and ends it again.
                self.commit(vec![Change::Remember(Remember::Order { app_id: *app, order: None })]).await;
            }
            self.say_ended(*app, &order, verdict);
            let outcome = match verdict {
                OrderVerdict::Done => Ok(()),
                OrderVerdict::Refused { locked: true, why } => Err(AppOrderError::Locked(why.clone())),
                OrderVerdict::Refused { locked: false, why } => Err(AppOrderError::Failed(why.clone())),
            };
            ended.push(Ended { reply: self.replies.remove(app), outcome });
        }
        ended
    }

    fn say_ended(&self, app: AppId, order: &Order, verdict: &OrderVerdict) {
        let word = order.task.word();
        let (level, message) = match verdict {
            OrderVerdict::Done => (Level::Info, format!("{word}: done")),
            OrderVerdict::Refused { locked: true, why } => (Level::Warning, format!("{word} refused: {why}")),
            OrderVerdict::Refused { locked: false, why } => (Level::Error, format!("{word}: {why}")),
        };
        self.announcer.say(level, Some(&self.name_of(app)), order.task.service(), message, self.tools.clock.now().wall_ms);
    }

    fn name_of(&self, app: AppId) -> String {
        self.last.app_name(app)
    }
}
