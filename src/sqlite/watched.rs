//! Checks that the file on the disk is still the one that was opened.
//!
//! SQLite does not check. It would go on writing into a file that was deleted or replaced, and the receiver would go on
//! answering 204 to events that are lost.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::{self, Rights};
use crate::failure::{Failure, Side};

words! {
    /// What happened to an open file.
    pub enum Loss {
        /// There is no longer a file with that name.
        Deleted = "deleted",
        /// Another file has its name.
        Replaced = "replaced",
        /// A part of it is missing.
        Truncated = "truncated",
    }
}

/// A database file, its write-ahead log and the log's index, as they were opened. SQLite keeps the log and its index while
/// a connection is open. So a deleted log is always a mistake of another program or person, and loses the latest commits.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Identity)>,
    /// The length of the file at the last check.
    length: AtomicU64,
    lost: OnceLock<Loss>,
}

impl Watched {
    /// The files of a connection that is set up. `before` is the file before it was opened.
    pub(super) fn new(path: &Path, before: &Identity) -> Result<Self, Failure> {
        let [log, index, _] = file::companions(&file::real(path));
        let mut files = Vec::new();
        for path in [path.to_owned(), log, index] {
            let found = std::fs::metadata(&path).map_err(|_| changed())?;
            files.push((path, Identity::of(&found)));
        }
        if files.first().map(|(_, identity)| identity) != Some(before) {
            return Err(changed());
        }
        Ok(Self {
            files,
            length: AtomicU64::new(0),
            lost: OnceLock::new(),
        })
    }

    /// What happened to the files, if they are no longer those that were opened. This stays until the next start.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.lost.get().copied()
    }

    /// Fails if the files are not those that were opened. Logs that once.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.loss().is_some() {
            return Err(gone());
        }
        let loss = match self.look() {
            Ok(None) => return Ok(()),
            Ok(Some(loss)) => loss,
            Err(failure) => return Err(failure),
        };
        if self.lost.set(loss).is_ok()
            && let Some((path, _)) = self.files.first()
        {
            tracing::error!(
                file = %path.display(),
                "the data file was {} while this program used it, so it accepts no more events. What to do: stop it, \
                 put the file back or restore a copy (okta-anypoint restore COPY --data FILE), start it again",
                loss.as_str()
            );
        }
        Err(gone())
    }

    fn look(&self) -> Result<Option<Loss>, Failure> {
        for (number, (path, identity)) in self.files.iter().enumerate() {
            let found = match std::fs::metadata(path) {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Some(Loss::Deleted));
                }
                Err(error) => {
                    let what = format!("could not check the database file ({})", error.kind());
                    return Err(Failure::retryable(Side::Table, what));
                }
            };
            if Identity::of(&found) != *identity {
                return Ok(Some(Loss::Replaced));
            }
            if number == 0 {
                let before = self.length.swap(found.len(), Ordering::Relaxed);
                if found.len() < before && !is_whole(path, found.len()) {
                    return Ok(Some(Loss::Truncated));
                }
            }
        }
        Ok(None)
    }
}

/// Whether a file that got shorter is still complete, as after VACUUM.
fn is_whole(path: &Path, length: u64) -> bool {
    // SQLite would delete the log of an empty file.
    length > 0
        && file::connect(path, Rights::Read)
            .and_then(|connection| file::is_whole(&connection))
            .unwrap_or(false)
}

fn gone() -> Failure {
    Failure::retryable(
        Side::Table,
        "the database file is no longer the one that was opened",
    )
}

fn changed() -> Failure {
    Failure::retryable(
        Side::Table,
        "the database file was changed while it was opened",
    )
}

/// Identifies a file, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    pub(super) fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Self {
                device: found.dev(),
                inode: found.ino(),
            }
        }
        #[cfg(not(unix))]
        {
            let _ = found;
            Self {}
        }
    }
}

/// A file that no other program had open when it was opened to be read without locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuietFile {
    identity: Identity,
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl QuietFile {
    /// The file as it is now, if no program has it open.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        file::is_quiet(path).then(|| Self {
            identity: Identity::of(&found),
            length: found.len(),
            modified: found.modified().ok(),
        })
    }
}
