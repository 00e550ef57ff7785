//! Units of the host's systemd.

use super::bus::{Argument, BusError, Call, call};

/// Restarts these with every change of `redsocks.conf` by itself.
const FOLLOWS: &str = "redsocks-conf.target";
/// Services of the proxy; of each group the first that is there (behaviour §13.1).
const PROXY: [&[&str]; 2] = [&["balena-proxy-config.service", "resin-proxy-config.service"], &["redsocks.service"]];

/// A call of the manager.
pub(super) fn manager<'a>(member: &'a str, arguments: &'a [Argument<'a>]) -> Call<'a> {
    Call {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member,
        arguments,
    }
}

/// Restarts the services of the proxy, but for those that the system restarts itself. A service that is not there is none.
pub(super) async fn restart_proxy(bus: &str) -> Result<(), BusError> {
    for group in PROXY {
        for name in group {
            match restart(bus, name).await {
                Ok(()) => break,
                Err(BusError::Refused { message, .. }) => log::info!("{name} is not restarted: {message}"),
                Err(away) => return Err(away),
            }
        }
    }
    Ok(())
}

async fn restart(bus: &str, name: &str) -> Result<(), BusError> {
    if is_part_of(bus, name).await?.iter().any(|whole| whole == FOLLOWS) {
        return Ok(());
    }
    let arguments = [Argument::Text(name), Argument::Text("replace")];
    call(bus, manager("RestartUnit", &arguments)).await.map(|_| ())
}

/// Whether a unit runs or is about to.
pub(super) async fn is_active(bus: &str, name: &str) -> Result<bool, BusError> {
    let state = property(bus, name, "ActiveState").await?;
    Ok(state.first().is_some_and(|state| !matches!(state.as_str(), "inactive" | "deactivating" | "failed")))
}

async fn is_part_of(bus: &str, name: &str) -> Result<Vec<String>, BusError> {
    property(bus, name, "PartOf").await
}

async fn property(bus: &str, name: &str, property: &str) -> Result<Vec<String>, BusError> {
    let loaded = call(bus, manager("LoadUnit", &[Argument::Text(name)])).await?;
    let Some(path) = loaded.first() else { return Ok(Vec::new()) };
    let arguments = [Argument::Text("org.freedesktop.systemd1.Unit"), Argument::Text(property)];
    let get = Call { path, interface: "org.freedesktop.DBus.Properties", ..manager("Get", &arguments) };
    call(bus, get).await
}
