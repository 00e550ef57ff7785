//! The status document from the pictures the loops publish.

use holdfast_plan::policy::Now;
use holdfast_plan::target::{AppUuid, DeviceTarget, Offence, RefusedApp};

use super::super::ApiState;
use super::super::health::health;
use super::super::moment::{Ago, Ahead, rfc3339};
use super::super::release_state::{AppState, ServiceState, apps};
use super::super::sentence::{phase_name, phase_sentence, step_name, step_sentence};
use super::{
    AppRow, Cloud, DeviceRow, DoingRow, EngineRow, FaultRow, OffenceRow, PhaseRow, ProvisioningRow, RefusedRow, ServiceRow,
    Status, UnsupportedRow, WaitRow,
};
use crate::api::planned::wait_row;
use crate::cloud::{CloudView, SUPERVISOR_COMPATIBLE_VERSION};
use crate::engine::EngineInfo;
use crate::reconcile::{Doing, Phase, View};
use crate::version::AGENT_VERSION;

/// Puts the status together.
pub(in crate::api) async fn status(state: &ApiState) -> Status {
    let (health, database) = health(state).await;
    let (view, now) = (state.view(), state.now());
    let waiting: Vec<WaitRow> = view.plan.waiting.iter().map(|wait| wait_row(wait, now)).collect();
    Status {
        device: device(state, &view),
        phase: phase(&view, now),
        health,
        apps: apps(&view).iter().map(|app| app_row(app, &waiting, now)).collect(),
        doing: view.doing.iter().map(|doing| doing_row(doing, now)).collect(),
        waiting,
        refused: view.target.as_deref().map(refused_rows).unwrap_or_default(),
        unsupported: unsupported(&view),
        faults: faults(state, &view),
        listens: state.listening.borrow().open.iter().map(ToString::to_string).collect(),
        settings: state.identity.settings_faults.iter().map(|fault| fault_row(&fault.subject, &fault.message)).collect(),
        cloud: cloud(&state.cloud.borrow(), now),
        engine: view.engine.as_ref().map(engine),
        database,
        utc: now.wall_ms.map(rfc3339),
        reduced: false,
    }
}

fn faults(state: &ApiState, view: &View) -> Vec<FaultRow> {
    let mut rows: Vec<FaultRow> = view.faults.iter().map(|fault| fault_row(&fault.subject, &fault.message)).collect();
    rows.extend(state.update.shown.borrow().faults().iter().map(|message| fault_row("agent", message)));
    rows.extend(state.listening.borrow().faults.values().map(|message| fault_row("local API", message)));
    rows
}

fn device(state: &ApiState, view: &View) -> DeviceRow {
    let host = &view.device;
    DeviceRow {
        uuid: state.identity.uuid.clone(),
        name: view.target.as_ref().map(|target| target.name.clone()).filter(|name| !name.is_empty()),
        device_type: state.identity.device_type.clone().or_else(|| host.device_type.clone()),
        arch: host.device_arch.clone(),
        os: host.os_version.clone(),
        ip_address: host.ip_address.clone(),
        agent_version: AGENT_VERSION.into(),
        compatible_version: SUPERVISOR_COMPATIBLE_VERSION.into(),
    }
}

fn phase(view: &View, now: Now) -> PhaseRow {
    let since = match view.phase {
        Phase::EngineAway { since_boot_ms, .. } => Some(Ago::from_boot(since_boot_ms, now)),
        _ => None,
    };
    PhaseRow { name: phase_name(&view.phase).into(), text: phase_sentence(view), since }
}

fn app_row(app: &AppState<'_>, waiting: &[WaitRow], now: Now) -> AppRow {
    AppRow {
        name: app.name.clone(),
        uuid: app.uuid.into(),
        id: app.id,
        wanted_commit: app.wanted.map(|(commit, _)| commit.into()),
        settled_commit: app.settled.map(Into::into),
        update_status: app.wanted.map(|_| app.update_status().word().into()),
        services: app.services.iter().map(|service| service_row(app, service, waiting, now)).collect(),
    }
}

fn service_row(app: &AppState<'_>, service: &ServiceState<'_>, waiting: &[WaitRow], now: Now) -> ServiceRow {
    let container = service.container;
    let image = service.wanted.map(|wanted| wanted.image.to_string());
    let wait = waiting.iter().find(|wait| wait.app == app.name && wait.service.as_deref() == Some(service.name));
    ServiceRow {
        name: service.name.into(),
        image: image.or_else(|| container.map(|c| c.spec.image.clone())).unwrap_or_default(),
        image_present: service.image_present,
        wanted_commit: service.wanted.and(app.wanted).map(|(commit, _)| commit.into()),
        running_commit: container.map(|c| c.commit.clone()).filter(|commit| !commit.is_empty()),
        container: container.map(|c| c.id.clone()),
        container_name: container.map(|c| c.spec.name.clone()),
        state: container.and_then(|c| word(&c.state)),
        status: service.status.word().into(),
        health: container.and_then(|c| c.health).and_then(|health| word(&health)),
        exit_code: container.filter(|c| !c.is_up() && c.finished_ms.is_some()).map(|c| c.exit_code),
        restarts: container.map_or(0, |c| c.restart_count),
        started: container.and_then(|c| c.started_ms).and_then(|ms| Ago::from_wall(ms, now)),
        doing: service.doing.map(|doing| step_sentence(&doing.step)),
        progress: service.progress().filter(|_| service.doing.is_some()),
        waiting: wait.map(|wait| wait.text.clone()),
    }
}

/// The word an enumeration is written as in JSON.
fn word(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(Into::into)
}

fn doing_row(doing: &Doing, now: Now) -> DoingRow {
    DoingRow {
        action: step_name(&doing.step).into(),
        text: step_sentence(&doing.step),
        why: doing.step.why.to_string(),
        app: doing.step.app.clone(),
        service: doing.step.service.clone(),
        since: Ago::from_boot(doing.since_boot_ms, now),
        progress: doing.progress,
    }
}

/// The refused apps of a target.
pub(in crate::api) fn refused_rows(target: &DeviceTarget) -> Vec<RefusedRow> {
    let row = |(uuid, app): (&AppUuid, &RefusedApp)| RefusedRow {
        app: app.name.clone().unwrap_or_else(|| uuid.clone()),
        uuid: uuid.clone(),
        commit: app.commit.clone(),
        offences: app.offences.iter().map(offence_row).collect(),
    };
    target.refused.iter().map(row).collect()
}

fn offence_row(offence: &Offence) -> OffenceRow {
    OffenceRow { path: offence.path.clone(), message: offence.message.clone() }
}

fn unsupported(view: &View) -> Vec<UnsupportedRow> {
    let mut rows = Vec::new();
    for app in view.target.iter().flat_map(|target| target.apps.values()) {
        let Some(release) = &app.release else { continue };
        let row = |service: Option<&String>, offence: &Offence| UnsupportedRow {
            app: app.name.clone(),
            service: service.cloned(),
            path: offence.path.clone(),
            message: offence.message.clone(),
        };
        rows.extend(release.unsupported.iter().map(|offence| row(None, offence)));
        for service in release.services.values() {
            rows.extend(service.unsupported.iter().map(|offence| row(Some(&service.name), offence)));
        }
    }
    rows
}

fn fault_row(subject: &str, message: &str) -> FaultRow {
    FaultRow { subject: subject.into(), message: message.into() }
}

fn cloud(view: &CloudView, now: Now) -> Cloud {
    Cloud {
        endpoint: view.endpoint.clone(),
        provisioning: view.provisioning.as_ref().map(|joining| ProvisioningRow {
            doing: joining.doing.clone(),
            error: joining.error.clone(),
            failures: joining.failures,
            next_try: joining.next_try_boot_ms.map(|at| Ahead::from_boot(at, now)),
        }),
        last_poll: view.last_poll_boot_ms.map(|at| Ago::from_boot(at, now)),
        next_poll: view.next_poll_boot_ms.map(|at| Ahead::from_boot(at, now)),
        poll_error: view.poll_error.clone(),
        poll_failures: view.poll_failures,
        last_report: view.last_report_boot_ms.map(|at| Ago::from_boot(at, now)),
        next_report: view.next_report_boot_ms.map(|at| Ahead::from_boot(at, now)),
        report_error: view.report_error.clone(),
        report_failures: view.report_failures,
        report_refused_apps: view.report_refused_apps.clone(),
    }
}

fn engine(info: &EngineInfo) -> EngineRow {
    EngineRow {
        name: info.name.clone(),
        version: info.version.clone(),
        api_version: info.api_version.clone(),
        address: info.address.clone(),
    }
}
