//! Networks: read back, made with the agent's labels, removed by id (behaviour §5, protocol §18.4).

use std::collections::{BTreeMap, HashMap};

use bollard::models::{self, Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use holdfast_plan::container::{MADE_FROM_LABEL, is_network_as_made};
use holdfast_plan::current::Network;
use holdfast_plan::target::{AppId, IpamPool, NetworkSpec};

use super::errors::{gone_is_fine, is_unreadable, with_hint, words};
use super::names::checked;
use super::recognise::{Scope, given_labels};
use super::{LOOK_LIMIT, Shared, WORK_LIMIT};
use crate::engine::{EngineError, Result};

/// The agent's own labels on networks, without their prefix.
const OWN_LABELS: [&str; 3] = ["supervised", "app-id", "private.ipam.config"];

/// Marks a network whose addresses were chosen by the release.
const IPAM_LABEL: &str = "io.balena.private.ipam.config";

impl Shared {
    /// The agent's networks.
    pub(super) async fn list_networks(&self) -> Result<Vec<Network>> {
        let all = self.networks(None).await?;
        let ours = all.into_iter().filter(|network| {
            let labels = network.labels.clone().unwrap_or_default();
            self.scope.is_our_network(network.name.as_deref().unwrap_or_default(), &labels)
        });
        let mut networks: Vec<Network> = ours.map(|network| network_in(network, &self.scope)).collect();
        // A duplicate that was made later comes after the one in use.
        networks.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(networks)
    }

    /// The names of all networks, anybody's; one that is there twice stands twice.
    pub(super) async fn network_names(&self) -> Result<Vec<String>> {
        Ok(self.networks(None).await?.into_iter().filter_map(|network| network.name).collect())
    }

    /// Networks as the engine lists them, oldest first; all, or those of one name.
    async fn networks(&self, name: Option<&str>) -> Result<Vec<models::Network>> {
        let filters = name.map(|name| HashMap::from([("name".to_owned(), vec![name.to_owned()])]));
        let options = ListNetworksOptions { filters };
        let list = |docker: bollard::Docker| async move { docker.list_networks(Some(options)).await };
        let mut all = self.link.call("list of networks", LOOK_LIMIT, list).await?;
        // The engine's filter also matches parts of names.
        all.retain(|network| name.is_none_or(|name| network.name.as_deref() == Some(name)));
        all.sort_by(|a, b| a.created.cmp(&b.created));
        Ok(all)
    }

    /// Makes a network. The engine itself would make a second one of the same name, and then nobody could join either by
    /// name: so this looks first, and one network is made at a time.
    pub(super) async fn create_network(&self, name: &str, spec: &NetworkSpec, app: AppId) -> Result<()> {
        let object = format!("network {name}");
        let name = checked(&object, name)?;
        let _one_at_a_time = self.network_creation.lock().await;
        if let Some(present) = self.networks(Some(name)).await?.into_iter().next() {
            return self.accept_network(object, network_in(present.clone(), &self.scope), present, spec);
        }
        let request = request_out(name, spec, app, &self.scope);
        let create = |docker: bollard::Docker| async move { docker.create_network(request).await };
        match self.link.call(&object, WORK_LIMIT, create).await {
            Ok(_) => Ok(()),
            // Podman 4 answers with a list where a text belongs; the network is there nevertheless.
            Err(error) if is_unreadable(&error) && !self.networks(Some(name)).await?.is_empty() => Ok(()),
            Err(error) if words(&error).contains("overlaps") => {
                Err(with_hint(error, "its addresses are in use by another network or by a route of this machine"))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a network that is there already is the one that is wanted.
    fn accept_network(&self, object: String, present: Network, raw: models::Network, wanted: &NetworkSpec) -> Result<()> {
        let in_scope = self.scope.admits(&raw.labels.unwrap_or_default());
        if in_scope && (is_same(&present, wanted) || is_network_as_made(&present, wanted)) {
            return Ok(());
        }
        let message = format!("a network of this name is there with other settings or another owner (id {})", present.id);
        Err(EngineError::Conflict { object, message })
    }

    /// Removes a network by its id; the engine refuses while containers are attached.
    pub(super) async fn remove_network(&self, id: &str) -> Result<()> {
        let object = format!("network {id}");
        let id = checked(&object, id)?;
        let remove = |docker: bollard::Docker| async move { docker.remove_network(id).await };
        match gone_is_fine(self.link.call(&object, WORK_LIMIT, remove).await) {
            // Docker says "forbidden" for what is a conflict everywhere else.
            Err(EngineError::Failed { object, message }) if message.contains("active endpoints") => {
                Err(EngineError::Conflict { object, message })
            }
            other => other,
        }
    }
}

/// Whether a present network is the wanted one; addresses count only where they are asked for.
fn is_same(present: &Network, wanted: &NetworkSpec) -> bool {
    let mut have = present.spec.clone();
    if wanted.ipam_pools.is_empty() && !present.labels.contains_key(IPAM_LABEL) {
        have.ipam_pools.clear();
    }
    if wanted.config_only && have.config_only {
        have.driver.clone_from(&wanted.driver);
    }
    have == *wanted
}

fn request_out(name: &str, spec: &NetworkSpec, app: AppId, scope: &Scope) -> NetworkCreateRequest {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert("io.balena.supervised".into(), "true".into());
    labels.insert("io.balena.app-id".into(), app.to_string());
    labels.insert(MADE_FROM_LABEL.into(), spec.mark());
    if !spec.ipam_pools.is_empty() {
        labels.insert(IPAM_LABEL.into(), "true".into());
    }
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some(spec.driver.clone()),
        internal: Some(spec.internal),
        config_only: spec.config_only.then_some(true),
        enable_ipv6: Some(spec.enable_ipv6),
        ipam: Some(Ipam {
            driver: Some(spec.ipam_driver.clone()),
            config: (!spec.ipam_pools.is_empty()).then(|| spec.ipam_pools.iter().map(pool_out).collect()),
            options: (!spec.ipam_options.is_empty()).then(|| spec.ipam_options.clone().into_iter().collect()),
        }),
        options: Some(spec.driver_opts.clone().into_iter().collect()),
        labels: Some(scope.mark(labels)),
        ..NetworkCreateRequest::default()
    }
}

fn pool_out(pool: &IpamPool) -> IpamConfig {
    IpamConfig {
        subnet: pool.subnet.clone(),
        gateway: pool.gateway.clone(),
        ip_range: pool.ip_range.clone(),
        auxiliary_addresses: (!pool.aux_addresses.is_empty()).then(|| pool.aux_addresses.clone().into_iter().collect()),
    }
}

fn network_in(network: models::Network, scope: &Scope) -> Network {
    let labels = scope.unmark(&network.labels.unwrap_or_default());
    let mut given = given_labels(&labels, &OWN_LABELS);
    given.remove(MADE_FROM_LABEL);
    let ipam = network.ipam.unwrap_or_default();
    let spec = NetworkSpec {
        driver: network.driver.unwrap_or_default(),
        driver_opts: sorted(network.options),
        ipam_driver: ipam.driver.unwrap_or_default(),
        ipam_options: given_ipam_options(ipam.options),
        ipam_pools: ipam.config.into_iter().flatten().map(pool_in).collect(),
        enable_ipv6: network.enable_ipv6.unwrap_or(false),
        internal: network.internal.unwrap_or(false),
        config_only: network.config_only.unwrap_or(false),
        labels: given,
    };
    Network { id: network.id.unwrap_or_default(), name: network.name.unwrap_or_default(), spec, labels }
}

/// IPAM options without the one that Podman adds to every network.
fn given_ipam_options(options: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    let mut options = sorted(options);
    if options.get("driver").is_some_and(|driver| driver == "host-local") {
        options.remove("driver");
    }
    options
}

fn pool_in(pool: IpamConfig) -> IpamPool {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    IpamPool {
        subnet: given(pool.subnet),
        gateway: given(pool.gateway),
        ip_range: given(pool.ip_range),
        aux_addresses: sorted(pool.auxiliary_addresses),
    }
}

fn sorted(map: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The network that a request leads to, as far as the request says.
    fn made(request: NetworkCreateRequest) -> models::Network {
        models::Network {
            name: Some(request.name),
            id: Some("n1".into()),
            driver: request.driver,
            internal: request.internal,
            config_only: request.config_only,
            enable_ipv6: request.enable_ipv6,
            ipam: request.ipam,
            options: request.options,
            labels: request.labels,
            ..models::Network::default()
        }
    }

    fn with_addresses() -> NetworkSpec {
        NetworkSpec {
            driver_opts: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            ipam_pools: vec![IpamPool { subnet: Some("10.9.0.0/24".into()), ..IpamPool::default() }],
            internal: true,
            labels: BTreeMap::from([("mine".to_owned(), "1".to_owned())]),
            ..NetworkSpec::default()
        }
    }

    #[test]
    fn networks_come_back_as_they_went() {
        let scope = Scope::new(Some("demo".into()));
        for (spec, labels) in [(NetworkSpec::default(), 3), (with_addresses(), 5)] {
            let network = network_in(made(request_out("u_default", &spec, 7, &scope)), &scope);
            assert_eq!(network.spec, spec);
            assert_eq!(network.labels.len(), labels, "{:?}", network.labels);
            assert_eq!(network.labels.get("io.balena.app-id").map(String::as_str), Some("7"));
        }
    }

    #[test]
    fn addresses_count_only_where_somebody_chose_them() {
        let scope = Scope::default();
        let mut chosen_by_engine = network_in(made(request_out("u_default", &NetworkSpec::default(), 7, &scope)), &scope);
        chosen_by_engine.spec.ipam_pools = with_addresses().ipam_pools;
        assert!(is_same(&chosen_by_engine, &NetworkSpec::default()));
        let chosen = network_in(made(request_out("u_default", &with_addresses(), 7, &scope)), &scope);
        assert!(is_same(&chosen, &with_addresses()));
        assert!(!is_same(&chosen, &NetworkSpec { ipam_pools: Vec::new(), ..with_addresses() }));
    }
}
