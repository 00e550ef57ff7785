//! The texts of steps.

use holdfast_plan::memory::Remember;
use holdfast_plan::plan::{Action, Step};

use crate::events::Level;

/// Texts for the beginning and the end of an action, stable over the years (behaviour §14). `None`: not worth a line.
pub(super) fn words(action: &Action) -> Option<(String, Option<String>)> {
    let both = |begins: String, done: String| Some((begins, Some(done)));
    match action {
        Action::Fetch { image, .. } => both(format!("Downloading image '{image}'"), format!("Downloaded image '{image}'")),
        Action::RemoveImage { image } => both(format!("Deleting image '{image}'"), format!("Deleted image '{image}'")),
        Action::RemoveDangling { id } => both(format!("Deleting unused image '{id}'"), format!("Deleted unused image '{id}'")),
        Action::CreateNetwork { name, .. } => Some((format!("Creating network '{name}'"), None)),
        Action::RemoveNetwork { name, .. } => Some((format!("Removing network '{name}'"), None)),
        Action::CreateVolume { name, .. } => Some((format!("Creating volume '{name}'"), None)),
        Action::RemoveVolume { name } => Some((format!("Removing volume '{name}'"), None)),
        Action::TakeLock { force: None, .. } => Some(("Taking update locks".into(), None)),
        Action::TakeLock { force: Some(who), .. } => {
            Some((format!("Taking update locks, breaking the application's on {who}"), None))
        }
        Action::ReleaseLock { .. } => Some(("Releasing update locks".into(), None)),
        Action::Create { spec, start } => {
            let done = if *start { "Started" } else { "Installed" };
            both(format!("Installing service '{}'", spec.name), format!("{done} service '{}'", spec.name))
        }
        Action::Start { container } => {
            both(format!("Starting service '{}'", container.name), format!("Started service '{}'", container.name))
        }
        Action::Stop { container } => {
            both(format!("Stopping service '{}'", container.name), format!("Stopped service '{}'", container.name))
        }
        Action::Kill { container } => {
            both(format!("Killing service '{}'", container.name), format!("Killed service '{}'", container.name))
        }
        Action::Rename { container, name } => Some((format!("Renaming service '{}' to '{name}'", container.name), None)),
        Action::SetRestartPolicy { container, .. } => Some((format!("Changing restart policy of '{}'", container.name), None)),
        Action::WriteBootConfig { why, .. } => {
            both(format!("Applying boot configuration: {why}"), format!("Applied boot configuration: {why}"))
        }
        Action::RequireReboot { why } => Some((format!("A restart of the device is due for {why}"), None)),
        Action::Reboot => both("Rebooting".into(), "The restart of the device was asked for".into()),
        Action::ClearMarker { .. } | Action::AdoptImage { .. } | Action::Remember { .. } => None,
    }
}

/// What is said when a step that only writes to memory is written: the turns of a release's life.
pub(super) fn turn(step: &Step) -> Option<(Level, String)> {
    let Action::Remember { change } = &step.action else { return None };
    match change {
        Remember::BeginTrial { .. } | Remember::Settle { .. } => Some((Level::Info, step.why.to_string())),
        Remember::Reject { .. } => Some((Level::Error, step.why.to_string())),
        _ => None,
    }
}
