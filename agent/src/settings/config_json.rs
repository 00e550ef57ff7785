//! config.json on its FAT partition: reading it whatever happened to it, and rewriting it so that nothing is lost.
//!
//! On FAT a rename is not atomic: after a power cut the file may be missing, empty, short, or hold somebody else's bytes.
//! So the last good copy on the data partition (`config.json.good`) is the journal of every rewrite:
//!
//! 1. the copy gets the *new* content, and the checksum of what it replaces; from here on the change is durable
//! 2. config.json gets the new content
//! 3. the copy drops the checksum: the rewrite is over
//!
//! A cut between 1 and 3 is finished at the next start, when config.json still is what it was or is undecodable. Any
//! other config.json that decodes is a person's and wins over the copy, however old or new that is. A file that does
//! not decode and is not simply torn may be a person's typing mistake: it stays as it is, and the copy is used in memory.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cloud::{CloudSettings, FromConfigJson};
use super::document::Document;
use super::fault::SettingFault;
use super::good_copy::{GoodCopy, Replaced, sha256};
use super::whole_file;

/// config.json and its last good copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
    good_path: PathBuf,
}

/// A rewrite that did not reach config.json.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigFileError {
    /// Which file.
    pub path: String,
    /// What happened, whether the change is kept, and what a person can do.
    pub message: String,
}

/// What lies at config.json's path.
enum Found {
    Decoded(Vec<u8>, Document),
    Missing,
    Undecodable(Vec<u8>, String),
    Unreadable(String),
}

/// What has to be done to the file so that it agrees with what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    Nothing,
    /// The good copy's content belongs there.
    WriteBack,
}

/// config.json as it is in force.
pub(super) struct InForce {
    /// The members.
    pub document: Document,
    /// The last good values, for keys whose value is bad.
    pub good: Option<Document>,
    /// What is wrong with the file.
    pub faults: Vec<SettingFault>,
    found: Found,
    copy: Option<GoodCopy>,
    repair: Repair,
}

impl ConfigFile {
    /// The file at `path` with its good copy in the data directory.
    pub fn new(path: &Path, data_dir: &Path) -> ConfigFile {
        ConfigFile { path: path.to_owned(), good_path: data_dir.join("config.json.good") }
    }

    /// What the file, or its last good copy in its stead, says of the cloud right now. Writes nothing.
    pub fn cloud(&self) -> CloudSettings {
        let in_force = self.read();
        FromConfigJson::read(&in_force.document, in_force.good.as_ref()).cloud
    }

    /// Reads what is in force; writes nothing.
    pub(super) fn read(&self) -> InForce {
        let found = self.look();
        let copy = GoodCopy::read(&self.good_path, &self.path);
        let good = copy.as_ref().and_then(|copy| Document::parse(&copy.content).ok());
        let (use_good, repair, fault) = self.judge(&found, copy.as_ref().filter(|_| good.is_some()));
        let document = match &found {
            Found::Decoded(_, document) if !use_good => document.clone(),
            _ => good.clone().unwrap_or_default(),
        };
        InForce { document, good, faults: fault.into_iter().collect(), found, copy, repair }
    }

    /// The value of a key as it is in force; `null` is absent.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.read().document.get(key)
    }

    /// Decides between the file and the copy: whether the copy is used, what is to be repaired, what is to be reported.
    fn judge(&self, found: &Found, copy: Option<&GoodCopy>) -> (bool, Repair, Option<SettingFault>) {
        let fault = |message: String| Some(SettingFault { subject: "config.json".to_owned(), message });
        let path = self.path.display();
        match (found, copy) {
            (Found::Decoded(bytes, _), Some(copy)) if copy.replaces == Some(Replaced::Content(sha256(bytes))) => {
                (true, Repair::WriteBack, None)
            }
            (Found::Decoded(..), _) | (Found::Missing, None) => (false, Repair::Nothing, None),
            (Found::Missing, Some(_)) => {
                let message = format!("{path} is missing; its last good copy is used and written back");
                (true, Repair::WriteBack, fault(message))
            }
            (Found::Undecodable(bytes, why), Some(copy)) if copy.replaces.is_some() || copy.torn_from(bytes) => {
                let message = format!("{path} was damaged ({why}); its last good copy is used and written back");
                (true, Repair::WriteBack, fault(message))
            }
            (Found::Undecodable(_, why) | Found::Unreadable(why), Some(_)) => {
                let message = format!("{path} cannot be used ({why}); its last good copy is used until it is mended");
                (true, Repair::Nothing, fault(message))
            }
            (Found::Undecodable(_, why) | Found::Unreadable(why), None) => {
                let message =
                    format!("{path} cannot be used ({why}) and there is no good copy; defaults are used until it is mended");
                (false, Repair::Nothing, fault(message))
            }
        }
    }

    fn look(&self) -> Found {
        match whole_file::read(&self.path, whole_file::LARGEST_BYTES) {
            Ok(bytes) => match Document::parse(&bytes) {
                Ok(document) => Found::Decoded(bytes, document),
                Err(why) if bytes.is_empty() => Found::Undecodable(bytes, format!("it is empty: {why}")),
                Err(why) => Found::Undecodable(bytes, why),
            },
            // A folder that is missing too is a boot partition that is not mounted, or an ordinary machine without one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }

    /// Brings config.json and its good copy to agreement: finishes an interrupted rewrite, writes a torn file back, and
    /// keeps a copy of a good one. Writes nothing when they agree. For the agent that holds the data directory, at start.
    ///
    /// Returns what could not be done.
    pub fn settle(&self) -> Vec<SettingFault> {
        let in_force = self.read();
        if in_force.repair == Repair::WriteBack {
            log::info!("{}: its content is completed from {}", self.path.display(), self.good_path.display());
        }
        let outcome = match (in_force.repair, &in_force.found, &in_force.copy) {
            (Repair::WriteBack, _, Some(copy)) => self.install(&copy.content, &copy.content, &in_force.found),
            (Repair::Nothing, Found::Decoded(bytes, _), _) => self.keep(good_content(&in_force, bytes), in_force.copy.as_ref()),
            _ => Ok(()),
        };
        let fault = |error: ConfigFileError| SettingFault { subject: "config.json".to_owned(), message: error.to_string() };
        outcome.err().map(fault).into_iter().collect()
    }

    /// Sets or (`None`) removes members, keeping everything else. Durable when it returns; no write when nothing changes.
    /// Returns whether something changed. Blocks for a few fsyncs.
    ///
    /// # Errors
    /// When config.json or its copy cannot be written. The message says whether the change is kept all the same.
    pub fn rewrite(&self, changes: &[(&str, Option<Value>)]) -> Result<bool, ConfigFileError> {
        let mut in_force = self.read();
        if let Found::Unreadable(why) = &in_force.found {
            return Err(self.error(format!("it cannot be read ({why}), so it is not rewritten; mend it and restart the agent")));
        }
        let mut changed = false;
        for (key, value) in changes {
            let set = in_force.document.set(key, value.as_ref());
            changed |= set.map_err(|error| self.error(format!("{key} cannot be written: {error}")))?;
        }
        if changed {
            self.refuse_bad(&in_force, changes)?;
            let text = in_force.document.to_text().into_bytes();
            self.install(&text, &good_content(&in_force, &text), &in_force.found)?;
        }
        Ok(changed)
    }

    /// A value that the next start would not take is not written.
    fn refuse_bad(&self, in_force: &InForce, changes: &[(&str, Option<Value>)]) -> Result<(), ConfigFileError> {
        let read = FromConfigJson::read(&in_force.document, None);
        match changes.iter().find(|(key, _)| read.bad.contains(key)) {
            Some((key, _)) => Err(self.error(format!("nothing was written: the new value of {key} is not valid"))),
            None => Ok(()),
        }
    }

    /// The three steps of a rewrite. A text that neither decodes nor is a mere tear is set aside first.
    fn install(&self, text: &[u8], good: &[u8], found: &Found) -> Result<(), ConfigFileError> {
        let replaces = match found {
            Found::Decoded(bytes, _) => Replaced::Content(sha256(bytes)),
            Found::Undecodable(bytes, _) => {
                self.set_aside(bytes)?;
                Replaced::Content(sha256(bytes))
            }
            Found::Missing | Found::Unreadable(_) => Replaced::Missing,
        };
        let copy = GoodCopy { content: good.to_vec(), replaces: Some(replaces) };
        copy.write(&self.good_path, &self.path).map_err(|error| self.copy_error(&error))?;
        whole_file::replace(&self.path, text, 0o600).map_err(|error| {
            self.error(format!(
                "it cannot be written ({error}); the change is kept in {} and written at the next start that finds it writable",
                self.good_path.display()
            ))
        })?;
        GoodCopy { replaces: None, ..copy }.write(&self.good_path, &self.path).map_err(|error| self.copy_error(&error))
    }

    /// Keeps a copy of a good file, if it is not the one that is kept already.
    fn keep(&self, content: Vec<u8>, copy: Option<&GoodCopy>) -> Result<(), ConfigFileError> {
        let wanted = GoodCopy { content, replaces: None };
        if copy == Some(&wanted) {
            return Ok(());
        }
        wanted.write(&self.good_path, &self.path).map_err(|error| self.copy_error(&error))
    }

    /// Keeps what is about to be overwritten, in `config.json.damaged` beside the good copy, unless there is nothing in it.
    fn set_aside(&self, bytes: &[u8]) -> Result<(), ConfigFileError> {
        if bytes.iter().all(|b| *b == 0 || b.is_ascii_whitespace()) {
            return Ok(());
        }
        let aside = self.good_path.with_extension("damaged");
        whole_file::replace(&aside, bytes, 0o600).map_err(|error| self.copy_error(&error))?;
        log::warn!("{}: the damaged text is kept in {}", self.path.display(), aside.display());
        Ok(())
    }

    fn error(&self, message: String) -> ConfigFileError {
        ConfigFileError { path: self.path.display().to_string(), message }
    }

    fn copy_error(&self, error: &io::Error) -> ConfigFileError {
        let message = format!(
            "cannot be written ({error}); config.json is left as it is: see that the data partition is writable and has space"
        );
        ConfigFileError { path: self.good_path.display().to_string(), message }
    }
}

/// The content of a good copy of `text`: the text itself, or with the last good values where its own are bad.
fn good_content(in_force: &InForce, text: &[u8]) -> Vec<u8> {
    let read = FromConfigJson::read(&in_force.document, in_force.good.as_ref());
    if read.bad.is_empty() {
        return text.to_vec();
    }
    let mut mended = in_force.document.clone();
    for key in read.bad {
        mended.copy(key, in_force.good.as_ref());
    }
    mended.to_text().into_bytes()
}

#[cfg(test)]
mod tests;
