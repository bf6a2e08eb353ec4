//! The pause that an operator sets in `serve`'s file: messages wait, and no task runs. `serve` also stores its setting
//! `CHANGES` there, which may pause changes as well.

use serde::{Deserialize, Serialize};

use super::policy::Changes;
use crate::failure::Failure;
use crate::store::{Documents, overwrite, read};

const NAME: &str = "paused";

/// Since when changes are paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Paused {
    since_ms: Option<i64>,
}

/// The document with the setting that `serve` started with.
const SETTING: &str = "changes";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    changes: Changes,
}

/// Stores the setting `CHANGES` of `serve`, for commands that do not have its settings.
///
/// # Errors
/// When the table fails.
#[cfg(feature = "local")]
pub(crate) async fn note_changes(
    documents: &dyn Documents,
    changes: Changes,
) -> Result<(), Failure> {
    overwrite(documents, SETTING, &Noted { changes }).await
}

/// The setting `CHANGES` of the last `serve` on this file.
///
/// # Errors
/// When the table fails.
pub async fn noted_changes(documents: &dyn Documents) -> Result<Option<Changes>, Failure> {
    let noted: Option<Noted> = read(documents, SETTING).await?;
    Ok(noted.map(|noted| noted.changes))
}

/// Since when changes are paused, in milliseconds since the epoch. `None`: they are not paused.
///
/// # Errors
/// When the table fails.
pub async fn paused_since(documents: &dyn Documents) -> Result<Option<i64>, Failure> {
    let paused: Option<Paused> = read(documents, NAME).await?;
    Ok(paused.and_then(|paused| paused.since_ms))
}

/// Pauses changes from `since_ms` on (milliseconds since the epoch). `None` resumes them.
///
/// # Errors
/// When the table fails.
pub async fn pause_changes(
    documents: &dyn Documents,
    since_ms: Option<i64>,
) -> Result<(), Failure> {
    overwrite(documents, NAME, &Paused { since_ms }).await
}
