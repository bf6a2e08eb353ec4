//! Backs a database file up, and restores it from a copy.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use super::file::{self, Nature, Rights, Unfit, beside, companions, connect, real, refused};
use super::{explain, open_reading};
use crate::failure::{Failure, Side};

/// How long a copy waits for a writer that locks the whole file.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Writes a copy of the database `data`, as it is at one moment, into the new file `copy`. Only its owner can read it.
/// Other programs may go on reading and writing `data`. The copy gets its name only when it is complete and
/// checked. Returns its length in bytes.
///
/// # Errors
/// When `data` is not a database of this program, when `copy` exists, or when the copy cannot be written or is damaged.
pub fn backup(data: &Path, copy: &Path) -> Result<u64, Failure> {
    super::version(data)?;
    let exists = || {
        Failure::permanent(
            Side::Table,
            format!("{} already exists", copy.display()),
            "name a new file, or remove the old copy first",
        )
    };
    if copy.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let partial = beside(copy, &format!(".partial-{}", std::process::id()));
    let written = write_copy(data, &partial).and_then(|length| {
        if copy.symlink_metadata().is_ok() {
            return Err(exists());
        }
        std::fs::rename(&partial, copy).map_err(|error| unwritable(copy, &error))?;
        keep_names(copy)?;
        Ok(length)
    });
    if written.is_err() {
        remove(&partial)?;
    }
    written
}

/// Replaces `data` with the database `copy`, and removes the files that SQLite left beside the old one. The
/// caller has the lock that keeps `serve` away.
///
/// # Errors
/// When `copy` is not an undamaged database of this program, when another program has `data` open, or when it cannot be
/// written. `data` is then unchanged.
pub fn restore(copy: &Path, data: &Path) -> Result<u64, Failure> {
    check_copy(copy)?;
    file::make_if_missing(data)?;
    let data = &real(data);
    if real(copy) == *data {
        return Err(Failure::permanent(
            Side::Table,
            format!("{} is the file itself", copy.display()),
            "name a copy of it",
        ));
    }
    let partial = beside(data, ".restoring");
    remove(&partial)?;
    let restored = write_copy(copy, &partial).and_then(|length| {
        file::owned_like(&partial, data).map_err(|_| {
            Failure::permanent(
                Side::Table,
                format!("{} belongs to another user", data.display()),
                "restore as the user who runs serve",
            )
        })?;
        let alone = alone_on(data)?;
        for companion in companions(data) {
            remove(&companion)?;
        }
        keep_names(data)?;
        std::fs::rename(&partial, data).map_err(|error| unwritable(data, &error))?;
        keep_names(data)?;
        drop(alone);
        Ok(length)
    });
    if restored.is_err() {
        remove(&partial)?;
    }
    restored
}

/// Checks that the file is an undamaged database that this program can read.
///
/// # Errors
/// What is wrong with it.
pub fn check_copy(copy: &Path) -> Result<(), Failure> {
    super::version(copy)?;
    let (connection, _) = open_reading(copy)?;
    match file::is_whole(&connection) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Unfit::Damaged.of(copy)),
        Err(error) => Err(refused(copy)(error)),
    }
}

/// Creates `to`, fills it from `from`, and checks it.
fn write_copy(from: &Path, to: &Path) -> Result<u64, Failure> {
    file::new_file(to).map_err(|error| unwritable(to, &error))?;
    let (source, _) = open_reading(from)?;
    let mut target = connect(to, Rights::Write).map_err(refused(to))?;
    let copied = copy_pages(&source, &mut target, PATIENCE).and_then(|()| {
        // The copy is one file, without a log beside it. `serve` switches to its own mode later.
        target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
        file::is_whole(&target)
    });
    match copied {
        Ok(true) => {}
        Ok(false) => return Err(Unfit::Damaged.of(from)),
        Err(error) => return Err(refused(from)(error)),
    }
    drop(target);
    let length = std::fs::metadata(to).map_err(|error| unwritable(to, &error))?;
    Ok(length.len())
}

/// Copies everything in one step. So the copy is the state of one moment, and no writer makes it start again.
pub(super) fn copy_pages(
    source: &Connection,
    target: &mut Connection,
    patience: Duration,
) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let copying = Backup::new(source, target)?;
    loop {
        match copying.step(-1)? {
            StepResult::Done => return Ok(()),
            _ if begun.elapsed() < patience => std::thread::sleep(PAUSE),
            _ => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None));
            }
        }
    }
}

/// Makes sure that no program has the file open, and keeps others out while the returned connection lives. `None`: no
/// program can work with the file, because it is empty or damaged.
fn alone_on(data: &Path) -> Result<Option<Connection>, Failure> {
    match file::examine(data) {
        Ok(Nature::Ours(_)) | Err(Unfit::Damaged | Unfit::Refused(_)) => {}
        Ok(Nature::Empty) => return Ok(None),
        Err(unfit) => {
            let mut failure = unfit.of(data);
            failure.advice = Some("move that file away, then restore again".to_owned());
            return Err(failure);
        }
    }
    if std::fs::metadata(data).is_ok_and(|found| found.len() == 0) {
        return Ok(None);
    }
    let taken = connect(data, Rights::Write).and_then(|connection| {
        connection.busy_timeout(Duration::from_secs(1))?;
        // Every open connection has a shared lock, and this asks for an exclusive one.
        let mode: String =
            connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok((mode, connection))
    });
    match taken {
        Ok((mode, connection)) if mode == "delete" => Ok(Some(connection)),
        Ok(_) => Err(in_use(data)),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Err(in_use(data)),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ok(None),
            _ => Err(explain(Side::Table, &error)),
        },
    }
}

/// Makes the names of a folder survive a power cut.
fn keep_names(file: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| unwritable(file, &error))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unwritable(path, &error)),
        _ => Ok(()),
    }
}

fn in_use(data: &Path) -> Failure {
    Failure::permanent(
        Side::Table,
        format!("{} is in use", data.display()),
        "end every program that has it open, then restore again",
    )
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::permanent(
        Side::Table,
        format!("{} cannot be written ({})", path.display(), error.kind()),
        "name a file in a folder that this user may write to, with room for it",
    )
}
