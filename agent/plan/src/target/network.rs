//! Networks of a release.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One address pool of a network's IPAM configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IpamPool {
    /// Subnet in CIDR form.
    pub subnet: Option<String>,
    /// Gateway address.
    pub gateway: Option<String>,
    /// Range within the subnet for containers.
    pub ip_range: Option<String>,
    /// Addresses set aside by name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// What a network is made of; the same words for the wanted and the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Driver; `bridge` unless asked otherwise.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// IPAM driver; `default` unless asked otherwise.
    pub ipam_driver: String,
    /// IPAM options.
    pub ipam_options: BTreeMap<String, String>,
    /// IPAM pools; empty lets the engine choose.
    pub ipam_pools: Vec<IpamPool>,
    /// Whether IPv6 is on.
    pub enable_ipv6: bool,
    /// Whether the network is cut off from the outside.
    pub internal: bool,
    /// Whether this is a configuration only, with nothing behind it.
    pub config_only: bool,
    /// Labels, without the agent's own (`io.balena.supervised`, `io.balena.app-id`, `io.balena.private.ipam.config`).
    pub labels: BTreeMap<String, String>,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        NetworkSpec {
            driver: "bridge".into(),
            driver_opts: BTreeMap::new(),
            ipam_driver: "default".into(),
            ipam_options: BTreeMap::new(),
            ipam_pools: Vec::new(),
            enable_ipv6: false,
            internal: false,
            config_only: false,
            labels: BTreeMap::new(),
        }
    }
}
