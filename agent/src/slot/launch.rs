//! The launcher: what the service manager starts. It decides which binary to run, counts the start, and turns into it: the
//! process, its environment and with it the service manager's socket and watchdog stay the same.
//!
//! It is the image's own binary, which never changes under the device; so it does little, and nothing in it may fail: when
//! in doubt it starts itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::database::put_back;
use super::decide::{Facts, Next, next};
use super::error::SlotError;
use super::folder::Folder;
use super::point;
use super::record::{Slot, Slots};
use crate::store::{DataLock, Place, StoreError};

/// Tells the agent that it was started by the launcher, and as what.
const VARIABLE: &str = "HOLDFAST_LAUNCHED";
const FACTORY: &str = "factory";

/// How often and after how long the data directory is tried again: somebody may just be looking at it.
const HELD_TRIES: u32 = if cfg!(test) { 10 } else { 50 };
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// As what an agent was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launched {
    /// As the image's own.
    Factory,
    /// From a slot.
    Slot(Slot),
}

impl Launched {
    /// What the environment says; `None` when it was not the launcher that started this process.
    pub fn from_environment() -> Option<Launched> {
        Launched::named(&std::env::var(VARIABLE).ok()?)
    }

    fn named(name: &str) -> Option<Launched> {
        if name == FACTORY { Some(Launched::Factory) } else { Slot::named(name).map(Launched::Slot) }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Launched::Factory => FACTORY,
            Launched::Slot(slot) => slot.name(),
        }
    }
}

/// Turns into the agent that is to run, with the same arguments. Returns only when nothing can be started.
pub fn launch(arguments: &[OsString]) -> SlotError {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let place = place(arguments, |name| std::env::var_os(name));
    let mut launcher = Launcher::new(&place);
    loop {
        let (program, launched) = launcher.choose().unwrap_or_else(|| (own.clone(), Launched::Factory));
        log::debug!("starting {}", program.display());
        let error = Command::new(&program).arg("run").args(arguments).env(VARIABLE, launched.name()).exec();
        log::error!("{}: it cannot be started: {error}", program.display());
        let Launched::Slot(slot) = launched else {
            return SlotError::io(&program, "no agent can be started")(error);
        };
        launcher.facts.broken.push((slot, format!("{}: {error}", program.display())));
    }
}

/// Where the data and the database are, by the flags of `run` and the environment. What makes no sense is for `run` to say.
fn place(arguments: &[OsString], variable: impl Fn(&str) -> Option<OsString>) -> Place {
    let given = |flag: &str, name: &str| flagged(arguments, flag).or_else(|| variable(name).filter(|value| !value.is_empty()));
    let data_dir = given("--data-dir", "HOLDFAST_DATA_DIR").map_or_else(|| PathBuf::from("/data"), PathBuf::from);
    let database = given("--database", "DATABASE_PATH").map_or_else(|| data_dir.join("database.sqlite"), PathBuf::from);
    Place::new(&data_dir, &database)
}

/// The value of a flag, as `--flag value` or `--flag=value`.
fn flagged(arguments: &[OsString], flag: &str) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == OsStr::new(flag) {
            return rest.next().cloned();
        }
        if let Some(value) = argument.to_str().and_then(|text| text.strip_prefix(flag)?.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

struct Launcher<'p> {
    place: &'p Place,
    folder: Folder,
    facts: Facts,
    /// The record, while the data directory is held for it; `None` when there is nothing to choose from.
    slots: Option<Slots>,
    _lock: Option<DataLock>,
}

impl<'p> Launcher<'p> {
    fn new(place: &'p Place) -> Launcher<'p> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let facts = Facts { boot: boot.trim().to_owned(), ..Facts::default() };
        let mut launcher = Launcher { place, folder: Folder::of(&place.data_dir), facts, slots: None, _lock: None };
        // A device that never replaced its agent is not kept waiting, and nothing of it is touched.
        if launcher.load().is_some_and(|slots| slots.kept.is_some() || slots.trial.is_some()) {
            launcher.hold();
        }
        launcher
    }

    fn load(&self) -> Option<Slots> {
        self.folder.load().inspect_err(|error| log::error!("{error}")).ok()
    }

    /// Nobody else may write the record while it is decided on.
    fn hold(&mut self) {
        let take = || DataLock::take(&self.place.data_dir);
        let again = (0..HELD_TRIES).find_map(|_| match take() {
            Err(StoreError::Held { .. }) => {
                std::thread::sleep(HELD_PAUSE);
                None
            }
            other => Some(other),
        });
        match again.unwrap_or_else(take) {
            Ok(lock) => self._lock = Some(lock),
            // Whichever is started will say who runs already; that is no failure of any version.
            Err(StoreError::Held { .. }) => return,
            Err(error) => {
                log::error!("{error}; starts cannot be counted");
                self.facts.uncountable = true;
            }
        }
        self.slots = self.load();
    }

    /// The binary to turn into; `None` is the image's own.
    fn choose(&mut self) -> Option<(PathBuf, Launched)> {
        loop {
            match next(self.slots.as_ref()?, &self.facts) {
                Next::Factory { why } => {
                    if let Some(why) = why {
                        log::error!("the image's own agent is started: {why}");
                    }
                    return None;
                }
                Next::RollBack { why } => self.roll_back(&why),
                Next::Start(binary) => match self.folder.examine(&binary) {
                    Err(why) => {
                        log::error!("{why}");
                        self.facts.broken.push((binary.slot, why));
                    }
                    Ok(path) => {
                        let counted = self.slots.clone()?.counted(&binary, &self.facts.boot);
                        if self.store(counted) || self.slots.as_ref()?.trial.as_ref().is_none_or(|trial| trial.binary != binary) {
                            return Some((path, Launched::Slot(binary.slot)));
                        }
                    }
                },
            }
        }
    }

    /// Stores the record; says whether it is durable. What cannot be stored is known for the rest of this start.
    fn store(&mut self, slots: Slots) -> bool {
        let stored = self.folder.store(&slots);
        if let Err(error) = &stored {
            log::error!("{error}");
            self.facts.uncountable = true;
        }
        self.slots = Some(slots);
        stored.is_ok()
    }

    /// Ends a trial: the database of before is laid ready when the schema moved, then the record says that it is over. Cut off
    /// in between, the next start comes here again.
    fn roll_back(&mut self, why: &str) {
        let Some(slots) = self.slots.take() else { return };
        let database =
            slots.trial.as_ref().map(|trial| put_back(self.place, trial.schema, &self.folder.copy())).unwrap_or_default();
        point("the database is laid ready");
        let back = slots.rolled_back(why, &database);
        log::error!("{}", back.news.as_deref().unwrap_or_default());
        self.store(back);
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Binary, Starts, Trial};
    use super::*;

    #[test]
    fn the_data_is_found_as_the_agent_finds_it() {
        let found = |arguments: &[&str], data: Option<&str>, database: Option<&str>| {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            let place = place(&arguments, |name| match name {
                "HOLDFAST_DATA_DIR" => data.map(Into::into),
                _ => database.map(Into::into),
            });
            (place.data_dir.display().to_string(), place.database.display().to_string())
        };
        let paths = |data: &str, database: &str| (data.to_owned(), database.to_owned());
        assert_eq!(found(&[], None, None), paths("/data", "/data/database.sqlite"));
        assert_eq!(found(&[], Some("/d"), Some("")), paths("/d", "/d/database.sqlite"));
        assert_eq!(found(&["--data-dir", "/e", "--x"], Some("/d"), None), paths("/e", "/e/database.sqlite"));
        assert_eq!(found(&["--y", "--data-dir=/e", "--database=/f"], None, Some("/g")), paths("/e", "/f"));
        assert_eq!(found(&["--data-dir"], None, None), paths("/data", "/data/database.sqlite"));
    }

    /// A data directory with a file in each slot.
    fn device() -> (tempfile::TempDir, Place, Binary, Binary) {
        let data = tempfile::tempdir().unwrap();
        let place = Place::new(data.path(), &data.path().join("database.sqlite"));
        let folder = Folder::of(data.path());
        folder.make().unwrap();
        let binary = |slot: Slot| {
            std::fs::write(folder.binary(slot), slot.name()).unwrap();
            Binary { slot, sha256: crate::settings::sha256(slot.name().as_bytes()), version: slot.name().into() }
        };
        let (a, b) = (binary(Slot::A), binary(Slot::B));
        (data, place, a, b)
    }

    fn trial(binary: &Binary) -> Trial {
        let (binary, starts) = (binary.clone(), Starts::default());
        Trial { binary, starts, total: 0, schema: 2, cloud: false, wish: None, verdict: None }
    }

    /// The slot that is started.
    fn chosen(place: &Place) -> Option<Slot> {
        match Launcher::new(place).choose() {
            Some((_, Launched::Slot(slot))) => Some(slot),
            _ => None,
        }
    }

    #[test]
    fn each_start_of_a_trial_is_counted_before_it_begins_and_the_third_is_the_last() {
        let (_data, place, a, b) = device();
        let folder = Folder::of(&place.data_dir);
        folder.store(&Slots { kept: Some(a), trial: Some(trial(&b)), ..Slots::default() }).unwrap();
        for start in 1..=3 {
            assert_eq!(chosen(&place), Some(Slot::B));
            assert_eq!(folder.load().unwrap().trial.unwrap().total, start);
        }
        assert_eq!(chosen(&place), Some(Slot::A));
        let slots = folder.load().unwrap();
        assert!(slots.trial.is_none() && slots.failed.is_some_and(|failed| failed.sha256 == b.sha256));
        assert!(slots.news.unwrap().contains("was not kept"));
    }

    #[test]
    fn a_spoilt_file_is_passed_over_and_an_unreadable_record_is_the_images_own() {
        let (_data, place, a, b) = device();
        let folder = Folder::of(&place.data_dir);
        std::fs::write(folder.binary(Slot::B), "spoilt").unwrap();
        folder.store(&Slots { kept: Some(a), trial: Some(trial(&b)), ..Slots::default() }).unwrap();
        assert_eq!(chosen(&place), Some(Slot::A));
        assert!(folder.load().unwrap().failed.unwrap().why.contains("checksum"));
        std::fs::write(folder.binary(Slot::A), "spoilt").unwrap();
        assert_eq!(chosen(&place), None);
        std::fs::write(place.data_dir.join("agent/slots"), "torn").unwrap();
        assert_eq!(chosen(&place), None);
    }

    #[test]
    fn where_nothing_was_ever_replaced_nothing_is_touched() {
        let data = tempfile::tempdir().unwrap();
        let place = Place::new(&data.path().join("none"), &data.path().join("none/database.sqlite"));
        assert_eq!(chosen(&place), None);
        assert!(!place.data_dir.exists());
    }

    #[test]
    fn a_start_that_cannot_be_counted_is_that_of_the_kept_version() {
        let (_data, place, a, b) = device();
        let folder = Folder::of(&place.data_dir);
        let slots = Slots { kept: Some(a), trial: Some(trial(&b)), ..Slots::default() };
        folder.store(&slots).unwrap();
        // What the record is prepared in.
        let blocked = place.data_dir.join("agent/slots.new");
        std::fs::create_dir(&blocked).unwrap();
        for _ in 0..10 {
            assert_eq!(chosen(&place), Some(Slot::A));
        }
        assert_eq!(folder.load().unwrap(), slots);
        std::fs::remove_dir(&blocked).unwrap();
        assert_eq!(chosen(&place), Some(Slot::B));
    }

    #[test]
    fn while_another_agent_runs_nothing_is_counted() {
        let (_data, place, a, _) = device();
        let folder = Folder::of(&place.data_dir);
        let slots = Slots { kept: Some(a), ..Slots::default() };
        folder.store(&slots).unwrap();
        let _held = DataLock::take(&place.data_dir).unwrap();
        assert_eq!(chosen(&place), None);
        assert_eq!(folder.load().unwrap(), slots);
    }

    #[test]
    fn who_holds_the_data_for_a_moment_is_waited_for() {
        let (_data, place, a, _) = device();
        Folder::of(&place.data_dir).store(&Slots { kept: Some(a), ..Slots::default() }).unwrap();
        let held = DataLock::take(&place.data_dir).unwrap();
        let moment = std::thread::spawn(move || {
            std::thread::sleep(HELD_PAUSE);
            drop(held);
        });
        assert_eq!(chosen(&place), Some(Slot::A));
        moment.join().unwrap();
    }
}
