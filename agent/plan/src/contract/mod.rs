//! Contracts: what a service requires of the device (behaviour §9).

mod range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::Facts;
use crate::target::{App, Offence, Release, Service};

/// The release of balena-supervisor that the agent is compatible with: contracts ask for `sw.supervisor` ranges.
pub const COMPATIBLE_SUPERVISOR: &str = "19.0.5";

/// Types a requirement may name (behaviour §9).
const TYPES: [&str; 6] = ["sw.supervisor", "sw.l4t", "sw.os", "sw.kernel", "hw.device-type", "arch.sw"];

/// One requirement, or a choice of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Requirement {
    /// Any one of these is enough.
    Any {
        /// The choices.
        or: Vec<Requirement>,
    },
    /// A single requirement.
    One {
        /// Type, one of those behaviour §9 lists.
        #[serde(rename = "type")]
        kind: String,
        /// Which one, for example `raspberrypi4-64`.
        slug: Option<String>,
        /// Range of versions.
        version: Option<String>,
    },
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Requirement::Any { or } => {
                let texts: Vec<String> = or.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(" or "))
            }
            Requirement::One { kind, slug, version } => {
                f.write_str(kind)?;
                slug.iter().chain(version).try_for_each(|part| write!(f, " {part}"))
            }
        }
    }
}

/// Reads the requirements of a service's contract.
///
/// # Errors
/// The first part that breaks a rule of behaviour §9, with its path below `path`.
pub fn requirements(contract: &Value, path: &str) -> Result<Vec<Requirement>, Offence> {
    let offence = |path: String, message: &str| Offence { path, message: message.to_owned() };
    let Some(requires) = contract.get("requires").filter(|requires| !requires.is_null()) else { return Ok(Vec::new()) };
    let list = requires.as_array().ok_or_else(|| offence(format!("{path}.requires"), "expected a list of requirements"))?;
    let mut requirements = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}.requires.{index}");
        let requirement = Requirement::deserialize(value)
            .map_err(|_| offence(path.clone(), "expected a requirement with a type, or a choice of several under \"or\""))?;
        check(&requirement, &path)?;
        requirements.push(requirement);
    }
    Ok(requirements)
}

fn check(requirement: &Requirement, path: &str) -> Result<(), Offence> {
    let offence = |message: String| Err(Offence { path: path.to_owned(), message });
    match requirement {
        Requirement::Any { or } if or.iter().any(|inner| matches!(inner, Requirement::Any { .. })) => {
            offence("a choice cannot hold another choice".into())
        }
        Requirement::Any { or } => or.iter().try_for_each(|inner| check(inner, path)),
        Requirement::One { kind, .. } if !TYPES.contains(&kind.as_str()) => {
            offence(format!("\"{kind}\" is not a type of requirement this device knows ({})", TYPES.join(", ")))
        }
        Requirement::One { version: Some(version), .. } if range::parse(version).is_none() => {
            offence(format!("\"{version}\" is not a range of versions"))
        }
        Requirement::One { .. } => Ok(()),
    }
}

/// A service whose contract is not met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Service.
    pub service: String,
    /// What it requires and the device does not have.
    pub unmet: String,
}

/// Whether an app may run on this device.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As it is.
    Accepted,
    /// Without these optional services (label `io.balena.features.optional`).
    Without(Box<App>, Vec<Violation>),
    /// Not at all: its running release is left as it is.
    Rejected(Vec<Violation>),
}

/// Whether a service's own contract lets it run on this device.
pub fn allows(service: &Service, facts: &Facts) -> bool {
    violation(service, facts).is_none()
}

/// Checks the contracts of an app's services.
pub fn judge(app: &App, facts: &Facts) -> Verdict {
    let Some(release) = &app.release else { return Verdict::Accepted };
    let violations: Vec<Violation> = release.services.values().filter_map(|service| violation(service, facts)).collect();
    if violations.is_empty() {
        return Verdict::Accepted;
    }
    let optional = |violation: &&Violation| release.services.get(&violation.service).is_some_and(is_optional);
    let hard: Vec<Violation> = violations.iter().filter(|violation| !optional(violation)).cloned().collect();
    if !hard.is_empty() {
        return Verdict::Rejected(hard);
    }
    let mut reduced = app.clone();
    if let Some(release) = &mut reduced.release {
        drop_services(release, &violations);
    }
    Verdict::Without(Box::new(reduced), violations)
}

/// Takes services out of a release; nobody waits for one that will not come.
fn drop_services(release: &mut Release, violations: &[Violation]) {
    for violation in violations {
        release.services.remove(&violation.service);
    }
    for service in release.services.values_mut() {
        service.depends_on.retain(|name, _| violations.iter().all(|violation| violation.service != *name));
    }
}

fn is_optional(service: &Service) -> bool {
    service.labels.get("io.balena.features.optional").is_some_and(|value| matches!(value.as_str(), "1" | "true" | "on"))
}

fn violation(service: &Service, facts: &Facts) -> Option<Violation> {
    let contract = service.contract.as_ref()?;
    // Its shape was checked when the target was read.
    let unmet = requirements(contract, "contract").ok()?.into_iter().find(|requirement| !is_met(requirement, facts))?;
    Some(Violation { service: service.name.clone(), unmet: unmet.to_string() })
}

fn is_met(requirement: &Requirement, facts: &Facts) -> bool {
    match requirement {
        Requirement::Any { or } => or.iter().any(|inner| is_met(inner, facts)),
        Requirement::One { kind, slug, version } => {
            let (have_slug, have_version) = fact(kind, facts);
            let slug_met = slug.as_deref().is_none_or(|wanted| have_slug.is_some_and(|have| have == wanted));
            let version_met =
                version.as_deref().is_none_or(|wanted| have_version.is_some_and(|have| range::includes(wanted, have)));
            // A requirement without slug and version asks that the device has such a thing at all.
            slug_met && version_met && (have_slug.is_some() || have_version.is_some())
        }
    }
}

/// Slug and version of what the device has (behaviour §9).
fn fact<'a>(kind: &str, facts: &'a Facts) -> (Option<&'a str>, Option<&'a str>) {
    match kind {
        "sw.supervisor" => (Some("balena-supervisor"), Some(COMPATIBLE_SUPERVISOR)),
        "sw.os" => (facts.os_slug.as_deref(), facts.os_semver.as_deref()),
        "sw.kernel" => (Some("linux"), facts.kernel_version.as_deref()),
        "sw.l4t" => (None, facts.l4t_version.as_deref()),
        "hw.device-type" => (facts.device_type.as_deref(), None),
        "arch.sw" => (facts.device_arch.as_deref(), None),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> Facts {
        Facts {
            device_type: Some("raspberrypi4-64".into()),
            device_arch: Some("aarch64".into()),
            os_slug: Some("balena-os".into()),
            os_semver: Some("2.98.33+rev1".into()),
            kernel_version: Some("5.15.34".into()),
            ..Facts::default()
        }
    }

    fn met(requires: Value) -> bool {
        requirements(&json!({ "type": "sw.container", "requires": requires }), "c").unwrap().iter().all(|r| is_met(r, &facts()))
    }

    #[test]
    fn requirements_against_the_device() {
        assert!(met(json!([{ "type": "sw.supervisor", "version": ">=10" }])));
        assert!(!met(json!([{ "type": "sw.supervisor", "version": ">=20.0.0" }])));
        assert!(met(json!([{ "type": "hw.device-type", "slug": "raspberrypi4-64" }, { "type": "arch.sw", "slug": "aarch64" }])));
        assert!(!met(json!([{ "type": "hw.device-type", "slug": "jetson-nano" }])));
        assert!(met(
            json!([{ "or": [{ "type": "hw.device-type", "slug": "jetson-nano" }, { "type": "sw.os", "slug": "balena-os", "version": "^2.50" }] }])
        ));
        assert!(!met(json!([{ "type": "sw.l4t", "version": ">=32" }])), "the device has none");
        assert!(met(json!([])) && met(Value::Null));
    }

    #[test]
    fn wrong_contracts_name_the_place() {
        let path = |requires: Value| requirements(&json!({ "requires": requires }), "c").unwrap_err().path;
        assert_eq!(path(json!({})), "c.requires");
        assert_eq!(path(json!([{ "type": "sw.supervisor" }, { "type": "sw.magic" }])), "c.requires.1");
        assert_eq!(path(json!([{ "slug": "x" }])), "c.requires.0");
        assert_eq!(path(json!([{ "type": "sw.os", "version": "soon" }])), "c.requires.0");
    }
}
