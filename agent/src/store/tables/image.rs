//! Table `image`.

use holdfast_plan::memory::{ImageRecord, Memory};
use holdfast_plan::target::ImageRef;
use rusqlite::{Connection, named_params};

use super::{signed, unsigned};

const SELECT: &str = "SELECT reference, engine_id, app_uuid, service, size_bytes, pulled_ms FROM image";

const UPSERT: &str = "INSERT INTO image (reference, engine_id, app_uuid, service, size_bytes, pulled_ms)
  VALUES (:reference, :engine_id, :app_uuid, :service, :size_bytes, :pulled_ms)
  ON CONFLICT (reference) DO UPDATE SET engine_id = excluded.engine_id, app_uuid = excluded.app_uuid,
    service = excluded.service, size_bytes = excluded.size_bytes, pulled_ms = excluded.pulled_ms
  WHERE (engine_id, app_uuid, service, size_bytes, pulled_ms)
    IS NOT (excluded.engine_id, excluded.app_uuid, excluded.service, excluded.size_bytes, excluded.pulled_ms)";

pub(super) fn load(connection: &Connection, memory: &mut Memory) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(SELECT)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let reference: String = row.get(0)?;
        let image: ImageRef = match reference.parse() {
            Ok(image) => image,
            Err(error) => {
                log::warn!("table image: a row is passed over: {error}");
                continue;
            }
        };
        let record = ImageRecord {
            image,
            engine_id: row.get(1)?,
            app_uuid: row.get(2)?,
            service: row.get(3)?,
            size_bytes: unsigned(row, 4)?,
            pulled_ms: row.get(5)?,
        };
        memory.images.insert(reference, record);
    }
    Ok(())
}

pub(super) fn write(connection: &Connection, record: &ImageRecord) -> rusqlite::Result<()> {
    let values = named_params! {
        ":reference": record.image.to_string(),
        ":engine_id": record.engine_id,
        ":app_uuid": record.app_uuid,
        ":service": record.service,
        ":size_bytes": signed(record.size_bytes)?,
        ":pulled_ms": record.pulled_ms,
    };
    connection.prepare_cached(UPSERT)?.execute(values).map(|_| ())
}

pub(super) fn forget(connection: &Connection, reference: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM image WHERE reference = ?1")?.execute([reference]).map(|_| ())
}
