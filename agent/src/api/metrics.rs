//! `/metrics`: the agent, the machine and the containers in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use holdfast_plan::current::{Container, Health, LockHolder};
use holdfast_plan::target::AppId;
use hyper::StatusCode;

use super::ApiState;
use super::answer::{Outcome, finished};
use super::route::{Access, Call, Route};
use crate::reconcile::{Phase, View};
use crate::store::{Figures, StoreHealth, Written};
use crate::telemetry::{Book, CPU, MachineLatest};
use crate::usage::ContainerUsage;
use crate::version::AGENT_VERSION;

pub(super) static ROUTES: [Route; 1] = [Route::get("/metrics", Access::Operator, |call| Box::pin(metrics(call)))];

/// The format's name.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long the store may take to count.
const STORE_LIMIT: Duration = Duration::from_secs(5);

async fn metrics(call: Call) -> Outcome {
    let state = &call.state;
    let counted = async { (state.store.health().await, state.store.figures().await.ok()) };
    let store = tokio::time::timeout(STORE_LIMIT, counted).await.unwrap_or_default();
    let mut page = Page::default();
    agent(&mut page, state);
    database(&mut page, &store);
    state.statistics.read(|book| {
        keeping(&mut page, book);
        machine(&mut page, book.machine_latest.as_ref());
        containers(&mut page, &state.view(), book);
    });
    Ok(finished(StatusCode::OK, CONTENT_TYPE, page.text))
}

/// Families of samples, one after the other.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    /// Begins a family.
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Page {
        self.name = name;
        let _ = write!(self.text, "# HELP holdfast_{name} {help}\n# TYPE holdfast_{name} {kind}\n");
        self
    }

    fn gauge(&mut self, name: &'static str, help: &str) -> &mut Page {
        self.family(name, "gauge", help)
    }

    fn counter(&mut self, name: &'static str, help: &str) -> &mut Page {
        self.family(name, "counter", help)
    }

    /// A sample of the family that was begun last.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Page {
        let _ = write!(self.text, "holdfast_{}", self.name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
        self
    }

    /// The only sample of the family that was begun last.
    fn value(&mut self, value: impl Display) {
        self.sample(&[], value);
    }
}

fn agent(page: &mut Page, state: &ApiState) {
    let (view, cloud, now) = (state.view(), state.cloud.borrow().clone(), state.now());
    page.gauge("build_info", "The agent that runs.").sample(&[("version", AGENT_VERSION)], 1);
    page.gauge("settled", "Whether the device runs what its target asks for.").value(u8::from(view.phase == Phase::Settled));
    let is_up = view.engine.is_some() && !matches!(view.phase, Phase::EngineAway { .. });
    page.gauge("engine_up", "Whether the container engine answers.").value(u8::from(is_up));
    page.counter("rounds_total", "Rounds of looking and planning since the agent started.").value(view.rounds);
    page.gauge("steps_running", "Steps that are being carried out.").value(view.doing.len());
    page.gauge("waits", "Things that are waited for.").value(view.plan.waiting.len());
    page.gauge("faults", "Things that are wrong and somebody should know of.").value(view.faults.len());
    results(page, "polls_total", "Polls of the cloud since the agent started.", cloud.polls, cloud.polls_failed);
    results(page, "reports_total", "Reports to the cloud since the agent started.", cloud.reports, cloud.reports_failed);
    for (name, help, at) in [
        ("last_poll_age_seconds", "Time since the cloud last answered a poll.", cloud.last_poll_boot_ms),
        ("last_report_age_seconds", "Time since the cloud last took a report.", cloud.last_report_boot_ms),
    ] {
        if let Some(at) = at {
            page.gauge(name, help).value((now.boot_ms - at).max(0) / 1000);
        }
    }
    let holders = view.current.locks.held.values().flat_map(BTreeMap::values);
    let (agents, applications): (Vec<_>, Vec<_>) =
        holders.map(|lock| &lock.holder).partition(|holder| matches!(holder, LockHolder::Agent { .. }));
    page.gauge("locks_held", "Update locks that are held.")
        .sample(&[("holder", "agent")], agents.len())
        .sample(&[("holder", "application")], applications.len());
}

fn results(page: &mut Page, name: &'static str, help: &str, all: u64, failed: u64) {
    let family = page.counter(name, help);
    family.sample(&[("result", "ok")], all.saturating_sub(failed)).sample(&[("result", "failed")], failed);
}

/// A family of counters by cause: name, help, figure.
type Counted = (&'static str, &'static str, fn(&Written) -> u64);

fn database(page: &mut Page, (health, figures): &(StoreHealth, Option<Figures>)) {
    page.gauge("database_up", "Whether the database is open.").value(u8::from(health.open));
    page.gauge("database_size_bytes", "Size of the database file.").value(health.size_bytes);
    let Some(figures) = figures else { return };
    let families: [Counted; 3] = [
        ("database_writes_total", "Writes of the database since the agent started.", |written| written.times),
        ("database_written_bytes_total", "Bytes written for the database since the agent started.", |written| written.bytes),
        ("database_syncs_total", "Waits for the storage since the agent started.", |written| written.syncs),
    ];
    for (name, help, figure) in families.into_iter().filter(|_| !figures.writes.since_start.is_empty()) {
        page.counter(name, help);
        for (cause, written) in &figures.writes.since_start {
            page.sample(&[("cause", cause)], figure(written));
        }
    }
}

fn keeping(page: &mut Page, book: &Book) {
    page.counter("statistics_looks_total", "Looks at the machine and its containers.").value(book.keeping.looks);
    page.counter("statistics_writes_total", "Writes of the file of statistics.").value(book.keeping.written);
}

fn machine(page: &mut Page, latest: Option<&MachineLatest>) {
    let Some(MachineLatest { usage, disk, row, .. }) = latest else { return };
    if let Some(row) = row {
        page.gauge("host_cpu_busy_ratio", "Part of the time the processors were busy.").value(row[CPU] as f64 / 1_000_000.0);
    }
    page.gauge("host_processors", "Processors of the machine.").value(usage.processors);
    page.gauge("host_memory_used_bytes", "Memory in use, without caches.").value(usage.memory_bytes);
    page.gauge("host_memory_size_bytes", "Memory of the machine.").value(usage.memory_total_bytes);
    page.gauge("host_load1", "Average number of runnable tasks over a minute.").value(usage.load_milli as f64 / 1000.0);
    if let Some(celsius) = usage.temperature_celsius {
        page.gauge("host_temperature_celsius", "Temperature of the processor.").value(celsius);
    }
    if let Some(disk) = disk {
        page.gauge("host_disk_free_bytes", "Room left on the engine's disk.").value(disk.free_bytes);
        page.gauge("host_disk_size_bytes", "Size of the engine's disk.").value(disk.total_bytes);
    }
    page.counter("host_network_receive_bytes_total", "Bytes received on the device's own interfaces.")
        .value(usage.network_in_bytes);
    page.counter("host_network_transmit_bytes_total", "Bytes sent on them.").value(usage.network_out_bytes);
}

/// Figures of a container's usage.
type Figure = fn(&ContainerUsage) -> Option<f64>;

fn containers(page: &mut Page, view: &View, book: &Book) {
    // One for each service: of several that which runs, the newest.
    let mut services: BTreeMap<(AppId, &str), &Container> = BTreeMap::new();
    let rank = |container: &Container| (container.is_up(), container.created_ms);
    for container in &view.current.engine.containers {
        let known = services.entry((container.app_id, &container.service)).or_insert(container);
        if rank(container) > rank(known) {
            *known = container;
        }
    }
    let name = |id: AppId| view.target.as_deref().and_then(|target| target.app(id)).map_or("", |app| app.name.as_str());
    let rows: Vec<_> = services.into_iter().map(|((app, service), c)| (app.to_string(), name(app), service, c)).collect();
    let family = |page: &mut Page, kind, family, help, figure: &dyn Fn(&Container) -> Option<f64>| {
        let samples: Vec<_> = rows.iter().filter_map(|row| Some((row, figure(row.3)?))).collect();
        if samples.is_empty() {
            return;
        }
        page.family(family, kind, help);
        for ((app, app_name, service, _), value) in samples {
            page.sample(&[("app_id", app), ("app", app_name), ("service", service)], value);
        }
    };
    family(page, "gauge", "container_up", "Whether it runs.", &|c| Some(f64::from(u8::from(c.is_up()))));
    family(page, "counter", "container_restarts_total", "How often the engine started it again.", &|c| {
        Some(c.restart_count as f64)
    });
    family(page, "gauge", "container_healthy", "Whether its health check succeeds.", &|c| {
        c.health.map(|health| f64::from(u8::from(health == Health::Healthy)))
    });
    let families: [(&str, &'static str, &str, Figure); 7] = [
        ("counter", "container_cpu_seconds_total", "Processor time.", |usage| Some(usage.cpu_us as f64 / 1e6)),
        ("gauge", "container_memory_bytes", "Memory in use, without caches.", |usage| Some(usage.memory_bytes as f64)),
        ("gauge", "container_memory_limit_bytes", "The most memory it may use.", |usage| {
            usage.memory_limit_bytes.map(|limit| limit as f64)
        }),
        ("counter", "container_network_receive_bytes_total", "Bytes received.", |usage| Some(usage.network_in_bytes as f64)),
        ("counter", "container_network_transmit_bytes_total", "Bytes sent.", |usage| Some(usage.network_out_bytes as f64)),
        ("counter", "container_block_read_bytes_total", "Bytes read from storage.", |usage| Some(usage.block_read_bytes as f64)),
        ("counter", "container_block_written_bytes_total", "Bytes written to storage.", |usage| {
            Some(usage.block_write_bytes as f64)
        }),
    ];
    let used = |id: &str| {
        let mut latest = book.services().filter_map(|(_, _, service)| service.latest.as_ref());
        latest.find(|latest| latest.container == id).and_then(|latest| latest.usage)
    };
    for (kind, name, help, figure) in families {
        family(page, kind, name, help, &|container| figure(&used(&container.id)?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        let mut page = Page::default();
        page.gauge("x", "An x.").sample(&[("a", "q\"b\\c\nd"), ("b", "")], 1.5).sample(&[], 2);
        let expected =
            "# HELP holdfast_x An x.\n# TYPE holdfast_x gauge\nholdfast_x{a=\"q\\\"b\\\\c\\nd\",b=\"\"} 1.5\nholdfast_x 2\n";
        assert_eq!(page.text, expected);
    }
}
