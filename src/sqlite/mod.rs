//! The embedded database: one file for ledger, store and queue.
//!
//! Statements run on tokio's blocking threads, one at a time; other processes may use the same file.
//! Every write is one immediate transaction, so nobody decides on a state that somebody else is
//! changing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::Mutex;

use crate::failure::{Failure, Side};

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One script per version; the database's `user_version` counts those that ran.
const MIGRATIONS: &[&str] = &[include_str!("001.sql"), include_str!("002.sql")];

/// An open database. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Database {
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens the file, makes it if it is missing, and brings it to the present version.
    ///
    /// The file holds names: a new one can be read by its owner only.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let made = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .private()
            .open(path);
        if made.is_err() {
            return Err(Failure::permanent(
                Side::Table,
                format!("{} cannot be opened for writing", path.display()),
                "name a file in a folder that exists and that this user may write to",
            ));
        }
        Self::prepare(Connection::open(path))
    }

    /// A database that is gone when the last clone is dropped.
    pub fn in_memory() -> Result<Self, Failure> {
        Self::prepare(Connection::open_in_memory())
    }

    fn prepare(opened: rusqlite::Result<Connection>) -> Result<Self, Failure> {
        let mut connection = opened.map_err(|error| explain(Side::Table, &error))?;
        set_up(&mut connection).map_err(|error| explain(Side::Table, &error))?;
        let version = migrate(&mut connection).map_err(|error| explain(Side::Table, &error))?;
        if version > MIGRATIONS.len() {
            return Err(Failure::permanent(
                Side::Table,
                format!(
                    "the database has version {version}, this program knows {}",
                    MIGRATIONS.len()
                ),
                "use the program version that wrote the file, or a newer one",
            ));
        }
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Runs `work` in one immediate transaction; it is rolled back when `work` fails, and when the
    /// returned future was dropped before it could be committed.
    pub(crate) async fn write<T, F>(&self, side: Side, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        // Whoever answers "not recorded" because it took too long drops this future: then it has to
        // be true. Only a commit that is under way cannot be called back.
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
        // Waiting for the connection takes no thread.
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        tokio::task::spawn_blocking(move || work(&mut connection))
            .await
            .map_err(|_| Failure::retryable(side, "a database thread was stopped"))?
            .map_err(|error| explain(side, &error))
    }
}

fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A 204 to Okta means that the event is durable. NORMAL would survive kill -9 too, but a power
    // cut could take the last commits along; FULL costs one fsync a commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    for script in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(script)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    transaction.commit()?;
    Ok(version.max(MIGRATIONS.len()))
}

fn explain(side: Side, error: &rusqlite::Error) -> Failure {
    // SQLite's text can quote values; its code says enough.
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
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure => {
            let mut failure = Failure::retryable(side, what);
            failure.advice = Some("make room on the disk, and check that it is healthy".to_owned());
            failure
        }
        ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            Failure::permanent(
                side,
                what,
                "let this user read and write the file and its folder",
            )
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Failure::permanent(
            side,
            what,
            "the file is damaged or not a database of this program: restore it from a copy",
        ),
        _ => Failure::permanent(side, what, "report this as a bug"),
    }
}

trait Private {
    fn private(&mut self) -> &mut Self;
}

impl Private for std::fs::OpenOptions {
    #[cfg(unix)]
    fn private(&mut self) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600)
    }

    #[cfg(not(unix))]
    fn private(&mut self) -> &mut Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        Database::open(&file).unwrap();
        Database::open(&file).unwrap();
        let newer = MIGRATIONS.len() as i64 + 1;
        let connection = Connection::open(&file).unwrap();
        connection
            .pragma_update(None, "user_version", newer)
            .unwrap();
        let failure = Database::open(&file).unwrap_err();
        assert!(!failure.is_retryable());
        assert!(failure.to_string().contains("newer"), "{failure}");
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, newer);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        std::fs::write(&file, "not a database ".repeat(100)).unwrap();
        assert!(!Database::open(&file).unwrap_err().is_retryable());
        let nowhere = folder.path().join("missing/a.db");
        assert!(!Database::open(&nowhere).unwrap_err().is_retryable());
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_a_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let _open = Database::open(&file).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }
}
