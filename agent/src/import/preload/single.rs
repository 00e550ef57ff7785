//! The first form: a list with the one single-container app of devices from before 2018.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::compose::texts;
use super::super::error::ImportError;
use super::{MEND, Preload};

/// The uuid such an app gets.
const UUID: &str = "user-app";

/// What every such container may use.
const FEATURES: [&str; 5] = ["kernel-modules", "firmware", "dbus", "supervisor-api", "resin-api"];

/// Reads the list.
pub(super) fn read(file: &Path, apps: &[Value]) -> Result<Preload, ImportError> {
    let wrong = |what: &str| ImportError::file(file, what, MEND);
    let app = match apps {
        [] => return Ok(Preload { config: Value::Null, apps: Map::new(), pin_device: false, remark: None }),
        [app] => app.as_object().ok_or_else(|| wrong("the list holds something that is no app"))?,
        _ => return Err(wrong("a list of several apps makes no sense: such a device runs one")),
    };
    let text = |key: &str| app.get(key).and_then(Value::as_str).ok_or_else(|| wrong(&format!("{key}: it is not a text")));
    let (name, commit, image) = (text("name")?, text("commit")?, text("imageId")?);
    let id = app.get("appId").filter(|id| !id.is_null()).ok_or_else(|| wrong("appId: it is missing"))?;
    let config = texts(app.get("config"));
    let Value::Object(mut environment) = texts(app.get("env")) else { return Err(wrong("env: it is not an object")) };
    environment.retain(|key, _| !key.starts_with("RESIN_"));
    let service = json!({
        "id": 1, "image_id": 1, "image": image, "environment": environment, "labels": labels(&config),
        "composition": {
            "privileged": true, "network_mode": "host", "volumes": ["resin-data:/data"],
            "restart": config["RESIN_APP_RESTART_POLICY"].as_str().unwrap_or("always"),
        },
    });
    let release = json!({ "id": 1, "services": { "main": service }, "networks": {}, "volumes": { "resin-data": {} } });
    let app = json!({ "id": id, "name": name, "class": "fleet", "releases": { commit: release } });
    Ok(Preload { config, apps: Map::from_iter([(UUID.to_owned(), app)]), pin_device: false, remark: None })
}

fn labels(config: &Value) -> Value {
    let mut labels: Map<String, Value> =
        FEATURES.iter().map(|feature| (format!("io.resin.features.{feature}"), json!("1"))).collect();
    let strategy = config["RESIN_SUPERVISOR_UPDATE_STRATEGY"].as_str().unwrap_or("download-then-kill");
    let timeout = config["RESIN_SUPERVISOR_HANDOVER_TIMEOUT"].as_str().unwrap_or_default();
    for (label, value) in [("update.strategy", strategy), ("update.handover-timeout", timeout), ("legacy-container", "1")] {
        labels.insert(format!("io.resin.{label}"), json!(value));
    }
    Value::Object(labels)
}
