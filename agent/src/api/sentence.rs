//! What people read about phases and steps; one text for the API and the command line.

use holdfast_plan::memory::Remember;
use holdfast_plan::plan::{Action, Step};

use crate::reconcile::{Phase, View};

/// A phase in one word.
pub(super) fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::NoTarget => "no-target",
        Phase::WatchOnly { .. } => "watch-only",
        Phase::Applying => "applying",
        Phase::Waiting => "waiting",
        Phase::Settled => "settled",
        Phase::EngineAway { .. } => "engine-away",
    }
}

/// A phase as a sentence.
pub(crate) fn phase_sentence(view: &View) -> String {
    match &view.phase {
        Phase::Starting => "Starting: nothing has been looked at yet.".into(),
        Phase::NoTarget => "No target: this device has never been told what to run. Nothing is changed until it is.".into(),
        Phase::WatchOnly { why } => format!("Watching only, nothing is changed: {why}"),
        Phase::Applying => match view.doing.len() {
            0 => "Applying the target.".into(),
            1 => "Applying the target: 1 step is running.".into(),
            steps => format!("Applying the target: {steps} steps are running."),
        },
        Phase::Waiting => match view.plan.waiting.iter().find(|wait| !wait.reason.is_note()) {
            Some(wait) => {
                let whom = wait.service.as_ref().map_or_else(|| wait.app.clone(), |service| format!("{}/{service}", wait.app));
                format!("Waiting: {whom}: {}", wait.reason)
            }
            None => "Waiting: nothing can be done now.".into(),
        },
        Phase::Settled => "Settled: everything runs as the target asks.".into(),
        Phase::EngineAway { error, .. } => {
            format!("The container engine does not answer; containers go on without it, the agent keeps trying: {error}")
        }
    }
}

/// A step in one word, as it is called in JSON.
pub(super) fn step_name(step: &Step) -> &'static str {
    match step.action {
        Action::Fetch { .. } => "fetch",
        Action::AdoptImage { .. } => "adopt-image",
        Action::RemoveImage { .. } => "remove-image",
        Action::RemoveDangling { .. } => "remove-dangling",
        Action::CreateNetwork { .. } => "create-network",
        Action::RemoveNetwork { .. } => "remove-network",
        Action::CreateVolume { .. } => "create-volume",
        Action::RemoveVolume { .. } => "remove-volume",
        Action::TakeLock { .. } => "take-lock",
        Action::ReleaseLock { .. } => "release-lock",
        Action::Create { .. } => "create",
        Action::Start { .. } => "start",
        Action::Stop { .. } => "stop",
        Action::Kill { .. } => "kill",
        Action::Rename { .. } => "rename",
        Action::SetRestartPolicy { .. } => "set-restart-policy",
        Action::ClearMarker { .. } => "clear-marker",
        Action::WriteBootConfig { .. } => "write-boot-config",
        Action::RequireReboot { .. } => "require-reboot",
        Action::Reboot => "reboot",
        Action::Remember { .. } => "remember",
    }
}

/// A step as a sentence in the imperative.
pub(super) fn step_sentence(step: &Step) -> String {
    let service = step.service.as_deref().unwrap_or("a service");
    match &step.action {
        Action::Fetch { image, .. } => format!("download {image}"),
        Action::AdoptImage { record } => format!("take over {}, which the engine has already", record.image),
        Action::RemoveImage { image } => format!("remove image {image}"),
        Action::RemoveDangling { id } => format!("remove image {id}, which nothing uses"),
        Action::CreateNetwork { name, .. } => format!("make network {name}"),
        Action::RemoveNetwork { name, .. } => format!("remove network {name}"),
        Action::CreateVolume { name, .. } => format!("make volume {name}"),
        Action::RemoveVolume { name } => format!("remove volume {name} and the data in it"),
        Action::TakeLock { services, force, .. } => {
            let names = join(services.iter());
            match force {
                None => format!("take the update locks of {names}"),
                Some(force) => format!("take the update locks of {names}, breaking them for {force}"),
            }
        }
        Action::ReleaseLock { services, .. } => format!("give back the update locks of {}", join(services.iter())),
        Action::Create { start: true, .. } => format!("make and start the container of {service}"),
        Action::Create { start: false, .. } => format!("make the container of {service}"),
        Action::Start { .. } => format!("start the container of {service}"),
        Action::Stop { .. } => format!("stop the container of {service}"),
        Action::Kill { .. } => format!("stop and remove the container of {service}"),
        Action::Rename { name, .. } => format!("rename the container of {service} to {name}"),
        Action::SetRestartPolicy { .. } => format!("change the restart policy of {service}"),
        Action::ClearMarker { service, .. } => format!("remove the marker of an earlier hand-over of {service}"),
        Action::WriteBootConfig { why, .. } => format!("change the boot configuration: {why}"),
        Action::RequireReboot { why } => format!("mark that the device has to be restarted for {why}"),
        Action::Reboot => "restart the device".into(),
        Action::Remember { change } => remember_sentence(change),
    }
}

fn remember_sentence(change: &Remember) -> String {
    match change {
        Remember::Settle { settled, .. } => format!("record that release {} runs entirely", settled.commit),
        Remember::BeginTrial { trial, .. } => format!("record that release {} is on trial", trial.commit),
        Remember::Reject { rejected, .. } => format!("record that release {} is rejected", rejected.commit),
        Remember::ForgetRejected { .. } => "forget the rejected release".into(),
        Remember::Unsettle { .. } => "record that no release runs any more".into(),
        Remember::Depart { .. } => "record that the app left the target".into(),
        Remember::ForgetDeparture { .. } => "forget that the app had left the target".into(),
        Remember::Image(record) => format!("record image {}", record.image),
        Remember::ForgetImage { image } => format!("forget image {image}"),
        Remember::Held { held: true, .. } => "record that it is stopped for a copy of a volume".into(),
        Remember::Held { held: false, .. } => "forget that it was stopped for a copy of a volume".into(),
        Remember::Order { order: Some(order), .. } => format!("record how far the {} is", order.task.word()),
        Remember::Order { order: None, .. } => "record that what was asked for is done".into(),
        Remember::Stop { service, stopped: true, .. } => format!("record that {service} was stopped on request"),
        Remember::BootKeys { .. } => "record which boot configuration is the agent's".into(),
        Remember::Reboot { record } => {
            format!("record that the device is restarted, for the {}. time for this reason", record.count)
        }
        Remember::Stop { service, stopped: false, .. } => format!("forget that {service} was stopped on request"),
    }
}

fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
