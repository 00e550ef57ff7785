//! The end of the host's journal, where there is one to be asked.

use std::process::Command;
use std::time::Duration;

use super::super::process::run;
use super::super::scene::Scene;

const LIMIT: Duration = Duration::from_secs(8);
const MOST_BYTES: usize = 3 * 1024 * 1024;
/// Lines that are asked for.
const LINES: &str = "4000";
/// Where a host keeps its journals.
const FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// The last lines of these units.
///
/// # Errors
/// In words, when there is no journal or nobody to read it.
pub(super) async fn tail(scene: &Scene, units: &'static [&'static str]) -> Result<String, String> {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--output=short-iso", "--lines", LINES]);
    command.args(units.iter().map(|unit| format!("--unit={unit}")));
    if !scene.is_host() {
        let folder = FOLDERS.iter().map(|folder| scene.on_host(folder)).find(|folder| folder.is_dir());
        let folder = folder.ok_or("the host's journal is not to be seen here")?;
        command.arg(format!("--directory={}", folder.display()));
    }
    let ran = tokio::task::spawn_blocking(move || run(&mut command, LIMIT, MOST_BYTES)).await;
    let ran = ran.map_err(|error| error.to_string())?.map_err(|error| format!("journalctl: {error}"))?;
    if ran.output.is_empty() {
        return Err("the journal holds nothing of it".to_owned());
    }
    Ok(String::from_utf8_lossy(&ran.output).into_owned())
}
