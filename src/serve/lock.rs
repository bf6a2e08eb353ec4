//! One process at a time serves a database file.
//!
//! There are two locks of the operating system. Both go away with the process, however the process ends.
//!
//! - The lock on a side file names the process, and commands ask it whether the file is served. But the side file can be
//!   removed, and a hard link to the database has another one.
//! - The lock on the database itself (`flock`) has neither gap. SQLite locks the same file with `fcntl`, and nothing may
//!   disturb that. So it is taken only where the two kinds are independent, which is tried out on the side file. They are
//!   not on NFS, SMB and macOS: there the side file is all there is.
//!
//! Closing any descriptor of the database drops SQLite's locks in this process. So the lock is kept until
//! the last connection is closed ([`Database::open_locked`]), and [`is_served`] never opens the database.
//!
//! [`Database::open_locked`]: crate::sqlite::Database::open_locked

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Side};
use crate::sqlite::owned_like;

/// The lock; it is held until this is dropped.
#[derive(Debug)]
pub struct OnlyOne {
    side: File,
    /// Locked, where that does not disturb SQLite.
    _database: Option<File>,
}

impl OnlyOne {
    /// Takes the lock of the database file `data`, which must exist and which this process does not have open.
    ///
    /// # Errors
    /// When another process holds it, or the side file cannot be made.
    pub fn take(data: &Path) -> Result<Self, Failure> {
        // The same file by another name has the same lock.
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let path = side_file(&data);
        let unusable = |_| {
            Failure::permanent(
                Side::Table,
                format!("{} cannot be made or written", path.display()),
                "run it as the user who owns the data file and may write to its folder",
            )
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        private(&mut options);
        let is_new = !path.exists();
        let mut side = options.open(&path).map_err(unusable)?;
        if is_new {
            let _ = owned_like(&path, &data);
        }
        let mut tries = 0;
        loop {
            match side.try_lock() {
                Ok(()) => break,
                // A command may be testing the lock at this moment.
                Err(TryLockError::WouldBlock) if tries < 5 => std::thread::sleep(RETRY),
                Err(TryLockError::WouldBlock) => return Err(taken(&data, &mut side)),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
            tries += 1;
        }
        let database = match leaves_fcntl_alone(&path) {
            true => lock_database(&data)?,
            false => None,
        };
        // An earlier version made it readable by everybody.
        private_from_now_on(&side).map_err(unusable)?;
        side.set_len(0).map_err(unusable)?;
        side.rewind().map_err(unusable)?;
        write!(side, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self {
            side,
            _database: database,
        })
    }
}

/// Locks the database file itself. `None`: it cannot be opened or locked, and opening the database says why.
fn lock_database(data: &Path) -> Result<Option<File>, Failure> {
    // Opening a pipe would wait for somebody to write.
    if !data.is_file() {
        return Ok(None);
    }
    let Ok(file) = File::open(data) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(Failure::permanent(
            Side::Table,
            format!(
                "another process serves {} already, under another name or after its lock file was removed",
                data.display()
            ),
            "stop that process first (`fuser` with the file's name shows it), or name another file with --data",
        )),
    }
}

/// Whether a file of this folder can be locked with `fcntl`, as SQLite does, while it is locked with `flock`. The caller
/// has locked the side file `path` that way.
#[cfg(unix)]
fn leaves_fcntl_alone(path: &Path) -> bool {
    use rustix::fs::{FlockOperation, fcntl_lock};
    let other = OpenOptions::new().read(true).write(true).open(path);
    other.is_ok_and(|other| fcntl_lock(&other, FlockOperation::NonBlockingLockExclusive).is_ok())
}

/// The locks of other systems keep others from reading.
#[cfg(not(unix))]
fn leaves_fcntl_alone(_: &Path) -> bool {
    false
}

/// Between two tries to take the lock.
const RETRY: Duration = Duration::from_millis(20);

/// Whether a process serves the database file `data` now.
pub fn is_served(data: &Path) -> bool {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let Ok(file) = File::open(side_file(&data)) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn side_file(data: &Path) -> PathBuf {
    let mut name = data.to_owned().into_os_string();
    name.push(".lock");
    PathBuf::from(name)
}

impl Drop for OnlyOne {
    /// A process that is gone is not named. If this fails, or the process is killed, nobody holds the lock, and the next
    /// one writes its own number.
    fn drop(&mut self) {
        let _ = self.side.set_len(0);
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

#[cfg(unix)]
fn private_from_now_on(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn private_from_now_on(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Whether there is such a process, where the system shows them.
fn is_alive(pid: u32) -> bool {
    let processes = Path::new("/proc/self");
    !processes.exists() || processes.with_file_name(pid.to_string()).exists()
}

fn taken(data: &Path, file: &mut File) -> Failure {
    let mut holder = String::new();
    // For people only; the lock itself is what counts.
    let _ = file.take(20).read_to_string(&mut holder);
    let holder = match holder.parse::<u32>() {
        Ok(pid) if is_alive(pid) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Failure::permanent(
        Side::Table,
        format!("{holder} serves {} already", data.display()),
        "stop that process first, or name another file with --data",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_also_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        File::create(&data).unwrap();
        assert!(!is_served(&data));
        let held = OnlyOne::take(&data).unwrap();
        assert!(is_served(&data));
        let other_name = folder.path().join(".").join("data.db");
        let refused = OnlyOne::take(&other_name).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            refused.contains(&format!("process {pid} serves")),
            "{refused}"
        );
        drop(held);
        assert!(!is_served(&data));
        OnlyOne::take(&data).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_process_at_a_time_also_without_the_side_file_and_through_a_hard_link() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        File::create(&data).unwrap();
        let held = OnlyOne::take(&data).unwrap();
        std::fs::remove_file(folder.path().join("data.db.lock")).unwrap();
        let refused = OnlyOne::take(&data).unwrap_err().to_string();
        assert!(refused.contains("lock file was removed"), "{refused}");
        let link = folder.path().join("link.db");
        std::fs::hard_link(&data, &link).unwrap();
        let refused = OnlyOne::take(&link).unwrap_err().to_string();
        assert!(refused.contains("under another name"), "{refused}");
        drop(held);
        OnlyOne::take(&link).unwrap();
    }

    /// As on NFS, where `flock` is a lock of `fcntl` on the whole file.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_database_is_not_locked_where_that_would_disturb_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        File::create(&data).unwrap();
        let side = folder.path().join("data.db.lock");
        File::create(&side).unwrap();
        assert!(leaves_fcntl_alone(&side));
        // Another process, because such locks belong to a whole process.
        let lock = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()";
        let mut other = std::process::Command::new("python3")
            .args(["-c", lock])
            .arg(&side)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        other
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 6])
            .unwrap();
        let held = OnlyOne::take(&data).unwrap();
        assert!(held._database.is_none());
        assert!(is_served(&data));
        drop(other.stdin.take());
        other.wait().unwrap();
    }

    #[test]
    fn the_refusal_names_a_live_process_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        File::create(&data).unwrap();
        let lock = folder.path().join("data.db.lock");
        drop(OnlyOne::take(&data).unwrap());
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), "");
        // Held by somebody who has not said yet who it is, after somebody who was killed.
        std::fs::write(&lock, u32::MAX.to_string()).unwrap();
        let other = File::open(&lock).unwrap();
        other.lock().unwrap();
        let refused = OnlyOne::take(&data).unwrap_err().to_string();
        assert!(refused.contains("another process serves"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_side_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data.db");
        File::create(&data).unwrap();
        let lock = folder.path().join("data.db.lock");
        let mode = || std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
        drop(OnlyOne::take(&data).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(OnlyOne::take(&data).unwrap());
        assert_eq!(mode(), 0o600);
    }
}
