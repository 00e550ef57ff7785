//! Settings: raw sources, merged by precedence, validated into one [`Settings`].
//!
//! Flags and environment variables are checked at once: a bad one ends the start. config.json is a file that people edit
//! and power cuts tear, so a bad value in it, or a file that does not decode, gives way to the last good one and is
//! reported ([`SettingFault`]). Loading writes nothing; [`ConfigFile::settle`] does the repairs, once the agent holds the
//! data directory.

mod certificates;
mod cloud;
mod config_json;
mod document;
mod duration;
mod fault;
mod flags;
mod given;
mod good_copy;
mod kinds;
mod permissive;
mod secret;
mod whole_file;

pub(crate) use certificates::{decode_base64, decoded_text};
pub use cloud::{CloudSettings, LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL};
pub use config_json::{ConfigFile, ConfigFileError};
pub use duration::{format_duration, parse_duration};
pub use fault::{Origin, SettingFault, SettingsError};
pub use flags::Flags;
pub(crate) use good_copy::{hex, sha256};
pub use secret::Secret;
pub(crate) use whole_file::{replace as replace_file, sync_folder};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloud::FromConfigJson;
use given::Given;
use kinds::{absolute_path, days_between, duration_between, engine_address, label, listen_address, number_between, zero_or};

/// Everything the agent is told, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where config.json is, as it is opened: the default lies under the host root, a path that was given does not.
    pub config: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The database file.
    pub database: PathBuf,
    /// Address of the engine (`unix:///…` or `sim:`); `None` takes the first usual one that answers.
    pub engine: Option<String>,
    /// The local API's unix socket.
    pub socket: PathBuf,
    /// The local API over TCP, only when asked for.
    pub listen: Option<SocketAddr>,
    /// Lock root on the host: given as it is to the engine, opened under `host_root`.
    pub lock_dir: PathBuf,
    /// How long volumes of an app that left the target are kept, at most 10 years; zero removes at once.
    pub volume_grace: Duration,
    /// The host's root directory.
    pub host_root: PathBuf,
    /// Time between polls, [`LEAST_POLL_INTERVAL`] to [`MOST_POLL_INTERVAL`].
    pub poll_interval: Duration,
    /// Where the poll interval comes from.
    pub poll_interval_origin: Origin,
    /// Upper bound of the random time added to it, at most a day.
    pub poll_jitter: Duration,
    /// Least time between reports, 100 ms to a day.
    pub report_interval: Duration,
    /// Time between backups of the database, at most a year; zero makes none on a schedule.
    pub backup_interval: Duration,
    /// How many backups are kept, 1 to 1000.
    pub backup_keep: usize,
    /// How long backups are kept, an hour to 10 years.
    pub backup_age: Duration,
    /// How long events are kept in the database, 1 day to 10 years.
    pub event_retention: Duration,
    /// Time between looks at what the machine and its containers use, a second to 15 minutes; zero takes none.
    pub stats_interval: Duration,
    /// How long what they found is kept, 1 day to 10 years.
    pub stats_retention: Duration,
    /// Address of the host's D-Bus.
    pub system_bus: String,
    /// Where the public key lies that updates of the agent are signed with; `None` is the usual place, where none need lie.
    pub update_key: Option<PathBuf>,
    /// How long a new version of the agent has to prove itself, 5 s to a day.
    pub update_deadline: Duration,
    /// The cloud, from config.json.
    pub cloud: CloudSettings,
    /// Manage only objects that carry this value in the label `io.holdfast.scope`, and give it to what is made: the demo's
    /// way to stay apart. `None` in ordinary use.
    pub scope: Option<String>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Settings {
    /// What holds when nobody says anything.
    fn default() -> Self {
        Settings {
            config: "/mnt/boot/config.json".into(),
            data_dir: "/data".into(),
            database: "/data/database.sqlite".into(),
            engine: None,
            socket: "/run/holdfast/holdfast.sock".into(),
            listen: None,
            lock_dir: "/tmp/balena-supervisor/services".into(),
            volume_grace: 7 * DAY,
            host_root: "/".into(),
            poll_interval: Duration::from_secs(15 * 60),
            poll_interval_origin: Origin::Default,
            poll_jitter: Duration::from_secs(60),
            report_interval: Duration::from_secs(10),
            backup_interval: DAY,
            backup_keep: 7,
            backup_age: 30 * DAY,
            event_retention: 7 * DAY,
            stats_interval: Duration::from_secs(60),
            stats_retention: 30 * DAY,
            system_bus: "unix:path=/run/dbus/system_bus_socket".into(),
            update_key: None,
            update_deadline: Duration::from_secs(300),
            cloud: CloudSettings::default(),
            scope: None,
        }
    }
}

impl Settings {
    /// Reads every source and checks every value. Writes nothing.
    ///
    /// # Errors
    /// A bad value in a flag or the environment. What is wrong in config.json comes back as faults instead.
    pub fn load(flags: &Flags, env: impl Fn(&str) -> Option<String>) -> Result<(Settings, Vec<SettingFault>), SettingsError> {
        let given = Given::new(&env);
        let mut settings = Settings::default()
            .with_paths(flags, &given)?
            .with_times(flags, &given)?
            .with_backups(flags, &given)?
            .with_statistics(&given)?;
        settings.take_update(flags, &given)?;
        settings.engine = given.get(Some(("--engine", &flags.engine)), "DOCKER_HOST", engine_address)?.map(|(value, _)| value);
        settings.listen =
            given.get(Some(("--listen", &flags.listen)), "HOLDFAST_LISTEN", listen_address)?.map(|(value, _)| value);
        settings.scope = env("HOLDFAST_SCOPE").filter(|scope| !scope.is_empty());
        let faults = settings.take_config_json();
        Ok((settings, faults))
    }

    /// config.json with its good copy, for repairs and rewrites.
    pub fn config_file(&self) -> ConfigFile {
        ConfigFile::new(&self.config, &self.data_dir)
    }

    /// The poll interval under a device variable of the cloud (`SUPERVISOR_POLL_INTERVAL`, ms), which wins over config.json
    /// and the default only. A bad value is ignored and said.
    pub fn poll_interval_under(&self, variable: Option<&str>) -> (Duration, Option<SettingFault>) {
        let fixed = matches!(self.poll_interval_origin, Origin::Flag(_) | Origin::Environment(_));
        let Some(text) = variable.filter(|_| !fixed) else { return (self.poll_interval, None) };
        match duration_between(LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL)(text) {
            Ok(interval) => (interval, None),
            Err(expected) => {
                let subject = Origin::DeviceVariable("SUPERVISOR_POLL_INTERVAL").to_string();
                let message =
                    format!("{text:?} is not valid: expected {expected}; {} is kept", format_duration(self.poll_interval));
                (self.poll_interval, Some(SettingFault { subject, message }))
            }
        }
    }

    fn with_paths(self, flags: &Flags, given: &Given) -> Result<Settings, SettingsError> {
        let host_root = given.or(("--host-root", &flags.host_root), "HOLDFAST_HOST_ROOT", absolute_path, self.host_root)?;
        let data_dir = given.or(("--data-dir", &flags.data_dir), "HOLDFAST_DATA_DIR", absolute_path, self.data_dir)?;
        let under_root = |path: &Path| host_root.join(path.strip_prefix("/").unwrap_or(path));
        let bus = format!("unix:path={}", under_root(Path::new("/run/dbus/system_bus_socket")).display());
        Ok(Settings {
            config: given.or(("--config", &flags.config), "HOLDFAST_CONFIG", absolute_path, under_root(&self.config))?,
            database: given.or(
                ("--database", &flags.database),
                "DATABASE_PATH",
                absolute_path,
                data_dir.join("database.sqlite"),
            )?,
            socket: given.or(("--socket", &flags.socket), "HOLDFAST_SOCKET", absolute_path, self.socket)?,
            lock_dir: given.or(("--lock-dir", &flags.lock_dir), "HOLDFAST_LOCK_DIR", absolute_path, self.lock_dir)?,
            system_bus: given.get(None, "DBUS_SYSTEM_BUS_ADDRESS", label)?.map_or(bus, |(value, _)| value),
            host_root,
            data_dir,
            ..self
        })
    }

    fn with_times(self, flags: &Flags, given: &Given) -> Result<Settings, SettingsError> {
        let poll = duration_between(LEAST_POLL_INTERVAL, MOST_POLL_INTERVAL);
        let poll = given.get(Some(("--poll-interval", &flags.poll_interval)), "HOLDFAST_POLL_INTERVAL", poll)?;
        let (poll_interval, poll_interval_origin) = poll.unwrap_or((self.poll_interval, Origin::Default));
        let grace = duration_between(Duration::ZERO, 3650 * DAY);
        let jitter = duration_between(Duration::ZERO, DAY);
        let report = duration_between(Duration::from_millis(100), DAY);
        let retention = given.get(None, "LOG_RETENTION_DAYS", days_between(1, 3650))?;
        Ok(Settings {
            poll_interval,
            poll_interval_origin,
            volume_grace: given.or(("--volume-grace", &flags.volume_grace), "HOLDFAST_VOLUME_GRACE", grace, self.volume_grace)?,
            poll_jitter: given.or(("--poll-jitter", &flags.poll_jitter), "HOLDFAST_POLL_JITTER", jitter, self.poll_jitter)?,
            report_interval: given.or(
                ("--report-interval", &flags.report_interval),
                "HOLDFAST_REPORT_INTERVAL",
                report,
                self.report_interval,
            )?,
            event_retention: retention.map_or(self.event_retention, |(value, _)| value),
            ..self
        })
    }

    fn with_backups(self, flags: &Flags, given: &Given) -> Result<Settings, SettingsError> {
        let interval = duration_between(Duration::ZERO, 365 * DAY);
        let age = duration_between(Duration::from_secs(3600), 3650 * DAY);
        let keep = ("--backup-keep", &flags.backup_keep);
        Ok(Settings {
            backup_interval: given.or(
                ("--backup-interval", &flags.backup_interval),
                "HOLDFAST_BACKUP_INTERVAL",
                interval,
                self.backup_interval,
            )?,
            backup_keep: given.or(keep, "HOLDFAST_BACKUP_KEEP", number_between(1, 1000), self.backup_keep)?,
            backup_age: given.or(("--backup-age", &flags.backup_age), "HOLDFAST_BACKUP_AGE", age, self.backup_age)?,
            ..self
        })
    }

    fn with_statistics(self, given: &Given) -> Result<Settings, SettingsError> {
        let interval = given.get(None, "HOLDFAST_STATS_INTERVAL", zero_or(Duration::from_secs(1), Duration::from_secs(900)))?;
        let retention = given.get(None, "STATS_RETENTION_DAYS", days_between(1, 3650))?;
        Ok(Settings {
            stats_interval: interval.map_or(self.stats_interval, |(value, _)| value),
            stats_retention: retention.map_or(self.stats_retention, |(value, _)| value),
            ..self
        })
    }

    fn take_update(&mut self, flags: &Flags, given: &Given) -> Result<(), SettingsError> {
        let key = given.get(Some(("--update-key", &flags.update_key)), "HOLDFAST_UPDATE_KEY", absolute_path)?;
        self.update_key = key.map(|(value, _)| value);
        let flag = ("--update-deadline", &flags.update_deadline);
        let between = duration_between(Duration::from_secs(5), DAY);
        self.update_deadline = given.or(flag, "HOLDFAST_UPDATE_DEADLINE", between, self.update_deadline)?;
        Ok(())
    }

    fn take_config_json(&mut self) -> Vec<SettingFault> {
        let in_force = self.config_file().read();
        let read = FromConfigJson::read(&in_force.document, in_force.good.as_ref());
        self.cloud = read.cloud;
        if let (Some(interval), Origin::Default) = (read.poll_interval, self.poll_interval_origin) {
            self.poll_interval = interval;
            self.poll_interval_origin = Origin::ConfigJson("appUpdatePollInterval");
        }
        in_force.faults.into_iter().chain(read.faults).collect()
    }
}

#[cfg(test)]
mod tests;
