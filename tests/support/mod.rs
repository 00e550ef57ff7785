//! What the suites share: a device with an agent on it, a cloud, the private engine, and targets.
//!
//! Every suite drives the built binary from outside. A suite that cannot do without the private engine of `tests/run`
//! carries the line `// needs: engine`; without that engine its tests return at once and the harness counts them as
//! skipped. Tests run side by side on one engine, so each has app ids, names, repositories and a label scope of its own.

mod agent_image;
mod archive;
mod balena;
mod browser;
mod bus;
mod cloud;
mod containers;
mod device;
mod engine;
mod files;
mod flashed;
mod follow;
mod history;
mod http;
mod images;
mod machine;
mod next_agent;
mod series;
mod site;
mod ssh;
mod supervised;
mod target;
mod tls;
mod wire;

pub use agent_image::agent_image;
pub use balena::{API_KEY, Balena, balena_database, balena_release, content, inventory, stored, unscoped};
pub use browser::{Browser, forward};
pub use bus::Bus;
pub use cloud::Cloud;
pub use containers::{Container, ids};
pub use device::{Answer, Device, binary, own_mib, pss_mib};
pub use engine::{Engine, seconds_now};
pub use files::Files;
pub use flashed::{Cut, FLEET_KEY, Flashed};
pub use follow::Follow;
pub use history::History;
pub use holdfast::sandbox::cloud::Failure;
pub use http::{Response, request};
pub use images::Role;
pub use machine::{Booted, Machine, install as machine_install};
pub use next_agent::next_agent;
pub use series::Series;
pub use site::Site;
pub use ssh::{SshDevice, SshServer};
pub use supervised::{Supervised, slots};
pub use target::{App, Release, Service, device_target, numbered_release};
pub use tls::{Certificates, TlsFront};
pub use wire::{Kept, Way, free_port, request_text};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longest time anything is waited for: generous, because a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks every 50 ms until `look` finds something, and fails with what was waited for and what was there instead.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    wait_within(PATIENCE, what, look)
}

/// The same with a limit of the caller's.
pub fn wait_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if Instant::now() >= end => panic!("waited {limit:?} for {what}; instead: {instead}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// `Ok` when the condition holds, else what is shown instead; for `wait_for`.
pub fn check(holds: bool, instead: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(instead.to_string()) }
}

/// A device on the simulated engine that has settled on its first release, `numbered_release(1)`.
pub fn simulated_and_settled() -> (Cloud, Device, App) {
    let mut device = Device::simulated();
    let cloud = Cloud::of(&device);
    let (app, release) = (App::new(), numbered_release(1));
    cloud.want(&[(&app, &release)]);
    device.join(&cloud);
    cloud.wait_settled(&app, &release);
    (cloud, device, app)
}

/// Whether the long variants were asked for (`tests/run --all`).
pub fn long_run() -> bool {
    std::env::var_os("HOLDFAST_TEST_ALL").is_some()
}

/// A number nobody else on this machine gets soon: it tells processes and tests within one apart, and stays below 2^31.
pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    (u64::from(std::process::id()) % 4_000_000) * 500 + NEXT.fetch_add(1, Ordering::Relaxed) % 500 + 1
}

/// A uuid of 32 hex digits from such a number.
pub fn unique_uuid() -> String {
    format!("{:08x}{:024x}", unique(), std::process::id())
}
