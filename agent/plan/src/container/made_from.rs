//! The mark on a container or network of the specification it was made from.
//!
//! Engines and kernels drop settings without a word: `oom_kill_disable` and `mem_swappiness` on cgroup v2, limits of a
//! processor the kernel cannot limit. Such a container differs from its specification for ever, and making it once more
//! changes nothing. The mark tells that it was made from exactly this specification, so that it can be left as it is.
//! Containers of other agents carry none and are only compared. Networks likewise: engines add options and addresses of
//! their own to what they are asked for, each release of them others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::environment::is_kept_from_creation;
use super::{ContainerSpec, RestartPolicy};
use crate::current::{Container, Network};
use crate::target::NetworkSpec;

/// The label that holds the mark.
pub const MADE_FROM_LABEL: &str = "io.holdfast.made-from";

impl ContainerSpec {
    /// The specification as the engine is given it: with its own mark.
    pub fn marked(mut self) -> ContainerSpec {
        let mark = mark(&self);
        self.labels.insert(MADE_FROM_LABEL.to_owned(), mark);
        self
    }
}

/// Whether these differences are only what became of the very specification that is wanted: then making the container once
/// more would change nothing.
pub fn is_as_made(present: &Container, wanted: &ContainerSpec, fields: &[String]) -> bool {
    let Some(made_from) = present.spec.labels.get(MADE_FROM_LABEL) else { return false };
    fields.iter().all(|field| stands_since_creation(field, present, wanted)) && *made_from == mark(wanted)
}

/// Whether a difference cannot have come about after the container was made.
fn stands_since_creation(field: &str, present: &Container, wanted: &ContainerSpec) -> bool {
    match field {
        // A name may stand for another image than it did.
        "image" => wanted.image.starts_with("sha256:"),
        // The agent itself takes the policy away from a container that hands over.
        "restart" => present.spec.options.restart != RestartPolicy::No,
        // Anybody may take a container out of a network.
        _ => field.strip_prefix("network ").is_none_or(|network| present.spec.networks.contains_key(network)),
    }
}

impl NetworkSpec {
    /// The mark of a network that is made from this; a label of its own, which is none of the specification's.
    pub fn mark(&self) -> String {
        let (value, default) = (shown(self), shown(&NetworkSpec::default()));
        number(given(&value, &default).map(|(field, value)| (field.to_owned(), value)).collect())
    }
}

/// The same for a network, of which nothing can change once it is made.
pub fn is_network_as_made(present: &Network, wanted: &NetworkSpec) -> bool {
    present.labels.get(MADE_FROM_LABEL).is_some_and(|made_from| *made_from == wanted.mark())
}

/// A number that stands for the whole specification, as far as it is compared. What has its default is left out, so that a
/// setting the agent learns later leaves the marks of containers without it as they are.
fn mark(spec: &ContainerSpec) -> String {
    let (value, default) = (shown(spec), shown(&ContainerSpec::default()));
    let mut told: BTreeMap<String, &Value> = BTreeMap::new();
    for (field, value) in given(&value, &default) {
        match field {
            "name" => {}
            "options" => {
                let options = given(value, default.get(field).unwrap_or(&Value::Null));
                // Never compared (behaviour §4.1).
                told.extend(
                    options.filter(|(option, _)| *option != "nano_cpus").map(|(o, value)| (format!("options.{o}"), value)),
                );
            }
            "environment" | "labels" => {
                let pairs =
                    given(value, &Value::Null).filter(|(name, _)| !is_kept_from_creation(name) && *name != MADE_FROM_LABEL);
                told.extend(pairs.map(|(name, value)| (format!("{field}.{name}"), value)));
            }
            _ => {
                told.insert(field.to_owned(), value);
            }
        }
    }
    number(told)
}

/// A number that stands for fields with their values.
fn number(told: BTreeMap<String, &Value>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (field, value) in told {
        for byte in format!("{field}={value}\n").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

fn shown(spec: &impl serde::Serialize) -> Value {
    // Every map in either has texts as keys, so it always has a form in JSON.
    serde_json::to_value(spec).unwrap_or_default()
}

/// Fields that are not what they are by default.
fn given<'a>(value: &'a Value, default: &'a Value) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter(|(field, value)| default.get(field) != Some(value)).map(|(field, value)| (field.as_str(), value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::{Endpoint, differences};
    use crate::current::ContainerState;

    const IMAGE: &str = "sha256:11";

    fn spec() -> ContainerSpec {
        let mut spec = ContainerSpec { name: "main_1_2_abc".into(), image: IMAGE.into(), ..ContainerSpec::default() };
        spec.environment.insert("TOKEN".into(), "hunter2".into());
        spec.environment.insert("BALENA_APP_NAME".into(), "fleet".into());
        spec.options.mem_swappiness = Some(10);
        spec.options.oom_kill_disable = true;
        spec
    }

    /// What an engine that keeps neither of the two shows.
    fn made(spec: ContainerSpec) -> Container {
        let mut is = spec;
        is.options.mem_swappiness = None;
        is.options.oom_kill_disable = false;
        Container {
            id: "0123456789abcdef".into(),
            app_id: 1,
            app_uuid: None,
            service: "main".into(),
            service_id: None,
            commit: "abc".into(),
            release_id: None,
            cloud_image_id: None,
            handing_over: false,
            image_id: IMAGE.into(),
            created_ms: 0,
            started_ms: None,
            finished_ms: None,
            state: ContainerState::Running,
            exit_code: 0,
            error: String::new(),
            health: None,
            restart_count: 0,
            spec: Arc::new(is),
            image_config: None,
        }
    }

    fn is_met(present: &Container, wanted: &ContainerSpec) -> bool {
        let fields = differences(present, wanted);
        assert!(!fields.is_empty());
        is_as_made(present, wanted, &fields)
    }

    #[test]
    fn what_the_engine_dropped_is_met_in_a_container_of_ours_only() {
        let marked = made(spec().marked());
        assert_eq!(differences(&marked, &spec()), ["oom_kill_disable", "mem_swappiness"]);
        assert!(is_met(&marked, &spec()));
        assert!(!is_met(&made(spec()), &spec()), "made by another agent");
        let mark = &marked.spec.labels[MADE_FROM_LABEL];
        assert!(mark.len() == 16 && !mark.contains("hunter2"));
    }

    #[test]
    fn another_wish_is_not_met() {
        let marked = made(spec().marked());
        for change in [
            |spec: &mut ContainerSpec| spec.options.mem_swappiness = Some(20),
            |spec: &mut ContainerSpec| spec.options.cap_add = ["NET_ADMIN".to_owned()].into(),
            |spec: &mut ContainerSpec| drop(spec.environment.insert("TOKEN".into(), "hunter3".into())),
            |spec: &mut ContainerSpec| drop(spec.labels.insert("a".into(), "b".into())),
            |spec: &mut ContainerSpec| spec.image = "sha256:22".into(),
            |spec: &mut ContainerSpec| spec.hostname = Some("other".into()),
        ] {
            let mut wanted = spec();
            change(&mut wanted);
            assert!(!is_met(&marked, &wanted), "{wanted:?}");
        }
    }

    #[test]
    fn what_makes_no_container_new_leaves_the_mark() {
        let marked = made(spec().marked());
        let mut wanted = spec();
        wanted.name = "main_1_3_def".into();
        wanted.environment.insert("BALENA_APP_NAME".into(), "renamed".into());
        wanted.options.nano_cpus = 5;
        assert!(is_met(&marked, &wanted));
        assert_eq!(wanted.clone().marked().marked(), wanted.marked(), "the mark does not count itself");
    }

    #[test]
    fn what_can_change_later_is_not_excused() {
        let mut wanted = spec();
        wanted.networks.insert("u_default".into(), Endpoint { aliases: ["main".to_owned()].into(), ..Endpoint::default() });
        let mut present = made(wanted.clone().marked());
        assert!(is_met(&present, &wanted));
        Arc::make_mut(&mut present.spec).networks.insert("u_default".into(), Endpoint::default());
        assert!(is_met(&present, &wanted), "an engine that keeps no aliases");
        Arc::make_mut(&mut present.spec).networks.clear();
        assert!(!is_met(&present, &wanted), "somebody took it out of the network");
        let mut present = made(spec().marked());
        Arc::make_mut(&mut present.spec).options.restart = RestartPolicy::No;
        assert!(!is_met(&present, &spec()), "it was to hand over");
        let mut by_name = spec();
        by_name.image = "a:latest".into();
        let mut present = made(by_name.clone().marked());
        Arc::make_mut(&mut present.spec).image = "sha256:22".into();
        assert!(!is_met(&present, &by_name), "the name moved on");
    }
}
