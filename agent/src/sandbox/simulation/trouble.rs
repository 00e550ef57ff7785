//! Everything that can go wrong on a device, one thing at a time, and the end of it all.

use std::time::Duration;

use fastrand::Rng;
use holdfast_plan::container::MADE_FROM_LABEL;
use holdfast_plan::order::Task;
use holdfast_plan::target::NetworkSpec;
use tokio::time::{Instant, sleep};

use super::device::Device;
use super::dice::Dice;
use super::ledger::LAG;
use crate::sandbox::engine::Outage;
use crate::sandbox::faults::{Chances, Fault, Rule};

/// Calls that a fault may be put on by name.
const ENGINE_CALLS: [&str; 11] = [
    "observe",
    "events",
    "pull",
    "remove_image",
    "create_network",
    "remove_network",
    "create_volume",
    "create_container",
    "start_container",
    "stop_container",
    "remove_container",
];
const HOST_CALLS: [&str; 4] = ["locks", "take_locks", "release_locks", "clear_marker"];

/// The source of trouble.
pub(super) struct Trouble {
    rng: Rng,
    dice: Dice,
    /// Foreign locks that were made, to be let go.
    locks: Vec<(u64, String)>,
}

impl Trouble {
    pub fn new(mut rng: Rng) -> Trouble {
        let dice = Dice::new(rng.fork());
        Trouble { rng, dice, locks: Vec::new() }
    }

    /// A calm first install, or an agent that is thrown into it.
    pub async fn begin(&mut self, device: &mut Device) {
        device.start().await;
        self.pause(device).await;
        let first = self.dice.first();
        device.want(first).await;
    }

    /// Time passes; an agent that was told to crash at a step does so and comes back.
    pub async fn pause(&mut self, device: &mut Device) {
        let rng = &mut self.rng;
        let ms = match rng.u32(0..100) {
            0..35 => rng.u64(0..60),
            35..70 => rng.u64(0..6_000),
            70..92 => rng.u64(0..70_000),
            _ => rng.u64(0..900_000),
        };
        let end = Instant::now() + Duration::from_millis(ms);
        let witness = device.witness.clone();
        let crashed = tokio::select! {
            biased;
            () = witness.crash.notified() => true,
            () = tokio::time::sleep_until(end) => false,
        };
        if crashed {
            witness.ledger().crash_in = None;
            device.crash().await;
            self.come_back(device).await;
            tokio::time::sleep_until(end).await;
        }
        device.look_after().await;
        device.obey().await;
    }

    async fn come_back(&mut self, device: &mut Device) {
        sleep(Duration::from_millis(self.rng.u64(0..10_000))).await;
        device.start().await;
    }

    /// One more thing happens.
    pub async fn strike(&mut self, device: &mut Device) {
        match self.rng.u32(0..100) {
            0..22 => {
                let next = self.dice.next(&device.wish);
                device.want(next).await;
            }
            22..36 => self.lock(device),
            36..44 => self.unlock(device),
            44..50 => self.kill(device),
            50..54 => self.order(device),
            54..64 => self.fault(device),
            64..68 => self.chances(device),
            68..73 => self.outage(device),
            73..76 => self.full_disk(device),
            76..82 => {
                let acts = self.rng.u32(1..12);
                device.tell(|| format!("the agent will crash at its change number {acts} from now"));
                device.witness.ledger().crash_in = Some(acts);
            }
            82..86 => {
                device.crash().await;
                self.come_back(device).await;
            }
            86..88 => {
                device.stop().await;
                self.come_back(device).await;
            }
            88..90 => self.reboot(device).await,
            90..92 => {
                let (force, cancel) = (self.rng.bool(), self.rng.bool());
                ask(device, force, cancel);
            }
            92..95 => {
                let percent = self.rng.u32(5..60);
                device.tell(|| format!("the database fails {percent} times in a hundred"));
                device.store.fail(percent);
            }
            95..96 => self.lose_data(device).await,
            96..98 => self.litter(device),
            98..99 => self.order(device),
            _ => self.calm(device),
        }
    }

    fn service(&mut self, device: &Device) -> Option<(u64, String)> {
        let mut all: Vec<(u64, String)> =
            device.engine.snapshot().containers.iter().map(|c| (c.app_id, c.service.clone())).collect();
        let wanted =
            device.wish.apps.values().flat_map(|app| {
                app.release.iter().flat_map(|release| release.services.keys().map(|name| (app.id, name.clone())))
            });
        all.extend(wanted);
        (!all.is_empty()).then(|| all[self.rng.usize(0..all.len())].clone())
    }

    fn lock(&mut self, device: &Device) {
        let Some((app, service)) = self.service(device) else { return };
        if device.host.hold(app, &service) {
            device.tell(|| format!("the application takes the lock of {app}/{service}"));
            self.locks.push((app, service));
        }
    }

    fn unlock(&mut self, device: &Device) {
        if self.locks.is_empty() {
            return;
        }
        let (app, service) = self.locks.swap_remove(self.rng.usize(0..self.locks.len()));
        device.tell(|| format!("the application lets go of the lock of {app}/{service}"));
        device.host.let_go(app, &service);
    }

    fn kill(&mut self, device: &Device) {
        let engine = device.engine.snapshot();
        if engine.containers.is_empty() {
            return;
        }
        let container = &engine.containers[self.rng.usize(0..engine.containers.len())];
        let code = [0, 1, 137][self.rng.usize(0..3)];
        if device.engine.kill(&container.id, code) {
            device.tell(|| format!("{} dies with {code}", container.spec.name));
        }
    }

    /// Somebody asks for something to be done to an app that runs, now and then with force.
    fn order(&mut self, device: &Device) {
        let Some((app, service)) = self.service(device) else { return };
        let task = match self.rng.u32(0..6) {
            0 => Task::Restart(None),
            1 => Task::Restart(Some(service)),
            2 | 3 => Task::Purge,
            4 => Task::Stop(service),
            _ => Task::Start(service),
        };
        let force = self.rng.u32(0..4) == 0;
        device.order(app, task, force);
    }

    fn any_fault(&mut self) -> Fault {
        let limit = Duration::from_secs(60);
        match self.rng.u32(0..6) {
            0 => Fault::Fail("a fault on order".into()),
            1 => Fault::Unreachable,
            2 => Fault::LostReply,
            3 => Fault::Hang { limit },
            4 => Fault::HangAfter { limit },
            _ => Fault::Slow(Duration::from_millis(self.rng.u64(1..20_000))),
        }
    }

    fn fault(&mut self, device: &Device) {
        let fault = self.any_fault();
        let (skip, times) = (self.rng.u32(0..3), self.rng.u32(1..4));
        if self.rng.u32(0..4) == 0 {
            let call = HOST_CALLS[self.rng.usize(0..HOST_CALLS.len())];
            device.tell(|| format!("the host's {call} goes wrong {times} time(s): {fault:?}"));
            device.host.faults(|faults| faults.add(Rule { skip, times, ..Rule::once(call, fault) }));
        } else {
            let call = ENGINE_CALLS[self.rng.usize(0..ENGINE_CALLS.len())];
            device.tell(|| format!("the engine's {call} goes wrong {times} time(s): {fault:?}"));
            device.engine.faults(|faults| faults.add(Rule { skip, times, ..Rule::once(call, fault) }));
        }
    }

    fn chances(&mut self, device: &Device) {
        let rng = &mut self.rng;
        let chances = Chances { fail: rng.u32(0..60), lost_reply: rng.u32(0..60), hang: rng.u32(0..20), slow: rng.u32(0..40) };
        device.tell(|| format!("calls go wrong by chance: {chances:?}"));
        device.engine.faults(|faults| faults.set_chances(chances));
        if rng.bool() {
            device.host.faults(|faults| faults.set_chances(chances));
        }
    }

    fn outage(&mut self, device: &Device) {
        let outage = [Outage::Silent, Outage::Restart, Outage::Crash][self.rng.usize(0..3)];
        let lasting = Duration::from_millis(self.rng.u64(1..60_000));
        device.tell(|| format!("the engine is away for {lasting:?}: {outage:?}"));
        device.engine.go_down(outage, Some(lasting));
    }

    fn full_disk(&mut self, device: &Device) {
        let bytes = self.rng.u64(0..20_000_000);
        device.tell(|| format!("{bytes} bytes are left for images"));
        device.engine.set_disk_free(Some(bytes));
    }

    async fn reboot(&mut self, device: &mut Device) {
        device.crash().await;
        device.tell(|| "the machine reboots".into());
        let outage = if self.rng.bool() { Outage::Restart } else { Outage::Crash };
        reboot(device, outage, Duration::from_millis(self.rng.u64(1..5_000)));
        self.locks.clear();
        self.come_back(device).await;
    }

    /// The next agent finds containers and no target, and leaves everything alone until the cloud sends one.
    async fn lose_data(&mut self, device: &mut Device) {
        device.lose_data().await;
        self.come_back(device).await;
        self.pause(device).await;
        let again = (*device.wish).clone();
        device.want(again).await;
    }

    /// Leftovers: half a lock, a stale marker, a network that stands twice.
    fn litter(&mut self, device: &Device) {
        let Some((app, service)) = self.service(device) else { return };
        match self.rng.u32(0..3) {
            0 => {
                device.tell(|| format!("half a lock of the agent is left at {app}/{service}"));
                device.host.leave_half(app, &service);
            }
            1 => {
                device.tell(|| format!("a stale marker is left at {app}/{service}"));
                device.host.mark_handed_over(app, &service);
            }
            _ => self.second_network(device),
        }
    }

    fn second_network(&mut self, device: &Device) {
        let engine = device.engine.snapshot();
        let Some(network) = engine.networks.first() else { return };
        if network.spec.ipam_pools.is_empty() {
            let mut labels = network.labels.clone();
            labels.remove(MADE_FROM_LABEL);
            device.tell(|| format!("somebody makes a second network {}", network.name));
            // A refusal leaves things as they were.
            let _ = device.engine.add_network(&network.name, &NetworkSpec::default(), labels);
        }
    }

    /// Faults stop and the engine is back; locks stay.
    fn calm(&mut self, device: &Device) {
        device.tell(|| "faults stop for now".into());
        device.engine.faults(crate::sandbox::faults::Faults::clear);
        device.host.faults(crate::sandbox::faults::Faults::clear);
        device.engine.come_back();
        device.engine.set_disk_free(None);
        device.store.fail(0);
    }

    /// Everything is well again, for good; the agent is up.
    pub async fn end(&mut self, device: &mut Device) {
        device.tell(|| "all trouble ends".into());
        self.calm(device);
        device.witness.ledger().crash_in = None;
        for (app, service) in self.locks.drain(..) {
            device.host.let_go(app, &service);
        }
        if !device.is_up() {
            device.start().await;
        }
    }
}

/// Asks for an update; a request with force may have effects until the steps it led to are over.
pub(super) fn ask(device: &Device, force: bool, cancel: bool) {
    if force {
        device.witness.ledger().forced_until = Some(Instant::now() + Duration::from_secs(3_600) + LAG);
    }
    device.ask(force, cancel);
}

/// The machine starts again: locks and markers lie in memory and are gone.
pub(super) fn reboot(device: &Device, outage: Outage, lasting: Duration) {
    device.engine.go_down(outage, Some(lasting));
    let booted = device.clock.reboot();
    device.host.reboot(booted);
}
