//! Restarting and shutting down through systemd-logind, or systemd itself where that is not there.

use holdfast_plan::memory::PowerChange;

use super::bus::{Argument, BusError, Call, call};

/// What the bus says of somebody who is not there.
const NOBODY: [&str; 3] = [
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
];

/// Asks for it. The host's services end in their order, this agent among them.
pub(super) async fn ask(bus: &str, power: PowerChange) -> Result<(), BusError> {
    let (member, target) = match power {
        PowerChange::Reboot => ("Reboot", "reboot.target"),
        PowerChange::Shutdown => ("PowerOff", "poweroff.target"),
    };
    let login = Call {
        destination: "org.freedesktop.login1",
        path: "/org/freedesktop/login1",
        interface: "org.freedesktop.login1.Manager",
        member,
        // Nobody is there to be asked for a password.
        arguments: &[Argument::Switch(false)],
    };
    match call(bus, login).await {
        Err(BusError::Refused { name, .. }) if NOBODY.contains(&name.as_str()) => {
            let arguments = [Argument::Text(target), Argument::Text("replace-irreversibly")];
            call(bus, super::unit::manager("StartUnit", &arguments)).await.map(|_| ())
        }
        outcome => outcome.map(|_| ()),
    }
}
