//! The operating system: what it is, and whether it went back to an older one.

use crate::diagnose::finding::Judgement;
use crate::diagnose::scene::Scene;
use crate::host::Host;

/// What balenaOS leaves on its state partition when it went back, and what that means.
const BREADCRUMBS: [(&str, &str); 2] = [
    ("rollback-health-triggered", "the new system did not pass its health check"),
    ("rollback-altboot-triggered", "the new system did not start"),
];

/// Which system it is, and whether that is too old.
pub(super) async fn os(scene: &Scene) -> Judgement {
    let info = scene.host.device_info().await;
    let Some(name) = info.os_version else { return Judgement::skipped("it does not say what it is (os-release)") };
    let old = info.os_slug.is_some_and(|slug| slug.starts_with("balena") || slug.starts_with("resin"))
        && info.os_semver.is_some_and(|version| version.starts_with("1."));
    let kernel = info.kernel_version.unwrap_or_default();
    if old {
        return Judgement::warning(
            format!("{name} is of a generation that is not maintained any more"),
            "update the host's system",
        );
    }
    Judgement::ok(format!("{name}, kernel {kernel}"))
}

/// Whether the last update of the system was taken back.
pub(super) fn rollback(scene: &Scene) -> Judgement {
    let state = scene.on_host("/mnt/state");
    if !state.is_dir() {
        return Judgement::skipped(format!("this system has no {}", state.display()));
    }
    match BREADCRUMBS.iter().find(|(file, _)| state.join(file).exists()) {
        None => Judgement::ok("no update of the system was taken back"),
        Some((file, means)) => Judgement::failed(
            format!("the last update of the system was taken back: {means} ({})", state.join(file).display()),
            "see the host's journal of that boot for why, then update the system again; remove that file when it is dealt with",
        ),
    }
}
