//! From the loop's view to the report.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cloud::Report;
use crate::cloud::report::{DeviceFields, InFlight, Picture, full_report};
use crate::reconcile::{Phase, View};

/// What of a report the view does not hold.
pub(super) struct Fixed {
    pub development_mode: bool,
    pub api_port: u16,
}

/// Derives the full report from each view; the reporter hears of it only when it changed.
pub(super) async fn report_views(
    mut views: watch::Receiver<Arc<View>>,
    full: watch::Sender<Option<Arc<Report>>>,
    fixed: Fixed,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let report = report(&views.borrow_and_update().clone(), &fixed);
        full.send_if_modified(|last| {
            let news = report.is_some() && last.as_deref() != report.as_ref();
            if news {
                *last = report.map(Arc::new);
            }
            news
        });
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break },
            _ = shutdown.wait_for(|down| *down) => break,
        }
    }
    // The reporter ends with its sender; it has its own way to hear of the end.
    super::ended(shutdown).await;
}

fn report(view: &View, fixed: &Fixed) -> Option<Report> {
    if view.phase == Phase::Starting {
        return None;
    }
    let device = DeviceFields {
        os_version: view.device.os_version.as_deref(),
        os_variant: view.device.os_variant.as_deref(),
        development_mode: fixed.development_mode,
        ip_address: &view.device.ip_address,
        mac_address: &view.device.mac_address,
        api_port: fixed.api_port,
        api_secret: None,
    };
    let looked = view.engine.is_some() && !matches!(view.phase, Phase::EngineAway { .. });
    let Some(target) = view.target.as_deref().filter(|_| looked) else { return Some(full_report(&device, None)) };
    let in_flight: Vec<InFlight<'_>> =
        view.doing.iter().map(|doing| InFlight { step: &doing.step, progress: doing.progress }).collect();
    let picture =
        Picture { target, current: &view.current, memory: &view.memory, in_flight: &in_flight, rejected: &view.rejected };
    Some(full_report(&device, Some(&picture)))
}
