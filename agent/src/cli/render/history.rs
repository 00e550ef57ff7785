//! The text of `holdfast target history`.

use serde_json::Value;

use super::page::{Page, Paint};
use super::table::table;
use super::words::{commit, duration};
use crate::api::{History, SnapshotRow};
use crate::store::SnapshotKind;

/// The whole page.
pub(in crate::cli) fn history(history: &History, paint: Paint) -> String {
    let mut page = Page::new(paint);
    if history.snapshots.is_empty() {
        page.item("nothing is kept yet");
        return page.finish();
    }
    let rows: Vec<[String; 4]> = history.snapshots.iter().map(cells).collect();
    page.block(&table(["ID", "STATE", "WHEN", "APPS"], [8, 8, 14, 200], &rows));
    page.finish()
}

fn cells(row: &SnapshotRow) -> [String; 4] {
    let kind = match row.kind {
        SnapshotKind::Target => "wanted",
        SnapshotKind::Current => "reached",
    };
    let when = row.taken.as_ref().map_or_else(|| "?".into(), |taken| format!("{} ago", duration(taken.ago_ms)));
    let state = serde_json::from_str(row.state.get()).unwrap_or_default();
    let apps = apps(row.kind, &state);
    [row.id.to_string(), kind.into(), when, if apps.is_empty() { "none".into() } else { apps.join(", ") }]
}

/// Each app with its release and how many services.
fn apps(kind: SnapshotKind, state: &Value) -> Vec<String> {
    let device = match kind {
        // A target holds one device, under its uuid.
        SnapshotKind::Target => state.as_object().and_then(|devices| devices.values().next()).unwrap_or(&Value::Null),
        SnapshotKind::Current => state,
    };
    device["apps"].as_object().into_iter().flat_map(|apps| apps.values()).map(|app| app_text(kind, app)).collect()
}

fn app_text(kind: SnapshotKind, app: &Value) -> String {
    let release = app["releases"].as_object().and_then(|releases| releases.iter().next());
    let (release, services) = match kind {
        SnapshotKind::Target => (release.map(|(commit, _)| commit.as_str()), release.map(|(_, release)| &release["services"])),
        SnapshotKind::Current => (app["settled"].as_str(), Some(&app["services"])),
    };
    let services = services.and_then(Value::as_object).map_or(0, |services| services.len());
    let release = release.map_or_else(|| "no release".into(), commit);
    let plural = if services == 1 { "" } else { "s" };
    format!("{} {release} ({services} service{plural})", app["name"].as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::api::Ago;

    #[test]
    fn both_kinds_in_one_table() {
        let row = |id, kind, taken, state: Value| SnapshotRow {
            id,
            kind,
            taken,
            source: None,
            shortened: false,
            state: to_raw_value(&state).unwrap(),
        };
        let app = serde_json::json!({ "name": "fleet", "settled": "0123456789", "services": { "a": {}, "b": {} } });
        let target = serde_json::json!({ "u": { "apps": { "x": { "name": "fleet", "releases": { "0123456789": { "services": { "a": {} } } } } } } });
        let text = history(
            &History {
                snapshots: vec![
                    row(
                        3,
                        SnapshotKind::Current,
                        Some(Ago { ago_ms: 61_000, utc: None }),
                        serde_json::json!({ "apps": { "x": app } }),
                    ),
                    row(2, SnapshotKind::Target, None, target),
                    row(1, SnapshotKind::Target, None, serde_json::json!({ "bytes": 5 })),
                ],
            },
            Paint::Plain,
        );
        let expected = "  ID  STATE    WHEN           APPS\n  3   reached  1 min 1 s ago  fleet 0123456 (2 services)\n  \
                        2   wanted   ?              fleet 0123456 (1 service)\n  1   wanted   ?              none\n";
        assert_eq!(text, expected);
        assert_eq!(history(&History::default(), Paint::Plain), "  nothing is kept yet\n");
    }
}
