//! The agent of the next schema version.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds it, in the same target folder and with the features the suites have, so that it is only linked.
pub fn next_agent() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_holdfast")).parent().expect("cargo puts it into a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--offline", "-p", "holdfast", "--example", "holdfast-next"]);
    build.arg("--target-dir").arg(folder.parent().expect("and that into another")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = build.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("examples/holdfast-next")
}
