//! Table `stored_target`.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::super::change::{LOCAL_SOURCE, Loaded, StoredTarget};

const SELECT: &str = "SELECT etag, body FROM stored_target WHERE source = :source AND uuid = :uuid";

const UPSERT: &str = "INSERT INTO stored_target (source, uuid, etag, body) VALUES (:source, :uuid, :etag, :body)
  ON CONFLICT (source, uuid) DO UPDATE SET etag = excluded.etag, body = excluded.body
  WHERE etag IS NOT excluded.etag OR body IS NOT excluded.body";

// The condition of `StoredTarget::replaces`.
const DELETE_REPLACED: &str = "DELETE FROM stored_target
  WHERE uuid <> :uuid OR (:source <> :local AND source <> :source AND source <> :local)";

pub(super) fn load(connection: &Connection, source: &str, uuid: &str, loaded: &mut Loaded) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(SELECT)?;
    let found = select.query_row(named_params! {":source": source, ":uuid": uuid}, |row| Ok((row.get(0)?, row.get(1)?)));
    let found = found.optional()?;
    loaded.target = found.map(|(etag, body)| StoredTarget { source: source.to_owned(), uuid: uuid.to_owned(), etag, body });
    let any = connection.query_row("SELECT EXISTS (SELECT 1 FROM stored_target)", [], |row| row.get(0))?;
    loaded.memory.target_stored = any;
    Ok(())
}

pub(super) fn forget(connection: &Connection, source: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM stored_target WHERE source = ?1")?.execute([source]).map(|_| ())
}

/// Returns how many rows changed.
pub(super) fn write(connection: &Connection, target: &StoredTarget) -> rusqlite::Result<usize> {
    let StoredTarget { source, uuid, etag, body } = target;
    let mut delete = connection.prepare_cached(DELETE_REPLACED)?;
    delete.execute(named_params! {":source": source, ":uuid": uuid, ":local": LOCAL_SOURCE})?;
    let mut upsert = connection.prepare_cached(UPSERT)?;
    upsert.execute(named_params! {":source": source, ":uuid": uuid, ":etag": etag, ":body": body})
}
