//! Builds the parts, runs the loops, ends them in order.
//!
//! The loops know each other only through the channels made here: `lib.rs` draws them.

mod forward;
mod joining;
mod local_mode;
mod parts;
mod picture;
mod record;
mod self_update;
mod service;
mod upkeep;
mod wires;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_plan::memory::Memory;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::api::{self, TcpPlaces};
use crate::clock::{Clock, SystemClock};
use crate::cloud::logs::{LogLinks, LogStreamer, LogTiming};
use crate::cloud::provision::{Pin, ProvisionLinks, establish};
use crate::cloud::report::{ReportLinks, ReportSettings, Reporter};
use crate::cloud::{PollLinks, PollSettings, Poller, TagReporter};
use crate::diagnose::Diagnosis;
use crate::host::ServiceManager;
use crate::import;
use crate::reconcile::{Channels, Reconciler};
use crate::settings::{SettingFault, Settings};
use crate::slot::TrialTime;
use crate::store::{Loaded, Store, target_source};
use crate::telemetry::Statistics;
use wires::{QUEUE, Shown, Wires};

/// How long the loops have to end once the agent is asked to: the step in flight gets 10 s of it.
const END_LIMIT: Duration = Duration::from_secs(12);

/// Why the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to.
    Asked,
    /// The database has to be opened anew, and with it everything that was read from it: run it again.
    Reopen,
    /// Another version of the agent is to be started, through the launcher.
    Replaced,
    /// config.json speaks of another identity or cloud than at the start: run it again with that.
    Changed,
}

/// How long the agent waits before it runs again, so that storage that fails all the time is not all it deals with.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Runs the agent until SIGTERM or SIGINT, or until its database or config.json has to be read anew. Containers go on without it.
/// `trial`: the time it has for one, if it is on trial.
///
/// # Errors
/// What keeps it from starting: the data directory is another agent's, the socket cannot be made, an address makes no sense.
pub async fn run(mut settings: Settings, mut faults: Vec<SettingFault>, trial: Arc<TrialTime>) -> anyhow::Result<Ending> {
    let mut signals = parts::Signals::new()?;
    let manager = Arc::new(ServiceManager::from_environment(|name| std::env::var_os(name), std::process::id()));
    let trust = parts::trust(&settings);
    let Some(opened) = parts::open_store(&settings, &mut signals, &manager).await? else { return Ok(Ending::Asked) };
    let (mut reopen, recovery) = (opened.reopen(), opened.recovery().cloned());
    let fully_checked = opened.fully_checked();
    let store: Arc<dyn Store> = opened;
    let config_file = settings.config_file();
    faults.extend(config_file.settle());
    // Before a preloaded target is taken over: it is stored for this uuid.
    establish(&mut settings.cloud, config_file, &faults).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let source = target_source(&settings.cloud.api_endpoint).to_owned();
    let uuid = settings.cloud.uuid.clone().unwrap_or_default();
    let mut loaded = store.load(&source, &uuid).await.context("the stored state cannot be read")?;
    let told = import::at_start(&settings, &*store, &loaded, clock.now().wall_ms).await;
    if told.changed {
        loaded = store.load(&source, &uuid).await.context("the imported state cannot be read")?;
    }
    let tools = parts::tools(&settings, store.clone(), clock.clone())?;
    let (pin, device) = (Pin::stored(&loaded.values), tools.host.device_info().await);
    let cloud = parts::cloud(&settings, trust, pin, device, &mut faults).await;
    for fault in &faults {
        log::error!("{}: {}", fault.subject, fault.message);
    }
    let socket = api::bind(&settings.socket).await?;
    log::info!("holdfast {} starts; local API at {}", crate::version::AGENT_VERSION, settings.socket.display());

    let in_force = parts::stored_target(&loaded, &uuid);
    let targets = local_mode::Targets::load(in_force.clone(), &source, &uuid, store.clone()).await;
    let wires = Wires::new(&settings, targets.in_force(), &*clock, service::tick_every(&manager), told.events);
    let mut loops = JoinSet::new();
    let (restart, update) = self_update::spawn(&mut loops, &wires, &settings, &tools, trial);
    let statistics = Statistics::new(settings.stats_interval, settings.stats_retention);
    loops.spawn(parts::sampler(&settings, statistics.clone(), &tools, wires.view.subscribe(), wires.shutdown.subscribe()).run());
    let listening = watch::Sender::default();
    let calls = cloud.as_ref().map(|links| links.cloud.clone());
    let diagnosis = Arc::new(Diagnosis::new(settings.clone(), faults.clone(), clock.clone()));
    let shown = Shown { diagnosis, calls, statistics, listening: listening.subscribe(), update };
    let state = wires.api_state(parts::identity(&settings, &source, faults), &tools, shown);
    let places = TcpPlaces {
        asked: settings.listen,
        port: settings.cloud.listen_port,
        port_override: settings.cloud.listen_port_override,
    };
    let limits = api::Limits::of(settings.cloud.api_timeout);
    loops.spawn(api::serve_tcp(places, state.clone(), listening, limits, ended(wires.shutdown.subscribe())));
    loops.spawn(api::serve(socket, state, limits, ended(wires.shutdown.subscribe())));
    let (shutdown, events, now) = (wires.shutdown.clone(), wires.events.clone(), clock.now());
    loops.spawn(service::tell(manager.clone(), wires.tick.clone(), wires.view.subscribe(), shutdown.subscribe()));
    loops.spawn(upkeep::keep_up(upkeep::Upkeep {
        store: store.clone(),
        interval: settings.backup_interval,
        fully_checked,
        view: wires.view.subscribe(),
        clock,
        events: events.clone(),
        shutdown: wires.shutdown.subscribe(),
    }));
    let anew = wires.anew.clone();
    spawn_loops(&mut loops, &settings, wires, tools, cloud, &loaded, (targets, in_force.is_some()));
    drop(loaded);
    manager.ready();

    if let Some(recovery) = recovery {
        upkeep::recovered(&events, recovery, now);
    }
    // Whoever keeps events goes on until nobody is left to say anything.
    drop(events);
    let (ended_alone, ending) = tokio::select! {
        name = signals.next() => { log::info!("{name}: ending, containers go on"); (false, Ending::Asked) }
        Ok(_) = reopen.wait_for(|wanted| *wanted) => (false, Ending::Reopen),
        () = anew.notified() => (false, Ending::Changed),
        () = restart.notified() => (false, Ending::Replaced),
        _ = loops.join_next() => (true, Ending::Asked),
    };
    manager.stopping();
    shutdown.send_replace(true);
    if tokio::time::timeout(END_LIMIT, async { while loops.join_next().await.is_some() {} }).await.is_err() {
        log::warn!("not everything ended within {} s", END_LIMIT.as_secs());
        // What did not end must not keep the store: another run of the agent may need it.
        loops.shutdown().await;
    }
    anyhow::ensure!(!ended_alone, "a part of the agent ended by itself; the service manager starts it again");
    if matches!(ending, Ending::Reopen | Ending::Changed) {
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
    Ok(ending)
}

fn spawn_loops(
    loops: &mut JoinSet<()>,
    settings: &Settings,
    wires: Wires,
    tools: crate::reconcile::Tools,
    cloud: Option<parts::CloudLinks>,
    loaded: &Loaded,
    (targets, target_readable): (local_mode::Targets, bool),
) {
    let (store, clock, host) = (tools.store.clone(), tools.clock.clone(), tools.host.clone());
    let mut memory_known = loaded.clone();
    if !target_readable {
        // What cannot be read is no target: nothing may be removed on its account.
        memory_known.memory = Memory { target_stored: false, ..memory_known.memory };
    }
    // Subscribed before anything happens, so that the first words are not lost.
    let events = wires.events.subscribe();
    let recorder = record::Recorder {
        store: store.clone(),
        views: wires.view.subscribe(),
        events: wires.events.subscribe(),
        shutdown: wires.shutdown.subscribe(),
    };
    for event in wires.news {
        // Nobody listens yet only where nobody ever will.
        let _ = wires.events.send(event);
    }
    let channels = Channels {
        target: wires.target.subscribe(),
        requests: wires.requests.1,
        view: wires.view.clone(),
        events: wires.events,
        tick: wires.tick,
        tick_every: wires.tick_every,
        shutdown: wires.shutdown.subscribe(),
    };
    loops.spawn(recorder.run());
    loops.spawn(Reconciler::new(tools, channels, &memory_known).run());
    let Some(parts::CloudLinks { cloud, logs, joining }) = cloud else {
        // Unmanaged: nobody polls, and what the API asks of the poll comes to nothing, but the channels stay open.
        let local = local_mode::LocalLinks { arrived: wires.local.1, requests: wires.requests.0, target: wires.target };
        loops.spawn(forward::idle(targets, local, wires.polls.1, wires.shutdown.subscribe()));
        return;
    };
    let (joined, hurry) = (watch::Sender::new(joining.is_none()), Arc::<Notify>::default());
    if let Some(joining) = joining {
        let provisioner = joining.provisioner(settings, clock.clone());
        let (hurry, view) = (hurry.clone(), wires.cloud_view.clone());
        let links = ProvisionLinks { hurry, joined: joined.clone(), view, shutdown: wires.shutdown.subscribe() };
        loops.spawn(joining::provision(provisioner, links, wires.anew, store.clone()));
    }
    let (arrived, arrivals) = mpsc::channel(QUEUE);
    let uuid = settings.cloud.uuid.clone().unwrap_or_default();
    let source = settings.cloud.api_endpoint.clone();
    let poll = PollSettings { source: source.clone(), uuid: uuid.clone() };
    let stored = loaded.target.as_ref().filter(|_| target_readable);
    let reporter = TagReporter::new(cloud.clone(), store.clone(), &loaded.values, fastrand::Rng::new());
    loops.spawn(gate_of(&joined, &wires.shutdown).then(reporter.run(wires.tags.1, wires.shutdown.subscribe())));
    let poller = Poller::new(poll, wires.timing.subscribe(), cloud.clone(), store, clock.clone(), fastrand::Rng::new(), stored);
    let links = PollLinks { now: wires.polls.1, arrived, view: wires.cloud_view.clone(), shutdown: wires.shutdown.subscribe() };
    let gate = gate_of(&joined, &wires.shutdown);
    loops.spawn(gate.clone().then_poll(poller, links, hurry, source.clone()));

    let log_clock = clock.clone();
    let (full, reported) = watch::channel(None);
    let cache = settings.socket.parent().map(|run| run.join("last-report.json"));
    let reporter = Reporter::new(
        ReportSettings { endpoint: source, uuid, cache },
        wires.timing.subscribe(),
        cloud,
        clock,
        fastrand::Rng::new(),
    );
    let links = ReportLinks { full: reported, view: wires.cloud_view, shutdown: wires.shutdown.subscribe() };
    loops.spawn(gate.clone().then(reporter.run(links)));
    let fixed = picture::Fixed { development_mode: settings.cloud.development_mode, api_port: settings.cloud.listen_port };
    loops.spawn(picture::report_views(wires.view.subscribe(), full, fixed, host, wires.shutdown.subscribe()));
    let streamer = LogStreamer::new(LogTiming::default(), logs, log_clock, fastrand::Rng::new());
    let enabled = watch::Sender::new(true);
    let links = LogLinks { events, enabled: enabled.subscribe(), shutdown: wires.shutdown.subscribe() };
    loops.spawn(gate.then(streamer.run(links)));
    let timing = forward::Pace { settings: settings.clone(), timing: wires.timing, log_stream: enabled };
    let local = local_mode::LocalLinks { arrived: wires.local.1, requests: wires.requests.0, target: wires.target };
    loops.spawn(forward::arrivals(arrivals, targets, local, timing, wires.shutdown.subscribe()));
}

fn gate_of(joined: &watch::Sender<bool>, shutdown: &watch::Sender<bool>) -> joining::Gate {
    joining::Gate { joined: joined.subscribe(), shutdown: shutdown.subscribe() }
}

/// Ends when the agent ends.
async fn ended(mut shutdown: watch::Receiver<bool>) {
    // An error means that the sender is gone: the same.
    let _ = shutdown.wait_for(|down| *down).await;
}
