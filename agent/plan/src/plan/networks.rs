//! Networks: made when wanted, replaced when they changed, removed when nothing uses them (behaviour §3.1, §5).

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, World};
use super::{Action, Reason};
use crate::container::{is_network_as_made, network_name};
use crate::current::{Container, Network};
use crate::target::{App, DeviceTarget, IpamPool, NetworkSpec, Release};

/// The network between the local API and the containers that may call it (behaviour §5).
pub(super) const SUPERVISOR_NETWORK: &str = "supervisor0";

/// Marks networks whose addresses were chosen by the release, so that dropping the choice is noticed.
const IPAM_LABEL: &str = "io.balena.private.ipam.config";

/// The networks of an app after this round's planning.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Engine names that containers cannot join yet.
    pub not_ready: BTreeSet<String>,
    /// Engine names that have to go: their users are replaced.
    pub changing: BTreeSet<String>,
}

/// Plans the networks of one release.
pub(super) fn plan_networks(draft: &mut Draft<'_>, world: &World<'_>, app: &App, release: &Release) -> Networks {
    let mut networks = Networks::default();
    let wanted: BTreeMap<String, &NetworkSpec> =
        release.networks.iter().map(|(name, spec)| (network_name(&app.uuid, name), spec)).collect();
    let label = Some(app.name.as_str());
    for (name, spec) in &wanted {
        let present = world.networks.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        match present.split_first() {
            None => {
                let action = Action::CreateNetwork { name: name.clone(), network: (*spec).clone(), app_id: app.id };
                draft.step(label, None, action, Reason::NotThereYet);
                networks.not_ready.insert(name.clone());
            }
            Some((first, duplicates)) => {
                let fields = network_differences(first, spec);
                if !fields.is_empty() && is_network_as_made(first, spec) {
                    let fields = fields.into_iter().map(|field| format!("{field} of network {name}")).collect();
                    draft.note(&app.name, None, Reason::NotKept { fields });
                } else if !fields.is_empty() {
                    retire(draft, world, app, first, Reason::Changed { fields }, &mut networks);
                }
                for duplicate in duplicates {
                    // As long as the name stands twice, nothing can join it.
                    networks.not_ready.insert(name.clone());
                    draft.step(label, None, remove(duplicate), Reason::Duplicate);
                }
            }
        }
    }
    for network in world.networks.values().flatten().filter(|n| belongs_to(n, app) && !wanted.contains_key(&n.name)) {
        retire(draft, world, app, network, Reason::NotWantedAnyMore, &mut networks);
    }
    networks
}

/// Removes a network once no container of the app uses it; until then its users have to go.
fn retire(draft: &mut Draft<'_>, world: &World<'_>, app: &App, network: &Network, why: Reason, networks: &mut Networks) {
    networks.not_ready.insert(network.name.clone());
    networks.changing.insert(network.name.clone());
    if !world.of_app(app.id).iter().any(|container| uses(container, &network.name)) {
        draft.step(Some(&app.name), None, remove(network), why);
    }
}

/// The step that removes a network.
pub(super) fn remove(network: &Network) -> Action {
    Action::RemoveNetwork { name: network.name.clone(), id: network.id.clone() }
}

/// Whether a container is attached to a network.
pub(super) fn uses(container: &Container, network: &str) -> bool {
    container.spec.networks.contains_key(network)
}

/// Whether a network is one of this app's, by its name (also the older form with the numeric id).
fn belongs_to(network: &Network, app: &App) -> bool {
    let by = |prefix: &str| network.name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
    by(&app.uuid) || by(&app.id.to_string())
}

/// Names the fields in which a network differs from the wanted one (behaviour §5).
fn network_differences(present: &Network, wanted: &NetworkSpec) -> Vec<String> {
    let have = &present.spec;
    let marked = present.labels.contains_key(IPAM_LABEL);
    let ipam_same = if wanted.ipam_pools.is_empty() { !marked } else { have.ipam_pools == wanted.ipam_pools };
    [
        ("driver", wanted.config_only || have.driver == wanted.driver),
        ("driver_opts", have.driver_opts == wanted.driver_opts),
        ("ipam.driver", have.ipam_driver == wanted.ipam_driver),
        ("ipam.options", have.ipam_options == wanted.ipam_options),
        ("ipam.config", ipam_same),
        ("enable_ipv6", have.enable_ipv6 == wanted.enable_ipv6),
        ("internal", have.internal == wanted.internal),
        ("config_only", have.config_only == wanted.config_only),
        ("labels", have.labels == wanted.labels),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(field, _)| field.to_owned())
    .collect()
}

/// Plans the supervisor network: made when a service asks for the local API; a wrong one is replaced once unused.
/// Returns whether containers may join it.
pub(super) fn plan_supervisor_network(draft: &mut Draft<'_>, world: &World<'_>) -> Networks {
    let mut networks = Networks::default();
    if !wants_supervisor_network(draft.input.target) {
        return networks;
    }
    let present = world.networks.get(SUPERVISOR_NETWORK).and_then(|all| all.first());
    let as_made = |network: &Network| is_network_as_made(network, &supervisor_network());
    let right = present.is_some_and(|network| has_supervisor_addresses(&network.spec) || as_made(network));
    if right {
        return networks;
    }
    networks.not_ready.insert(SUPERVISOR_NETWORK.to_owned());
    match present {
        None => {
            let action = Action::CreateNetwork { name: SUPERVISOR_NETWORK.to_owned(), network: supervisor_network(), app_id: 0 };
            draft.step(None, None, action, Reason::NotThereYet);
        }
        Some(network) => {
            networks.changing.insert(SUPERVISOR_NETWORK.to_owned());
            if !draft.input.current.engine.containers.iter().any(|container| uses(container, SUPERVISOR_NETWORK)) {
                draft.step(None, None, remove(network), Reason::Changed { fields: vec!["ipam.config".into()] });
            }
        }
    }
    networks
}

/// Whether any service of the target may call the local API from a network of its own.
fn wants_supervisor_network(target: &DeviceTarget) -> bool {
    let releases = target.apps.values().filter(|app| app.is_managed()).filter_map(|app| app.release.as_ref());
    releases.flat_map(|release| release.services.values()).any(|service| {
        matches!(service.network_mode, crate::target::NetworkChoice::Network(_) | crate::target::NetworkChoice::Bridge)
            && service.labels.get("io.balena.features.supervisor-api").is_some_and(|v| matches!(v.as_str(), "1" | "true" | "on"))
    })
}

fn has_supervisor_addresses(spec: &NetworkSpec) -> bool {
    let wanted = supervisor_network();
    spec.ipam_pools.first().map(|pool| (&pool.subnet, &pool.gateway))
        == wanted.ipam_pools.first().map(|p| (&p.subnet, &p.gateway))
}

/// `supervisor0`: bridge of the same name, 10.114.104.0/25, gateway 10.114.104.1 (behaviour §5).
fn supervisor_network() -> NetworkSpec {
    NetworkSpec {
        driver_opts: BTreeMap::from([("com.docker.network.bridge.name".to_owned(), SUPERVISOR_NETWORK.to_owned())]),
        ipam_pools: vec![IpamPool {
            subnet: Some("10.114.104.0/25".into()),
            gateway: Some("10.114.104.1".into()),
            ..IpamPool::default()
        }],
        ..NetworkSpec::default()
    }
}

#[cfg(test)]
mod tests;
