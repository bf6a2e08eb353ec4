//! One process at a time serves a database file.
//!
//! The lock is one of the operating system on a side file; it goes away with the process, however the
//! process ends. It is not on the database itself: SQLite's own locks live there, and the commands
//! that work on the file while it is served must not be shut out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Side};
use crate::sqlite::owned_like;

/// The lock; it is held until this is dropped.
#[derive(Debug)]
pub struct OnlyOne {
    file: File,
}

impl OnlyOne {
    /// Takes the lock of the database file `data`, which must exist.
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
        let mut file = options.open(&path).map_err(unusable)?;
        if is_new {
            owned_like(&path, &data);
        }
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // Somebody may be asking just now whether it is held.
                Err(TryLockError::WouldBlock) if tries < 5 => std::thread::sleep(RETRY),
                Err(TryLockError::WouldBlock) => return Err(taken(&data, &mut file)),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
            tries += 1;
        }
        // An earlier version made it for everybody to read.
        private_from_now_on(&file).map_err(unusable)?;
        file.set_len(0).map_err(unusable)?;
        file.rewind().map_err(unusable)?;
        write!(file, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self { file })
    }
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
        let _ = self.file.set_len(0);
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
    fn one_at_a_time_also_under_another_name() {
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

    #[test]
    fn it_names_a_live_process_only() {
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
    fn only_its_owner_can_read_it() {
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
