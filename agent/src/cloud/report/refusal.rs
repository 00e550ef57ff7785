//! Apps the cloud does not want to hear of. One release or image it does not know gets the whole report answered with 401
//! (protocol §6.4); such an app is left out so that the others are heard.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio::time::Instant;

/// How much of an app is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// The release it settled on, which is not the wanted one and perhaps deleted in the cloud.
    SettledRelease,
    /// All of it.
    Whole,
}

#[derive(Clone, Debug)]
struct Refusal {
    left_out: LeftOut,
    /// What the app mentioned when it was refused: with anything else it is tried again.
    mention: Value,
    until: Instant,
}

/// All refusals that stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, Refusal>);

impl Refusals {
    /// Notes that an app was refused as it stands in `entry`.
    pub fn note(&mut self, uuid: &str, entry: &Value, left_out: LeftOut, until: Instant) {
        self.0.insert(uuid.to_owned(), Refusal { left_out, mention: mention(entry), until });
    }

    /// Leaves out of a report's `apps` what was refused and has neither changed nor waited long enough.
    pub fn filter(&self, apps: &mut Map<String, Value>, now: Instant) {
        for (uuid, refusal) in &self.0 {
            let Some(entry) = apps.get_mut(uuid) else { continue };
            if now >= refusal.until || mention(entry) != refusal.mention {
                continue;
            }
            match refusal.left_out {
                LeftOut::SettledRelease => drop_settled(entry),
                LeftOut::Whole => drop(apps.remove(uuid)),
            }
        }
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|_, refusal| now < refusal.until);
    }

    /// When the next one is over.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|refusal| refusal.until).min()
    }

    /// Apps that are left out as a whole.
    pub fn whole(&self) -> Vec<String> {
        self.0.iter().filter(|(_, refusal)| refusal.left_out == LeftOut::Whole).map(|(uuid, _)| uuid.clone()).collect()
    }
}

/// Whether an app names a settled release besides the wanted one.
pub(super) fn names_other_release(entry: &Value) -> bool {
    entry["release_uuid"].as_str().is_some_and(|settled| entry["releases"].get(settled).is_none())
}

/// Leaves out the settled release.
pub(super) fn drop_settled(entry: &mut Value) {
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("release_uuid");
    }
}

/// Releases and images an app mentions, without what they are at.
fn mention(entry: &Value) -> Value {
    let releases = entry["releases"].as_object().into_iter().flatten().map(|(commit, release)| {
        let images = release["services"].as_object().into_iter().flatten().map(|(_, service)| service["image"].clone());
        (commit.clone(), Value::Array(images.collect()))
    });
    Value::Array(vec![entry["release_uuid"].clone(), Value::Object(releases.collect())])
}
