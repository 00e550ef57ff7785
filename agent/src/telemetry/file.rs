//! `telemetry.sqlite`: what is kept over a restart. It may be lost without harm: what cannot be used of it is set aside, and
//! it is begun anew.
//!
//! A connection is open only while the file is read or written, so that it costs no memory in between.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_plan::target::AppId;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::book::MOST_SERVICES;
use super::ring::{CHUNK_BYTES, Head, Shape};
use super::series::{Series, TIERS};

/// SQLite's `application_id` of the file: `HLDT`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"HLDT");
/// Form of its tables.
const VERSION: i32 = 1;
/// With less room than this on the partition nothing is written: others need it more.
const LEAST_FREE_BYTES: u64 = 8 * 1024 * 1024;
/// How long another program's lock is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Rings of one series in the file, and chunks of one ring.
const RINGS: u32 = 4;
const CHUNKS: u32 = 64;

/// `ring.id` is `series.id * 4 + tier`, `chunk.id` is `ring.id * 64 + number`.
const SCHEMA: &str = "
    CREATE TABLE series (id INTEGER PRIMARY KEY, app INTEGER NOT NULL, service TEXT NOT NULL) STRICT;
    CREATE TABLE ring (id INTEGER PRIMARY KEY, step_ms INTEGER NOT NULL, rows INTEGER NOT NULL,
                       step INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
    CREATE TABLE chunk (id INTEGER PRIMARY KEY, cells BLOB NOT NULL) STRICT;";

/// Pieces of a ring, with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RingDraft {
    pub tier: usize,
    pub shape: Shape,
    pub head: Head,
    pub chunks: Vec<(usize, Vec<u8>)>,
}

/// A series as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub id: u32,
    pub app: AppId,
    pub service: String,
    pub rings: Vec<RingDraft>,
}

/// What there is to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    /// Whether it is all there is: nothing else may stay in the file.
    pub whole: bool,
    pub gone: Vec<u32>,
    pub series: Vec<Stored>,
}

impl Draft {
    /// Takes what changed out of a series.
    pub fn take(&mut self, id: u32, app: AppId, service: &str, series: &mut Series) {
        let rings = series.rings.iter_mut().enumerate().filter(|(_, ring)| ring.is_changed());
        let rings: Vec<RingDraft> = rings
            .filter_map(|(tier, ring)| {
                let (shape, head) = (ring.shape(), ring.head()?);
                Some(RingDraft { tier, shape, head, chunks: ring.take_changes() })
            })
            .collect();
        if !rings.is_empty() {
            self.series.push(Stored { id, app, service: service.to_owned(), rings });
        }
    }
}

/// Why the file was not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{path}: only {free_bytes} bytes are free there; statistics stay in memory until there is room")]
    NoRoom { path: String, free_bytes: u64 },
    #[error("{path}: {cause}; statistics stay in memory, tried again in an hour")]
    Io { path: String, cause: io::Error },
    #[error("{path}: {cause}; statistics stay in memory, tried again in an hour")]
    Sqlite { path: String, cause: rusqlite::Error },
    #[error("{path}: it is not a file of statistics ({why}); it is begun anew")]
    Unusable { path: String, why: String },
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub fn new(path: PathBuf) -> File {
        File { path }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Hands over everything the file has, series by series, so that there are never two copies of all; nothing when there is
    /// no file. One that cannot be used is set aside.
    pub fn read(&self, take: impl FnMut(Stored)) -> Result<(), FileError> {
        if !self.exists() {
            return Ok(());
        }
        let read = self.open().and_then(|connection| self.judged(stored(&connection, take)));
        read.inspect_err(|error| self.set_aside(error))
    }

    /// Writes what changed, in one transaction.
    pub fn write(&self, draft: &Draft) -> Result<(), FileError> {
        self.require_room()?;
        if !self.exists() {
            self.judged_io(OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path))?;
        }
        let written = self.open().and_then(|mut connection| self.judged(put(&mut connection, draft)));
        written.inspect_err(|error| self.set_aside(error))
    }

    /// Opens the file and sees to it that it is one of ours; an empty one becomes one.
    fn open(&self) -> Result<Connection, FileError> {
        let present = self.judged_io(fs::metadata(&self.path))?;
        if present.permissions().mode() & 0o077 != 0 {
            self.judged_io(fs::set_permissions(&self.path, Permissions::from_mode(0o600)))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.judged(Connection::open_with_flags(&self.path, flags))?;
        let (application, version) = self.judged(prepare(&connection))?;
        if (application, version) != (APPLICATION_ID, VERSION) {
            let why = format!("application {application}, version {version}");
            return Err(FileError::Unusable { path: self.name(), why });
        }
        Ok(connection)
    }

    fn judged<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, FileError> {
        outcome.map_err(|cause| {
            let damaged = matches!(
                cause.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch | ErrorCode::Unknown)
            ) || cause.sqlite_error_code().is_none();
            match damaged {
                true => FileError::Unusable { path: self.name(), why: cause.to_string() },
                false => FileError::Sqlite { path: self.name(), cause },
            }
        })
    }

    fn judged_io<T>(&self, outcome: io::Result<T>) -> Result<T, FileError> {
        outcome.map_err(|cause| FileError::Io { path: self.name(), cause })
    }

    fn require_room(&self) -> Result<(), FileError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match rustix::fs::statvfs(folder) {
            Ok(stat) => match stat.f_bavail.saturating_mul(stat.f_frsize) {
                free_bytes if free_bytes < LEAST_FREE_BYTES => Err(FileError::NoRoom { path: self.name(), free_bytes }),
                _ => Ok(()),
            },
            Err(errno) => Err(FileError::Io { path: self.name(), cause: errno.into() }),
        }
    }

    /// Moves a file that cannot be used out of the way; of several the last is kept.
    fn set_aside(&self, error: &FileError) {
        if !matches!(error, FileError::Unusable { .. }) {
            return;
        }
        let beside = |suffix: &str| {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            PathBuf::from(path)
        };
        // A journal beside another file of this name would be played back into that one.
        let _ = fs::remove_file(beside("-journal"));
        if let Err(cause) = fs::rename(&self.path, beside(".damaged")) {
            log::warn!("{}: it cannot be set aside: {cause}", self.path.display());
        }
    }
}

/// Sets a connection up, makes the tables in an empty file, and tells whose file it is.
fn prepare(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -256;",
    )?;
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    if (number("application_id")?, number("page_count")?) == (0, 0) {
        let begin = format!("BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; {SCHEMA} COMMIT;");
        connection.execute_batch(&begin)?;
    }
    Ok((number("application_id")?, number("user_version")?))
}

fn put(connection: &mut Connection, draft: &Draft) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if draft.whole {
        transaction.execute_batch("DELETE FROM chunk; DELETE FROM ring; DELETE FROM series;")?;
    }
    for id in &draft.gone {
        transaction.execute("DELETE FROM series WHERE id = ?1", [id])?;
        let rings = [id.saturating_mul(RINGS), id.saturating_mul(RINGS).saturating_add(RINGS - 1)];
        transaction.execute("DELETE FROM ring WHERE id BETWEEN ?1 AND ?2", rings)?;
        let chunks = [rings[0].saturating_mul(CHUNKS), rings[1].saturating_mul(CHUNKS).saturating_add(CHUNKS - 1)];
        transaction.execute("DELETE FROM chunk WHERE id BETWEEN ?1 AND ?2", chunks)?;
    }
    for Stored { id, app, service, rings } in &draft.series {
        let app = i64::try_from(*app).unwrap_or(i64::MAX);
        transaction.execute(
            "INSERT INTO series VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET app = ?2, service = ?3
             WHERE app <> ?2 OR service <> ?3",
            params![id, app, service],
        )?;
        for RingDraft { tier, shape, head, chunks } in rings {
            let ring = id.saturating_mul(RINGS).saturating_add(*tier as u32);
            transaction.execute(
                "INSERT OR REPLACE INTO ring VALUES (?1, ?2, ?3, ?4, ?5)",
                params![ring, shape.step_ms, shape.rows as i64, head.step, head.place as i64],
            )?;
            for (number, cells) in chunks {
                let chunk = ring.saturating_mul(CHUNKS).saturating_add(*number as u32);
                transaction.execute(
                    "INSERT INTO chunk VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET cells = excluded.cells",
                    params![chunk, cells],
                )?;
            }
        }
    }
    transaction.commit()
}

fn stored(connection: &Connection, mut take: impl FnMut(Stored)) -> rusqlite::Result<()> {
    let mut series = connection.prepare("SELECT id, app, service FROM series ORDER BY id LIMIT ?1")?;
    let row = |row: &rusqlite::Row<'_>| {
        let app = AppId::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        Ok(Stored { id: row.get(0)?, app, service: row.get(2)?, rings: Vec::new() })
    };
    let found = series.query_map([MOST_SERVICES as i64 + 1], row)?.collect::<rusqlite::Result<Vec<Stored>>>()?;
    for mut one in found {
        for tier in 0..TIERS {
            let ring = one.id.saturating_mul(RINGS).saturating_add(tier as u32);
            one.rings.extend(stored_ring(connection, tier, ring)?);
        }
        take(one);
    }
    Ok(())
}

fn stored_ring(connection: &Connection, tier: usize, ring: u32) -> rusqlite::Result<Option<RingDraft>> {
    let mut rings = connection.prepare("SELECT step_ms, rows, step, place FROM ring WHERE id = ?1")?;
    let mut found = rings.query([ring])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let number = |column: usize| row.get::<_, i64>(column).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    let shape = Shape { step_ms: row.get(0)?, rows: number(1)? };
    let head = Head { step: row.get(2)?, place: number(3)? };
    let first = ring.saturating_mul(CHUNKS);
    let mut chunks = connection.prepare("SELECT id - ?1, cells FROM chunk WHERE id BETWEEN ?1 AND ?2 AND length(cells) <= ?3")?;
    let pieces = chunks.query_map([first, first.saturating_add(CHUNKS - 1), CHUNK_BYTES as u32], |row| {
        Ok((row.get::<_, u32>(0)? as usize, row.get(1)?))
    })?;
    Ok(Some(RingDraft { tier, shape, head, chunks: pieces.collect::<rusqlite::Result<_>>()? }))
}

#[cfg(test)]
mod tests;
