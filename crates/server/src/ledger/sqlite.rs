//! The ledger's storage in one SQLite file: write-ahead log, every commit synced to disk before it is answered.
//!
//! One connection writes; readers have their own and never wait for it. Besides the leaves, the hash of every complete
//! run of 256 siblings is stored (the tiles of C2SP tlog-tiles), so that any proof reads a few hundred hashes at most.

use super::store::{LedgerStore, NewEntry, RowRef, Seen, StoreError};
use api::write::Text;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use trust::{
    Digest,
    log::{Frontier, ProofError},
};

/// The shape of the tables that this program reads and writes.
const SCHEMA_VERSION: i64 = 1;
/// SQLite before 3.51.3 can lose commits when the write-ahead log is reset while another connection checkpoints.
const OLDEST_SQLITE: i32 = 3_051_003;
/// A tile is 2^8 siblings.
const TILE_HEIGHT: u32 = 8;
/// Connections kept open for readers; more are opened, and closed again, while more read at once.
const IDLE_READERS: usize = 4;

const SCHEMA: &str = "
    CREATE TABLE schema (version INTEGER NOT NULL);
    -- The leaf stands before the bytes: reading it alone never walks the overflow pages of a long entry.
    CREATE TABLE entries (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL, bytes BLOB NOT NULL);
    CREATE TABLE tiles (level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (level, number)) WITHOUT ROWID;
    -- The primary key is the table itself. Request ids begin with their time, so that inserts touch few pages.
    CREATE TABLE requests (actor TEXT NOT NULL, request_id TEXT NOT NULL, number INTEGER NOT NULL, payload BLOB,
        PRIMARY KEY (actor, request_id)) WITHOUT ROWID;
    CREATE TABLE texts (digest BLOB PRIMARY KEY, salt TEXT NOT NULL, text TEXT NOT NULL);
";

/// How long an opener waits for the file's lock: a server that is just ending, or a child between fork and exec, has it
/// for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

fn wait_for_lock(lock: &File) -> Result<(), std::fs::TryLockError> {
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Err(_) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            taken => return taken,
        }
    }
}

/// The ledger's storage in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Held as long as the store is open: a second writer would decide on a state that is not the newest.
    _lock: File,
}

impl SqliteStore {
    /// Opens `ledger.sqlite` in `folder`, or makes it, readable by its owner alone. Fails while another process has it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        require_version(rusqlite::version_number())?;
        let failed =
            |source: std::io::Error| StoreError::Failed { doing: "opening the ledger's file", source: source.into() };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = private_file(&folder.join("ledger.lock")).map_err(failed)?;
        wait_for_lock(&lock).map_err(|_| {
            StoreError::Unusable(format!(
                "another process serves the ledger in {}; stop it first, a ledger has one writer",
                folder.display()
            ))
        })?;
        let path = folder.join("ledger.sqlite");
        // SQLite gives its side files the mode of the main one, so the main one is made first, with the mode it is to have.
        private_file(&path).map_err(failed)?;
        // What a server that was killed had written and not synced is read, answered for and acted on from here: no loss of
        // power may take it back any more.
        for written in [folder.join("ledger.sqlite-wal"), path.clone(), folder.to_path_buf()] {
            match File::open(&written).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        let mut writer = Connection::open(&path).map_err(|e| of_sqlite("opening the ledger", e))?;
        prepare_writer(&mut writer)?;
        Ok(Self { path, writer: Mutex::new(writer), readers: Mutex::default(), _lock: lock })
    }

    /// A panic while the connection was held left no transaction behind: dropping one rolls it back.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let opened = Connection::open_with_flags(&self.path, flags).and_then(|connection| {
                    connection.busy_timeout(Duration::from_secs(10))?;
                    Ok(connection)
                });
                opened.map_err(|e| of_sqlite(doing, e))?
            }
        };
        let result = read(&connection);
        let mut idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() && idle.len() < IDLE_READERS {
            idle.push(connection);
        }
        result
    }

    /// Makes every append that needs a new page fail as a full disk does; 0 lifts the limit.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, limited: bool) {
        let writer = self.writer();
        let pages: i64 = writer.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let most = if limited { pages } else { 1 << 30 };
        writer.pragma_update_and_check(None, "max_page_count", most, |_| Ok(())).unwrap();
    }

    /// Runs statements as somebody who tampers with the file would.
    #[cfg(test)]
    pub(super) fn tamper(&self, statements: &str) {
        self.writer().execute_batch(statements).unwrap();
    }
}

/// Copies the ledger in `folder`, which may be served, as of one moment into the new file `copy`.
pub(crate) fn snapshot_of(folder: &Path, copy: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| of_sqlite("copying the ledger", error);
    let path = copy.to_str().ok_or_else(|| StoreError::Unusable(format!("{} is not UTF-8", copy.display())))?;
    let ledger = Connection::open_with_flags(folder.join("ledger.sqlite"), flags).map_err(failed)?;
    ledger.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    ledger.execute("VACUUM INTO ?1", [path]).map_err(failed)?;
    let synced = File::open(copy).and_then(|copy| copy.sync_all());
    synced.map_err(|source| StoreError::Failed { doing: "copying the ledger", source: source.into() })
}

fn require_version(version: i32) -> Result<(), StoreError> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(StoreError::Unusable(format!(
        "this program was built with SQLite {}.{}.{}, which can lose commits; build it with the bundled one, 3.51.3 or newer",
        version / 1_000_000,
        version / 1_000 % 1_000,
        version % 1_000
    )))
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn prepare_writer(writer: &mut Connection) -> Result<(), StoreError> {
    let failed = |e| of_sqlite("preparing the ledger", e);
    writer.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    let mode: String = writer.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "the ledger's disk does not allow a write-ahead log (SQLite answers '{mode}'); put the folder on a local disk"
        )));
    }
    // FULL syncs the write-ahead log at every commit; secure_delete overwrites erased texts. Pages go from the log into
    // the file 16 MB at a time: those that most batches touch then go once for many batches.
    for (pragma, value) in [
        ("synchronous", "full"),
        ("fullfsync", "on"),
        ("checkpoint_fullfsync", "on"),
        ("journal_size_limit", "67108864"),
        ("wal_autocheckpoint", "4096"),
    ] {
        writer.pragma_update(None, pragma, value).map_err(failed)?;
    }
    writer.pragma_update_and_check(None, "secure_delete", "on", |_| Ok(())).map_err(failed)?;
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let made: bool = transaction
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'schema'", [], |row| row.get(0))
        .map_err(failed)?;
    if !made {
        transaction.execute_batch(SCHEMA).map_err(failed)?;
        transaction.execute("INSERT INTO schema (version) VALUES (?1)", [SCHEMA_VERSION]).map_err(failed)?;
    }
    let version: i64 = transaction.query_row("SELECT version FROM schema", [], |row| row.get(0)).map_err(failed)?;
    if version != SCHEMA_VERSION {
        return Err(StoreError::Unusable(format!(
            "the ledger's tables have version {version} and this program knows {SCHEMA_VERSION}; use the newer program"
        )));
    }
    transaction.commit().map_err(failed)
}

impl LedgerStore for SqliteStore {
    fn head(&self) -> Result<u64, StoreError> {
        self.reading("reading the ledger's head", newest)
    }

    fn append(&self, batch: &[NewEntry]) -> Result<(), StoreError> {
        let failed = |e| of_sqlite("writing entries", e);
        let mut writer = self.writer();
        // Dropping the transaction on any error rolls it back.
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let first = newest(&transaction)? + 1;
        for (expected, entry) in (first..).zip(batch) {
            if entry.row.number != expected {
                return Err(StoreError::NotNext { expected, found: entry.row.number });
            }
            insert(&transaction, entry).map_err(failed)?;
            store_tiles(&transaction, expected)?;
        }
        transaction.commit().map_err(failed)?;
        if batch.iter().any(|entry| !entry.erases.is_empty()) {
            empty_log(&writer).map_err(failed)?;
        }
        Ok(())
    }

    fn scan(&self, from: u64, count: u64, take: &mut dyn FnMut(RowRef<'_>)) -> Result<(), StoreError> {
        let failed = |e| of_sqlite("reading entries", e);
        self.reading("reading entries", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT number, leaf, bytes FROM entries WHERE number >= ?1 ORDER BY number LIMIT ?2")
                .map_err(failed)?;
            let mut rows = statement.query([signed(from), signed(count)]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let read = || -> rusqlite::Result<_> {
                    let bytes = row.get_ref(2)?.as_blob().map_err(|e| {
                        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Blob, e.into())
                    })?;
                    Ok(RowRef { number: unsigned(row.get(0)?), leaf: Digest::from_bytes(row.get(1)?), bytes })
                };
                take(read().map_err(failed)?);
            }
            Ok(())
        })
    }

    fn requests(&self, asked: &[(String, String)]) -> Result<Vec<Option<Seen>>, StoreError> {
        let failed = |e| of_sqlite("looking up requests", e);
        // The writer's own connection: every commit empties the page caches of the others.
        let mut writer = self.writer();
        let transaction = writer.transaction().map_err(failed)?;
        let mut statement = transaction
            .prepare_cached("SELECT number, payload FROM requests WHERE actor = ?1 AND request_id = ?2")
            .map_err(failed)?;
        let mut look_up = |(actor, request_id): &(String, String)| {
            let seen = statement.query_row([actor, request_id], |row| {
                let payload: Option<[u8; 32]> = row.get(1)?;
                Ok(Seen { number: unsigned(row.get(0)?), payload: payload.map(Digest::from_bytes) })
            });
            seen.optional().map_err(failed)
        };
        asked.iter().map(&mut look_up).collect()
    }

    fn each_request(&self, take: &mut dyn FnMut((&str, &str), Seen)) -> Result<(), StoreError> {
        const DOING: &str = "reading requests";
        let failed = |e| of_sqlite(DOING, e);
        self.reading(DOING, |connection| {
            let mut statement =
                connection.prepare("SELECT actor, request_id, number, payload FROM requests").map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let read = || -> rusqlite::Result<(String, String, Seen)> {
                    let payload: Option<[u8; 32]> = row.get(3)?;
                    let seen = Seen { number: unsigned(row.get(2)?), payload: payload.map(Digest::from_bytes) };
                    Ok((row.get(0)?, row.get(1)?, seen))
                };
                let (actor, request_id, seen) = read().map_err(failed)?;
                take((&actor, &request_id), seen);
            }
            Ok(())
        })
    }

    fn entries_by(&self, actor: &str) -> Result<Vec<u64>, StoreError> {
        const DOING: &str = "looking up somebody's entries";
        let failed = |e| of_sqlite(DOING, e);
        self.reading(DOING, |connection| {
            let mut statement = connection
                .prepare_cached("SELECT number FROM requests WHERE actor = ?1 ORDER BY number")
                .map_err(failed)?;
            let numbers = statement.query_map([actor], |row| row.get(0).map(unsigned)).map_err(failed)?;
            numbers.collect::<rusqlite::Result<_>>().map_err(failed)
        })
    }

    fn subtree(&self, level: u32, index: u64) -> Result<Digest, StoreError> {
        let missing = ProofError::Missing { level, index };
        let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let width = 1u64 << height;
        let begin = index.checked_mul(width).ok_or(missing)?;
        let hashes = self.reading("reading hashes", |connection| siblings(connection, tile_level, begin, width))?;
        if hashes.len() as u64 != width {
            return Err(missing.into());
        }
        Ok(root_of(&hashes))
    }

    fn text(&self, digest: &Digest) -> Result<Option<Text>, StoreError> {
        const DOING: &str = "reading a text";
        self.reading(DOING, |connection| {
            let text =
                connection.query_row("SELECT salt, text FROM texts WHERE digest = ?1", [digest.as_bytes()], |row| {
                    Ok(Text { salt: row.get(0)?, text: row.get(1)? })
                });
            text.optional().map_err(|e| of_sqlite(DOING, e))
        })
    }

    fn each_text(&self, take: &mut dyn FnMut(&Digest, Text)) -> Result<(), StoreError> {
        const DOING: &str = "reading texts";
        let failed = |e| of_sqlite(DOING, e);
        self.reading(DOING, |connection| {
            let mut statement = connection.prepare("SELECT digest, salt, text FROM texts").map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let read = || -> rusqlite::Result<(Digest, Text)> {
                    Ok((Digest::from_bytes(row.get(0)?), Text { salt: row.get(1)?, text: row.get(2)? }))
                };
                let (digest, text) = read().map_err(failed)?;
                take(&digest, text);
            }
            Ok(())
        })
    }
}

/// The write-ahead log still holds what was erased. Emptying it may have to wait for readers; then a later one does.
fn empty_log(writer: &Connection) -> rusqlite::Result<()> {
    writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn newest(connection: &Connection) -> Result<u64, StoreError> {
    let newest = connection
        .prepare_cached("SELECT ifnull(max(number), 0) FROM entries")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    newest.map(unsigned).map_err(|e| of_sqlite("reading the ledger's head", e))
}

fn insert(connection: &Connection, entry: &NewEntry) -> rusqlite::Result<()> {
    let NewEntry { row, actor, request_id, payload, texts, erases } = entry;
    let number = signed(row.number);
    connection.prepare_cached("INSERT INTO entries (number, leaf, bytes) VALUES (?1, ?2, ?3)")?.execute(params![
        number,
        row.leaf.as_bytes(),
        row.bytes
    ])?;
    connection
        .prepare_cached("INSERT INTO requests (actor, request_id, number, payload) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![actor, request_id, number, payload.as_ref().map(Digest::as_bytes)])?;
    for (digest, text) in texts {
        connection
            .prepare_cached("INSERT INTO texts (digest, salt, text) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute(params![digest.as_bytes(), text.salt, text.text])?;
    }
    for digest in &erases.digests {
        connection.prepare_cached("DELETE FROM texts WHERE digest = ?1")?.execute([digest.as_bytes()])?;
    }
    for saying in &erases.saying {
        connection.prepare_cached("DELETE FROM texts WHERE text = ?1")?.execute([saying])?;
    }
    Ok(())
}

/// Stores the hash of every tile that the entry numbered `size` completes.
fn store_tiles(connection: &Connection, size: u64) -> Result<(), StoreError> {
    let width = 1u64 << TILE_HEIGHT;
    let (mut level, mut complete) = (0, size);
    while complete.is_multiple_of(width) {
        let hashes = siblings(connection, level, complete - width, width)?;
        level += 1;
        complete /= width;
        connection
            .prepare_cached("INSERT INTO tiles (level, number, hash) VALUES (?1, ?2, ?3)")
            .and_then(|mut statement| {
                statement.execute(params![level, signed(complete - 1), root_of(&hashes).as_bytes()])
            })
            .map_err(|e| of_sqlite("writing hashes", e))?;
    }
    Ok(())
}

/// Up to `count` stored hashes of one level of tiles, from `begin` on; those of level 0 are the leaves.
fn siblings(connection: &Connection, tile_level: u32, begin: u64, count: u64) -> Result<Vec<Digest>, StoreError> {
    let read = || -> rusqlite::Result<Vec<Digest>> {
        let hash = |row: &rusqlite::Row<'_>| row.get(0).map(Digest::from_bytes);
        if tile_level == 0 {
            return connection
                .prepare_cached("SELECT leaf FROM entries WHERE number > ?1 ORDER BY number LIMIT ?2")?
                .query_map([signed(begin), signed(count)], hash)?
                .collect();
        }
        connection
            .prepare_cached("SELECT hash FROM tiles WHERE level = ?1 AND number >= ?2 ORDER BY number LIMIT ?3")?
            .query_map([i64::from(tile_level), signed(begin), signed(count)], hash)?
            .collect()
    };
    read().map_err(|e| of_sqlite("reading hashes", e))
}

fn root_of(hashes: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

/// SQLite counts in signed numbers. No ledger reaches the largest; asking beyond it finds nothing.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn of_sqlite(doing: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(error.to_string()),
        _ => StoreError::Failed { doing, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::conformance;

    #[test]
    fn conforms() {
        conformance::run(|| tempfile::tempdir().unwrap(), |folder| Box::new(SqliteStore::open(folder.path()).unwrap()));
    }

    #[test]
    fn the_bundled_sqlite_is_new_enough_and_an_old_one_is_refused() {
        assert!(require_version(rusqlite::version_number()).is_ok());
        let refused = require_version(3_051_002).unwrap_err().to_string();
        assert!(refused.contains("3.51.2"), "{refused}");
    }

    #[test]
    fn every_commit_is_synced_and_nobody_else_reads_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        store.append(&conformance::batch(1, 1)).unwrap();
        let pragma = |name| store.writer().pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("secure_delete")), (2, 1));
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap()).collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }

    #[test]
    fn a_ledger_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let first = SqliteStore::open(folder.path()).unwrap();
        assert!(matches!(SqliteStore::open(folder.path()), Err(StoreError::Unusable(_))));
        drop(first);
        assert!(SqliteStore::open(folder.path()).is_ok());
    }

    #[test]
    fn tables_of_a_newer_program_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        SqliteStore::open(folder.path()).unwrap().tamper("UPDATE schema SET version = 2");
        assert!(matches!(SqliteStore::open(folder.path()), Err(StoreError::Unusable(_))));
    }

    #[test]
    fn an_erased_text_is_no_longer_in_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path()).unwrap();
        let mut batch = conformance::batch(1, 1);
        let text = Text { salt: "00".into(), text: "the reason nobody may read".into() };
        batch[0].texts = vec![(text.digest(), text.clone())];
        store.append(&batch).unwrap();
        let on_disk = || {
            let files = fs::read_dir(folder.path()).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
            files.into_iter().any(|bytes| bytes.windows(text.text.len()).any(|part| part == text.text.as_bytes()))
        };
        assert!(on_disk());
        let mut erasing = conformance::batch(2, 1);
        erasing[0].erases.digests = vec![text.digest()];
        store.append(&erasing).unwrap();
        assert!(!on_disk());
    }
}
