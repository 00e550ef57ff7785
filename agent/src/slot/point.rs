//! Where a suite may cut the power. Nothing of this is in device builds.

/// Names a file with a number in its first line: so many points are passed, then the process kills itself. Processes that come
/// after one another count on in the same file. Points whose names are in its other lines are not counted.
#[cfg(feature = "sandbox")]
const SWITCH: &str = "HOLDFAST_TEST_CUT";

/// A point between two effects.
#[cfg(not(feature = "sandbox"))]
pub(crate) fn point(_name: &str) {}

/// A point between two effects.
#[cfg(feature = "sandbox")]
pub(crate) fn point(name: &str) {
    let Some(file) = std::env::var_os(SWITCH) else { return };
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let (left, others) = text.split_once('\n').unwrap_or((&text, ""));
    if others.lines().any(|other| other == name) {
        return;
    }
    match left.trim().parse::<i64>().ok() {
        Some(0) => {
            // The number stays below zero: a power cut comes once.
            let _ = std::fs::write(&file, format!("-1\n{name}\n"));
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The first process of a container cannot be killed from inside.
            std::process::abort();
        }
        Some(left) if left > 0 => {
            let _ = std::fs::write(&file, format!("{}\n{others}", left - 1));
        }
        _ => {}
    }
}
