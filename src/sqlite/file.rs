//! The only place that opens database files.
//!
//! SQLite's locks on a file belong to the whole process. Closing any other descriptor of the file drops them all, even a
//! descriptor that only read (SQLite, "How To Corrupt An SQLite Database File", 2.2). Another program that closes the
//! file then believes that it was the last one, and deletes the write-ahead log while this program uses it. So this
//! module creates a missing file, and `serve` locks it, before the first connection. After that only SQLite opens it.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the place that opens databases"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use url::Url;

use super::{BUSY_TIMEOUT, explain};
use crate::failure::{Failure, Side};

/// The `application_id` of this program's files: "OkAn".
pub(super) const MARK: i32 = 0x4f6b_416e;
/// Files of these versions have no mark.
const UNMARKED: std::ops::RangeInclusive<i64> = 1..=2;
/// Tables that every version of the file has.
const TABLES: [&str; 4] = ["documents", "events", "messages", "user_links"];
/// SQLite's files beside a database file.
const LOG: &str = "-wal";
const INDEX: &str = "-shm";
const JOURNAL: &str = "-journal";
/// The smallest page of a database.
const MIN_BYTES: u64 = 512;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// It is still empty.
    Empty,
    /// A database of this program, of this version.
    Ours(usize),
}

/// Whether a connection may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    Write,
    Read,
}

/// Creates an empty file that only its owner can read, if there is no file with this name. An empty file that is there
/// becomes one.
///
/// # Errors
/// When it cannot be created.
pub fn make_if_missing(path: &Path) -> Result<(), Failure> {
    match new_file(path) {
        Ok(()) => {
            let _ = owned_like(path, folder_of(path));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0) {
                close_to_others(path);
            }
            Ok(())
        }
        Err(_) => Err(Failure::permanent(
            Side::Table,
            format!("{} cannot be opened for writing", path.display()),
            "name a file in a folder that exists and that this user may write to",
        )),
    }
}

/// Creates a file that does not exist yet, for its owner only.
pub(super) fn new_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Lets only the owner read a file. Somebody else's file keeps its mode, and `doctor` reports that.
fn close_to_others(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().unwrap_or(path);
    match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    }
}

/// Gives a new file the owner of `model`, because a file that root creates in the folder of a service user must belong to
/// that user. Fails if this user may not do so.
pub(crate) fn owned_like(path: &Path, model: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        if let [Ok(is), Ok(wanted)] = [path, model].map(std::fs::metadata)
            && (is.uid(), is.gid()) != (wanted.uid(), wanted.gid())
        {
            return chown(path, Some(wanted.uid()), Some(wanted.gid()));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, model);
    Ok(())
}

/// The names of a database file and of the files that SQLite keeps beside it, whether they exist or not.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(companions(&real(path)));
    files
}

/// The names of the write-ahead log, its index and the rollback journal of a database file.
pub(super) fn companions(path: &Path) -> [PathBuf; 3] {
    [LOG, INDEX, JOURNAL].map(|ending| beside(path, ending))
}

/// The name of a file beside another one.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Opens an existing file. Does not read it yet.
pub(super) fn connect(path: &Path, rights: Rights) -> rusqlite::Result<Connection> {
    let access = match rights {
        Rights::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Rights::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens an existing file that no program has open, without creating even SQLite's own files beside it.
///
/// SQLite takes no locks then, and closing the connection would drop those of another connection in this process. There
/// is no other connection, because a connection that is set up has a write-ahead log, and then the file is not quiet
/// ([`is_quiet`]).
pub(super) fn connect_to_quiet(path: &Path) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Ok(mut address) = Url::from_file_path(&absolute) else {
        return Err(rusqlite::Error::InvalidPath(absolute));
    };
    address.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(address.as_str(), flags)
}

/// Whether no program has the file open in WAL mode, and none left a log or journal beside it.
pub(super) fn is_quiet(path: &Path) -> bool {
    let [log, _, journal] = companions(&real(path));
    !log.exists() && !journal.exists()
}

/// The file itself if the path is a link to it, because SQLite's own files are beside that file.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Looks into a file without changing it or anything beside it.
pub(super) fn examine(path: &Path) -> Result<Nature, Unfit> {
    let length = std::fs::metadata(path)
        .map_err(|_| Unfit::Unreadable)?
        .len();
    if length < MIN_BYTES {
        let [log, ..] = companions(&real(path));
        let waits = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
        return match length {
            // SQLite would delete the log when it opens the file, and the log may have acknowledged events.
            0 if waits => Err(Unfit::Damaged),
            0 => Ok(Nature::Empty),
            _ => Err(Unfit::Foreign),
        };
    }
    let connection = match is_quiet(path) {
        true => connect_to_quiet(path),
        false => connect(path, Rights::Read),
    };
    nature(&connection?)
}

/// The kind of file, as a connection sees it.
pub(super) fn nature(connection: &Connection) -> Result<Nature, Unfit> {
    let reading = connection.unchecked_transaction()?;
    let mark: i32 = reading.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = reading.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables = |name: &str| {
        let sql = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE ?1";
        reading.query_row(sql, [name], |row| row.get::<_, i64>(0))
    };
    let mut ours = 0;
    for name in TABLES {
        ours += usize::from(tables(name)? == 1);
    }
    let is_marked = mark == MARK || mark == 0 && UNMARKED.contains(&version);
    if ours == TABLES.len() && is_marked {
        let version = usize::try_from(version).unwrap_or(usize::MAX);
        return Ok(Nature::Ours(version));
    }
    // `serve` was killed between creating the file and filling it.
    match version == 0 && mark == 0 && tables("%")? == 0 {
        true => Ok(Nature::Empty),
        false => Err(Unfit::Foreign),
    }
}

/// Whether every page, row and index of the file is in order.
pub(super) fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    let said: String = connection.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    Ok(said == "ok")
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It cannot be read at all.
    Unreadable,
    /// It is not a database, or another program's.
    Foreign,
    /// Parts of it are missing or overwritten.
    Damaged,
    /// SQLite could not look.
    Refused(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged,
            _ => Self::Refused(error),
        }
    }
}

impl Unfit {
    /// The failure, with the file's name and what to do.
    pub(super) fn of(self, path: &Path) -> Failure {
        let name = path.display();
        let (what, advice) = match self {
            Self::Unreadable => (
                format!("{name} cannot be read"),
                "name an existing file, and let this user read it and its folder",
            ),
            Self::Foreign => (
                format!("{name} is not a database of okta-anypoint"),
                "name the file of `okta-anypoint serve --data FILE`; this one was left as it is",
            ),
            Self::Damaged => (
                format!("{name} is damaged"),
                "use an undamaged copy: okta-anypoint restore COPY --data FILE",
            ),
            Self::Refused(error) => return explain(Side::Table, &error),
        };
        Failure::permanent(Side::Table, what, advice)
    }
}

/// Explains an error of SQLite about a file that is only read. The advice does not ask for the right to write.
pub(super) fn unread(path: &Path) -> impl FnOnce(rusqlite::Error) -> Failure {
    |error| match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Unfit::Unreadable.of(path),
        _ => refused(path)(error),
    }
}

/// Explains an error of SQLite about a file.
pub(super) fn refused(path: &Path) -> impl FnOnce(rusqlite::Error) -> Failure {
    |error| Unfit::from(error).of(path)
}
