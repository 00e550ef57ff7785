//! A loop that is stuck on purpose: how the suites see that the watchdog notices. Not part of device builds.

use std::path::Path;

/// Names a file; while it is there, the loop takes not another step.
const SWITCH: &str = "HOLDFAST_TEST_STUCK_LOOP";

/// Never returns when the switch says so. Everything else in the process goes on, as it would beside a loop that waits for
/// an answer which never comes.
pub(super) async fn if_asked_for() {
    let Some(file) = std::env::var_os(SWITCH) else { return };
    if Path::new(&file).exists() {
        log::warn!("{SWITCH}: the loop is stuck on purpose");
        std::future::pending::<()>().await;
    }
}
