//! What is stored and how it changes.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_plan::memory::{Memory, Remember};
use holdfast_plan::target::AppId;

/// The source of a target that was set on the device itself.
pub const LOCAL_SOURCE: &str = "local";

/// Under which name a device's own target is stored: its cloud, or [`LOCAL_SOURCE`] where it has none.
pub fn target_source(api_endpoint: &str) -> &str {
    if api_endpoint.is_empty() { LOCAL_SOURCE } else { api_endpoint }
}

/// A target as it came, with the ETag that goes with it. The text is the authority; it is parsed again at every start.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredTarget {
    /// The cloud it came from (`apiEndpoint`), or [`LOCAL_SOURCE`]. A target of another cloud or device is not this device's.
    pub source: String,
    /// The device it is for.
    pub uuid: String,
    /// The cloud's ETag.
    pub etag: Option<String>,
    /// The body as received.
    pub body: String,
}

impl StoredTarget {
    /// Whether storing this target makes an earlier one useless: that of another device, and that of another cloud once
    /// this one comes from a cloud. A local target stays beside the cloud's.
    pub fn replaces(&self, source: &str, uuid: &str) -> bool {
        uuid != self.uuid || (self.source != LOCAL_SOURCE && source != self.source && source != LOCAL_SOURCE)
    }
}

impl fmt::Debug for StoredTarget {
    /// Without the body: it is long and holds the fleet's variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = format_args!("{} bytes", self.body.len());
        let mut target = f.debug_struct("StoredTarget");
        target.field("source", &self.source).field("uuid", &self.uuid).field("etag", &self.etag).field("body", &size).finish()
    }
}

/// Whose local-API key it is: a service's, or (`None`) the global one.
pub type KeyOwner = Option<(AppId, String)>;

/// A stored key of the local API.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoredKey {
    /// 32 hex digits, lower case.
    pub key: String,
    /// What it may do: a JSON array in balena's words.
    pub scopes: String,
}

impl fmt::Debug for StoredKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// What a key may do unless told otherwise: a service's everything with its app, the global one everything.
pub fn usual_scopes(owner: &KeyOwner) -> String {
    match owner {
        Some((app, _)) => format!(r#"[{{"type":"app","appId":{app}}}]"#),
        None => r#"[{"type":"global"}]"#.to_owned(),
    }
}

/// Everything the agent starts from.
#[derive(Clone, Default, PartialEq)]
pub struct Loaded {
    /// The target of the source and uuid asked for.
    pub target: Option<StoredTarget>,
    /// What decisions remember.
    pub memory: Memory,
    /// Local-API keys.
    pub api_keys: BTreeMap<KeyOwner, StoredKey>,
    /// Other values by name.
    pub values: BTreeMap<String, String>,
}

impl fmt::Debug for Loaded {
    /// Without keys; of values only the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("target", &self.target)
            .field("memory", &self.memory)
            .field("api_keys", &self.api_keys.keys())
            .field("values", &self.values.keys())
            .finish()
    }
}

/// One change. A commit of several is one transaction.
#[derive(Clone, PartialEq)]
pub enum Change {
    /// A new target takes force.
    Target(StoredTarget),
    /// The target of this source is none any more.
    DropTarget {
        /// Which source.
        source: String,
    },
    /// Memory of decisions.
    Remember(Remember),
    /// A local-API key was made.
    ApiKey {
        /// Whose.
        owner: KeyOwner,
        /// 32 hex digits, lower case.
        key: String,
    },
    /// Nobody needs a local-API key any more.
    DropKey {
        /// Whose.
        owner: KeyOwner,
    },
    /// What a local-API key may do; nothing when its owner has none.
    KeyScopes {
        /// Whose.
        owner: KeyOwner,
        /// A JSON array in balena's words, for example `[{"type":"app","appId":5}]`.
        scopes: String,
    },
    /// The device settled with this; nothing when it is what was there the last time.
    Snapshot {
        /// What runs, JSON.
        state: String,
    },
    /// A named value was set or (`None`) removed.
    Value {
        /// Name.
        name: String,
        /// Value.
        value: Option<String>,
    },
}

impl fmt::Debug for Change {
    /// Without keys and values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Target(target) => f.debug_tuple("Target").field(target).finish(),
            Change::DropTarget { source } => f.debug_struct("DropTarget").field("source", source).finish(),
            Change::Remember(remember) => f.debug_tuple("Remember").field(remember).finish(),
            Change::ApiKey { owner, .. } => f.debug_struct("ApiKey").field("owner", owner).finish_non_exhaustive(),
            Change::DropKey { owner } => f.debug_struct("DropKey").field("owner", owner).finish(),
            Change::KeyScopes { owner, scopes } => {
                f.debug_struct("KeyScopes").field("owner", owner).field("scopes", scopes).finish()
            }
            Change::Snapshot { state } => {
                f.debug_struct("Snapshot").field("state", &format_args!("{} bytes", state.len())).finish()
            }
            Change::Value { name, value: Some(_) } => f.debug_struct("Value").field("set", name).finish_non_exhaustive(),
            Change::Value { name, value: None } => f.debug_struct("Value").field("remove", name).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let target = StoredTarget { source: "s".into(), uuid: "u".into(), etag: None, body: "hunter2".into() };
        let key = Change::ApiKey { owner: Some((5, "main".into())), key: "hunter2".into() };
        let value = Change::Value { name: "n".into(), value: Some("hunter2".into()) };
        let loaded = Loaded {
            target: Some(target.clone()),
            api_keys: [(None, StoredKey { key: "hunter2".into(), scopes: usual_scopes(&None) })].into(),
            values: [("n".to_owned(), "hunter2".to_owned())].into(),
            ..Loaded::default()
        };
        let shown = format!("{:?} {key:?} {value:?} {loaded:?} {:?}", Change::Target(target), loaded.api_keys);
        assert!(!shown.contains("hunter2") && shown.contains("7 bytes") && shown.contains("main"), "{shown}");
    }
}
