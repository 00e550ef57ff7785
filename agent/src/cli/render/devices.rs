//! The text of `holdfast status` of several devices: a line each, and below them what stands in the way.

use super::page::{Page, Paint};
use super::status::wait_text;
use super::table::table;
use super::words::commit;
use crate::api::{AppRow, Status};

/// One device.
pub(in crate::cli) struct DeviceLine {
    /// As it was named on the command line.
    pub host: String,
    /// What it answered, or why it did not; `None` while it has not yet.
    pub status: Option<Result<Status, String>>,
}

/// The whole page.
pub(in crate::cli) fn devices(lines: &[DeviceLine], paint: Paint) -> String {
    let mut page = Page::new(paint);
    let rows: Vec<[String; 5]> = lines.iter().map(cells).collect();
    page.block(&table(["DEVICE", "NAME", "STATE", "RELEASES", "AGENT"], [24, 12, 14, 18, 8], &rows));
    section(&mut page, "No answer", lines, |status| status.as_ref().err().cloned().into_iter().collect());
    section(&mut page, "Waiting", lines, |status| {
        status.iter().flat_map(|status| status.waiting.iter().map(wait_text)).collect()
    });
    section(&mut page, "Wrong", lines, |status| {
        let faults =
            |status: &Status| status.faults.iter().map(|fault| format!("{}: {}", fault.subject, fault.message)).collect();
        status.as_ref().map_or_else(|_| Vec::new(), faults)
    });
    page.finish()
}

fn section(page: &mut Page, heading: &str, lines: &[DeviceLine], texts: impl Fn(&Result<Status, String>) -> Vec<String>) {
    let mut begun = false;
    for line in lines {
        for text in line.status.as_ref().map(&texts).unwrap_or_default() {
            if !begun {
                page.heading(heading);
                begun = true;
            }
            page.item(&format!("{}: {text}", short(&line.host)));
        }
    }
}

fn cells(line: &DeviceLine) -> [String; 5] {
    let host = short(&line.host).to_owned();
    let status = match &line.status {
        None => return [host, String::new(), "asked".into(), String::new(), String::new()],
        Some(Err(_)) => return [host, String::new(), "no answer".into(), String::new(), String::new()],
        Some(Ok(status)) => status,
    };
    let mut state = status.phase.name.clone();
    if !status.health.healthy {
        state.push_str(", unhealthy");
    }
    let releases: Vec<String> = status.apps.iter().map(release).collect();
    [host, status.device.name.clone().unwrap_or_default(), state, releases.join(", "), status.device.agent_version.clone()]
}

/// Every line begins with it, so what is the same in all is left out.
fn short(host: &str) -> &str {
    host.strip_prefix("ssh://").unwrap_or(host)
}

fn release(app: &AppRow) -> String {
    let release = |text: &Option<String>| text.as_deref().map_or_else(|| "none".into(), commit);
    let (settled, wanted) = (release(&app.settled_commit), release(&app.wanted_commit));
    if settled == wanted { format!("{} {settled}", app.name) } else { format!("{} {settled} -> {wanted}", app.name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DeviceRow, Health, PhaseRow, WaitRow};

    #[test]
    fn one_that_is_away_has_a_line_like_the_others() {
        let app = AppRow { name: "till".into(), settled_commit: Some("0123456789".into()), ..AppRow::default() };
        let status = Status {
            device: DeviceRow { name: Some("shed".into()), agent_version: "1.0.0".into(), ..DeviceRow::default() },
            phase: PhaseRow { name: "waiting".into(), ..PhaseRow::default() },
            health: Health { healthy: true, reasons: Vec::new() },
            apps: vec![AppRow { wanted_commit: Some("abcdef0123".into()), ..app }],
            waiting: vec![WaitRow { app: "till".into(), text: "held by an update lock".into(), ..WaitRow::default() }],
            ..Status::default()
        };
        let lines = [
            DeviceLine { host: "ssh://root@a".into(), status: Some(Ok(status)) },
            DeviceLine { host: "ssh://b".into(), status: Some(Err("ssh could not reach it".into())) },
            DeviceLine { host: "ssh://c".into(), status: None },
        ];
        let expected = "  DEVICE  NAME  STATE      RELEASES                 AGENT\n  \
                        root@a  shed  waiting    till 0123456 -> abcdef0  1.0.0\n  \
                        b             no answer\n  \
                        c             asked\n\n\
                        No answer\n  b: ssh could not reach it\n\n\
                        Waiting\n  root@a: till: held by an update lock\n";
        assert_eq!(devices(&lines, Paint::Terminal { columns: 80, colours: false }), expected);
    }
}
