//! What is done about a database that cannot be used: the newest backup that passes its check takes its place, else a new
//! one, which fills itself from the engine's labels and the cloud. What was there is set aside, never removed.
//!
//! Everything that needs room is made ready first, so that a full disk leaves the file where it is; then come the renames,
//! in an order in which a cut at any point is found and carried on by the next start.

mod aside;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_plan::policy::Now;

use super::backup;
use super::data_dir::beside;
use super::error::StoreError;
use super::open::{make, put_in};
use super::outcome::{Outcome, Recovery};
use super::place::{Place, remove};

pub(super) use aside::{folders, set_aside};

/// Why a file was set aside that nothing was wrong with.
const REPLACED: &str = "replaced by the copy that was laid ready for it";

/// Backups that were put in and did not do.
pub(super) type Tried = BTreeSet<PathBuf>;

/// The newest backup with at most this schema version that passes its check; those that do not are said.
pub(super) fn newest_good(place: &Place, known: u32, tried: &Tried) -> Result<Option<backup::Named>, StoreError> {
    let folder = place.backups();
    let all = backup::list(&folder).map_err(|error| StoreError::io(&folder, "the folder cannot be read", &error))?;
    for candidate in all.into_iter().filter(|backup| backup.info.schema <= known) {
        let file = PathBuf::from(&candidate.info.path);
        if tried.contains(&file) {
            continue;
        }
        match backup::verify(&file) {
            Ok(_) => return Ok(Some(candidate)),
            Err(why) => log::warn!("{}: this backup cannot be used: {why}", file.display()),
        }
    }
    Ok(None)
}

/// Puts the newest good backup in the database's place; `None` when there is none, and nothing is changed then.
pub(super) fn restore(place: &Place, why: &str, known: u32, tried: &mut Tried, now: Now) -> Result<Option<Recovery>, StoreError> {
    let Some(found) = newest_good(place, known, tried)? else { return Ok(None) };
    let ready = beside(&place.database, ".restoring");
    backup::fetch(Path::new(&found.info.path), &ready)?;
    let aside = set_aside(place, why, now)?;
    put_in(&ready, place)?;
    tried.insert(PathBuf::from(&found.info.path));
    let since = match found.info.taken_ms {
        Some(taken) => format!("what was stored after {} is lost", backup::utc(taken)),
        None => "what was stored after it was taken (by a clock that was not set) is lost".to_owned(),
    };
    let message = format!("{}; the backup {} was restored, {since}{}", sentence(place, why), found.info.path, went(aside));
    Ok(Some(Recovery { outcome: Outcome::Restored, message }))
}

/// Begins anew.
pub(super) fn rebuild(place: &Place, why: &str, now: Now) -> Result<Recovery, StoreError> {
    let new = make(place, now)?;
    let aside = set_aside(place, why, now)?;
    put_in(&new, place)?;
    let message = format!(
        "{}; no backup passes its check, so it was begun anew: containers go on, their API keys are read back from them, the target \
         comes with the next poll{}",
        sentence(place, why),
        went(aside)
    );
    Ok(Recovery { outcome: Outcome::Rebuilt, message })
}

fn sentence(place: &Place, why: &str) -> String {
    format!("the database {} could not be used: {why}", place.database.display())
}

fn went(aside: Option<PathBuf>) -> String {
    aside.map(|folder| format!("; the old file is in {}", folder.display())).unwrap_or_default()
}

/// Puts in what was laid ready for this start: by `db restore`, or by whoever goes back from a version of the agent.
pub(super) fn put_in_waiting(place: &Place, now: Now) -> Result<Option<Recovery>, StoreError> {
    let waiting = place.waiting();
    if !waiting.exists() {
        return Ok(None);
    }
    if let Err(why) = backup::verify(&waiting) {
        let dropped = remove(&waiting).map_err(|error| StoreError::io(&waiting, "it cannot be removed", &error));
        dropped?;
        let message = format!("the copy that was to be restored does not pass its check ({why}); nothing was restored");
        log::error!("{}: {message}", waiting.display());
        return Ok(None);
    }
    let aside = set_aside(place, REPLACED, now)?;
    put_in(&waiting, place)?;
    let message = format!("the database {} was {REPLACED}{}", place.database.display(), went(aside));
    Ok(Some(Recovery { outcome: Outcome::Restored, message }))
}
