//! Files of the boot partition: what they say, changing them so that a cut leaves the old or the new, and the mark that the
//! device has to start again for it (behaviour §11, §12).

mod journal;
mod mark;

pub(super) use journal::{Entry, FileChange, Journal};
pub(super) use mark::Mark;

use std::collections::BTreeMap;
use std::path::PathBuf;

use holdfast_plan::boot::{BackEnd, Board, Changes, Values};
use holdfast_plan::current::BootFile;
use serde_json::Value;

use super::HostError;
use crate::settings::ConfigFile;

/// os-release's name for the version that tells old Jetson systems from newer ones.
const META_BALENA: &str = "META_BALENA_VERSION=";
/// The file whose presence makes the `extra_uEnv` back-end.
const EXTRA_UENV: &str = "extra_uEnv.txt";
/// The key of config.json behind `SUPERVISOR_PERSISTENT_LOGGING`, and its name in the back-end.
const PERSISTENT_LOGGING: (&str, &str) = ("persistentLogging", "LOGGING");

/// The boot configuration of one host.
#[derive(Debug)]
pub(super) struct BootConfig {
    pub root: PathBuf,
    pub journal: Journal,
    pub mark: Mark,
    pub config: ConfigFile,
}

impl BootConfig {
    /// What each back-end of this device says now.
    pub fn observe(&self, device_type: &str) -> BTreeMap<String, BootFile> {
        let os_release = super::file::read_in(&self.root, "etc/os-release").unwrap_or_default();
        let meta = os_release.lines().find_map(|line| line.trim().strip_prefix(META_BALENA));
        let meta = meta.map(|value| value.trim().trim_matches('"'));
        let has_extra_uenv = self.journal.read(EXTRA_UENV).is_ok_and(|found| found.is_some());
        let board = Board { device_type, meta_balena: meta, has_extra_uenv };
        let of = |back_end: &BackEnd| match self.values(back_end) {
            Ok(values) => BootFile::Says(values),
            Err(why) => BootFile::Unusable(why),
        };
        BackEnd::of(&board).map(|back_end| (back_end.name.to_owned(), of(back_end))).collect()
    }

    fn values(&self, back_end: &BackEnd) -> Result<Values, String> {
        if back_end.is_text() {
            return back_end.read(&self.text(back_end)?);
        }
        let on = match self.config.value(PERSISTENT_LOGGING.0) {
            Some(Value::Bool(on)) => on,
            Some(Value::String(text)) => ["1", "true", "on"].contains(&text.as_str()),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => return Ok(Values::new()),
        };
        Ok(Values::from([(PERSISTENT_LOGGING.1.to_owned(), vec![on.to_string()])]))
    }

    fn text(&self, back_end: &BackEnd) -> Result<Vec<u8>, String> {
        self.journal.read(back_end.file)?.ok_or_else(|| "it is missing; see that the boot partition is mounted".to_owned())
    }

    /// Changes keys of a back-end. The mark comes first: killed in between, the agent finds the keys unchanged and does both
    /// again; the other way round nobody would know that a restart is due.
    pub fn write(&self, name: &str, changes: &Changes, why: &str) -> Result<(), HostError> {
        let failed = |message: String| HostError::File { path: format!("boot configuration {name}"), message };
        let back_end = BackEnd::named(name).ok_or_else(|| failed("there is no such back-end".to_owned()))?;
        if !back_end.is_text() {
            self.mark.set(why)?;
            let logging = changes.get(PERSISTENT_LOGGING.1).and_then(Option::as_ref).map(|values| values == &["true"]);
            let change = (PERSISTENT_LOGGING.0, logging.map(Value::Bool));
            return self.config.rewrite(&[change]).map(|_| ()).map_err(|error| failed(error.to_string()));
        }
        let before = self.text(back_end).map_err(failed)?;
        let after = back_end.edit(&before, changes).map_err(failed)?;
        self.mark.set(why)?;
        let file = FileChange::new(back_end.file, Some(&before), Some(&after));
        self.journal.write(&Entry { files: vec![file], reboot: Some(why.to_owned()), restart: false })?;
        self.journal.finish();
        Ok(())
    }

    /// Ends what an earlier run of the agent began. Returns whether the proxy's services have to be restarted, and what
    /// could not be done.
    pub fn settle(&self) -> (bool, Option<String>) {
        let Some(entry) = self.journal.pending() else { return (false, None) };
        let outcome = match &entry.reboot {
            // The firmware may have read the torn file, so the restart is due in this boot too.
            Some(why) => self.mark.set(why).and_then(|()| self.journal.complete(&entry)),
            None => self.journal.complete(&entry),
        };
        match outcome {
            Ok(()) if entry.restart => (true, None),
            Ok(()) => {
                self.journal.finish();
                (false, None)
            }
            Err(error) => (false, Some(format!("{error}; tried again at the next start"))),
        }
    }
}
