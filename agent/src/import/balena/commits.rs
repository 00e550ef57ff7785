//! Table `currentCommit`, before M00006 a named value: the release each app runs entirely.

use holdfast_plan::memory::{Remember, Settled};
use holdfast_plan::target::app_from_document;
use serde_json::Value;

use super::super::error::ImportError;
use super::super::imported::Imported;
use super::apps::Apps;
use super::table::Tables;
use super::values::Config;
use crate::store::Change;

/// Adds the settled releases of the apps whose target is taken over.
pub(super) fn add(imported: &mut Imported, tables: &Tables<'_>, config: &Config, apps: &Apps) -> Result<(), ImportError> {
    let mut commits: Vec<(u64, String)> = Vec::new();
    for row in tables.rows("currentCommit")? {
        let id = row.needed_number("appId")?;
        commits.extend(row.text("commit").filter(|commit| !commit.is_empty()).map(|commit| (id, commit)));
    }
    if let Some(commit) = config.get("currentCommit") {
        commits.extend(apps.commits.keys().map(|id| (*id, commit.to_owned())));
    }
    let mut count = 0;
    for (app_id, commit) in commits {
        let found = apps.of_cloud.iter().chain(&apps.local).find(|(_, app)| app["id"].as_u64() == Some(app_id));
        let Some((uuid, document)) = found else { continue };
        let (document, fingerprint) = if apps.commits.get(&app_id) == Some(&commit) {
            (document.clone(), app_from_document(uuid, document).map(|app| app.fingerprint).unwrap_or_default())
        } else {
            // What the release looked like was overwritten when its successor became the target: there is no way back to it.
            (Value::Null, String::new())
        };
        let settled = Settled { app_id, commit, fingerprint, document };
        imported.change(Change::Remember(Remember::Settle { app_uuid: uuid.clone(), settled }));
        count += 1;
    }
    if count > 0 {
        imported.taken.push(format!("{count} settled release(s)"));
    }
    Ok(())
}
