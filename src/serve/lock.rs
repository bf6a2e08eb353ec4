//! One process at a time serves a database file.
//!
//! The lock is one of the operating system on a side file; it goes away with the process, however the
//! process ends. It is not on the database itself: SQLite's own locks live there, and the commands
//! that work on the file while it is served must not be shut out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Side};

/// The lock; it is held until this is dropped.
#[derive(Debug)]
pub struct OnlyOne {
    _file: File,
}

impl OnlyOne {
    /// Takes the lock of the database file `data`, which must exist.
    ///
    /// # Errors
    /// When another process holds it, or the side file cannot be made.
    pub fn take(data: &Path) -> Result<Self, Failure> {
        // The same file by another name has the same lock.
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let mut name = data.clone().into_os_string();
        name.push(".lock");
        let path = PathBuf::from(name);
        let unusable = |_| {
            Failure::permanent(
                Side::Table,
                format!("{} cannot be made or written", path.display()),
                "name a data file in a folder that this user may write to",
            )
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&data, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        file.set_len(0).map_err(unusable)?;
        file.rewind().map_err(unusable)?;
        write!(file, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

fn taken(data: &Path, file: &mut File) -> Failure {
    let mut holder = String::new();
    // For people only; the lock itself is what counts.
    let _ = file.take(20).read_to_string(&mut holder);
    let holder = match holder.parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
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
        let held = OnlyOne::take(&data).unwrap();
        let other_name = folder.path().join(".").join("data.db");
        let refused = OnlyOne::take(&other_name).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            refused.contains(&format!("process {pid} serves")),
            "{refused}"
        );
        drop(held);
        OnlyOne::take(&data).unwrap();
    }
}
