//! The agent of the next schema version.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it, in the same target folder, so that only the agent itself is compiled once more: a good minute on a small
/// machine, nothing when it was built before.
pub fn next_agent() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_holdfast")).parent().expect("cargo puts it into a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline", "-p", "holdfast", "--bin", "holdfast-next", "--features", "test-migration"]);
    build.arg("--target-dir").arg(folder.parent().expect("and that into another")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = build.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("holdfast-next")
}
