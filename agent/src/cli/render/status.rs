//! The text of `holdfast status`: the verdict first, then the device, its apps, and whatever is not as it should be.

use super::page::{Page, Paint, Tone};
use super::table::table;
use super::words::{bar, commit, duration, image, size};
use crate::api::{
    AppRow, Cloud, Database, DeviceRow, DoingRow, FaultRow, ProvisioningRow, RefusedRow, ServiceRow, Status, WaitRow,
};
use crate::version::AGENT_VERSION;

/// Room that a database should find on its partition: for its log, and a backup.
const LEAST_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// The whole page.
pub(in crate::cli) fn status(status: &Status, paint: Paint) -> String {
    let mut page = Page::new(paint);
    verdict(&mut page, status);
    page.gap();
    device(&mut page, status);
    status.apps.iter().for_each(|app| app_table(&mut page, app));
    section(&mut page, "Doing", &status.doing, doing_text);
    section(&mut page, "Waiting", &status.waiting, wait_text);
    refused_apps(&mut page, &status.refused);
    section(&mut page, "Not supported, and left out", &status.unsupported, |row| {
        format!("{}{}: {}", whom(Some(&row.app), row.service.as_deref()), row.path, row.message)
    });
    section(&mut page, "Wrong", &status.faults, fault_text);
    section(&mut page, "Wrong in the settings", &status.settings, fault_text);
    page.finish()
}

fn verdict(page: &mut Page, status: &Status) {
    let tone = match status.phase.name.as_str() {
        "settled" => Tone::Good,
        "engine-away" => Tone::Bad,
        _ => Tone::Held,
    };
    let since = status.phase.since.as_ref().map(|since| format!(" (since {})", duration(since.ago_ms))).unwrap_or_default();
    page.sentence(&format!("{}{since}", status.phase.text), tone);
    if !status.health.healthy {
        page.sentence(&format!("The agent is not healthy: {}", status.health.reasons.join("; ")), Tone::Bad);
    }
}

fn device(page: &mut Page, status: &Status) {
    let row = &status.device;
    page.field("Device", &device_text(row));
    let mut agent = format!("holdfast {} (compatible with {})", row.agent_version, row.compatible_version);
    if !row.agent_version.is_empty() && row.agent_version != AGENT_VERSION {
        agent.push_str(&format!("; this command line is {AGENT_VERSION}"));
    }
    page.field("Agent", &agent);
    let engine = status.engine.as_ref();
    page.field(
        "Engine",
        &engine.map_or_else(
            || "has not answered yet".into(),
            |e| format!("{} {}, API {}, {}", e.name, e.version, e.api_version, e.address),
        ),
    );
    page.field("Cloud", &cloud_text(&status.cloud));
    let cloud = &status.cloud;
    for (what, error, failures) in
        [("poll", &cloud.poll_error, cloud.poll_failures), ("report", &cloud.report_error, cloud.report_failures)]
    {
        if let Some(error) = error {
            let times = if failures > 1 { format!(" ({failures} in a row)") } else { String::new() };
            page.field("", &format!("last {what} failed{times}: {error}"));
        }
    }
    if !cloud.report_refused_apps.is_empty() {
        page.field("", &format!("the cloud refuses reports of: {}", cloud.report_refused_apps.join(", ")));
    }
    if let Some(wrong) = database_text(&status.database) {
        page.field("Database", &wrong);
    }
    if let Some(recovery) = &status.database.recovery {
        page.field("Database", &recovery.message);
    }
}

fn device_text(row: &DeviceRow) -> String {
    let mut parts = vec![row.name.clone().unwrap_or_else(|| "(no name)".into())];
    match (&row.device_type, &row.arch) {
        (Some(kind), Some(arch)) => parts.push(format!("{kind} ({arch})")),
        (Some(one), None) | (None, Some(one)) => parts.push(one.clone()),
        (None, None) => {}
    }
    parts.extend(row.os.clone());
    parts.push(if row.uuid.is_empty() { "no uuid yet".into() } else { row.uuid.clone() });
    parts.join(", ")
}

fn cloud_text(cloud: &Cloud) -> String {
    if cloud.endpoint.is_empty() {
        return "none: this device is not managed by a cloud".into();
    }
    if let Some(joining) = &cloud.provisioning {
        return provisioning_text(joining);
    }
    let mut parts = vec![cloud.endpoint.clone()];
    parts.push(cloud.last_poll.as_ref().map_or("not polled yet".into(), |at| format!("polled {} ago", duration(at.ago_ms))));
    parts.extend(cloud.next_poll.as_ref().map(|at| format!("next poll {}", due(at.in_ms))));
    parts
        .push(cloud.last_report.as_ref().map_or("not reported yet".into(), |at| format!("reported {} ago", duration(at.ago_ms))));
    parts.extend(cloud.next_report.as_ref().map(|at| format!("next report {}", due(at.in_ms))));
    parts.join(", ")
}

fn provisioning_text(joining: &ProvisioningRow) -> String {
    let mut text = joining.doing.clone();
    if let Some(error) = &joining.error {
        let times = if joining.failures > 1 { format!(" ({} in a row)", joining.failures) } else { String::new() };
        text.push_str(&format!(", last error{times}: {error}"));
    }
    if let Some(at) = &joining.next_try {
        text.push_str(&format!(", next try {}", due(at.in_ms)));
    }
    text
}

fn due(in_ms: i64) -> String {
    if in_ms < 1000 { "now".into() } else { format!("in {}", duration(in_ms)) }
}

/// What is wrong with the database; nothing is said of one that is well.
fn database_text(database: &Database) -> Option<String> {
    let mut wrong = Vec::new();
    if !database.open {
        wrong.push("NOT OPEN".to_owned());
    } else if !matches!(database.journal_mode.as_str(), "wal" | "") {
        wrong.push(format!("without a write-ahead log (journal mode {})", database.journal_mode));
    }
    if let Some(free) = database.free_bytes.filter(|free| *free < LEAST_FREE_BYTES) {
        wrong.push(format!("only {} left on its partition", size(free)));
    }
    if let Some(backup) = database.newest_backup.as_ref().filter(|backup| !backup.verified) {
        wrong.push(format!("the newest backup {} did not pass its check", backup.path));
    }
    wrong.extend(database.error.clone());
    (!wrong.is_empty()).then(|| format!("{}: {}", database.path, wrong.join("; ")))
}

fn app_table(page: &mut Page, app: &AppRow) {
    let release = match (&app.settled_commit, &app.wanted_commit) {
        (Some(settled), Some(wanted)) if settled == wanted => format!("release {}", commit(wanted)),
        (Some(settled), Some(wanted)) => format!("release {} -> {}", commit(settled), commit(wanted)),
        (None, Some(wanted)) => format!("release (none) -> {}", commit(wanted)),
        (Some(settled), None) => format!("release {} -> (none)", commit(settled)),
        (None, None) => "no release".into(),
    };
    let how_far = app.update_status.as_ref().map(|status| format!(", {status}")).unwrap_or_default();
    page.heading(&format!("App {} ({}): {release}{how_far}", app.name, app.id));
    if app.services.is_empty() {
        page.item("no services");
        return;
    }
    let rows: Vec<[String; 5]> = app.services.iter().map(service_cells).collect();
    page.block(&table(["SERVICE", "STATE", "RELEASE", "IMAGE", "SINCE"], [18, 20, 18, 16, 12], &rows));
}

fn service_cells(service: &ServiceRow) -> [String; 5] {
    let release = match (&service.running_commit, &service.wanted_commit) {
        (Some(running), Some(wanted)) if running == wanted => commit(running),
        (Some(running), Some(wanted)) => format!("{} -> {}", commit(running), commit(wanted)),
        (Some(one), None) => format!("{} -> none", commit(one)),
        (None, Some(one)) => commit(one),
        (None, None) => String::new(),
    };
    let since = service.started.as_ref().filter(|_| service.state.as_deref() == Some("running"));
    [
        service.name.clone(),
        service_state(service),
        release,
        image(&service.image),
        since.map(|since| duration(since.ago_ms)).unwrap_or_default(),
    ]
}

/// A service's state in a few words: what its container does, else how far its image is.
fn service_state(service: &ServiceRow) -> String {
    let download = service.progress.map(|percent| format!("downloading {percent} %"));
    let Some(state) = &service.state else {
        return download.unwrap_or_else(|| if service.image_present { "image ready".into() } else { "not there yet".into() });
    };
    let mut text = match service.status.as_str() {
        "Installing" | "Starting" | "Stopping" => service.status.to_lowercase(),
        _ => state.clone(),
    };
    if let (Some(code), "exited") = (service.exit_code, state.as_str()) {
        text.push_str(&format!(" ({code})"));
    }
    if let (Some(health), "running") = (&service.health, state.as_str()) {
        text.push_str(&format!(", {health}"));
    }
    text
}

/// A list below a heading, unless it is empty.
pub(super) fn section<T>(page: &mut Page, heading: &str, rows: &[T], text: impl Fn(&T) -> String) {
    if !rows.is_empty() {
        page.heading(heading);
        rows.iter().for_each(|row| page.item(&text(row)));
    }
}

/// One step that is being carried out.
pub(super) fn doing_text(row: &DoingRow) -> String {
    let progress = row.progress.map(|percent| format!("{} ", bar(percent))).unwrap_or_default();
    format!("{progress}{}{} (for {})", whom(row.app.as_deref(), row.service.as_deref()), row.text, duration(row.since.ago_ms))
}

/// One thing that is waited for.
pub(super) fn wait_text(row: &WaitRow) -> String {
    let mut text = format!("{}{}", whom(Some(&row.app), row.service.as_deref()), row.text);
    if let Some(since) = &row.since {
        text.push_str(&format!(" (since {})", duration(since.ago_ms)));
    }
    if let Some(until) = &row.until {
        text.push_str(&format!(" ({})", due(until.in_ms)));
    }
    text
}

/// Whom a line is about, with a colon.
pub(super) fn whom(app: Option<&str>, service: Option<&str>) -> String {
    match (app, service) {
        (Some(app), Some(service)) => format!("{app}/{service}: "),
        (Some(one), None) | (None, Some(one)) => format!("{one}: "),
        (None, None) => String::new(),
    }
}

/// Apps whose part of the target is refused, with every offence.
pub(super) fn refused_apps(page: &mut Page, refused: &[RefusedRow]) {
    if refused.is_empty() {
        return;
    }
    page.heading("Refused: these apps are left as they are");
    for app in refused {
        let release = app.commit.as_ref().map(|text| format!(", release {}", commit(text))).unwrap_or_default();
        app.offences
            .iter()
            .for_each(|offence| page.item(&format!("{}{release}: {}: {}", app.app, offence.path, offence.message)));
    }
}

fn fault_text(row: &FaultRow) -> String {
    format!("{}: {}", row.subject, row.message)
}

#[cfg(test)]
mod tests;
