//! What the demo shows, one function a stage. Each has a time limit and is checked against the agent's API and the cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::agent::Agent;
use super::docker::Docker;
use super::narrator::Narrator;
use super::picture::{Picture, compare_containers, reported_settled};
use crate::sandbox::cloud::EmbeddedCloud;
use crate::sandbox::fleet::{APP_ID, CHANGED_SERVICE, Images, SERVICES, SampleRelease, target};

/// How long the agent has to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a release has to settle.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// How long the wait for the lock has to show up, and the lock to be made.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// How long the update is watched being held back.
const HELD: Duration = Duration::from_secs(2);

/// How long the report has to arrive.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The players.
pub struct Story<'a> {
    /// Who prints.
    pub narrator: &'a Narrator,
    /// The cloud.
    pub cloud: &'a EmbeddedCloud,
    /// The agent.
    pub agent: &'a mut Agent,
    /// The device.
    pub uuid: &'a str,
    /// The services' images.
    pub images: &'a Images,
    /// The real engine, if it is one, and the scope of what the agent makes there.
    pub docker: Option<(&'a Docker, &'a str)>,
    /// The lock root.
    pub locks: PathBuf,
}

impl Story<'_> {
    /// Tells all of it.
    ///
    /// # Errors
    /// With the first thing that did not come true; it was printed already.
    pub async fn tell(&mut self) -> Result<()> {
        let stages = ["start-agent", "install", "update-held", "update-released", "report"];
        for stage in stages {
            let told = match stage {
                "start-agent" => self.agent_answers().await,
                "install" => self.first_install().await,
                "update-held" => self.update_is_held().await,
                "update-released" => self.lock_is_released().await,
                _ => self.report_arrives().await,
            };
            if let Err(e) = told {
                self.narrator.failed(stage, &format!("{e:#}"));
                return Err(e.context(format!("stage {stage}")));
            }
        }
        Ok(())
    }

    async fn agent_answers(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.agent.answers().await {
            self.agent.check_alive()?;
            if started.elapsed() > START_LIMIT {
                bail!(
                    "its API does not answer after {} s; the end of its log:\n{}",
                    START_LIMIT.as_secs(),
                    self.agent.log_tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.narrator.done("start-agent", &format!("the agent runs and answers on its API after {ms} ms"), json!({ "ms": ms }));
        Ok(())
    }

    async fn first_install(&mut self) -> Result<()> {
        let first = SampleRelease::First;
        self.narrator.note(&format!("the cloud asks for release …{} with {}", tail(first), SERVICES.join(", ")));
        let picture = self.until(SETTLE_LIMIT, "the first install", |p| p.settled_at(first)).await?;
        let containers = self.containers(&picture).await?;
        self.narrator.done("install", "first install: all three services run", json!({ "containers": containers }));
        self.show(&picture);
        Ok(())
    }

    async fn update_is_held(&mut self) -> Result<()> {
        let (first, second) = (SampleRelease::First, SampleRelease::Second);
        let path = self.lock_path();
        self.make_lock(&path).await?;
        self.narrator.note(&format!("the application {CHANGED_SERVICE} is busy: it makes {}", path.display()));
        let picture = self.look().await?;
        let before = self.containers(&picture).await?;
        self.cloud.set_target(target(self.uuid, second, self.images));
        self.narrator.note(&format!("the cloud asks for release …{}, which changes {CHANGED_SERVICE} only", tail(second)));
        let seen = |p: &Picture| p.still_at(first, second) && p.lock_wait().is_some();
        let picture = self.until(LOCK_LIMIT, "the agent to say that it waits for the lock", seen).await?;
        let reason = picture.lock_wait().unwrap_or_default();
        let started = Instant::now();
        while started.elapsed() < HELD {
            let picture = self.look().await?;
            let reported = reported_settled(&self.cloud.device(), second, self.images).is_ok();
            if reported || !picture.still_at(first, second) || self.containers(&picture).await? != before {
                bail!("the update was not held back by the lock:\n{}", picture.summary());
            }
            tokio::time::sleep(LOOK).await;
        }
        let details = json!({ "reason": reason, "held_seconds": HELD.as_secs() });
        self.narrator.done("update-held", &format!("the update is held back and the agent says why: {reason}"), details);
        Ok(())
    }

    async fn lock_is_released(&mut self) -> Result<()> {
        let picture = self.look().await?;
        let before = self.containers(&picture).await?;
        let path = self.lock_path();
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        let started = Instant::now();
        self.narrator.note("the application is done and removes its lock");
        let picture = self.until(SETTLE_LIMIT, "the update to go through", |p| p.settled_at(SampleRelease::Second)).await?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let after = self.containers(&picture).await?;
        compare_containers(&before, &after).map_err(anyhow::Error::msg)?;
        let text = format!(
            "the lock's release lets the update through: settled after {ms} ms, the other two containers were left alone"
        );
        self.narrator.done("update-released", &text, json!({ "ms": ms, "containers": after }));
        self.show(&picture);
        Ok(())
    }

    async fn report_arrives(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let verdict = reported_settled(&self.cloud.device(), SampleRelease::Second, self.images);
            match verdict {
                Ok(()) => break,
                Err(e) if started.elapsed() > REPORT_LIMIT => bail!("the settled report did not arrive: {e}"),
                Err(_) => self.agent.check_alive()?,
            }
            tokio::time::sleep(LOOK).await;
        }
        let reports = self.cloud.reports();
        if let Some(refused) = reports.iter().find_map(|report| report.refusal.as_ref()) {
            bail!("the cloud refused a report: {refused}");
        }
        let text = format!(
            "the settled report arrived at the cloud: release …{} is done ({} reports in all)",
            tail(SampleRelease::Second),
            reports.len()
        );
        self.narrator.done("report", &text, json!({ "reports": reports.len(), "device": self.cloud.device() }));
        Ok(())
    }

    async fn look(&mut self) -> Result<Picture> {
        self.agent.check_alive()?;
        Ok(Picture(self.agent.status().await?))
    }

    /// Looks until the check holds, and prints what the agent does and waits for meanwhile.
    async fn until(&mut self, limit: Duration, what: &str, check: impl Fn(&Picture) -> bool) -> Result<Picture> {
        let started = Instant::now();
        let mut told = BTreeSet::new();
        loop {
            let picture = self.look().await?;
            for sentence in picture.sentences() {
                if told.insert(sentence.clone()) {
                    self.narrator.note(&format!("  {sentence}"));
                }
            }
            if check(&picture) {
                return Ok(picture);
            }
            if started.elapsed() > limit {
                let (seconds, summary, log) = (limit.as_secs(), picture.summary(), self.agent.log_tail());
                bail!("waited {seconds} s in vain for {what}; the agent says:\n{summary}\nthe end of its log:\n{log}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Container ids by service: from the engine itself where it is a real one.
    async fn containers(&self, picture: &Picture) -> Result<BTreeMap<String, String>> {
        match self.docker {
            Some((docker, scope)) => docker.containers(scope).await,
            None => Ok(picture.containers()),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.locks.join(APP_ID.to_string()).join(CHANGED_SERVICE).join("updates.lock")
    }

    /// Makes the lock as an application does: exclusively, and again later while the agent holds it.
    async fn make_lock(&self, path: &PathBuf) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let started = Instant::now();
        loop {
            match std::fs::File::create_new(path) {
                Ok(mut file) => return file.write_all(b"busy\n").context("cannot write the lock"),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && started.elapsed() < LOCK_LIMIT => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(e) => return Err(e).with_context(|| format!("cannot make the lock {}", path.display())),
            }
        }
    }

    fn show(&self, picture: &Picture) {
        picture.table().iter().for_each(|line| self.narrator.note(&format!("  {line}")));
    }
}

/// The last digits of a commit, as they are shown.
fn tail(release: SampleRelease) -> &'static str {
    let commit = release.commit();
    &commit[commit.len() - 4..]
}
