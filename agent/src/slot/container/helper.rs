//! The helper at work: looks, takes the next step, looks again.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::database::put_back;
use super::super::error::SlotError;
use super::super::folder::Folder;
use super::super::point;
use super::super::record::{Failed, Slots};
use super::super::verdict::{Seen, missing, settled_for};
use super::call::EngineLink;
use super::copy::same_with;
use super::stage::{Called, MOST_RESTARTS, Peer, Step, next};
use super::start::own_container;
use super::{CLOUD, IMAGE, NAME, OF, RESTART, SCHEMA, WISH};
use crate::store::{DataLock, Place};

/// How often it looks while it waits.
const LOOK: Duration = Duration::from_millis(500);
/// How long it waits after something went wrong.
const RETRY: Duration = Duration::from_secs(5);

/// What the engine refused so often it goes on refusing: an image without its entry point, a network that is gone.
const MOST_REFUSALS: u32 = 3;

/// How long a new agent may be down: after a power cut the engine starts one container after the other.
const DOWN: Duration = Duration::from_secs(10);

/// Asks the agent that runs what it has seen; `None` when it does not answer.
pub type AskAgent<'a> = &'a dyn Fn() -> Pin<Box<dyn Future<Output = Option<Seen>> + Send>>;

struct Helper<'a> {
    link: &'a EngineLink,
    place: &'a Place,
    deadline: Duration,
    ask: AskAgent<'a>,
    /// Itself.
    own: String,
    labels: Value,
    /// Why the new agent failed, when this very process found out.
    why: Option<String>,
    /// How often on end the engine refused to make or to start the new agent.
    refusals: u32,
}

/// Replaces the agent's container and ends. Errors of the engine are tried again for ever.
///
/// # Errors
/// When this process is no helper.
pub async fn help(link: &EngineLink, place: &Place, deadline: Duration, ask: AskAgent<'_>) -> Result<(), SlotError> {
    let own = own_container(link).await?;
    let (own, labels) = (own["Id"].as_str().unwrap_or_default().to_owned(), own["Config"]["Labels"].clone());
    if labels[OF].as_str().is_none() {
        return Err(SlotError::of("self-update", "--helper is for the container that replaces an agent"));
    }
    let mut helper = Helper { link, place, deadline, ask, own, labels, why: None, refusals: 0 };
    loop {
        match helper.step().await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                log::error!("{error}; tried again in {} s", RETRY.as_secs());
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

impl Helper<'_> {
    fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    fn name(&self, called: Called) -> String {
        called.name(self.label(NAME))
    }

    /// The old agent's container, by its id.
    async fn old(&self) -> Result<Option<Value>, SlotError> {
        self.link.get(&format!("/containers/{}/json", self.label(OF))).await
    }

    /// The new agent's container, by the names it may have.
    async fn new_one(&self) -> Result<Option<Value>, SlotError> {
        for called in [Called::New, Called::Failed, Called::Agent] {
            let found = self.link.get(&format!("/containers/{}/json", self.name(called))).await?;
            if let Some(found) = found.filter(|found| found["Id"] != self.label(OF)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// One step; says whether it was the last.
    async fn step(&mut self) -> Result<bool, SlotError> {
        let (old, new) = (self.old().await?, self.new_one().await?);
        let step = next(old.as_ref().map(|peer| self.peer(peer)), new.as_ref().map(|peer| self.peer(peer)));
        log::info!("{step:?}");
        let id = |peer: &Option<Value>| peer.as_ref().and_then(|peer| peer["Id"].as_str()).unwrap_or_default().to_owned();
        let (old_id, new_id) = (id(&old), id(&new));
        let no = json!({ "Name": "no" });
        point("before a step of the helper");
        match step {
            Step::Create => {
                let made = self.create(old.as_ref()).await;
                if let Some(why) = self.refused(made)? {
                    return self.give_up(&old_id, why).await;
                }
            }
            Step::StopOld => self.stop(&old_id, &no).await?,
            Step::StartNew => {
                let started = self.link.start(&new_id).await;
                if let Some(why) = self.refused(started)? {
                    self.fail(&new_id, &why).await?;
                }
            }
            Step::Judge => self.judge(&old_id, &new_id).await?,
            Step::Fail => self.fail(&new_id, "it ended again and again").await?,
            Step::NameNew => self.link.rename(&new_id, &self.name(Called::Agent)).await?,
            Step::RemoveOld => self.link.remove(&old_id, false).await?,
            Step::StopNew => self.stop(&new_id, &no).await?,
            Step::GoBack => self.go_back(&old_id).await?,
            Step::Done => {
                if new.is_some_and(|new| self.peer(&new).called == Called::Agent) {
                    Folder::of(&self.place.data_dir).remove_copy();
                }
                self.link.set_restart(&self.own, &no).await?;
            }
        }
        point("after a step of the helper");
        Ok(step == Step::Done)
    }

    /// Why a new agent will never be there, once the engine has refused it often enough; before that its refusal is an error
    /// like any other.
    fn refused(&mut self, done: Result<(), SlotError>) -> Result<Option<String>, SlotError> {
        self.refusals = if done.is_ok() { 0 } else { self.refusals + u32::from(matches!(&done, Err(error) if error.refused)) };
        match done {
            Err(error) if error.refused && self.refusals >= MOST_REFUSALS => Ok(Some(error.to_string())),
            other => other.map(|()| None),
        }
    }

    /// There is no new agent and will be none. The old one holds the record, so it is stopped for the moment that it takes to
    /// note that, and tells of it when it runs again.
    async fn give_up(&mut self, old: &str, why: String) -> Result<bool, SlotError> {
        self.why = Some(why);
        let no = json!({ "Name": "no" });
        self.stop(old, &no).await?;
        self.go_back(old).await?;
        self.link.set_restart(&self.own, &no).await?;
        Ok(true)
    }

    /// When the engine starts the agent's container by itself: as it was before this helper.
    fn restart_policy(&self) -> Value {
        serde_json::from_str(self.label(RESTART)).unwrap_or_else(|_| json!({ "Name": "unless-stopped" }))
    }

    fn peer(&self, inspected: &Value) -> Peer {
        let name = inspected["Name"].as_str().unwrap_or_default().trim_start_matches('/');
        let named = [Called::Old, Called::New, Called::Failed].into_iter().find(|called| self.name(*called) == name);
        let state = &inspected["State"];
        Peer {
            called: named.unwrap_or(Called::Agent),
            running: state["Running"] == true || state["Restarting"] == true,
            started: state["Status"] != "created",
            restarts: inspected["RestartCount"].as_u64().unwrap_or(0),
        }
    }

    async fn create(&self, old: Option<&Value>) -> Result<(), SlotError> {
        let Some(old) = old else { return Ok(()) };
        let image = self.link.get(&format!("/images/{}/json", old["Image"].as_str().unwrap_or_default())).await?;
        let mut request = same_with(old, &image.unwrap_or_default(), self.label(IMAGE));
        // The old one may have been stopped for good by now.
        request["HostConfig"]["RestartPolicy"] = self.restart_policy();
        let made = self.link.post(&format!("/containers/create?name={}", self.name(Called::New)), Some(&request)).await?;
        made.map(drop).ok_or_else(|| SlotError::refused(self.label(IMAGE), "the engine has not this image any more"))
    }

    async fn stop(&self, id: &str, restart: &Value) -> Result<(), SlotError> {
        self.link.set_restart(id, restart).await?;
        point("the engine does not start it by itself any more");
        self.link.post(&format!("/containers/{id}/stop"), None).await.map(drop)
    }

    /// Waits until the new agent proved itself, or did not in time.
    async fn judge(&mut self, old: &str, new: &str) -> Result<(), SlotError> {
        let end = Instant::now() + self.deadline;
        let (mut whole_since, mut up): (Option<Instant>, _) = (None, Instant::now());
        loop {
            let lacks = match (self.ask)().await {
                Some(seen) => missing(self.label(CLOUD) == "true", seen),
                None => vec!["it has not answered"],
            };
            whole_since = if lacks.is_empty() { whole_since.or_else(|| Some(Instant::now())) } else { None };
            if whole_since.is_some_and(|since| since.elapsed() >= settled_for(self.deadline)) {
                return self.link.rename(old, &self.name(Called::Old)).await;
            }
            let state = self.new_one().await?;
            let seen = state.as_ref().map(|state| self.peer(state));
            if seen.is_some_and(|new| new.running) {
                up = Instant::now();
            }
            if up.elapsed() >= DOWN || seen.is_none_or(|new| new.restarts >= MOST_RESTARTS) {
                return self.fail(new, "it ended before it had proved itself").await;
            }
            if Instant::now() >= end {
                return self.fail(new, &lacks.join(" and ")).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn fail(&mut self, new: &str, why: &str) -> Result<(), SlotError> {
        self.why = Some(why.to_owned());
        self.link.rename(new, &self.name(Called::Failed)).await
    }

    /// The new agent is stopped: the data is nobody's until the old one runs again.
    async fn go_back(&self, old: &str) -> Result<(), SlotError> {
        let folder = Folder::of(&self.place.data_dir);
        let lock = DataLock::take(&self.place.data_dir).map_err(|error| SlotError::of("self-update", error))?;
        let schema = self.label(SCHEMA).parse().unwrap_or_default();
        let database = put_back(self.place, schema, &folder.copy());
        point("the database is laid ready");
        let (image, wish) = (self.label(IMAGE).to_owned(), self.label(WISH).to_owned());
        let why = self.why.clone().unwrap_or_else(|| "it did not prove itself in time".to_owned());
        let failed = Failed {
            sha256: image.clone(),
            version: "of the image".to_owned(),
            why: why.clone(),
            wish: Some(wish).filter(|wish| !wish.is_empty()),
        };
        let news = Some(format!("the agent of image {image} was not kept: {why}. The one before it runs again{database}"));
        let known = folder.load().unwrap_or_default();
        let slots = Slots { failed: Some(failed), news, ..known.clone() };
        // Tried again and again it is written once.
        if slots != known {
            folder.store(&slots)?;
        }
        drop(lock);
        self.link.set_restart(old, &self.restart_policy()).await?;
        self.link.start(old).await
    }
}

#[cfg(test)]
mod tests;
