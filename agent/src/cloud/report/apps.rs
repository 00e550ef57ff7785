//! The part of a report about applications (protocol §6.3).

use holdfast_plan::target::{App, ImageRef, Release};
use serde_json::{Map, Value, json};

use super::picture::Picture;
use super::service;
use super::status::{ServiceStatus, UpdateStatus};

/// All applications of the target that have a release, by uuid. The host's own application is not the agent's to report.
pub(super) fn apps(picture: &Picture<'_>) -> Map<String, Value> {
    let wanted = picture.target.apps.values().filter(|app| !app.is_host).filter_map(|app| {
        let release = app.release.as_ref()?;
        let of_release = if picture.rejected.contains(&app.uuid) { rejected() } else { of_release(picture, app, release) };
        Some((app.uuid.clone(), entry(picture, &app.uuid, &release.commit, of_release)))
    });
    let refused = picture
        .target
        .refused
        .iter()
        .filter_map(|(uuid, app)| Some((uuid.clone(), entry(picture, uuid, app.commit.as_deref()?, rejected()))));
    wanted.chain(refused).collect()
}

/// A release that is not going to run here.
fn rejected() -> Value {
    json!({ "update_status": UpdateStatus::Rejected.word(), "services": {} })
}

/// One application: the release it settled on, if any, and what the wanted one is at.
fn entry(picture: &Picture<'_>, uuid: &str, commit: &str, release: Value) -> Value {
    let mut entry = json!({ "releases": { commit: release } });
    if let Some(settled) = picture.memory.settled.get(uuid) {
        entry["release_uuid"] = json!(settled.commit);
    }
    entry
}

fn of_release(picture: &Picture<'_>, app: &App, release: &Release) -> Value {
    let mut update = UpdateStatus::Done;
    let mut services = Map::new();
    for (name, wanted) in &release.services {
        let status = service::status(picture, app, release, wanted);
        update = update.min(status.update(wanted.running));
        let mut fields = json!({ "image": as_in_target(&wanted.image), "status": status.word() });
        if let ServiceStatus::Downloading(percent) = status {
            fields["download_progress"] = json!(percent);
        }
        services.insert(name.clone(), fields);
    }
    json!({ "update_status": update.word(), "services": services })
}

/// The reference as the target wrote it, which is how the cloud knows the image: nothing dropped, nothing added.
fn as_in_target(image: &ImageRef) -> String {
    let mut text = image.repository();
    if let Some(tag) = &image.tag {
        text.push(':');
        text.push_str(tag);
    }
    if let Some(digest) = &image.digest {
        text.push('@');
        text.push_str(digest);
    }
    text
}

#[cfg(test)]
mod tests;
