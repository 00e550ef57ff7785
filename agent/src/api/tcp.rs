//! Where the API listens over TCP, and when (`interface.md`): where it was asked to, always; on loopback and on the gateway of
//! `supervisor0` as long as a service calls it. An address that cannot be had is tried again, more and more rarely.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use holdfast_plan::container::{SUPERVISOR_GATEWAY, SUPERVISOR_NETWORK};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::access::is_called;
use super::serve::{Listener, Server};
use super::{ApiState, Limits};
use crate::reconcile::{Phase, View};

/// An address that cannot be had is tried again after this; each time in vain doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest time between two such tries.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Where the API may listen.
#[derive(Clone, Copy, Debug)]
pub struct TcpPlaces {
    /// Where it was asked to (`--listen`).
    pub asked: Option<SocketAddr>,
    /// The port that containers are told (`listenPort`).
    pub port: u16,
    /// The port instead of that one, on the gateway alone, while something stands between it and the containers
    /// (`listenPortOverride`, protocol §17.1).
    pub port_override: Option<u16>,
}

impl TcpPlaces {
    /// Where it should listen by what the loop saw last.
    fn wanted(&self, view: &View) -> BTreeSet<SocketAddr> {
        let mut wanted: BTreeSet<SocketAddr> = self.asked.into_iter().collect();
        // Beside another supervisor those places are that one's.
        if matches!(view.phase, Phase::WatchOnly { .. }) || !is_called(view) {
            return wanted;
        }
        let mut add = |address: IpAddr, port| {
            // One that takes every address of a port has these too.
            if self.asked.is_none_or(|asked| !asked.ip().is_unspecified() || asked.port() != port) {
                wanted.insert(SocketAddr::new(address, port));
            }
        };
        if self.port_override.is_none() {
            add(Ipv4Addr::LOCALHOST.into(), self.port);
        }
        // The plan makes the network; before that there is no such address.
        if view.current.engine.networks.iter().any(|network| network.name == SUPERVISOR_NETWORK)
            && let Ok(gateway) = SUPERVISOR_GATEWAY.parse()
        {
            add(gateway, self.port_override.unwrap_or(self.port));
        }
        wanted
    }
}

/// Where the API listens over TCP, and where it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Open addresses.
    pub open: BTreeSet<SocketAddr>,
    /// Why the others are not.
    pub faults: BTreeMap<SocketAddr, String>,
}

/// An address that cannot be had for now.
struct Retry {
    at: Instant,
    pause: Duration,
    error: String,
}

/// Serves the local API over TCP until `shutdown` is ready, wherever it should listen at the time.
pub async fn serve_tcp(
    places: TcpPlaces,
    state: ApiState,
    listening: watch::Sender<Listening>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut views = state.view.clone();
    let mut server = Server::new(state, limits);
    server.asked = places.asked;
    let mut retries: BTreeMap<SocketAddr, Retry> = BTreeMap::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let wanted = places.wanted(&views.borrow_and_update());
        arrange(&mut server.listeners, &wanted, &mut retries, &listening).await;
        let due = retries.values().map(|retry| retry.at).min();
        // Until where it should listen may have changed.
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return server.end().await,
                Ok(()) = views.changed() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break,
                () = server.step() => {}
            }
        }
    }
}

/// Opens what is wanted and due, closes what is not wanted any more, and says where it stands.
async fn arrange(
    listeners: &mut Vec<Listener>,
    wanted: &BTreeSet<SocketAddr>,
    retries: &mut BTreeMap<SocketAddr, Retry>,
    listening: &watch::Sender<Listening>,
) {
    listeners.retain(|listener| match listener {
        Listener::Tcp(address, _) if !wanted.contains(address) => {
            log::info!("local API: {address} is closed, no service calls it there any more");
            false
        }
        _ => true,
    });
    retries.retain(|address, _| wanted.contains(address));
    let mut open: BTreeSet<SocketAddr> = listeners.iter().filter_map(Listener::address).collect();
    let now = Instant::now();
    for address in wanted {
        if open.contains(address) || retries.get(address).is_some_and(|retry| retry.at > now) {
            continue;
        }
        match TcpListener::bind(address).await {
            Ok(listener) => {
                log::info!("local API: listens at {address}");
                retries.remove(address);
                open.insert(*address);
                listeners.push(Listener::Tcp(*address, listener));
            }
            Err(cause) => put_off(retries, *address, &cause, now),
        }
    }
    let faults = retries.iter().map(|(address, retry)| (*address, retry.error.clone())).collect();
    let told = Listening { open, faults };
    listening.send_if_modified(|before| {
        let news = *before != told;
        *before = told;
        news
    });
}

fn put_off(retries: &mut BTreeMap<SocketAddr, Retry>, address: SocketAddr, cause: &io::Error, now: Instant) {
    let advice = match cause.kind() {
        io::ErrorKind::AddrInUse => "another program has it; stop that one, or set listenPort in config.json or --listen",
        io::ErrorKind::AddrNotAvailable => "the machine does not have this address",
        io::ErrorKind::PermissionDenied => "ports below 1024 are root's",
        _ => "the machine refuses it",
    };
    let most = LONGEST_RETRY.as_secs();
    let error = format!(
        "{address} cannot be opened: {cause} ({advice}). It is tried again every {most} s or sooner; the unix socket answers"
    );
    let earlier = retries.get(&address);
    let pause = earlier.map_or(FIRST_RETRY, |retry| (retry.pause * 2).min(LONGEST_RETRY));
    if earlier.is_none_or(|retry| retry.error != error) {
        log::warn!("local API: {error}");
    }
    retries.insert(address, Retry { at: now + pause, pause, error });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::tests::called;

    fn wanted(places: TcpPlaces, view: &View) -> Vec<String> {
        places.wanted(view).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn where_it_listens_follows_the_services_and_the_network() {
        let places = TcpPlaces { asked: None, port: 48484, port_override: None };
        assert_eq!(wanted(places, &View::default()), [""; 0]);
        let mut view = called();
        assert_eq!(wanted(places, &view), ["10.114.104.1:48484", "127.0.0.1:48484"]);
        let elsewhere = TcpPlaces { port_override: Some(7000), ..places };
        assert_eq!(wanted(elsewhere, &view), ["10.114.104.1:7000"]);
        let asked = |text: &str| TcpPlaces { asked: text.parse().ok(), ..places };
        assert_eq!(wanted(asked("192.0.2.1:80"), &view), ["10.114.104.1:48484", "127.0.0.1:48484", "192.0.2.1:80"]);
        assert_eq!(wanted(asked("0.0.0.0:48484"), &view), ["0.0.0.0:48484"]);
        assert_eq!(wanted(asked("0.0.0.0:80"), &view).len(), 3);
        Arc::make_mut(&mut view.current).engine.networks.clear();
        assert_eq!(wanted(places, &view), ["127.0.0.1:48484"]);
        view.phase = Phase::WatchOnly { why: "another supervisor".into() };
        assert_eq!(wanted(places, &view), [""; 0]);
        assert_eq!(wanted(asked("192.0.2.1:80"), &view), ["192.0.2.1:80"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_in_use_is_tried_again_until_it_can_be_had() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let (mut listeners, mut retries, wanted) = (Vec::new(), BTreeMap::new(), BTreeSet::from([address]));
        let listening = watch::Sender::new(Listening::default());
        let begun = Instant::now();
        for _ in 0..10 {
            arrange(&mut listeners, &wanted, &mut retries, &listening).await;
            let fault = listening.borrow().faults[&address].clone();
            assert!(fault.contains("cannot be opened") && fault.contains("another program has it"), "{fault}");
            sleep_until(retries[&address].at).await;
        }
        // 1, 2, 4, … 32 s, and then every minute.
        assert_eq!(begun.elapsed().as_secs(), 63 + 4 * 60);
        drop(other);
        arrange(&mut listeners, &wanted, &mut retries, &listening).await;
        assert_eq!(*listening.borrow(), Listening { open: wanted, faults: BTreeMap::new() });
        arrange(&mut listeners, &BTreeSet::new(), &mut retries, &listening).await;
        assert!(listeners.is_empty() && listening.borrow().open.is_empty());
        assert!(std::net::TcpListener::bind(address).is_ok(), "it is closed");
    }
}
