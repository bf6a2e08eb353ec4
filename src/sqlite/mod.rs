//! The embedded database: one file for ledger, store and queue.
//!
//! Statements run on tokio's blocking threads, one at a time. Other processes may use the same file.
//! Every write is one immediate transaction, so that no writer decides on a state that another one is
//! changing. A write counts only if the file is still in its place afterwards.

mod copy;
mod file;
pub(crate) mod rows;
mod watched;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::Mutex;

use crate::failure::{Cause, Failure, Side};

use file::{Nature, Rights, Unfit, refused, unread};
use watched::{Identity, QuietFile, Watched};

pub use copy::{backup, check_copy, restore};
pub(crate) use file::owned_like;
pub use file::{files, make_if_missing};
pub use watched::Loss;

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One script for each version. The database's `user_version` counts those that ran.
const MIGRATIONS: &[&str] = &[
    include_str!("001.sql"),
    include_str!("002.sql"),
    include_str!("003.sql"),
    include_str!("004.sql"),
    include_str!("005.sql"),
    include_str!("006.sql"),
];

/// An open database. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Database {
    connection: Arc<Mutex<Opened>>,
    place: Arc<Storage>,
}

/// A connection. Rust drops the fields in order, so the connection is closed before its place is dropped.
#[derive(Debug)]
struct Opened {
    connection: Connection,
    _place: Arc<Storage>,
}

/// Where a database is, and which files must not change there.
#[derive(Debug)]
enum Storage {
    Memory,
    /// Open to write, with the opener's lock.
    Watched(
        PathBuf,
        Watched,
        #[expect(dead_code, reason = "it is kept alive, not read")] Box<dyn Any + Send + Sync>,
    ),
    /// Open to read, by SQLite's own locks.
    Shared,
    /// Open to read, without locks, while no other program has it open.
    QuietFile(PathBuf, QuietFile),
}

impl Database {
    /// Opens the file, creates it if it is missing, and migrates it to the current version.
    ///
    /// Only its owner can read a new file, because the file has names. A file of another program is refused and not
    /// changed. [`Database::another`] opens a second connection to the same file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_locked(path, ())
    }

    /// As [`Database::open`], and keeps `lock` until the last connection to the file is closed. A lock on the file itself
    /// must live that long, because closing its descriptor drops SQLite's locks.
    pub(crate) fn open_locked(path: &Path, lock: impl Any + Send + Sync) -> Result<Self, Failure> {
        make_if_missing(path)?;
        let before = std::fs::metadata(path).map(|found| Identity::of(&found));
        let before = before.map_err(|_| Unfit::Unreadable.of(path))?;
        let nature = file::examine(path);
        let mut connection = file::connect(path, Rights::Write).map_err(refused(path))?;
        let nature = match nature {
            // A killed program left a journal, so only a connection that may write can read the file.
            Err(Unfit::Refused(_)) => file::nature(&connection),
            other => other,
        };
        if let Nature::Ours(version) = nature.map_err(|unfit| unfit.of(path))? {
            known(version)?;
        }
        set_up(&mut connection)
            .and_then(|()| migrate(&mut connection))
            .map_err(refused(path))?;
        let watched = Watched::new(path, &before)?;
        let place = Storage::Watched(path.to_owned(), watched, Box::new(lock));
        Ok(Self::of(connection, Arc::new(place)))
    }

    /// Another connection to the same file, for callers that must not wait for this one.
    pub fn another(&self) -> Result<Self, Failure> {
        let path = match &*self.place {
            Storage::Watched(path, watched, _) => {
                watched.check()?;
                path
            }
            Storage::QuietFile(path, _) => return Self::open_to_read(path),
            Storage::Memory | Storage::Shared => return Ok(self.clone()),
        };
        let mut connection = file::connect(path, Rights::Write).map_err(refused(path))?;
        set_up(&mut connection).map_err(refused(path))?;
        Ok(Self::of(connection, self.place.clone()))
    }

    /// Opens an existing file to read it. Creates, migrates and marks nothing. A file of an older version is read as if
    /// it were migrated.
    pub fn open_to_read(path: &Path) -> Result<Self, Failure> {
        if version(path)? < MIGRATIONS.len() {
            return Self::snapshot(path);
        }
        let (connection, place) = open_reading(path)?;
        Ok(Self::of(connection, Arc::new(place)))
    }

    /// A copy of an existing file, in memory and migrated to the current version. Writes to it do not reach the file.
    pub fn snapshot(path: &Path) -> Result<Self, Failure> {
        version(path)?;
        let (source, _) = open_reading(path)?;
        let mut memory =
            Connection::open_in_memory().map_err(|error| explain(Side::Table, &error))?;
        copy::copy_pages(&source, &mut memory, BUSY_TIMEOUT)
            .and_then(|()| migrate(&mut memory))
            .map_err(refused(path))?;
        Ok(Self::of(memory, Arc::new(Storage::Memory)))
    }

    /// A database in memory, which is gone when the last clone is dropped.
    pub fn in_memory() -> Result<Self, Failure> {
        let opened = Connection::open_in_memory();
        let made = opened.and_then(|mut connection| {
            set_up(&mut connection)?;
            migrate(&mut connection)?;
            Ok(connection)
        });
        let connection = made.map_err(|error| explain(Side::Table, &error))?;
        Ok(Self::of(connection, Arc::new(Storage::Memory)))
    }

    fn of(connection: Connection, place: Arc<Storage>) -> Self {
        let opened = Opened {
            connection,
            _place: Arc::clone(&place),
        };
        Self {
            connection: Arc::new(Mutex::new(opened)),
            place,
        }
    }

    /// What happened to the file, if this process lost it. Every later read and write fails.
    pub fn loss(&self) -> Option<Loss> {
        match &*self.place {
            Storage::Watched(_, watched, _) => watched.loss(),
            Storage::Memory | Storage::Shared | Storage::QuietFile(..) => None,
        }
    }

    /// Runs `work` in one immediate transaction. It is rolled back when `work` fails, and when the returned future is
    /// dropped before the commit.
    pub(crate) async fn write<T, F>(&self, side: Side, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        // A caller that ran out of time drops this future and answers "not recorded". That answer must be true, so the
        // transaction ends without a commit. Only a commit that has begun cannot be stopped.
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let result = self
            .run(side, move |connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&transaction)?;
                if still_wanted.strong_count() == 0 {
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                }
                transaction.commit()?;
                Ok(result)
            })
            .await;
        drop(wanted);
        result
    }

    /// Runs `work`, which only reads, on one consistent state.
    pub(crate) async fn read<T, F>(&self, side: Side, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run(side, move |connection| {
            let transaction = connection.transaction()?;
            work(&transaction)
        })
        .await
    }

    async fn run<T, F>(&self, side: Side, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let place = Arc::clone(&self.place);
        // Waiting for the connection takes no thread.
        let mut opened = Arc::clone(&self.connection).lock_owned().await;
        let outcome = tokio::task::spawn_blocking(move || {
            place.check()?;
            let result = work(&mut opened.connection).map_err(|error| explain(side, &error))?;
            // A commit into a deleted file is not durable.
            place.check()?;
            Ok(result)
        })
        .await;
        match outcome {
            Ok(result) => result.map_err(|failure: Failure| Failure { side, ..failure }),
            Err(_) => Err(Failure::retryable(side, "a database thread was stopped")),
        }
    }
}

impl Storage {
    /// Fails if the file is no longer the one that was opened.
    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Memory | Self::Shared => Ok(()),
            Self::Watched(_, watched, _) => watched.check(),
            Self::QuietFile(path, still) if QuietFile::of(path).as_ref() == Some(still) => Ok(()),
            Self::QuietFile(..) => Err(Failure::retryable(
                Side::Table,
                "another program began to write the database file; try again",
            )),
        }
    }
}

/// The version of an existing database of this program.
///
/// # Errors
/// When the file is not such a database, or a newer program wrote it.
pub fn version(path: &Path) -> Result<usize, Failure> {
    match file::examine(path) {
        Ok(Nature::Ours(version)) => known(version),
        Ok(Nature::Empty) => Err(Unfit::Foreign.of(path)),
        Err(Unfit::Refused(error)) => Err(unread(path)(error)),
        Err(unfit) => Err(unfit.of(path)),
    }
}

/// The same version, if this program can work with it.
fn known(version: usize) -> Result<usize, Failure> {
    if version <= MIGRATIONS.len() {
        return Ok(version);
    }
    Err(Failure::permanent(
        Side::Table,
        format!(
            "the database has version {version}, this program knows {}",
            MIGRATIONS.len()
        ),
        "use the program version that wrote the file, or a newer one",
    ))
}

/// Opens a file to read it.
fn open_reading(path: &Path) -> Result<(Connection, Storage), Failure> {
    let (opened, place) = match QuietFile::of(path) {
        Some(still) => {
            let place = Storage::QuietFile(path.to_owned(), still);
            (file::connect_to_quiet(path), place)
        }
        None => (file::connect(path, Rights::Read), Storage::Shared),
    };
    let connection = opened.map_err(unread(path))?;
    Ok((connection, place))
}

fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A 204 to Okta means that the event is durable. NORMAL would survive kill -9, too, but a power
    // cut could lose the last commits. FULL costs one fsync a commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    for script in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(script)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    let mark: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if mark != file::MARK {
        transaction.pragma_update(None, "application_id", file::MARK)?;
    }
    transaction.commit()
}

fn explain(side: Side, error: &rusqlite::Error) -> Failure {
    // SQLite's text can quote values, and its code says enough.
    let Some(code) = error.sqlite_error_code() else {
        return Failure::permanent(
            side,
            "a value in the embedded database cannot be read",
            "restore the file from a copy, or correct the row by hand",
        );
    };
    let what = format!("the embedded database refused ({code:?})");
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::OperationInterrupted
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OutOfMemory
        | ErrorCode::SchemaChanged => Failure::retryable(side, what),
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure => Failure::retryable(side, what)
            .advising("make room on the disk, and check that it is healthy"),
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            Failure::retryable(side, what)
                .advising("let this user read and write the file and its folder")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Failure::retryable(side, what)
            .because(Cause::BadRecord)
            .advising(
                "the file is damaged or not a database of this program: restore it from a copy",
            ),
        _ => Failure::retryable(side, what)
            .because(Cause::Defect)
            .advising("report this as a bug"),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
