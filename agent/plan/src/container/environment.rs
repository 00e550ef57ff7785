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

/// The environment being put together, in a list that becomes a map once.
pub struct Environment {
    defaults: Vec<(String, String)>,
}

impl Environment {
    /// What every container gets, sorted by name as far as possible.
    pub fn of(app: &App, service: &Service, facts: &Facts) -> Environment {
        let mut environment = Environment { defaults: Vec::with_capacity(48 + service.environment.len()) };
        let app_id = app.id.to_string();
        let under_both_prefixes = [
            ("BALENA_APP_ID", "RESIN_APP_ID", Some(app_id.as_str())),
            ("BALENA_APP_LOCK_PATH", "RESIN_APP_LOCK_PATH", Some("/tmp/balena/updates.lock")),
            ("BALENA_APP_NAME", "RESIN_APP_NAME", Some(&app.name)),
            ("BALENA_APP_UUID", "RESIN_APP_UUID", Some(&app.uuid)),
            ("BALENA_DEVICE_ARCH", "RESIN_DEVICE_ARCH", facts.device_arch.as_deref()),
            ("BALENA_DEVICE_NAME_AT_INIT", "RESIN_DEVICE_NAME_AT_INIT", facts.device_name.as_deref()),
            ("BALENA_DEVICE_TYPE", "RESIN_DEVICE_TYPE", facts.device_type.as_deref()),
            ("BALENA_DEVICE_UUID", "RESIN_DEVICE_UUID", Some(facts.uuid.as_str()).filter(|uuid| !uuid.is_empty())),
            ("BALENA_HOST_OS_VERSION", "RESIN_HOST_OS_VERSION", facts.os_version.as_deref()),
            ("BALENA_SERVICE_NAME", "RESIN_SERVICE_NAME", Some(&service.name)),
        ];
        environment.set("BALENA", "1");
        for (today, _, value) in under_both_prefixes {
            environment.set_known(today, value);
        }
        environment.set("BALENA_SERVICE_HANDOVER_COMPLETE_PATH", "/tmp/balena/handover-complete");
        environment.set("RESIN", "1");
        for (_, early, value) in under_both_prefixes {
            environment.set_known(early, value);
        }
        environment.set("RESIN_SERVICE_KILL_ME_PATH", "/tmp/balena/handover-complete");
        environment.set("USER", "root");
        environment
    }

    fn set_known(&mut self, variable: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(variable, value);
        }
    }

    /// Sets a variable that the target may override.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.defaults.push((variable.to_owned(), value.to_owned()));
    }

    /// Sets a variable under its name of today and of the early days. A value that is not known stays unset.
    pub fn set_both(&mut self, today: &str, early: &str, value: Option<&str>) {
        self.set_known(today, value);
        self.set_known(early, value);
    }

    /// The result: the target's own over these.
    pub fn under(mut self, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        self.defaults.extend(own.iter().map(|(variable, value)| (variable.clone(), value.clone())));
        // Of equal names the last one stays.
        self.defaults.into_iter().collect()
    }
}
