//! Named JSON documents (cursors, reports, marks), and the count of people who lost access.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A named JSON document with a version for conditional writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The JSON text.
    pub json: String,
    /// Grows by one with each write. 0 means "absent".
    pub version: u64,
}

/// The result of a conditional write of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Written.
    Written,
    /// Another process wrote the document meanwhile, so nothing was changed.
    Conflict,
}

/// The port. Its adapters are DynamoDB and SQLite. Methods fail with a [`Failure`] of side `Table`.
#[async_trait]
pub trait Documents: Send + Sync {
    /// A named document.
    async fn document(&self, name: &str) -> Result<Option<Document>, Failure>;

    /// Writes a named document if its version is still `expected` (0: it must be absent).
    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure>;

    /// Counts people who lose access through an event. The count lasts an hour, or up to ten minutes longer. A person
    /// counts once. All workers share the count.
    async fn count_removals(&self, people: &[String], now_ms: i64)
    -> Result<RemovalCount, Failure>;

    /// Removes people from the count, because they keep their access after all.
    async fn uncount_removals(&self, people: &[String], now_ms: i64) -> Result<(), Failure>;
}

/// Reads a document. An unreadable document counts as absent.
pub(crate) async fn read<T: DeserializeOwned>(
    documents: &dyn Documents,
    name: &str,
) -> Result<Option<T>, Failure> {
    let found = documents.document(name).await?;
    Ok(found.and_then(|found| serde_json::from_str(&found.json).ok()))
}

/// Writes a document whose last writer wins.
pub(crate) async fn overwrite<T: Serialize>(
    documents: &dyn Documents,
    name: &str,
    value: &T,
) -> Result<(), Failure> {
    let Ok(json) = serde_json::to_string(value) else {
        return Ok(());
    };
    loop {
        let found = documents.document(name).await?;
        let version = found.map_or(0, |found| found.version);
        if documents.put_document(name, &json, version).await? == Stored::Written {
            return Ok(());
        }
    }
}

/// The people who lost access through an event within the last hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalCount {
    /// How many, including the people of this call.
    pub total: usize,
    /// The people of this call who were not counted before.
    pub newly: Vec<String>,
}

/// An hour, in milliseconds.
pub(super) const REMOVALS_MS: i64 = 60 * 60 * 1000;

/// Removals are counted until the end of the present ten minutes, by clocks that differ a little. A later removal is
/// from before the clock was set back, and counts for nothing.
pub(super) const REMOVALS_SPAN_MS: i64 = 10 * 60 * 1000;
