//! Random targets: the next one is the last one changed here and there, as fleets are.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::wish::{AppWish, Behaviour, Contract, ReleaseWish, ServiceWish, Wish, image_reference};

/// Services by the order in which one may depend on another.
const SERVICES: [&str; 5] = ["db", "cache", "web", "job", "proxy"];
const NETWORKS: [&str; 2] = ["back", "front"];
const VOLUMES: [&str; 2] = ["data", "state"];
const STRATEGIES: [&str; 4] = ["download-then-kill", "kill-then-download", "delete-then-download", "hand-over"];

/// The cloud's side: what was asked for, and what may be asked for next.
pub(super) struct Dice {
    rng: Rng,
    releases: u64,
    /// Earlier releases by app, to go back to.
    past: BTreeMap<u64, Vec<ReleaseWish>>,
    /// Apps that left, to come back as they were.
    gone: BTreeMap<u64, AppWish>,
    /// Whether this run has releases that fail.
    bad_releases: bool,
    /// Whether this run has services that wait for a reboot.
    reboots: bool,
}

impl Dice {
    pub fn new(mut rng: Rng) -> Dice {
        let (bad_releases, reboots) = (rng.u8(0..10) < 4, rng.u8(0..10) < 1);
        Dice { rng, releases: 0, past: BTreeMap::new(), gone: BTreeMap::new(), bad_releases, reboots }
    }

    /// True so many times in a hundred.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(0..choices.len())]
    }

    /// The first target.
    pub fn first(&mut self) -> Wish {
        let mut wish = Wish::default();
        for number in 0..self.rng.u64(1..=3) {
            let app = self.new_app(11 + number);
            wish.apps.insert(app.id, app);
        }
        wish
    }

    /// Another target.
    pub fn next(&mut self, last: &Wish) -> Wish {
        let mut wish = last.clone();
        let ids: Vec<u64> = wish.apps.keys().copied().collect();
        for id in ids {
            match self.rng.u32(0..100) {
                0..8 => self.leave(&mut wish, id),
                8..12 => wish.apps.get_mut(&id).into_iter().for_each(|app| app.release = None),
                12..18 => wish.apps.get_mut(&id).into_iter().for_each(|app| app.spoilt = !app.spoilt),
                18..30 => self.back(&mut wish, id),
                30..80 => self.change(&mut wish, id),
                _ => {}
            }
        }
        if self.chance(20) {
            self.join(&mut wish);
        }
        if self.chance(5) {
            let value = if self.rng.bool() { "true" } else { "false" };
            wish.config.insert("RESIN_SUPERVISOR_OVERRIDE_LOCK", value.into());
        }
        wish
    }

    fn leave(&mut self, wish: &mut Wish, id: u64) {
        self.gone.extend(wish.apps.remove(&id).map(|app| (id, app)));
    }

    fn join(&mut self, wish: &mut Wish) {
        let id = self.rng.u64(11..15);
        if wish.apps.contains_key(&id) {
            return;
        }
        let app = self.gone.remove(&id).unwrap_or_else(|| self.new_app(id));
        wish.apps.insert(id, app);
    }

    fn back(&mut self, wish: &mut Wish, id: u64) {
        let Some(past) = self.past.get(&id).filter(|past| !past.is_empty()).cloned() else { return };
        let release = past[self.rng.usize(0..past.len())].clone();
        if let Some(app) = wish.apps.get_mut(&id) {
            app.release = Some(release);
            app.spoilt = false;
        }
    }

    fn change(&mut self, wish: &mut Wish, id: u64) {
        let Some(mut app) = wish.apps.remove(&id) else { return };
        app.spoilt = false;
        let last = app.release.clone().unwrap_or_default();
        app.release = Some(self.next_release(id, &last));
        wish.apps.insert(id, app);
    }

    fn new_app(&mut self, id: u64) -> AppWish {
        let release = self.next_release(id, &ReleaseWish::default());
        AppWish { id, uuid: format!("a{id}a{id}a{id}a{id}"), spoilt: false, release: Some(release) }
    }

    fn next_release(&mut self, app: u64, last: &ReleaseWish) -> ReleaseWish {
        self.releases += 1;
        let mut release = last.clone();
        release.commit = format!("{:08x}", 0xc0_0000 + self.releases);
        release.id = 4000 + self.releases;
        for name in NETWORKS {
            self.redefine(&mut release.networks, name, 25);
        }
        for name in VOLUMES {
            self.redefine(&mut release.volumes, name, 4);
        }
        let mut before = std::mem::take(&mut release.services);
        for name in SERVICES {
            let present = before.remove(name);
            let service = match present {
                None if self.chance(35) || (release.services.is_empty() && name == "web") => Some(self.new_service(app, name)),
                Some(_) if self.chance(8) => None,
                Some(service) if self.chance(55) => Some(self.changed(app, name, service)),
                kept => kept,
            };
            if let Some(service) = service {
                let service = self.connected(&release, service);
                release.services.insert(name.into(), service);
            }
        }
        self.past.entry(app).or_default().push(release.clone());
        release
    }

    /// A network or volume comes, goes, or is defined anew.
    fn redefine(&mut self, definitions: &mut BTreeMap<String, u32>, name: &str, percent: u32) {
        if !definitions.contains_key(name) {
            if self.chance(40) {
                definitions.insert(name.into(), 0);
            }
        } else if self.chance(percent) {
            let number = self.rng.u32(0..4);
            definitions.insert(name.into(), number);
        } else if self.chance(10) {
            definitions.remove(name);
        }
    }

    fn new_service(&mut self, app: u64, name: &str) -> ServiceWish {
        let mut service = ServiceWish { image: String::new(), ..ServiceWish::default() };
        if self.chance(10) {
            service.port = Some(
                8000 + u16::try_from(app).unwrap_or(0) * 10
                    + u16::try_from(SERVICES.iter().position(|s| *s == name).unwrap_or(0)).unwrap_or(0),
            );
        }
        service.asks_for_api = self.chance(6);
        service.strategy = self.strategy();
        self.new_image(app, name, &mut service);
        service
    }

    fn strategy(&mut self) -> &'static str {
        if self.chance(45) { STRATEGIES[0] } else { self.one_of(&STRATEGIES) }
    }

    fn new_image(&mut self, app: u64, name: &str, service: &mut ServiceWish) {
        service.behaviour = match self.rng.u32(0..100) {
            0..10 => Behaviour::EndsSlowly,
            10..25 => Behaviour::OneShot,
            25..45 if self.bad_releases => self.one_of(&[Behaviour::Unhealthy, Behaviour::Crashes, Behaviour::CannotStart]),
            _ => Behaviour::Steady,
        };
        service.restart = match service.behaviour {
            Behaviour::OneShot => self.one_of(&["no", "no", "on-failure"]),
            _ => self.one_of(&["always", "always", "unless-stopped", "unless-stopped", "on-failure", "no"]),
        };
        service.health_check = service.behaviour != Behaviour::OneShot && self.chance(40);
        let content = format!("{}-{:?}", self.rng.u32(0..6), service.behaviour).to_lowercase();
        // Some content is shared between services and apps under names of their own.
        let repository = format!("v2/{app}-{name}");
        let shared = if self.chance(25) { content.clone() } else { format!("{repository}-{content}") };
        let by_tag = self.chance(15);
        let content = if by_tag { content } else { shared };
        service.image = image_reference(&repository, &content, by_tag);
    }

    fn changed(&mut self, app: u64, name: &str, mut service: ServiceWish) -> ServiceWish {
        match self.rng.u32(0..100) {
            0..45 => self.new_image(app, name, &mut service),
            45..70 => service.revision += 1,
            70..80 => service.strategy = self.strategy(),
            80..86 => service.running = !service.running,
            86..90 => service.asks_for_api = !service.asks_for_api,
            90..93 => service.contract = self.one_of(&[Contract::None, Contract::None, Contract::Unmet, Contract::UnmetOptional]),
            93..96 if self.reboots => service.asks_for_reboot = !service.asks_for_reboot,
            96..98 => service.asks_for_oom_protection = !service.asks_for_oom_protection,
            _ => service.revision = 1,
        }
        service
    }

    /// Gives a service its place in the release: dependencies, networks, volumes, time limits.
    fn connected(&mut self, release: &ReleaseWish, mut service: ServiceWish) -> ServiceWish {
        let before: Vec<(String, Behaviour)> =
            release.services.iter().map(|(name, other)| (name.clone(), other.behaviour)).collect();
        let stale = |name: &String| !release.services.contains_key(name);
        service.depends_on.retain(|name, _| !stale(name));
        for (name, behaviour) in &before {
            if self.chance(25) {
                service.depends_on.insert(name.clone(), "service_started");
            }
            if let Some(condition) = service.depends_on.get_mut(name) {
                let fits: &[&'static str] = match behaviour {
                    Behaviour::OneShot => &["service_started", "service_completed_successfully"],
                    _ => &["service_started", "service_healthy"],
                };
                *condition = self.one_of(fits);
            }
        }
        service.networks.retain(|name| release.networks.contains_key(name));
        service.volumes.retain(|name| release.volumes.contains_key(name));
        for name in release.networks.keys() {
            if self.chance(20) {
                service.networks.insert(name.clone());
            }
        }
        for name in release.volumes.keys() {
            if self.chance(25) {
                service.volumes.insert(name.clone());
            }
        }
        service.shares_network_of = service.shares_network_of.filter(|name| !stale(name));
        if self.chance(4)
            && let Some((name, Behaviour::Steady)) = before.first()
        {
            service.shares_network_of = Some(name.clone());
            service.port = None;
        }
        if self.chance(20) {
            service.handover_ms = Some(self.one_of(&[0, 500, 5_000, 120_000]));
        }
        if self.bad_releases && self.chance(40) {
            service.gate_ms = Some(self.one_of(&[15_000, 60_000, 240_000]));
        }
        service
    }
}
