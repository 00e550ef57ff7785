//! What can be wrong with a setting, and where it came from.

/// Where the value of a setting comes from; earlier ones win.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A flag on the command line.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A device variable of the cloud.
    DeviceVariable(&'static str),
    /// A key of config.json.
    ConfigJson(&'static str),
    /// Nobody said anything.
    #[default]
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::DeviceVariable(name) => write!(f, "device variable {name}"),
            Origin::ConfigJson(key) => write!(f, "config.json, key {key}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A bad value in a flag or the environment: the agent does not start with it (exit code 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: \"{value}\" is not valid: expected {expected}")]
pub struct SettingsError {
    /// Which flag or variable.
    pub origin: Origin,
    /// What it said.
    pub value: String,
    /// What would have been right.
    pub expected: String,
}

/// Something wrong in config.json: the agent goes on without it and reports it until it is mended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SettingFault {
    /// What it hit, for example `config.json` or `config.json: apiEndpoint`.
    pub subject: String,
    /// What is wrong, what is used instead, and what a person can do.
    pub message: String,
}

impl std::fmt::Display for SettingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}
