//! Services as older formats word them: identity and compose fields in one object (protocol §4.1), turned into the cloud's
//! present form.

use serde_json::{Map, Value, json};

/// Keys of such a service that say who it is; every other one is a compose field.
const IDENTITY: [&str; 16] = [
    "id",
    "appId",
    "appUuid",
    "appName",
    "releaseId",
    "commit",
    "imageId",
    "serviceId",
    "serviceName",
    "image",
    "running",
    "environment",
    "labels",
    "contract",
    "composition",
    "status",
];

/// A service in the form of protocol §3.3. Ids that are missing are 1, as balena has them for what has none.
pub(super) fn service(described: &Map<String, Value>) -> Value {
    let id = |key: &str| described.get(key).filter(|id| !id.is_null()).cloned().unwrap_or_else(|| json!(1));
    let mut service = json!({
        "id": id("serviceId"),
        "image_id": id("imageId"),
        "image": described.get("image").cloned().unwrap_or_default(),
        "environment": texts(described.get("environment")),
        "labels": texts(described.get("labels")),
        "composition": composition(described),
    });
    for key in ["running", "contract"] {
        if let Some(value) = described.get(key).filter(|value| !value.is_null()) {
            service[key] = value.clone();
        }
    }
    service
}

fn composition(described: &Map<String, Value>) -> Value {
    let loose = described.iter().filter(|(key, _)| !IDENTITY.contains(&key.as_str()));
    let mut all: Map<String, Value> = loose.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(Value::Object(composition)) = described.get("composition") {
        all.extend(composition.clone());
    }
    Value::Object(all)
}

/// Texts by name, from an object or from a list of `name=value`; what is unset (`null`) is left out.
pub(super) fn texts(value: Option<&Value>) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => Some(Value::String(text.clone())),
        Value::Number(_) | Value::Bool(_) => Some(Value::String(value.to_string())),
        _ => None,
    };
    let mut texts = Map::new();
    match value {
        Some(Value::Object(members)) => {
            texts.extend(members.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))));
        }
        Some(Value::Array(items)) => texts.extend(items.iter().filter_map(Value::as_str).map(|item| {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            (name.to_owned(), Value::String(value.to_owned()))
        })),
        _ => {}
    }
    Value::Object(texts)
}

/// Networks or volumes of a release by name. A name without a definition (`null`, or a list of names) has an empty one.
pub(super) fn definitions(value: Option<&Value>) -> Value {
    let mut all = Map::new();
    match value {
        Some(Value::Object(members)) => all.extend(
            members
                .iter()
                .map(|(name, definition)| (name.clone(), if definition.is_null() { json!({}) } else { definition.clone() })),
        ),
        Some(Value::Array(names)) => all.extend(names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), json!({})))),
        _ => {}
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_identity_is_composition() {
        let described = json!({
            "appId": 1, "serviceName": "main", "serviceId": 7, "imageId": 8, "image": "a/b", "running": true,
            "environment": {"A": 1, "B": null, "C": "c"}, "labels": ["x=1", "y"], "privileged": true, "ports": ["80:80"],
            "composition": {"restart": "no"},
        });
        let service = service(described.as_object().unwrap());
        let wanted = json!({
            "id": 7, "image_id": 8, "image": "a/b", "running": true, "environment": {"A": "1", "C": "c"},
            "labels": {"x": "1", "y": ""}, "composition": {"privileged": true, "ports": ["80:80"], "restart": "no"},
        });
        assert_eq!(service, wanted);
    }

    #[test]
    fn definitions_may_be_empty_or_names() {
        assert_eq!(definitions(Some(&json!({"a": null, "b": {"x": 1}}))), json!({"a": {}, "b": {"x": 1}}));
        assert_eq!(definitions(Some(&json!(["a"]))), json!({"a": {}}));
        assert_eq!(definitions(None), json!({}));
    }
}
