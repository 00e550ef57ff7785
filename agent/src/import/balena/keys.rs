//! Table `apiSecret`: the local-API keys that running containers carry.

use super::super::error::ImportError;
use super::super::imported::Imported;
use super::apps::Apps;
use super::table::{Row, Tables};
use super::values::Config;
use crate::store::{Change, KeyOwner};

/// Adds the keys.
pub(super) fn add(imported: &mut Imported, tables: &Tables<'_>, config: &Config, apps: &Apps) -> Result<(), ImportError> {
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    for row in tables.rows("apiSecret")? {
        let Some(owner) = owner(&row, apps) else {
            imported.remarks.push(format!("API key row {} belongs to no service of an app: passed over", row.shown()));
            continue;
        };
        let key = row.text("key").unwrap_or_default();
        let is_key = key.len() == 32 && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_key || !seen.insert(key.clone()) {
            let what = if is_key { "repeats a key" } else { "does not hold 32 hex digits" };
            imported.remarks.push(format!("API key row {} {what}: its owner gets a new one", row.shown()));
            continue;
        }
        let scopes = row.text("scopes").filter(|_| owner.is_some()).filter(|scopes| is_list(scopes));
        imported.change(Change::ApiKey { owner: owner.clone(), key });
        // The global key has all of them; what cannot be read gives way to what such a key usually has.
        if let Some(scopes) = scopes {
            imported.change(Change::KeyScopes { owner, scopes });
        }
        count += 1;
    }
    if count > 0 {
        imported.taken.push(format!("{count} API key(s)"));
    }
    if config.get("apiSecret").is_some() {
        let remark =
            "its one API key for all services is not kept: the first service that carries it keeps it, others get their own";
        imported.remarks.push(remark.to_owned());
    }
    Ok(())
}

/// Whether a text is a JSON array.
fn is_list(text: &str) -> bool {
    serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).is_ok()
}

/// Whose key a row holds. The global one has no service; before M00007 a service was known by its id.
fn owner(row: &Row<'_>, apps: &Apps) -> Option<KeyOwner> {
    let app = row.number("appId").unwrap_or_default();
    let by_id = row.number("serviceId");
    match row.text("serviceName").filter(|name| !name.is_empty()) {
        Some(service) => Some(Some((app, service))),
        None if app == 0 => Some(None),
        None => by_id.and_then(|id| apps.services.get(&(app, id))).map(|name| Some((app, name.clone()))),
    }
}
