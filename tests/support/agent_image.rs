//! Images of the agent, made from nothing but a binary.

use std::path::Path;
use std::process::Command;

use super::{Engine, unique};

/// An image with a binary and the libraries it is linked with, and nothing else. `changes` are instructions of a Dockerfile
/// beside its entry point.
pub fn agent_image(engine: &Engine, program: &Path, changes: &[&str]) -> String {
    let root = tempfile::tempdir().expect("a temporary folder");
    let place = |path: &str| {
        let there = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(there.parent().expect("it is below the root")).expect("a folder");
        there
    };
    let own = place("/usr/bin/holdfast");
    std::fs::copy(program, &own).expect("the binary is there");
    // A debug build is large; where it cannot be stripped it is taken as it is.
    let _ = Command::new("strip").arg(&own).status();
    let libraries = Command::new("ldd").arg(program).output().expect("ldd is there");
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        std::fs::copy(word, place(word)).expect("the library is there");
    }
    std::fs::create_dir(root.path().join("tmp")).expect("a folder");
    let tar = Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).output().expect("tar is there");
    assert!(tar.status.success());
    let name = format!("holdfast-test-{}", unique());
    let entry = "ENTRYPOINT [\"/usr/bin/holdfast\"]";
    let changes: String =
        [entry].iter().chain(changes).map(|change| format!("&changes={}", super::http::encode(change))).collect();
    let path = format!("/images/create?fromSrc=-&repo={name}&tag=made{changes}");
    let made = engine.try_call("POST", &path, &tar.stdout).expect("the engine answers");
    assert!(made.status == 200 && !made.text().contains("errorDetail"), "{}", made.text());
    format!("{name}:made")
}
