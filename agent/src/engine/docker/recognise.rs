//! Which objects of the engine are the agent's own: by their labels, their names, and the scope this agent works in.

use std::collections::{BTreeMap, HashMap};

/// Label on everything made by an agent that works in a scope of its own beside other agents on one engine.
const SCOPE: &str = "io.holdfast.scope";

/// What the labels of this family of agents begin with, today's form first.
const PREFIXES: [&str; 2] = ["io.balena.", "io.resin."];

/// The network between the local API and the containers that may call it.
const SUPERVISOR_NETWORK: &str = "supervisor0";

/// The part of an engine that one agent looks after.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    name: Option<String>,
}

impl Scope {
    pub fn new(name: Option<String>) -> Scope {
        Scope { name }
    }

    /// Whether an object with these labels lies in this scope. Without a scope, objects that carry one are somebody else's.
    pub fn admits(&self, labels: &HashMap<String, String>) -> bool {
        labels.get(SCOPE) == self.name.as_ref()
    }

    /// Labels for an object to be made, with the scope's own.
    pub fn mark(&self, mut labels: HashMap<String, String>) -> HashMap<String, String> {
        if let Some(name) = &self.name {
            labels.insert(SCOPE.to_owned(), name.clone());
        }
        labels
    }

    /// All labels but the scope's own, which nobody asked for.
    pub fn unmark(&self, labels: &HashMap<String, String>) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if self.name.is_some() {
            labels.remove(SCOPE);
        }
        labels
    }

    /// Whether a container with these labels is one of ours.
    pub fn is_our_container(&self, labels: &HashMap<String, String>) -> bool {
        is_supervised(labels) && self.admits(labels)
    }

    /// Whether a network is one of ours.
    pub fn is_our_network(&self, name: &str, labels: &HashMap<String, String>) -> bool {
        (is_supervised(labels) || name == SUPERVISOR_NETWORK) && self.admits(labels)
    }

    /// Whether a volume is an app's.
    pub fn is_our_volume(&self, name: &str, labels: &HashMap<String, String>) -> bool {
        is_volume_name(name) && self.admits(labels)
    }
}

/// Whether the labels are those of a supervised object; the value does not matter.
fn is_supervised(labels: &HashMap<String, String>) -> bool {
    label(labels, "supervised").is_some()
}

/// One of the family's labels, in today's form or the older one.
pub(super) fn label<'a>(labels: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    PREFIXES.iter().find_map(|prefix| labels.get(&format!("{prefix}{name}"))).map(String::as_str)
}

/// The labels given by the release: those the agent itself puts on, by their names without prefix, are left out.
pub(super) fn given_labels(labels: &BTreeMap<String, String>, own: &[&str]) -> BTreeMap<String, String> {
    let is_own = |key: &str| PREFIXES.iter().any(|prefix| key.strip_prefix(prefix).is_some_and(|name| own.contains(&name)));
    labels.iter().filter(|(key, _)| !is_own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `<appId>_<name>` without white space.
pub(super) fn is_volume_name(name: &str) -> bool {
    name.split_once('_').is_some_and(|(app, rest)| {
        !app.is_empty()
            && app.bytes().all(|b| b.is_ascii_digit())
            && !rest.is_empty()
            && !rest.contains(|c: char| c.is_whitespace())
    })
}

/// Whether a container is balena's own supervisor: by its usual names, or by a name of that form together with an image of
/// one of its repositories (`…/<architecture>-supervisor`). The user's own "supervisor" is neither.
pub(super) fn is_other_supervisor(name: &str, image: &str) -> bool {
    let name = name.trim_start_matches('/');
    if matches!(name, "balena_supervisor" | "resin_supervisor") {
        return true;
    }
    let named_so = ["balena_supervisor", "resin_supervisor"].iter().any(|usual| {
        name.strip_prefix(usual).is_some_and(|rest| rest.starts_with(['_', '-', '.']))
            || name.strip_suffix(usual).is_some_and(|rest| rest.ends_with(['_', '-', '.']))
    });
    named_so && repository(image).ends_with("-supervisor")
}

/// An image reference without digest and tag.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(before, _)| before);
    match image.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn scopes_keep_apart() {
        let (open, mine) = (Scope::new(None), Scope::new(Some("mine".into())));
        let plain = labels(&[("io.balena.supervised", "true")]);
        let marked = mine.mark(plain.clone());
        assert!(open.is_our_container(&plain) && !open.is_our_container(&marked));
        assert!(mine.is_our_container(&marked) && !mine.is_our_container(&plain));
        assert!(!Scope::new(Some("other".into())).is_our_container(&marked));
        assert!(!mine.unmark(&marked).contains_key(SCOPE));
        assert_eq!(open.mark(plain.clone()), plain);
    }

    #[test]
    fn old_labels_count() {
        assert!(Scope::default().is_our_container(&labels(&[("io.resin.supervised", "1")])));
        assert_eq!(label(&labels(&[("io.resin.app-id", "7")]), "app-id"), Some("7"));
        assert!(!Scope::default().is_our_container(&labels(&[("supervised", "1")])));
    }

    #[test]
    fn networks_and_volumes() {
        let none = labels(&[]);
        assert!(Scope::default().is_our_network("supervisor0", &none));
        assert!(!Scope::default().is_our_network("5_default", &none));
        assert!(Scope::default().is_our_network("5_default", &labels(&[("io.resin.supervised", "true")])));
        for (name, ours) in [("5_data", true), ("5_a_b", true), ("data", false), ("_data", false), ("5_", false), ("a5_x", false)]
        {
            assert_eq!(Scope::default().is_our_volume(name, &none), ours, "{name}");
        }
        assert!(!Scope::default().is_our_volume("5_data", &labels(&[(SCOPE, "demo")])));
    }

    #[test]
    fn only_the_supervisor_itself_is_the_other_supervisor() {
        for (name, image, other) in [
            ("/balena_supervisor", "sha256:00", true),
            ("resin_supervisor", "x", true),
            ("balena_supervisor_1", "balena/aarch64-supervisor:v14", true),
            ("my.balena_supervisor", "registry:5000/balena/armv7hf-supervisor@sha256:00", true),
            ("balena_supervisor_1", "me/thing", false),
            ("supervisor", "me/my-supervisor", false),
            ("process-supervisor_1_2_abc", "r.example/v2/abc", false),
        ] {
            assert_eq!(is_other_supervisor(name, image), other, "{name} {image}");
        }
    }

    #[test]
    fn own_labels_are_left_out() {
        let all = labels(&[("io.balena.supervised", "true"), ("io.resin.app-uuid", "x"), ("mine", "1")]);
        let given = given_labels(&Scope::default().unmark(&all), &["supervised", "app-uuid"]);
        assert_eq!(given.into_keys().collect::<Vec<_>>(), ["mine"]);
    }
}
