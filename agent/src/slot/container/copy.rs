//! What a container is made with, from what the engine says of another one.

use serde_json::{Map, Value, json};

/// The request that makes the same container from another image. What came from the old image is left out, so that the new
/// image's own takes its place.
pub(super) fn same_with(old: &Value, old_image: &Value, image: &str) -> Value {
    let mut config = old["Config"].as_object().cloned().unwrap_or_default();
    leave_out(&mut config, &old_image["Config"]);
    forget_own_name(&mut config, old);
    config.insert("Image".into(), json!(image));
    config.insert("HostConfig".into(), old["HostConfig"].clone());
    if let Some(networks) = networks(old) {
        config.insert("NetworkingConfig".into(), networks);
    }
    Value::Object(config)
}

/// The request that makes a helper beside a container: its image, its surroundings, another command.
pub(super) fn helper_of(old: &Value, program: &str, labels: Map<String, Value>) -> Value {
    let mut host = old["HostConfig"].clone();
    // It goes on after whatever kills it, until it says itself that it is done.
    host["RestartPolicy"] = json!({ "Name": "always" });
    host["PortBindings"] = json!({});
    json!({
        "Image": old["Image"], "Entrypoint": [program], "Cmd": ["self-update", "--helper"], "Env": old["Config"]["Env"],
        "User": old["Config"]["User"], "Labels": labels, "Healthcheck": { "Test": ["NONE"] }, "HostConfig": host,
    })
}

/// Leaves out what a container has from its image.
fn leave_out(config: &mut Map<String, Value>, image: &Value) {
    for field in ["Entrypoint", "Cmd", "Healthcheck", "WorkingDir", "User", "ExposedPorts", "StopSignal", "Volumes", "Shell"] {
        if config.get(field).is_some_and(|own| *own == image[field]) {
            config.remove(field);
        }
    }
    if let (Some(Value::Array(own)), Some(of_image)) = (config.get_mut("Env"), image["Env"].as_array()) {
        own.retain(|variable| !of_image.contains(variable));
    }
    if let (Some(Value::Object(own)), Some(of_image)) = (config.get_mut("Labels"), image["Labels"].as_object()) {
        own.retain(|name, value| of_image.get(name) != Some(value));
    }
}

/// A host name that the engine made from the container's id is not the next one's.
fn forget_own_name(config: &mut Map<String, Value>, old: &Value) {
    let short = old["Id"].as_str().and_then(|id| id.get(..12));
    if config.get("Hostname").and_then(Value::as_str) == short {
        config.remove("Hostname");
    }
    let own_network =
        old["HostConfig"]["NetworkMode"].as_str().is_some_and(|mode| mode == "host" || mode.starts_with("container:"));
    if own_network {
        // The engine refuses it there.
        config.remove("Hostname");
        config.remove("ExposedPorts");
    }
    config.remove("MacAddress");
}

/// The networks a person made, with names and addresses in them.
fn networks(old: &Value) -> Option<Value> {
    let mode = old["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
    if ["", "default", "bridge", "host", "none"].contains(&mode) || mode.starts_with("container:") {
        return None;
    }
    let networks = old["NetworkSettings"]["Networks"].as_object()?;
    let short = old["Id"].as_str().and_then(|id| id.get(..12)).unwrap_or_default();
    let endpoint = |network: &Value| {
        let aliases: Option<Vec<&Value>> =
            network["Aliases"].as_array().map(|names| names.iter().filter(|name| **name != short).collect());
        json!({ "IPAMConfig": network["IPAMConfig"], "Links": network["Links"], "Aliases": aliases })
    };
    let endpoints: Map<String, Value> = networks.iter().map(|(name, network)| (name.clone(), endpoint(network))).collect();
    Some(json!({ "EndpointsConfig": endpoints }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> Value {
        json!({
            "Id": "0123456789abcdef", "Image": "sha256:old",
            "Config": {
                "Hostname": "0123456789ab", "Env": ["PATH=/bin", "RUST_LOG=debug"], "Cmd": ["run"],
                "Entrypoint": ["/usr/bin/holdfast"], "Labels": { "a": "1", "from-image": "x" }, "User": "",
            },
            "HostConfig": { "NetworkMode": "lan", "Binds": ["data:/data"], "RestartPolicy": { "Name": "unless-stopped" } },
            "NetworkSettings": { "Networks": { "lan": { "Aliases": ["agent", "0123456789ab"], "IPAMConfig": null } } },
        })
    }

    #[test]
    fn settings_stay_and_what_the_image_gave_goes() {
        let image = json!({ "Config": {
            "Env": ["PATH=/bin"], "Cmd": ["other"], "Entrypoint": ["/usr/bin/holdfast"], "Labels": { "from-image": "x" }, "User": "",
        }});
        let made = same_with(&old(), &image, "holdfast:2");
        assert_eq!(made["Image"], "holdfast:2");
        assert_eq!(
            (&made["Env"], &made["Cmd"]),
            (&json!(["RUST_LOG=debug"]), &json!(["run"])),
            "a command of the maker's own stays"
        );
        assert_eq!((made.get("Entrypoint"), made.get("Hostname")), (None, None));
        assert_eq!(made["Labels"], json!({ "a": "1" }));
        assert_eq!(made["HostConfig"], old()["HostConfig"]);
        assert_eq!(made["NetworkingConfig"]["EndpointsConfig"]["lan"]["Aliases"], json!(["agent"]));
    }

    #[test]
    fn on_the_hosts_network_there_is_no_name_of_its_own() {
        let mut host = old();
        host["HostConfig"]["NetworkMode"] = json!("host");
        host["Config"]["Hostname"] = json!("device");
        let made = same_with(&host, &json!({}), "x");
        assert_eq!((made.get("Hostname"), made.get("NetworkingConfig")), (None, None));
    }

    #[test]
    fn a_helper_is_of_the_old_image_and_is_always_started_again() {
        let made = helper_of(&old(), "/usr/bin/holdfast", Map::new());
        assert_eq!((&made["Image"], &made["Cmd"][1]), (&json!("sha256:old"), &json!("--helper")));
        assert_eq!(made["HostConfig"]["RestartPolicy"]["Name"], "always");
        assert_eq!(made["HostConfig"]["Binds"], json!(["data:/data"]));
        assert_eq!(old()["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    }
}
