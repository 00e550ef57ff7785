//! What the embedded cloud knows of releases, and its judgement of reports (protocol §6.2 to §6.4).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Why a report is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400 for a wrong type, 401 for what the cloud does not know.
    pub status: u16,
    /// Which part and why.
    pub message: String,
}

/// Releases and images of every target that was ever set.
#[derive(Clone, Debug, Default)]
pub struct Known {
    releases: BTreeMap<String, BTreeSet<String>>,
    images: BTreeSet<String>,
}

/// The lowest to the highest, as the device-level value is chosen.
const UPDATE_STATUSES: [&str; 6] = ["rejected", "aborted", "downloading", "downloaded", "applying changes", "done"];

/// Scalar fields with the JSON types they may have.
const SCALARS: [(&str, &[Kind]); 20] = [
    ("status", &[Kind::Text]),
    ("name", &[Kind::Text]),
    ("os_version", &[Kind::Text, Kind::Null]),
    ("os_variant", &[Kind::Text, Kind::Null]),
    ("supervisor_version", &[Kind::Text]),
    ("provisioning_progress", &[Kind::Number, Kind::Null]),
    ("provisioning_state", &[Kind::Text, Kind::Null]),
    ("ip_address", &[Kind::Text]),
    ("mac_address", &[Kind::Text]),
    ("api_port", &[Kind::Number]),
    ("api_secret", &[Kind::Text, Kind::Null]),
    ("memory_usage", &[Kind::Number, Kind::Null]),
    ("memory_total", &[Kind::Number, Kind::Null]),
    ("storage_block_device", &[Kind::Text, Kind::Null]),
    ("storage_usage", &[Kind::Number, Kind::Null]),
    ("storage_total", &[Kind::Number, Kind::Null]),
    ("cpu_temp", &[Kind::Number, Kind::Null]),
    ("cpu_usage", &[Kind::Number, Kind::Null]),
    ("cpu_id", &[Kind::Text, Kind::Null]),
    ("is_undervolted", &[Kind::Boolean]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    Other,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Array(_) | Value::Object(_) => Kind::Other,
    }
}

type Verdict = Result<(), Refusal>;

fn wrong(message: String) -> Refusal {
    Refusal { status: 400, message }
}

fn unknown(message: String) -> Refusal {
    Refusal { status: 401, message }
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| wrong(format!("{path} is not an object")))
}

impl Known {
    /// Remembers the releases and images of a target.
    pub fn learn(&mut self, target: &Value) {
        let devices = target.as_object().into_iter().flat_map(Map::values);
        for (app, body) in devices.filter_map(|d| d["apps"].as_object()).flatten() {
            for (commit, release) in body["releases"].as_object().into_iter().flatten() {
                self.releases.entry(app.clone()).or_default().insert(commit.clone());
                let services = release["services"].as_object().into_iter().flat_map(Map::values);
                self.images.extend(services.filter_map(|s| s["image"].as_str()).map(str::to_owned));
            }
        }
    }

    /// Judges a whole report of this device.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn judge(&self, report: &Value, uuid: &str) -> Verdict {
        for (device, body) in object(report, "the report")? {
            let fields = object(body, device)?;
            if device != uuid {
                return Err(unknown(format!("{device}: not this device")));
            }
            for (field, kinds) in SCALARS {
                if let Some(value) = fields.get(field)
                    && !kinds.contains(&kind(value))
                {
                    return Err(wrong(format!("{field} has the wrong type: {value}")));
                }
            }
            for (app, body) in fields.get("apps").map(|apps| object(apps, "apps")).transpose()?.into_iter().flatten() {
                self.judge_app(app, body)?;
            }
        }
        Ok(())
    }

    fn judge_app(&self, app: &str, body: &Value) -> Verdict {
        let fields = object(body, &format!("apps.{app}"))?;
        if let Some(commit) = fields.get("release_uuid") {
            let commit = commit.as_str().ok_or_else(|| wrong(format!("apps.{app}.release_uuid is not a string")))?;
            self.judge_commit(app, commit)?;
        }
        let releases = fields.get("releases").map(|r| object(r, "releases")).transpose()?;
        for (commit, release) in releases.into_iter().flatten() {
            self.judge_commit(app, commit)?;
            let status = release["update_status"].as_str().unwrap_or_default();
            if !UPDATE_STATUSES.contains(&status) {
                return Err(wrong(format!("release {commit}: \"{status}\" is not an update status")));
            }
            let services = release.get("services").map(|s| object(s, "services")).transpose()?;
            for (service, body) in services.into_iter().flatten() {
                self.judge_service(service, body)?;
            }
        }
        Ok(())
    }

    fn judge_commit(&self, app: &str, commit: &str) -> Verdict {
        match self.releases.get(app) {
            Some(commits) if commits.contains(commit) => Ok(()),
            _ => Err(unknown(format!("app {app} has no release {commit}"))),
        }
    }

    fn judge_service(&self, service: &str, body: &Value) -> Verdict {
        let image = body["image"].as_str().ok_or_else(|| wrong(format!("{service}: image is not a string")))?;
        if body["status"].as_str().is_none() {
            return Err(wrong(format!("{service}: status is not a string")));
        }
        if !matches!(kind(&body["download_progress"]), Kind::Null | Kind::Number) {
            return Err(wrong(format!("{service}: download_progress is not a number")));
        }
        if self.images.contains(image) { Ok(()) } else { Err(unknown(format!("{service}: no image {image}"))) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_are_judged_as_the_server_does() {
        let mut known = Known::default();
        known.learn(&json!({"u": {"apps": {"a": {"releases": {"c": {"services": {"m": {"image": "i"}}}}}}}}));
        let service = |image: &str| json!({"m": {"image": image, "status": "Running"}});
        let app = |commit: &str, status: &str, services: Value| json!({"u": {"apps": {"a": {"releases": {commit: {"update_status": status, "services": services}}}}}});
        let status = |report: &Value| known.judge(report, "u").map_err(|r| r.status);
        assert_eq!(status(&json!({"u": {"status": "Idle", "anything": []}})), Ok(()));
        assert_eq!(status(&app("c", "done", service("i"))), Ok(()));
        assert_eq!(status(&app("x", "done", service("i"))), Err(401));
        assert_eq!(status(&app("c", "done", service("other"))), Err(401));
        assert_eq!(status(&app("c", "ready", service("i"))), Err(400));
        assert_eq!(status(&json!({"u": {"api_port": "48484"}})), Err(400));
        assert_eq!(status(&json!({"v": {}})), Err(401));
        assert_eq!(status(&json!([])), Err(400));
    }
}
