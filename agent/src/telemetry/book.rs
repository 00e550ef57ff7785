//! Everything that is kept, of everybody, and where it stands in time.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_plan::policy::Now;
use holdfast_plan::target::AppId;

use super::column::{self, Row};
use super::file::{Draft, RingDraft, Stored};
use super::ring::{Ring, Shape};
use super::series::{Series, TIERS, shapes};
use crate::clock::EARLIEST_TRUSTED_MS;
use crate::host::{DiskSpace, MachineUsage};
use crate::usage::ContainerUsage;

/// Services whose history is kept at once; of more, those not seen for longest go.
pub(super) const MOST_SERVICES: usize = 32;
/// The machine's number in the file; services count from 1.
const MACHINE: u32 = 0;

/// How a container was at the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latest {
    /// When, ms since boot.
    pub boot_ms: i64,
    /// Engine id.
    pub container: String,
    /// Whether it runs.
    pub is_up: bool,
    /// How often the engine started it again.
    pub restarts: u64,
    /// Its counters, if they could be read.
    pub usage: Option<ContainerUsage>,
    /// What it did since the look before.
    pub row: Option<Row>,
}

/// How the machine was at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineLatest {
    /// When, ms since boot.
    pub boot_ms: i64,
    /// Its counters.
    pub usage: MachineUsage,
    /// Room on the engine's disk.
    pub disk: Option<DiskSpace>,
    /// What it did since the look before.
    pub row: Option<Row>,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    id: u32,
    /// Its history.
    pub series: Series,
    /// Its container at the last look; `None` when it had none.
    pub latest: Option<Latest>,
}

/// What is known of the keeping itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Looks since the agent started.
    pub looks: u64,
    /// How often the file was written since then.
    pub written: u64,
    /// When last, ms since boot.
    pub written_boot_ms: Option<i64>,
    /// Why it could not be written or read, if that still stands.
    pub error: Option<String>,
}

/// Everything that is kept.
#[derive(Debug)]
pub struct Book {
    /// Time between looks; zero when none are taken.
    pub interval: Duration,
    /// How long everything is kept.
    pub retention: Duration,
    /// What is known of the keeping itself.
    pub keeping: Keeping,
    /// The machine's history.
    pub machine: Series,
    /// The machine at the last look.
    pub machine_latest: Option<MachineLatest>,
    services: BTreeMap<(AppId, String), Service>,
    shapes: [Shape; TIERS],
    /// A time since 1970 and the same one since boot, ms.
    anchor: Option<(i64, i64)>,
    /// Numbers of services that have to go from the file.
    gone: Vec<u32>,
    /// Whether the file has to be made anew: its numbers may be other services'.
    rewrite: bool,
}

impl Book {
    pub(super) fn new(interval: Duration, retention: Duration) -> Book {
        // Nothing is kept where no looks are taken, but a shape there has to be.
        let shapes = shapes(if interval.is_zero() { Duration::from_secs(60) } else { interval }, retention);
        Book {
            interval,
            retention,
            keeping: Keeping::default(),
            machine: Series::new(&shapes, &column::MACHINE),
            machine_latest: None,
            services: BTreeMap::new(),
            shapes,
            anchor: None,
            gone: Vec::new(),
            rewrite: false,
        }
    }

    /// Every service with a history, by app and name.
    pub fn services(&self) -> impl Iterator<Item = (AppId, &str, &Service)> {
        self.services.iter().map(|((app, name), service)| (*app, name.as_str(), service))
    }

    /// The time on which rows stand, ms since 1970: the wall clock's where it is trusted, else as much later than the newest
    /// row as has passed since.
    pub fn time_ms(&self, now: Now) -> i64 {
        let (at_ms, boot_ms) = self.anchor.unwrap_or((self.newest_ms().unwrap_or(EARLIEST_TRUSTED_MS), now.boot_ms));
        now.wall_ms.unwrap_or_else(|| at_ms.saturating_add(now.boot_ms.saturating_sub(boot_ms).max(0)))
    }

    fn newest_ms(&self) -> Option<i64> {
        let all = self.services.values().map(|service| &service.series).chain([&self.machine]);
        let newest = all.filter_map(Series::newest_ms).max();
        newest.map(|newest| newest.saturating_add(2 * self.shapes[0].step_ms))
    }

    /// Sets the time of the looks that follow and returns it.
    pub(super) fn set_time(&mut self, now: Now) -> i64 {
        let at_ms = self.time_ms(now);
        self.anchor = Some((at_ms, now.boot_ms));
        // What was measured lies before now: in the middle of the time since the last look.
        at_ms.saturating_sub(self.shapes[0].step_ms / 2)
    }

    pub(super) fn add_machine(&mut self, at_ms: i64, latest: MachineLatest) {
        if let Some(row) = &latest.row {
            self.machine.add(at_ms, row);
        }
        self.machine_latest = Some(latest);
    }

    pub(super) fn add(&mut self, at_ms: i64, app: AppId, name: &str, latest: Latest) {
        let key = (app, name.to_owned());
        if !self.services.contains_key(&key) && !self.make_room() {
            return;
        }
        let id = self.services.get(&key).map_or_else(|| self.free_id(), |service| service.id);
        let shapes = &self.shapes;
        let new = || Service { id, series: Series::new(shapes, &column::CONTAINER), latest: None };
        let service = self.services.entry(key).or_insert_with(new);
        if let Some(row) = &latest.row {
            service.series.add(at_ms, row);
        }
        service.latest = Some(latest);
    }

    /// Forgets who was there at the last look, and the history of those whose time is over.
    pub(super) fn begin_look(&mut self, at_ms: i64) {
        self.keeping.looks += 1;
        let retention = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let oldest = at_ms.saturating_sub(retention);
        let is_over = |service: &Service| service.series.newest_ms().is_none_or(|newest| newest < oldest);
        let gone = &mut self.gone;
        self.services.retain(|_, service| {
            let goes = service.latest.take().is_none() && is_over(service);
            if goes {
                gone.push(service.id);
            }
            !goes
        });
    }

    /// Whether there is room for one more service, if need be after one that is not there any more has gone.
    fn make_room(&mut self) -> bool {
        if self.services.len() < MOST_SERVICES {
            return true;
        }
        let absent = self.services.iter().filter(|(_, service)| service.latest.is_none());
        let Some(key) = absent.min_by_key(|(_, service)| service.series.newest_ms()).map(|(key, _)| key.clone()) else {
            return false;
        };
        self.gone.extend(self.services.remove(&key).map(|service| service.id));
        true
    }

    fn free_id(&self) -> u32 {
        let taken = |id: &u32| self.services.values().any(|service| service.id == *id);
        // One of so many is free, and what is in the file under it has to go first.
        (1..=u32::MAX).find(|id| !taken(id) && !self.gone.contains(id)).unwrap_or(u32::MAX)
    }

    /// Whether there is something to write.
    pub(super) fn is_changed(&self) -> bool {
        let all = self.services.values().map(|service| &service.series).chain([&self.machine]);
        !self.gone.is_empty() || all.flat_map(|series| &series.rings).any(Ring::is_changed)
    }

    /// Has everything written again: into a new file, or instead of what is in one that was not read.
    pub(super) fn all_changed(&mut self) {
        self.rewrite = true;
        let all = self.services.values_mut().map(|service| &mut service.series).chain([&mut self.machine]);
        all.flat_map(|series| &mut series.rings).for_each(Ring::all_changed);
    }

    /// What there is to write.
    pub(super) fn draft(&mut self) -> Draft {
        let (whole, gone) = (std::mem::take(&mut self.rewrite), std::mem::take(&mut self.gone));
        let mut draft = Draft { whole, gone, series: Vec::new() };
        draft.take(MACHINE, 0, "", &mut self.machine);
        for ((app, name), service) in &mut self.services {
            draft.take(service.id, *app, name, &mut service.series);
        }
        draft
    }

    /// Takes in a series that a file has kept. What does not make sense in it is left out.
    pub(super) fn restore(&mut self, stored: Stored) {
        let Stored { id, app, service: name, rings } = stored;
        let columns = if id == MACHINE { &column::MACHINE } else { &column::CONTAINER };
        let mut series = Series::new(&self.shapes, columns);
        for RingDraft { tier, shape, head, chunks } in rings {
            let Some(place) = series.rings.get_mut(tier) else { continue };
            match Ring::restore(shape, columns, head, &chunks) {
                Some(ring) if ring.shape() == place.shape() => *place = ring,
                Some(ring) => {
                    place.absorb(&ring);
                    // What the file has of it is of another shape.
                    place.all_changed();
                }
                None => log::debug!("a part of the statistics could not be read"),
            }
        }
        if id == MACHINE {
            self.machine = series;
        } else if self.services.len() < MOST_SERVICES {
            self.services.insert((app, name), Service { id, series, latest: None });
        }
    }
}

#[cfg(test)]
mod tests;
