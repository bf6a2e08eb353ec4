//! The mark that a dry run (`CHANGES=report`) leaves. The first reconcile that applies also looks at every subject that
//! was only planned.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::store::{Document, Documents, Stored};

const NAME: &str = "dry_runs";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Whether there are dry runs that no reconcile has applied yet.
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

/// Sets the mark once in each process.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    is_noted: AtomicBool,
}

impl Shadow {
    /// Sets the mark before the first dry run is recorded.
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

/// The version of the mark, if there are dry runs that no reconcile has applied yet.
///
/// # Errors
/// When the table fails.
pub async fn dry_runs(documents: &dyn Documents) -> Result<Option<u64>, Failure> {
    let found = documents.document(NAME).await?;
    let is_open = read(found.as_ref()).open;
    Ok(found.filter(|_| is_open).map(|found| found.version))
}

/// Removes the mark after a reconcile applied the dry runs. Keeps it if another process has planned more since.
///
/// # Errors
/// When the table fails.
pub(crate) async fn dry_runs_taken_up(
    documents: &dyn Documents,
    version: u64,
) -> Result<(), Failure> {
    put(documents, false, version).await.map(|_| ())
}
