//! The mark of a dry run (`CHANGES=report`): the first reconcile that applies also looks at every subject that was
//! planned only.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::store::{Document, Documents, Stored};

const NAME: &str = "dry_runs";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Whether there are records of dry runs that no reconcile has taken up.
    open: bool,
}

fn read(document: Option<&Document>) -> Mark {
    let mark = document.and_then(|document| serde_json::from_str(&document.json).ok());
    mark.unwrap_or_default()
}

async fn put(documents: &dyn Documents, open: bool, version: u64) -> Result<Stored, Failure> {
    let json = if open {
        r#"{"open":true}"#
    } else {
        r#"{"open":false}"#
    };
    documents.put_document(NAME, json, version).await
}

/// Notes once in each process that it plans only.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    is_noted: AtomicBool,
}

impl Shadow {
    /// Notes it before the first dry run is recorded.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn note(&self, documents: &dyn Documents) -> Result<(), Failure> {
        while !self.is_noted.load(Ordering::Relaxed) {
            let found = documents.document(NAME).await?;
            let version = found.as_ref().map_or(0, |found| found.version);
            let is_there = read(found.as_ref()).open
                || put(documents, true, version).await? == Stored::Written;
            self.is_noted.store(is_there, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whether there are dry runs to take up: the version of the mark.
///
/// # Errors
/// When the table fails.
pub async fn dry_runs(documents: &dyn Documents) -> Result<Option<u64>, Failure> {
    let found = documents.document(NAME).await?;
    let is_open = read(found.as_ref()).open;
    Ok(found.filter(|_| is_open).map(|found| found.version))
}

/// They are taken up. Nothing happens when another process has planned more since.
///
/// # Errors
/// When the table fails.
pub(crate) async fn dry_runs_taken_up(
    documents: &dyn Documents,
    version: u64,
) -> Result<(), Failure> {
    put(documents, false, version).await.map(|_| ())
}
