//! The loop that provisions: it walks the course, and begins again after every failure, for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::course::{Course, Next, Outcome, Step};
use super::identity::random_uuid;
use super::ledger::{Ledger, Written};
use super::registrar::Registration;
use super::{Installed, KeyOf, Need, Pin, Registered, Registrar};
use crate::clock::Clock;
use crate::cloud::poll::stopped;
use crate::cloud::{CloudError, CloudView, Provisioning, Retry};
use crate::settings::{CloudSettings, ConfigFile, ConfigFileError, Secret};

/// The doubling of the waits ends here: somebody may stand beside the device and wait for it to join.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// What a registration says of the device besides its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Device type slug.
    pub device_type: Option<String>,
    /// `PRETTY_NAME` of the host's os-release.
    pub os_version: Option<String>,
    /// `dev` or `prod`.
    pub os_variant: String,
    /// MAC addresses, space separated.
    pub mac_address: String,
}

/// What the loop is connected to.
pub struct ProvisionLinks {
    /// Somebody does not want to wait for the next attempt.
    pub hurry: Arc<Notify>,
    /// Turns true when the device may be polled for: it has joined, or was known to the cloud before.
    pub joined: watch::Sender<bool>,
    /// Where it shows how it is.
    pub view: watch::Sender<CloudView>,
    /// Ends the loop when it becomes `true` or its sender is gone.
    pub shutdown: watch::Receiver<bool>,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The device has joined.
    Joined,
    /// config.json speaks of another identity or cloud than at the start: everything has to begin anew with it.
    Changed,
    /// The agent is ending.
    Stopped,
}

/// Why an attempt failed. All of it may be better next time.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    #[error("{0} is not known, and without it no device can be registered")]
    Missing(&'static str),
    #[error("the cloud knows this device's uuid and does not let it have its key with this provisioning key{0}")]
    OfNoUse(String),
    #[error("the machine gives no random numbers for a new identity")]
    NoRandomness,
}

/// The loop.
pub struct Provisioner {
    cloud: Arc<CloudSettings>,
    device: Description,
    need: Need,
    pin: Option<Pin>,
    registrar: Arc<dyn Registrar>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    retry: Retry,
    refused: String,
}

impl Provisioner {
    /// Makes the loop for what `cloud` needs; `cloud` holds the whole identity, durable or not.
    pub fn new(
        need: Need,
        cloud: CloudSettings,
        device: Description,
        file: ConfigFile,
        registrar: Arc<dyn Registrar>,
        clock: Arc<dyn Clock>,
        rng: fastrand::Rng,
    ) -> Provisioner {
        let first = cloud.bootstrap_retry_delay;
        let retry = Retry::starting_with(first, LONGEST_WAIT.max(first), rng);
        let cloud = Arc::new(cloud);
        let ledger = Ledger::new(file, cloud.clone());
        Provisioner { cloud, device, need, pin: None, registrar, ledger, clock, retry, refused: String::new() }
    }

    /// The release the device is to be pinned to before it has joined.
    pub fn pinned(self, pin: Option<Pin>) -> Provisioner {
        Provisioner { pin, ..self }
    }

    /// Provisions until the device has joined, its identity changed, or the shutdown fires.
    pub async fn run(mut self, mut links: ProvisionLinks) -> Ended {
        let mut course = Course::new(self.need, self.cloud.initial_device_name.is_some(), self.pin.is_some());
        log::info!("{}", self.doing());
        loop {
            self.show(&links.view, None, None);
            let attempt = tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return Ended::Stopped,
                attempt = self.attempt(&mut course) => attempt,
            };
            let error = match attempt {
                Ok(ended) => return self.end(ended, &links),
                Err(error) => error,
            };
            if self.need == Need::DropKey && self.pin.is_none() {
                // The cloud knows this device already: it need not wait for the key to be dropped.
                links.joined.send_replace(true);
            }
            let wait = self.failed(&error, &links.view);
            tokio::select! {
                biased;
                () = stopped(&mut links.shutdown) => return Ended::Stopped,
                () = links.hurry.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn end(&self, ended: Ended, links: &ProvisionLinks) -> Ended {
        match ended {
            Ended::Joined if matches!(self.need, Need::Pin(_)) => {}
            Ended::Joined => log::info!("joined {}: the provisioning key is gone from config.json", self.cloud.api_endpoint),
            _ => log::warn!("config.json speaks of another identity or cloud than at the start: the agent begins anew with it"),
        }
        links.view.send_modify(|view| view.provisioning = None);
        if ended == Ended::Joined {
            links.joined.send_replace(true);
        }
        ended
    }

    /// From the beginning to the end, or to the first thing that goes wrong.
    async fn attempt(&mut self, course: &mut Course) -> Result<Ended, Trouble> {
        let mut step = course.begin();
        loop {
            let Some(outcome) = self.take(step).await? else { return Ok(Ended::Changed) };
            step = match course.after(step, outcome) {
                Next::Do(step) => step,
                Next::Joined => return Ok(Ended::Joined),
                Next::Renewed => return Ok(Ended::Changed),
                Next::OfNoUse => return Err(Trouble::OfNoUse(self.refused.clone())),
            };
        }
    }

    /// Takes one step; `None` when config.json has become another's.
    async fn take(&mut self, step: Step) -> Result<Option<Outcome>, Trouble> {
        log::debug!("provisioning: {step:?}");
        let known = |id: Option<u64>| id.map_or(Outcome::Unknown, Outcome::Known);
        let outcome = match step {
            Step::Keep => return Ok(done(self.ledger.keep().await?)),
            Step::Finish(id) => return Ok(done(self.ledger.finish(id, self.clock.now().machine_ms).await?)),
            Step::Renew => return self.renew().await,
            Step::Register => match self.registrar.register(&self.registration()?).await? {
                Registered::As(id) => Outcome::Known(id),
                Registered::Taken => Outcome::Taken,
            },
            Step::FindByOwnKey => known(self.registrar.find(KeyOf::Device).await?),
            Step::FindByFleetKey => {
                self.refused.clear();
                known(self.registrar.find(KeyOf::Fleet).await?)
            }
            Step::Install(id) => match self.registrar.install(id, self.device_key()).await? {
                Installed::Yes => Outcome::Done,
                Installed::Refused(why) => {
                    self.refused = format!(": {why}");
                    Outcome::Refused
                }
            },
            Step::Name(id) => self.name(id).await?,
            Step::Pin(id) => self.pin_to_release(id).await?,
        };
        Ok(Some(outcome))
    }

    async fn renew(&self) -> Result<Option<Outcome>, Trouble> {
        let (uuid, key) = random_uuid().zip(random_uuid()).ok_or(Trouble::NoRandomness)?;
        let old = self.cloud.uuid.as_deref().unwrap_or_default();
        log::warn!("the cloud has no use for the identity {old}: this device goes on as {uuid}");
        Ok(done(self.ledger.renew(uuid, key).await?))
    }

    /// A name that the cloud does not want is no reason to stay out.
    async fn name(&self, id: u64) -> Result<Outcome, Trouble> {
        let Some(name) = &self.cloud.initial_device_name else { return Ok(Outcome::Done) };
        match self.registrar.name(id, name).await {
            Err(error @ CloudError::Status { status: 400..=407 | 409..=428 | 430..=499, .. })
            | Err(error @ CloudError::Unauthorised { .. }) => log::warn!("the device is not named {name:?}: {error}"),
            other => other?,
        }
        Ok(Outcome::Done)
    }

    /// A release that the cloud does not have, or does not let the device have, is no reason to stay out.
    async fn pin_to_release(&self, id: u64) -> Result<Outcome, Trouble> {
        let Some(pin) = &self.pin else { return Ok(Outcome::Done) };
        let why = match self.registrar.pin(id, pin).await {
            Ok(true) => {
                log::info!("the device is pinned to release {}, as its preload asks", pin.commit);
                return Ok(Outcome::Done);
            }
            Ok(false) => "the cloud knows no such release of that fleet".to_owned(),
            Err(error @ CloudError::Status { status: 400 | 404 | 409 | 422, .. }) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        log::warn!("the device is not pinned to release {}, it follows its fleet: {why}; pin it in the cloud", pin.commit);
        Ok(Outcome::Done)
    }

    fn registration(&self) -> Result<serde_json::Value, Trouble> {
        let registration = Registration {
            user: self.cloud.user_id,
            application: self.cloud.application_id.ok_or(Trouble::Missing("the fleet (applicationId in config.json)"))?,
            uuid: self.cloud.uuid.as_deref().ok_or(Trouble::Missing("the uuid"))?,
            device_type: self.device.device_type.as_deref().ok_or(Trouble::Missing(
                "the device type (slug in device-type.json on the boot partition, or deviceType in config.json)",
            ))?,
            api_key: self.device_key(),
            os_version: self.device.os_version.as_deref(),
            os_variant: &self.device.os_variant,
            mac_address: &self.device.mac_address,
        };
        Ok(registration.body())
    }

    fn device_key(&self) -> &str {
        self.cloud.device_api_key.as_ref().map(Secret::reveal).unwrap_or_default()
    }

    /// What it is at, for people.
    fn doing(&self) -> String {
        let what = match self.need {
            Need::Register => "registering with",
            Need::FindId => "asking for this device's id at",
            Need::DropKey => "exchanging the provisioning key at",
            Need::Pin(_) => "pinning this device to its preloaded release at",
        };
        format!("{what} {}", self.cloud.api_endpoint)
    }

    /// Counts a failure, shows it, and says how long to wait.
    fn failed(&mut self, error: &Trouble, view: &watch::Sender<CloudView>) -> Duration {
        let asked = if let Trouble::Cloud(error) = error { error.retry_after() } else { None };
        let wait = self.retry.failed(asked);
        let error = error.to_string();
        log::warn!("{} failed: {error}; tried again in {} s", self.doing(), wait.as_millis().div_ceil(1000));
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.show(view, Some(error), Some(self.clock.now().boot_ms.saturating_add(wait_ms)));
        wait
    }

    /// Shows what it is at; the last error stays while the next attempt is made.
    fn show(&self, view: &watch::Sender<CloudView>, error: Option<String>, next_try_boot_ms: Option<i64>) {
        view.send_modify(|view| {
            view.endpoint.clone_from(&self.cloud.api_endpoint);
            let last = view.provisioning.take().and_then(|last| last.error);
            let (error, failures) = (error.or(last), self.retry.failures());
            view.provisioning = Some(Provisioning { doing: self.doing(), error, failures, next_try_boot_ms });
        });
    }
}

fn done(written: Written) -> Option<Outcome> {
    (written == Written::Yes).then_some(Outcome::Done)
}

#[cfg(test)]
mod tests;
