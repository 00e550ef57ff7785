//! The text of `holdfast service list`.

use serde_json::Value;

use super::page::{Page, Paint, Tone};
use super::table::table;

/// How much of a release's commit is shown.
const COMMIT_CHARS: usize = 12;

/// Every service of these apps, as `/v3/status` has them.
pub(in crate::cli) fn services(apps: &[&Value], paint: Paint) -> String {
    let mut page = Page::new(paint);
    let rows: Vec<[String; 5]> = apps.iter().flat_map(|app| of_app(app)).collect();
    if rows.is_empty() {
        page.sentence("No service is wanted or there.", Tone::Good);
    } else {
        page.block(&table(["APP", "ID", "SERVICE", "STATUS", "RELEASE"], [20, 10, 20, 18, COMMIT_CHARS], &rows));
    }
    page.finish()
}

fn of_app(app: &Value) -> Vec<[String; 5]> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let row = |service: &Value| {
        let commit: String = text(service, "running_commit").chars().take(COMMIT_CHARS).collect();
        [text(app, "name"), app["id"].to_string(), text(service, "name"), text(service, "status"), commit]
    };
    app["services"].as_array().into_iter().flatten().map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_in_a_table() {
        let service = json!({ "name": "main", "status": "Running", "running_commit": "0123456789abcdef" });
        let app = json!({ "name": "kitchen", "id": 7, "services": [service] });
        let shown = services(&[&app], Paint::Plain);
        assert_eq!(shown, "  APP      ID  SERVICE  STATUS   RELEASE\n  kitchen  7   main     Running  0123456789ab\n");
        assert!(services(&[], Paint::Plain).contains("No service"));
    }
}
