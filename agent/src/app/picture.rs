//! From the loop's view to the report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cloud::Report;
use crate::cloud::report::{DeviceFields, InFlight, Picture, full_report, without_hardware};
use crate::host::{Addresses, Host};
use crate::policy::{truthy, variable};
use crate::reconcile::{Phase, View};
use crate::store::LOCAL_SOURCE;

/// How often measurements are taken (protocol §6.5).
const METRICS_INTERVAL: Duration = Duration::from_secs(300);
/// How often the device's addresses are read (protocol §6.5).
const ADDRESSES_INTERVAL: Duration = Duration::from_secs(30);

/// What of a report the view does not hold.
pub(super) struct Fixed {
    pub development_mode: bool,
    pub api_port: u16,
}

/// What is asked of the host from time to time, beside what the loop sees.
struct Watch {
    host: Arc<dyn Host>,
    addresses: Addresses,
    metrics: Report,
    next_addresses: Instant,
    next_metrics: Instant,
}

impl Watch {
    fn new(host: Arc<dyn Host>) -> Watch {
        let now = Instant::now();
        Watch { host, addresses: Addresses::default(), metrics: Report::new(), next_addresses: now, next_metrics: now }
    }

    /// Looks again at what is due.
    async fn look(&mut self) {
        let now = Instant::now();
        if now >= self.next_addresses {
            self.addresses = self.host.addresses().await;
            self.next_addresses = now + ADDRESSES_INTERVAL;
        }
        if now >= self.next_metrics {
            let metrics = serde_json::to_value(self.host.metrics().await);
            self.metrics = metrics.ok().and_then(|metrics| metrics.as_object().cloned()).unwrap_or_default();
            self.next_metrics = now + METRICS_INTERVAL;
        }
    }

    fn next(&self) -> Instant {
        self.next_addresses.min(self.next_metrics)
    }
}

/// Derives the full report from each view; the reporter hears of it only when it changed.
pub(super) async fn report_views(
    mut views: watch::Receiver<Arc<View>>,
    full: watch::Sender<Option<Arc<Report>>>,
    fixed: Fixed,
    host: Arc<dyn Host>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut watch = Watch::new(host);
    loop {
        // While nothing is reported nothing need be looked at: the kernel's log of a whole boot takes its time.
        let starting = views.borrow().phase == Phase::Starting;
        if !starting {
            watch.look().await;
        }
        let report = report(&views.borrow_and_update().clone(), &fixed, &watch);
        full.send_if_modified(|last| {
            let news = report.is_some() && last.as_deref() != report.as_ref();
            if news {
                *last = report.map(Arc::new);
            }
            news
        });
        tokio::select! {
            changed = views.changed() => if changed.is_err() { break },
            () = sleep_until(watch.next()), if !starting => {}
            _ = shutdown.wait_for(|down| *down) => break,
        }
    }
    // The reporter ends with its sender; it has its own way to hear of the end.
    super::ended(shutdown).await;
}

fn report(view: &View, fixed: &Fixed, watch: &Watch) -> Option<Report> {
    if view.phase == Phase::Starting {
        return None;
    }
    let hardware = view.target.as_deref().and_then(|target| variable(&target.config, "SUPERVISOR_HARDWARE_METRICS"));
    let metrics = watch.metrics.clone();
    let metrics = if hardware.is_none_or(truthy) { metrics } else { without_hardware(metrics) };
    let device = DeviceFields {
        os_version: view.device.os_version.as_deref(),
        os_variant: view.device.os_variant.as_deref(),
        development_mode: fixed.development_mode,
        ip_address: &watch.addresses.ip,
        mac_address: &watch.addresses.mac,
        api_port: fixed.api_port,
        // Beside another supervisor the key is that one's to report.
        api_secret: view.keys.global().filter(|_| !matches!(view.phase, Phase::WatchOnly { .. })),
        metrics: Some(&metrics),
    };
    let looked = view.engine.is_some() && !matches!(view.phase, Phase::EngineAway { .. });
    // In local mode the cloud knows nothing of the apps (behaviour §13).
    let own = view.source.as_deref() == Some(LOCAL_SOURCE);
    let Some(target) = view.target.as_deref().filter(|_| looked && !own) else { return Some(full_report(&device, None)) };
    let in_flight: Vec<InFlight<'_>> =
        view.doing.iter().map(|doing| InFlight { step: &doing.step, progress: doing.progress }).collect();
    let picture =
        Picture { target, current: &view.current, memory: &view.memory, in_flight: &in_flight, rejected: &view.rejected };
    Some(full_report(&device, Some(&picture)))
}
