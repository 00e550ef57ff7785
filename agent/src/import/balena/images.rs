//! Table `image`: what was pulled, so that it goes when nothing needs it any more.

use std::collections::BTreeMap;

use holdfast_plan::memory::{ImageRecord, Remember};
use holdfast_plan::target::ImageRef;

use super::super::error::ImportError;
use super::super::imported::Imported;
use super::apps::Apps;
use super::table::Tables;
use crate::store::Change;

/// Adds the images. balena keeps a row for each release that used one; here each is one record, as the newest row has it.
pub(super) fn add(imported: &mut Imported, tables: &Tables<'_>, apps: &Apps) -> Result<(), ImportError> {
    let mut records: BTreeMap<String, ImageRecord> = BTreeMap::new();
    for row in tables.rows("image")? {
        // Before the multi-container schema the table was another one; images of dependent devices were never this one's.
        if !row.has("appId") || row.flag("dependent") {
            continue;
        }
        let image: ImageRef = match row.text("name").unwrap_or_default().parse() {
            Ok(image) => image,
            Err(error) => {
                imported.remarks.push(format!("image row {} is passed over: {error}", row.shown()));
                continue;
            }
        };
        let app_id = row.number("appId").unwrap_or_default();
        let uuid = row.text("appUuid").or_else(|| apps.uuids.get(&app_id).cloned()).unwrap_or_else(|| app_id.to_string());
        let record = ImageRecord {
            image,
            engine_id: row.text("dockerImageId").unwrap_or_default(),
            app_uuid: uuid,
            service: row.text("serviceName").unwrap_or_default(),
            size_bytes: 0,
            pulled_ms: None,
        };
        records.insert(record.image.to_string(), record);
    }
    if !records.is_empty() {
        imported.taken.push(format!("{} image(s)", records.len()));
    }
    for record in records.into_values() {
        imported.change(Change::Remember(Remember::Image(record)));
    }
    Ok(())
}
