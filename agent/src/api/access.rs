//! Who asks: from where, and with which key (protocol §17.1).
//!
//! On the unix socket everybody is the operator: the file's mode says who can open it. Over TCP a key tells: the global one
//! makes the operator, that of a service the service, as long as it runs and carries the label for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use holdfast_plan::container::SUPERVISOR_GATEWAY;
use holdfast_plan::current::Container;
use holdfast_plan::target::{AppId, Service};
use hyper::header::{AUTHORIZATION, HeaderMap};

use super::ApiState;
use super::answer::Refusal;
use super::body::Fields;
use super::browsers::is_foreign;
use super::caller::{Caller, HOST_CONTROL};
use crate::policy::{LOCAL_MODE, truthy, variable};
use crate::reconcile::{ApiKey, Phase, View};
use crate::store::{KeyOwner, LOCAL_SOURCE};

/// The label that gives a service a key (protocol §18.3), without what it begins with.
const CALLS_API: &str = "features.supervisor-api";

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The unix socket.
    Socket,
    /// TCP, from this address.
    Tcp(IpAddr),
    /// The same, at the address the operator chose to open (`--listen`).
    Asked(IpAddr),
}

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub caller: Caller,
    /// Whose key came along, where it is one that is taken.
    pub key: Option<KeyOwner>,
    /// Without a key, whether they are near enough to look on.
    pub looks_on: bool,
}

/// Finds out who asks.
///
/// # Errors
/// 503 while it cannot be told: a service's key counts only as long as the service is there, and nobody has looked yet.
pub(super) fn identify(state: &ApiState, origin: Origin, query: &Fields, headers: &HeaderMap) -> Result<Asker, Refusal> {
    let view = state.view();
    let is_foreign = is_foreign(headers);
    let everybody = !is_foreign && (origin == Origin::Socket || is_open_to_all(state, &view, origin));
    let given = given(query, headers);
    let known = match &given {
        Some(key) => owner(&view, key),
        None => Ok(None),
    };
    match known {
        _ if everybody => {
            let key = known.unwrap_or_default().map(|(owner, _)| owner);
            Ok(Asker { caller: Caller::Operator, key, looks_on: false })
        }
        Ok(Some((owner, controls_host))) => {
            let caller = match owner.clone() {
                None => Caller::Operator,
                Some((app, service)) => Caller::Service { app, service, controls_host },
            };
            Ok(Asker { caller, key: Some(owner), looks_on: false })
        }
        Ok(None) => {
            let looks_on = given.is_none() && !is_foreign && matches!(origin, Origin::Asked(remote) if is_near(remote));
            Ok(Asker { caller: Caller::Nobody, key: None, looks_on })
        }
        Err(why) => Err(Refusal::unavailable(why)),
    }
}

/// The key that came with a request, right or wrong: `?apikey=` before `Authorization: ApiKey …` or `Bearer …`.
fn given(query: &Fields, headers: &HeaderMap) -> Option<String> {
    if let Some(key) = query.text("apikey") {
        return Some(key);
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let is_known = scheme.eq_ignore_ascii_case("ApiKey") || scheme.eq_ignore_ascii_case("Bearer");
    is_known.then(|| key.trim().to_owned())
}

/// Whose key it is, if it is taken at all, and whether it controls the host. An error says why that cannot be told now.
fn owner(view: &View, key: &str) -> Result<Option<(KeyOwner, bool)>, String> {
    let Some((owner, key)) = view.keys.find(key) else { return Ok(None) };
    match standing(view, owner, key) {
        Standing::Good { controls_host } => Ok(Some((owner.clone(), controls_host))),
        Standing::Refused(why) => {
            log::debug!("local API: the key of {owner:?} is refused: {why}");
            Ok(None)
        }
        Standing::Unknown(why) => Err(why.to_owned()),
    }
}

/// What a key that is stored is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is taken.
    Good {
        /// Whether it reaches the device as a whole.
        controls_host: bool,
    },
    /// It is not, and why.
    Refused(&'static str),
    /// Nobody can tell yet, and why.
    Unknown(&'static str),
}

/// What a key is good for by what the loop saw last: that of a service only while the service has a container.
pub(super) fn standing(view: &View, owner: &KeyOwner, key: &ApiKey) -> Standing {
    let Some((app, service)) = owner else { return Standing::Good { controls_host: true } };
    let of_service = |c: &&Container| c.app_id == *app && c.service == *service;
    let mut containers = view.current.engine.containers.iter().filter(of_service).peekable();
    if containers.peek().is_none() {
        return match view.phase {
            Phase::Starting | Phase::EngineAway { .. } => {
                Standing::Unknown("the engine has not shown yet whether the service of this key runs; try again in a moment")
            }
            _ => Standing::Refused("the service has no container"),
        };
    }
    // What the fleet's owner takes back counts at once, what is given with the container that is made for it.
    let wanted = wanted(view, *app, service);
    let carries = |label: &str| {
        containers.clone().any(|container| carries(&container.spec.labels, label))
            && wanted.is_none_or(|service| carries(&service.labels, label))
    };
    if !carries(CALLS_API) {
        return Standing::Refused("the service does not carry the label io.balena.features.supervisor-api any more");
    }
    if !key.reaches(*app) {
        return Standing::Refused("its scopes do not name the app");
    }
    Standing::Good { controls_host: carries(HOST_CONTROL) }
}

/// Whether a label is switched on, under its present name or the older one that containers may still carry.
fn carries(labels: &BTreeMap<String, String>, label: &str) -> bool {
    let value = |prefix: &str| labels.get(&format!("{prefix}{label}"));
    value("io.balena.").or_else(|| value("io.resin.")).is_some_and(|value| truthy(value))
}

/// A service as the target has it; `None` for one that is not in it.
fn wanted<'v>(view: &'v View, app: AppId, service: &str) -> Option<&'v Service> {
    let app = view.target.as_deref()?.app(app)?;
    app.release.as_ref()?.services.get(service)
}

/// Whether a service is there, or wanted, that calls the API.
pub(super) fn is_called(view: &View) -> bool {
    let apps = view.target.iter().flat_map(|target| target.apps.values());
    let mut wanted = apps.flat_map(|app| app.release.iter().flat_map(|release| release.services.values()));
    wanted.any(|service| carries(&service.labels, CALLS_API))
        || view.current.engine.containers.iter().any(|container| carries(&container.spec.labels, CALLS_API))
}

/// Whether an address is of a network that ends nearby. Containers in `supervisor0` are not meant: they have keys, with which
/// each sees its own app.
fn is_near(remote: IpAddr) -> bool {
    match remote.to_canonical() {
        IpAddr::V4(address) => {
            let gateway = SUPERVISOR_GATEWAY.parse::<Ipv4Addr>().map(|gateway| gateway.octets());
            let is_container = gateway.is_ok_and(|gateway| gateway[..3] == address.octets()[..3]);
            !is_container && (address.is_loopback() || address.is_private() || address.is_link_local())
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// In local mode and without a cloud nobody needs a key (protocol §17.1), but only on the machine itself, unless the OS is in
/// development mode: whoever is on the same network would have the device.
fn is_open_to_all(state: &ApiState, view: &View, origin: Origin) -> bool {
    let near = match origin {
        Origin::Socket => true,
        Origin::Tcp(remote) | Origin::Asked(remote) => remote.to_canonical().is_loopback() || state.identity.development_mode,
    };
    near && (state.identity.target_source == LOCAL_SOURCE || is_local_mode(view))
}

/// By the device variable for it: a target of the device's own leaves the cloud's variables as they are.
fn is_local_mode(view: &View) -> bool {
    let target = view.target.as_deref();
    target.and_then(|target| variable(&target.config, LOCAL_MODE)).is_some_and(truthy)
}
