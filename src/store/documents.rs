//! Named JSON documents: cursors, reports, marks.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A named JSON document with a version for conditional writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The JSON text.
    pub json: String,
    /// Grows by one with each write; 0 is "absent".
    pub version: u64,
}

/// What became of a conditional document write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Written.
    Written,
    /// Somebody else wrote meanwhile; nothing was changed.
    Conflict,
}

/// The port. Adapters: DynamoDB and SQLite. Methods fail with a [`Failure`] of side `Table`.
#[async_trait]
pub trait Documents: Send + Sync {
    /// A named document.
    async fn document(&self, name: &str) -> Result<Option<Document>, Failure>;

    /// Writes a named document if its version is still `expected` (0: it must be absent).
    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure>;
}
