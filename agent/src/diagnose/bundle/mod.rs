//! The file for support: one tar.gz with all there is to know about the device, and no secret.
//!
//! Two nets. The first knows where secrets stand: fields of that name, environment variables and labels, credentials in
//! addresses, passwords of Wi-Fi and proxy. Whatever it takes out it also remembers, from everything the bundle is made of
//! and from some that does not even go into it; the second net then takes the remembered values out of every text as they
//! are, and as they look in base64, in an address and in JSON. `removed.json` says where something was, never what.

mod archive;
mod gather;
mod journal;
mod scrub;

use std::path::Path;

use serde_json::{Value, json};

use super::scene::Scene;
use crate::store::copy_without;
use archive::Archive;
use scrub::Scrubber;

/// Larger members are cut, bytes.
const MEMBER_BYTES: usize = 4 * 1024 * 1024;
/// A larger database is left out, bytes.
const DATABASE_BYTES: u64 = 64 * 1024 * 1024;
const DATABASE: &str = "database.sqlite";

const README: &str = "Made by `holdfast diagnose --bundle` for whoever helps with this device.

checks.txt, checks.json   what is wrong, and what to do about it
agent/                    what the agent says: status, plan, target, locks
events.json, log/         what happened
engine/                   containers, images, networks and volumes as the engine describes them
config.json, host/        configuration and facts of the device
database.sqlite           the agent's database: the same tables, without keys
removed.json              where something secret was removed, and what could not be had

Values of environment variables and labels are removed unless they were asked for. Please look through it all the same before
you give it to somebody.
";

/// A text that goes in besides.
pub struct Extra {
    /// Its name in the bundle.
    pub name: &'static str,
    /// The text.
    pub text: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Bytes of the file.
    pub bytes: u64,
    /// How many secrets and values were removed.
    pub removed: usize,
    /// What could not be had.
    pub missing: Vec<String>,
}

/// What a member is made of, before anything is removed.
enum Raw {
    Json(Value),
    Text(String),
    /// A configuration file: of what is removed from it, the values are remembered.
    Configuration(String),
}

/// Writes the bundle to a new file, mode 0600, first beside its place.
///
/// # Errors
/// When the file cannot be written. What cannot be had is left out and said.
pub async fn write(scene: &Scene, path: &Path, extras: Vec<Extra>, with_environment: bool) -> anyhow::Result<Bundled> {
    let archive = Archive::create(path)?;
    let mut gathered = gather::everything(scene).await;
    gathered.members.extend(extras.into_iter().map(|extra| (extra.name.to_owned(), read(extra.text))));
    let work = Work {
        database: scene.settings.database.clone(),
        scrubber: Scrubber::new(with_environment),
        archive,
        missing: gathered.missing,
    };
    let (members, known) = (gathered.members, gathered.known);
    tokio::task::spawn_blocking(move || work.finish(members, known)).await?
}

fn read(text: String) -> Raw {
    match serde_json::from_str(&text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => Raw::Json(value),
        _ => Raw::Text(text),
    }
}

struct Work {
    database: std::path::PathBuf,
    scrubber: Scrubber,
    archive: Archive,
    missing: Vec<(String, String)>,
}

impl Work {
    /// The first net over everything, then the second.
    fn finish(mut self, members: Vec<(String, Raw)>, known: Vec<(String, Raw)>) -> anyhow::Result<Bundled> {
        for (name, raw) in known {
            // Not in the bundle, and so not among what was removed from it.
            self.first_net(&name, raw);
        }
        self.scrubber.forget_places();
        let mut texts: Vec<(String, String)> =
            members.into_iter().map(|(name, raw)| (name.clone(), self.first_net(&name, raw))).collect();
        self.learn_database();
        texts.push(("README.txt".to_owned(), README.to_owned()));
        for (name, text) in texts {
            let (name, mut text) = (self.scrubber.second_net("names", &name), self.scrubber.second_net(&name, &text));
            if text.len() > MEMBER_BYTES {
                cut(&mut text);
                self.missing.push((name.clone(), format!("only its first {} MiB", MEMBER_BYTES / 1024 / 1024)));
            }
            self.archive.add(&name, text.as_bytes())?;
        }
        self.add_database()?;
        if self.scrubber.full {
            self.missing.push(("secrets".to_owned(), "too many values to look for all of them everywhere".to_owned()));
        }
        let missing: Vec<String> = self.missing.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let missing: Vec<String> = missing.iter().map(|text| self.scrubber.second_net("missing", text)).collect();
        let (removed, places) = self.scrubber.places();
        let list = json!({ "removed": places, "missing": missing });
        self.archive.add("removed.json", format!("{list:#}\n").as_bytes())?;
        let names = self.missing.into_iter().map(|(name, _)| name).collect();
        Ok(Bundled { bytes: self.archive.finish()?, removed, missing: names })
    }

    fn first_net(&mut self, name: &str, raw: Raw) -> String {
        match raw {
            Raw::Json(mut value) => {
                self.scrubber.json(name, &mut value);
                format!("{value:#}\n")
            }
            Raw::Text(text) => self.scrubber.text(name, &text, false),
            Raw::Configuration(text) => self.scrubber.text(name, &text, true),
        }
    }

    /// The database goes in as a copy of its own; first it is read for what is secret in it.
    fn learn_database(&mut self) {
        let size = std::fs::metadata(&self.database).map(|file| file.len());
        let why = match size {
            Ok(bytes) if bytes > DATABASE_BYTES => Err(format!("it is larger than {} MiB", DATABASE_BYTES / 1024 / 1024)),
            Ok(_) => copy_without(&self.database, None, &mut |cell| self.scrubber.cell(cell)).map_err(|error| error.to_string()),
            Err(error) => Err(format!("{}: {error}", self.database.display())),
        };
        if let Err(why) = why {
            self.missing.push((DATABASE.to_owned(), why));
        }
    }

    fn add_database(&mut self) -> anyhow::Result<()> {
        if self.missing.iter().any(|(name, _)| name == DATABASE) {
            return Ok(());
        }
        let copy = self.archive.beside("database");
        // One of an attempt that was killed.
        let _ = std::fs::remove_file(&copy);
        let scrubber = &mut self.scrubber;
        let copied = copy_without(&self.database, Some(&copy), &mut |cell| {
            let first = scrubber.cell(cell);
            scrubber.second_net(DATABASE, &first)
        });
        let added = match copied {
            Ok(_) => std::fs::read(&copy).map_err(Into::into).and_then(|bytes| self.archive.add(DATABASE, &bytes)),
            Err(error) => {
                self.missing.push((DATABASE.to_owned(), error.to_string()));
                Ok(())
            }
        };
        let _ = std::fs::remove_file(&copy);
        added
    }
}

/// Cuts a text at a character.
fn cut(text: &mut String) {
    let end = (0..=MEMBER_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text.push_str("\n(cut here)\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_members_are_cut_at_a_character() {
        let mut text = "é".repeat(MEMBER_BYTES);
        cut(&mut text);
        assert!(text.len() < MEMBER_BYTES + 20 && text.ends_with("é\n(cut here)\n"));
    }
}
