//! The idempotent claim: each piece of work is done by one owner at a time, and `done` stays done.
//!
//! The ledger knows nothing of Okta or Anypoint. A piece of work has an id; whoever wants to do it
//! claims it with **one conditional write** and holds a [`Claim`] as the proof. Completing or failing
//! consumes the claim and is conditional on still being its owner. (To make a crate of it, take along
//! what it leans on: [`Clock`](crate::clock::Clock); of [`Failure`] the class, the text and the side
//! `Table`; and the two drivers, [`aws`](crate::aws) and [`sqlite`](crate::sqlite).)
//!
//! ```text
//!            claim                         complete
//!  (absent) ──────▶ in_progress(owner, lease) ──────▶ done            (final)
//!                     │  ▲      │
//!        lease over:  └──┘      │ fail
//!        claim by another       ▼
//!                             failed ── retryable: claimed again at once
//!                                    └─ permanent: only a replay claims it again
//! ```
//!
//! What is guaranteed: at most one live lease per work id; a write by an owner whose claim was taken
//! over changes nothing and says [`Recorded::Superseded`]; `done` is not claimed again except by an
//! explicit [`Reason::Replay`]. A record whose `expires_at` has passed counts as absent, except that
//! its `attempts` are counted on until it is swept away.
//!
//! Leases compare the clocks of different machines: a clock that runs ahead by more than the margin
//! in a lease takes work over early. That is the case of the next paragraph.
//!
//! What is *not* guaranteed: that a process which lost its lease has stopped. Whoever does the work
//! must make each step safe to run twice; the lease only makes that rare.
//!
//! ```
//! # #[cfg(feature = "local")]
//! # async fn example() -> Result<(), okta_anypoint::failure::Failure> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use okta_anypoint::clock::SystemClock;
//! use okta_anypoint::ledger::{Ledger, Outcome, Reason, SqliteLedger, Work};
//! use okta_anypoint::sqlite::Database;
//!
//! let ledger = SqliteLedger::new(Database::in_memory()?, 30, Arc::new(SystemClock));
//! let work = Work {
//!     id: "0f8e2c10".to_owned(),
//!     kind: "letter".to_owned(),
//!     subject: "recipient#1".to_owned(),
//!     published: "2026-03-02T09:15:04Z".to_owned(),
//! };
//! let lease = Duration::from_secs(30);
//! let Outcome::Claimed(claim) = ledger.claim(&work, lease, Reason::Delivery).await? else {
//!     return Ok(());
//! };
//! // Whoever comes second, at the same moment or later, is told so.
//! let second = ledger.claim(&work, lease, Reason::Delivery).await?;
//! assert!(matches!(second, Outcome::Busy { .. }));
//! // … send the letter …
//! ledger.complete(claim).await?;
//! let third = ledger.claim(&work, lease, Reason::Delivery).await?;
//! assert!(matches!(third, Outcome::AlreadyDone));
//! # Ok(())
//! # }
//! # #[cfg(feature = "local")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

mod dynamodb;
#[cfg(feature = "local")]
mod sqlite;
mod times;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::failure::{Class, Failure};

pub use dynamodb::DynamoDbLedger;
#[cfg(feature = "local")]
pub use sqlite::SqliteLedger;

/// What is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The id that makes it unique (for an event: its uuid).
    pub id: String,
    /// What kind of work it is (for an event: its event type).
    pub kind: String,
    /// What it is about, for people and filters.
    pub subject: String,
    /// When it came to be, as RFC 3339 text.
    pub published: String,
}

/// Why a claim is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was delivered, for the first time or again.
    Delivery,
    /// An operator wants it done again, whatever became of it (not while a lease runs).
    Replay,
}

/// The permission to do one piece of work. Made only by [`Ledger::claim`], consumed by
/// [`Ledger::complete`] or [`Ledger::fail`].
#[derive(Debug)]
#[must_use = "a claim that is dropped blocks its work until the lease is over"]
pub struct Claim {
    id: String,
    owner: String,
    /// How often this work has been claimed, this time included.
    pub attempts: u32,
    /// Whether an earlier owner began and never reported: what it did must be verified.
    pub took_over: bool,
}

impl Claim {
    /// The id of the claimed work.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The answer to a claim.
#[derive(Debug)]
pub enum Outcome {
    /// The caller owns the work now.
    Claimed(Claim),
    /// It was done before; nothing is left to do.
    AlreadyDone,
    /// It failed for good before; only a replay does it again.
    AlreadyFailed,
    /// Another owner holds a lease that ends at `until_ms` (milliseconds since the epoch).
    Busy {
        /// When the lease ends, in milliseconds since the epoch.
        until_ms: i64,
    },
}

/// What became of a completing or failing write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The record says so now.
    Written,
    /// Another owner took over meanwhile; the record was left as it is.
    Superseded,
}

/// The state of a record, as the table spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Claimed, and not yet reported on.
    InProgress,
    /// Done. Final.
    Done,
    /// Failed; `error_class` says whether a retry may heal it.
    Failed,
}

impl Status {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One record of the ledger, as people and reports see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The work's id.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// What kind of work it is.
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// When it came to be, RFC 3339.
    pub published: String,
    /// How often it was claimed.
    pub attempts: u32,
    /// When the record was last written, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// When the record goes away, seconds since the epoch.
    pub expires_at: i64,
    /// When the lease ends, milliseconds since the epoch; only while in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease_until_ms: Option<i64>,
    /// What failed and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Whether a retry may heal it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_class: Option<Class>,
}

/// Which records to list. Every field narrows the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records in this state.
    pub status: Option<Status>,
    /// Only records about this subject.
    pub subject: Option<String>,
    /// Only records written at or after this time, milliseconds since the epoch.
    pub updated_since_ms: Option<i64>,
}

/// The port. Adapters: DynamoDB and SQLite; both pass the same suite.
///
/// Every method fails with a [`Failure`] of side `Table`: retryable when the table is out of reach
/// or throttles, permanent when it refuses for good (missing permission, no such table).
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Claims `work` for a fresh owner until `lease` from now. One conditional write.
    async fn claim(&self, work: &Work, lease: Duration, reason: Reason)
    -> Result<Outcome, Failure>;

    /// Records the claimed work as done.
    async fn complete(&self, claim: Claim) -> Result<Recorded, Failure>;

    /// Records the claimed work as failed with the failure's class and text.
    async fn fail(&self, claim: Claim, failure: &Failure) -> Result<Recorded, Failure>;

    /// Records `work` as failed for good without claiming it (a message that can never succeed).
    /// Leaves a record that is `done`, or in progress under a running lease, alone and answers
    /// [`Recorded::Superseded`].
    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure>;

    /// One record; `None` when there is none or it has expired.
    async fn record(&self, id: &str) -> Result<Option<Record>, Failure>;

    /// The records that match, newest first. Reads the whole table: for people, not for the hot path.
    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure>;
}
