//! The environment the agent gives every container (protocol §18.1).

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::target::{App, Service};

/// Where the lock directory is seen in the container, and by its name of the early days.
pub const LOCK_DIRECTORIES: [&str; 2] = ["/tmp/balena", "/tmp/resin"];

/// Variables whose value a container keeps from when it was created: a change of them recreates nothing.
const KEPT_FROM_CREATION: [&str; 3] = ["DEVICE_NAME_AT_INIT", "APP_NAME", "HOST_OS_VERSION"];

/// Whether a difference in this variable is of no account.
pub fn is_kept_from_creation(variable: &str) -> bool {
    let bare = variable.strip_prefix("BALENA_").or_else(|| variable.strip_prefix("RESIN_"));
    bare.is_some_and(|bare| KEPT_FROM_CREATION.contains(&bare))
}

/// The environment being put together: what is set first stays.
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Begins with the target's own, which nothing overrides.
    pub fn of(service: &Service) -> Environment {
        Environment(service.environment.clone())
    }

    /// Sets a variable that the target leaves open.
    pub fn set(&mut self, variable: &str, value: &str) {
        if !self.0.contains_key(variable) {
            self.0.insert(variable.to_owned(), value.to_owned());
        }
    }

    /// Sets a variable under both prefixes. A value that is not known stays unset.
    pub fn set_both(&mut self, variable: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(&format!("BALENA_{variable}"), value);
            self.set(&format!("RESIN_{variable}"), value);
        }
    }

    /// What every container gets.
    pub fn set_defaults(&mut self, app: &App, service: &Service, facts: &Facts) {
        self.set_both("APP_ID", Some(&app.id.to_string()));
        self.set_both("APP_UUID", Some(&app.uuid));
        self.set_both("APP_NAME", Some(&app.name));
        self.set_both("SERVICE_NAME", Some(&service.name));
        self.set_both("DEVICE_UUID", Some(facts.uuid.as_str()).filter(|uuid| !uuid.is_empty()));
        self.set_both("DEVICE_TYPE", facts.device_type.as_deref());
        self.set_both("DEVICE_ARCH", facts.device_arch.as_deref());
        self.set_both("HOST_OS_VERSION", facts.os_version.as_deref());
        self.set_both("APP_LOCK_PATH", Some("/tmp/balena/updates.lock"));
        self.set_both("DEVICE_NAME_AT_INIT", facts.device_name.as_deref());
        for (variable, value) in [
            ("BALENA", "1"),
            ("RESIN", "1"),
            ("USER", "root"),
            ("RESIN_SERVICE_KILL_ME_PATH", "/tmp/balena/handover-complete"),
            ("BALENA_SERVICE_HANDOVER_COMPLETE_PATH", "/tmp/balena/handover-complete"),
        ] {
            self.set(variable, value);
        }
    }

    /// The result.
    pub fn into_variables(self) -> BTreeMap<String, String> {
        self.0
    }
}
