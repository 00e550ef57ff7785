//! What the agent's `/v3/status` and the cloud's reports say, as far as the demo checks it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::sandbox::fleet::{APP_NAME, APP_UUID, CHANGED_SERVICE, Images, SERVICES, SampleRelease};

/// One answer of `/v3/status`.
#[derive(Clone, Debug)]
pub struct Picture(pub Value);

impl Picture {
    /// What the agent is at, in one word.
    pub fn phase(&self) -> &str {
        let phase = &self.0["phase"];
        phase["phase"].as_str().or_else(|| phase["name"].as_str()).or_else(|| phase.as_str()).unwrap_or_default()
    }

    fn app(&self) -> Option<&Value> {
        self.0["apps"].as_array()?.iter().find(|app| app["uuid"] == APP_UUID || app["name"] == APP_NAME)
    }

    fn services(&self) -> impl Iterator<Item = &Value> {
        self.app().and_then(|app| app["services"].as_array()).into_iter().flatten()
    }

    /// Whether the device is at this release with every service running.
    pub fn settled_at(&self, release: SampleRelease) -> bool {
        let commit = self.app().is_some_and(|app| app["settled_commit"] == release.commit());
        let running: BTreeSet<&str> =
            self.services().filter(|s| s["state"] == "running").filter_map(|s| s["name"].as_str()).collect();
        commit && self.phase() == "settled" && running == BTreeSet::from(SERVICES)
    }

    /// Whether `release` is wanted while `before` is still the one that ran entirely last.
    pub fn still_at(&self, before: SampleRelease, release: SampleRelease) -> bool {
        self.app().is_some_and(|app| app["wanted_commit"] == release.commit() && app["settled_commit"] == before.commit())
    }

    /// The sentence of the wait for an update lock, if there is one.
    pub fn lock_wait(&self) -> Option<String> {
        let waiting = self.0["waiting"].as_array()?;
        let of_lock = waiting.iter().find(|wait| wait["reason"].to_string().contains("lock"))?;
        Some(of_lock["text"].as_str().unwrap_or("waiting for an update lock").to_owned())
    }

    /// Containers by service, where the answer names them.
    pub fn containers(&self) -> BTreeMap<String, String> {
        let pair = |s: &Value| Some((s["name"].as_str()?.to_owned(), s["container"].as_str()?.to_owned()));
        self.services().filter_map(pair).collect()
    }

    /// What is being done and waited for, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let lists = ["doing", "waiting"].iter().filter_map(|list| self.0[*list].as_array());
        lists.flatten().filter_map(|entry| entry["text"].as_str()).map(str::to_owned).collect()
    }

    /// One line for each service.
    pub fn table(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let short = |commit: &str| commit.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        self.services()
            .map(|s| {
                let commit = text(&s["running_commit"]);
                let container: String = text(&s["container"]).chars().take(12).collect();
                format!("{:8} {:9} release …{}  container {container}", text(&s["name"]), text(&s["state"]), short(&commit))
            })
            .collect()
    }

    /// A short text for a failure.
    pub fn summary(&self) -> String {
        let mut lines = vec![format!("phase {}", self.phase())];
        lines.extend(self.table());
        lines.extend(self.sentences());
        let faults = self.0["faults"].as_array().into_iter().flatten();
        lines.extend(faults.map(|fault| format!("fault: {}", fault["message"].as_str().unwrap_or_default())));
        lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// What the difference between containers before and after the update should be: only the changed service has another.
///
/// # Errors
/// With what is otherwise.
pub fn compare_containers(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Result<(), String> {
    for service in SERVICES {
        let (Some(old), Some(new)) = (before.get(service), after.get(service)) else {
            return Err(format!("the container of {service} cannot be told"));
        };
        if (old == new) == (service == CHANGED_SERVICE) {
            let what = if old == new { "was not replaced" } else { "was replaced though it did not change" };
            return Err(format!("the container of {service} {what}"));
        }
    }
    Ok(())
}

/// Whether the device's reports say that this release runs entirely.
///
/// # Errors
/// With the first thing that is otherwise.
pub fn reported_settled(device: &Value, release: SampleRelease, images: &Images) -> Result<(), String> {
    let app = &device["apps"][APP_UUID];
    if app["release_uuid"] != release.commit() {
        return Err(format!("the report names release {}", app["release_uuid"]));
    }
    let reported = &app["releases"][release.commit()];
    if reported["update_status"] != "done" {
        return Err(format!("the report's update status is {}", reported["update_status"]));
    }
    for service in SERVICES {
        let row = &reported["services"][service];
        let image = images.get(&(service.to_owned(), release.version(service).to_owned()));
        if row["status"] != "Running" || row["image"].as_str() != image.map(String::as_str) {
            return Err(format!("the report says of {service}: {row}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(phase: Value, settled: &str) -> Picture {
        let services: Vec<Value> =
            SERVICES.iter().map(|name| json!({ "name": name, "state": "running", "container": format!("c-{name}") })).collect();
        Picture(json!({
            "phase": phase,
            "apps": [{ "name": APP_NAME, "wanted_commit": SampleRelease::Second.commit(), "settled_commit": settled, "services": services }],
            "waiting": [{ "app": APP_NAME, "reason": "waiting-for-lock", "text": "waiting for the update lock of gull" }],
        }))
    }

    #[test]
    fn the_status_is_read_in_both_forms_of_its_phase() {
        let second = SampleRelease::Second;
        assert!(status(json!({ "phase": "settled" }), second.commit()).settled_at(second));
        assert!(status(json!({ "name": "settled" }), second.commit()).settled_at(second));
        assert!(!status(json!({ "name": "waiting" }), second.commit()).settled_at(second));
        let held = status(json!({ "name": "waiting" }), SampleRelease::First.commit());
        assert!(held.still_at(SampleRelease::First, second) && !held.settled_at(second));
        assert!(held.lock_wait().unwrap().contains("gull"));
        assert_eq!(held.containers().len(), 3);
    }

    #[test]
    fn containers_are_compared() {
        let map = |gull: &str, tide: &str| {
            let pairs = [("gull", gull), ("tide", tide), ("beacon", "0")];
            pairs.map(|(service, id)| (service.to_owned(), id.to_owned())).into_iter().collect::<BTreeMap<_, _>>()
        };
        assert_eq!(compare_containers(&map("1", "2"), &map("3", "2")), Ok(()));
        assert!(compare_containers(&map("1", "2"), &map("1", "2")).unwrap_err().contains("gull was not replaced"));
        assert!(compare_containers(&map("1", "2"), &map("3", "4")).unwrap_err().contains("tide was replaced"));
        assert!(compare_containers(&map("1", "2"), &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_report_is_settled_when_every_service_runs_its_image() {
        let second = SampleRelease::Second;
        let images: Images =
            SERVICES.iter().map(|s| (((*s).to_owned(), second.version(s).to_owned()), format!("r/{s}"))).collect();
        let services: serde_json::Map<String, Value> =
            SERVICES.iter().map(|s| ((*s).to_owned(), json!({ "status": "Running", "image": format!("r/{s}") }))).collect();
        let mut device = json!({ "apps": { APP_UUID: {
            "release_uuid": second.commit(), "releases": { second.commit(): { "update_status": "done", "services": services } }
        } } });
        assert_eq!(reported_settled(&device, second, &images), Ok(()));
        assert!(reported_settled(&device, SampleRelease::First, &images).is_err());
        device["apps"][APP_UUID]["releases"][second.commit()]["services"]["tide"]["status"] = "exited".into();
        assert!(reported_settled(&device, second, &images).unwrap_err().contains("tide"));
    }
}
