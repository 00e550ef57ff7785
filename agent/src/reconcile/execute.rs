//! Carries out one step. The plan has decided everything; here is only the doing.

use holdfast_plan::memory::{ImageRecord, PowerChange, Remember};
use holdfast_plan::plan::Action;

use super::Tools;
use super::space::Admission;
use super::step_error::StepError;
use crate::engine::{Engine, Progress};
use crate::host::{BrokenLock, Host};

/// What a step left behind.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// What is to be remembered.
    pub remember: Vec<Remember>,
    /// Locks of the application that were broken.
    pub broken: Vec<BrokenLock>,
}

/// Carries out an action. Memory-only actions are not for here: the loop commits them itself, many in one transaction.
/// A download passes `admission` first.
pub(super) async fn carry_out(
    action: Action,
    tools: &Tools,
    admission: &Admission,
    progress: Progress,
) -> Result<Done, StepError> {
    let engine: &dyn Engine = tools.engine.as_ref();
    let host: &dyn Host = tools.host.as_ref();
    let mut done = Done::default();
    match action {
        Action::Fetch { image, app_uuid, service } => {
            let auth = (tools.auth_for)(&image);
            let claim = admission.admit(&image, auth.as_ref(), tools).await?;
            let pulled = engine.pull(&image, auth.as_ref(), claim.follow(progress)).await?;
            let pulled_ms = tools.clock.now().wall_ms;
            let (engine_id, size_bytes) = (pulled.id, pulled.size_bytes);
            done.remember.push(Remember::Image(ImageRecord { image, engine_id, app_uuid, service, size_bytes, pulled_ms }));
        }
        Action::RemoveImage { image } => {
            engine.remove_image(&image).await?;
            done.remember.push(Remember::ForgetImage { image: image.to_string() });
        }
        Action::RemoveDangling { id } => engine.remove_image_by_id(&id).await?,
        Action::CreateNetwork { name, network, app_id } => engine.create_network(&name, &network, app_id).await?,
        Action::RemoveNetwork { id, .. } => engine.remove_network(&id).await?,
        Action::CreateVolume { name, volume, app_uuid } => engine.create_volume(&name, &volume, &app_uuid).await?,
        Action::RemoveVolume { name } => engine.remove_volume(&name).await?,
        Action::TakeLock { app_id, services, force } => {
            done.broken = host.take_locks(app_id, &services, force.is_some()).await?;
        }
        Action::ClearMarker { app_id, service } => host.clear_marker(app_id, &service).await?,
        Action::ReleaseLock { app_id, services } => host.release_locks(app_id, &services).await?,
        Action::Create { spec, start } => {
            let id = engine.create_container(&spec.marked()).await?;
            if start {
                engine.start_container(&id).await?;
            }
        }
        Action::Start { container } => engine.start_container(&container.id).await?,
        Action::Stop { container } => engine.stop_container(&container.id).await?,
        Action::Kill { container } => {
            engine.stop_container(&container.id).await?;
            engine.remove_container(&container.id).await?;
        }
        Action::Rename { container, name } => engine.rename_container(&container.id, &name).await?,
        Action::SetRestartPolicy { container, policy } => engine.set_restart_policy(&container.id, policy).await?,
        Action::WriteBootConfig { back_end, changes, why } => host.write_boot_config(&back_end, &changes, &why).await?,
        Action::RequireReboot { why } => host.require_reboot(&why).await?,
        Action::Reboot => host.power(PowerChange::Reboot).await?,
        Action::AdoptImage { record } => done.remember.push(Remember::Image(record)),
        Action::Remember { change } => done.remember.push(change),
    }
    Ok(done)
}

/// What an action only writes to memory; `None` for actions that act.
pub(super) fn memory_only(action: &Action) -> Option<Remember> {
    match action {
        Action::AdoptImage { record } => Some(Remember::Image(record.clone())),
        Action::Remember { change } => Some(change.clone()),
        _ => None,
    }
}
