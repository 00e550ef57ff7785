//! The loop: looks at even times, writes once an hour and at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_plan::current::{Container, Current};
use holdfast_plan::policy::Now;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::file::File;
use super::meter::{Meter, watched};
use super::statistics::Statistics;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::host::{Host, Usage};
use crate::usage::ContainerUsage;

/// Time between two writes of the file.
const WRITE_EVERY: Duration = Duration::from_secs(3600);
/// How long the engine may be asked in one look, where counters cannot be read.
const ENGINE_LIMIT: Duration = Duration::from_secs(20);

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// What was there when somebody looked last.
    pub current: Arc<Current>,
    /// Where the engine keeps images and volumes.
    pub data_root: Option<String>,
}

/// What the loop works with.
pub struct Sampler {
    /// Where it puts what it finds.
    pub statistics: Statistics,
    /// The file over restarts.
    pub file: PathBuf,
    /// The host.
    pub host: Arc<dyn Host>,
    /// The engine, asked only where the host cannot tell.
    pub engine: Arc<dyn Engine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What there is to look at.
    pub surroundings: Box<dyn Fn() -> Surroundings + Send + Sync>,
    /// Ends the loop.
    pub shutdown: watch::Receiver<bool>,
}

impl Sampler {
    /// Runs until the agent ends. Without an interval nothing is looked at, and the file is left as it is.
    pub async fn run(mut self) {
        let interval = self.statistics.read(|book| book.interval);
        if interval.is_zero() {
            // An error means that the sender is gone: the same.
            let _ = self.shutdown.wait_for(|down| *down).await;
            return;
        }
        self.load().await;
        let (mut meter, mut write_at) = (Meter::default(), Instant::now() + WRITE_EVERY);
        let mut shutdown = self.shutdown.clone();
        let looking = async {
            self.look(&mut meter).await;
            loop {
                sleep(until_next(self.clock.now(), interval)).await;
                self.look(&mut meter).await;
                if write_at <= Instant::now() {
                    self.write().await;
                    write_at = Instant::now() + WRITE_EVERY;
                }
            }
        };
        tokio::select! {
            () = looking => {}
            _ = shutdown.wait_for(|down| *down) => {}
        }
        self.write().await;
    }

    async fn look(&self, meter: &mut Meter) {
        let Surroundings { current, data_root } = (self.surroundings)();
        let containers = &current.engine.containers;
        let running: Vec<&Container> = containers.iter().filter(|container| container.is_up()).collect();
        let watched: Vec<_> = running.iter().map(|container| watched(container)).collect();
        let Usage { machine, containers: mut usage } = self.host.usage(&watched).await;
        // Late is better than never, but the next look must not wait for this one.
        let _ = timeout(ENGINE_LIMIT, self.ask_engine(&running, &mut usage)).await;
        // An engine calls the machine's memory a limit where there is none.
        let total = Some(machine.memory_total_bytes).filter(|total| *total > 0).unwrap_or(u64::MAX);
        usage.values_mut().for_each(|used| used.memory_limit_bytes = used.memory_limit_bytes.filter(|limit| *limit < total));
        let disk = self.host.disk_space(Path::new(data_root.as_deref().unwrap_or("/"))).await.ok();
        let now = self.clock.now();
        let machine = meter.machine(machine, disk, now);
        let containers = meter.containers(containers, &usage, now);
        self.statistics.change(|book| {
            let at_ms = book.set_time(now);
            book.begin_look(at_ms);
            book.add_machine(at_ms, machine);
            // One that runs is what a service is known by, also beside another of its containers.
            let (up, down): (Vec<_>, Vec<_>) = containers.into_iter().partition(|(container, _)| container.is_up());
            for (container, latest) in down.into_iter().chain(up) {
                book.add(at_ms, container.app_id, &container.service, latest);
            }
        });
    }

    /// Asks the engine for those whose counters cannot be read; one failure is enough, it is no use to it to be asked on.
    async fn ask_engine(&self, running: &[&Container], usage: &mut BTreeMap<String, ContainerUsage>) {
        for container in running {
            if usage.contains_key(&container.id) {
                continue;
            }
            match self.engine.usage(&container.id).await {
                Ok(used) => drop(usage.insert(container.id.clone(), used)),
                Err(error) => {
                    log::debug!("no figures of {}: {error}", container.spec.name);
                    if error.is_unreachable() {
                        return;
                    }
                }
            }
        }
    }

    async fn load(&self) {
        let file = File::new(self.file.clone());
        let statistics = self.statistics.clone();
        let read = tokio::task::spawn_blocking(move || file.read(|stored| statistics.change(|book| book.restore(stored)))).await;
        match read {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(error) => self.failed(&format!("reading the statistics broke off: {error}")),
        }
    }

    /// Writes what changed. What could not be written is written the next time.
    async fn write(&self) {
        let file = File::new(self.file.clone());
        let draft = self.statistics.change(|book| {
            let has_rows = book.keeping.looks > 1 && book.is_changed();
            if has_rows && !file.exists() {
                book.all_changed();
            }
            has_rows.then(|| book.draft())
        });
        let Some(draft) = draft else { return };
        let written = tokio::task::spawn_blocking(move || file.write(&draft)).await;
        let boot_ms = self.clock.now().boot_ms;
        match written {
            Ok(Ok(())) => self.statistics.change(|book| {
                book.keeping.written += 1;
                book.keeping.written_boot_ms = Some(boot_ms);
                book.keeping.error = None;
            }),
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(error) => self.failed(&format!("writing the statistics broke off: {error}")),
        }
    }

    /// Says once what is wrong, and has everything written the next time.
    fn failed(&self, error: &str) {
        let news = self.statistics.change(|book| {
            book.all_changed();
            let news = book.keeping.error.as_deref() != Some(error);
            book.keeping.error = Some(error.to_owned());
            news
        });
        if news {
            log::warn!("{error}");
        }
    }
}

/// How long until the next even time: all devices' minutes begin together, and so do a device's own wake-ups.
fn until_next(now: Now, interval: Duration) -> Duration {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let wait = interval_ms - now.machine_ms.rem_euclid(interval_ms);
    // A clock that is being put right by a little does not make two looks out of one.
    let wait = if wait < interval_ms / 10 { wait + interval_ms } else { wait };
    Duration::from_millis(u64::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests;
