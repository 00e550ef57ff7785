//! Host configuration of the local API: the device's name and its proxy (behaviour §13.1, protocol §17.3). Pure: texts and
//! values in, texts and values out.

mod patch;
mod redsocks;

pub use patch::{HostConfigPatch, ProxyFile, ProxyPatch};

use std::fmt;

use serde::{Deserialize, Serialize};

/// A proxy as the API shows it. A file that somebody wrote may lack any of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// `socks4`, `socks5`, `http-connect` or `http-relay`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Address or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// User.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Where names are looked up over TCP, `ADDR:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// What is reached without the proxy.
    #[serde(rename = "noProxy", default, skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
}

impl fmt::Debug for Proxy {
    /// Without login and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut proxy = f.debug_struct("Proxy");
        proxy.field("type", &self.kind).field("ip", &self.ip).field("port", &self.port).field("dns", &self.dns);
        proxy.field("noProxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl Proxy {
    /// What `redsocks.conf` and `no_proxy` say. `None` without the first.
    pub fn read(redsocks: Option<&str>, no_proxy: Option<&str>) -> Option<Proxy> {
        let mut proxy = redsocks::read(redsocks?);
        let lines = no_proxy.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
        proxy.no_proxy = lines.map(str::to_owned).collect();
        Some(proxy)
    }
}

/// Host configuration as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// All of it.
    pub network: Network,
}

/// Its only part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The device's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The proxy, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
}
