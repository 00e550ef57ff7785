//! Measures the agent's memory with many services on the simulated engine; `tests/bench/memory` builds the binary and runs
//! this. What the simulated engine itself remembers is in the figures: a device's engine is another process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses its part of this")]
mod support;

use std::time::Duration;

use support::{App, Cloud, Device, Release, Service, check, pss_mib, wait_for};

/// One content for all: a pull of the simulated engine takes its time.
const IMAGE: &str = "registry.example.com/v2/abc@sha256:0000000000000000000000000000000000000000000000000000000000000001";

fn main() {
    println!("{:>10} {:>14} {:>14}", "services", "settled, MiB", "after updates");
    for services in [0, 3, 50, 200] {
        let (settled, later) = measure(services);
        println!("{services:>10} {settled:>14.2} {later:>14.2}");
    }
}

/// Memory once so many services run, and again after ten updates of each of them.
fn measure(services: usize) -> (f64, f64) {
    let mut device = Device::simulated();
    device.set("RUST_LOG", "info");
    let (cloud, app) = (Cloud::of(&device), App::new());
    let release = |number: usize| {
        (0..services).fold(Release::new(&format!("release {number}")), |release, service| {
            let of_it = Service::new(IMAGE).variable("ROUND", &number.to_string()).variable("URL", "https://example.com/");
            release.service(&format!("service-{service}"), of_it.publish(&format!("{}:80", 2000 + service)))
        })
    };
    let settle = |number: usize| {
        cloud.want(&[(&app, &release(number))]);
        if services > 0 {
            cloud.wait_settled(&app, &release(number));
        }
    };
    cloud.want(&[(&app, &release(0))]);
    device.join(&cloud);
    settle(0);
    wait_for("all services to run", || {
        let running = device.running_services().len();
        check(running == services, running)
    });
    std::thread::sleep(Duration::from_secs(3));
    let settled = pss_mib(device.pid());
    (1..=10).for_each(settle);
    std::thread::sleep(Duration::from_secs(3));
    (settled, pss_mib(device.pid()))
}
