//! Claims and leases: each event is done once, and each subject has one owner at a time.
//!
//! The ledger knows nothing of Okta or Anypoint. A run that works on a subject takes a [`Lease`] on it
//! with **one conditional write**. Only then may it [claim](Ledger::claim) the subject's events, with one
//! conditional write each. [`Ledger::conclude`] records the results of the claims and gives the lease
//! back, in one transaction. Every later write is conditional on the owner.
//!
//! ```text
//!   lease(subject):  free ──▶ leased(owner, until) ──▶ free       one owner at a time; ends by itself
//!   claim(event):
//!            claim                         conclude
//!  (absent) ──────▶ in_progress(owner, lease) ──────▶ done            (final)
//!                     │  ▲      │
//!        lease over:  └──┘      ├──▶ waiting  for a second look: claimed again when due
//!        claim by another       ▼
//!                             failed ── retryable: claimed again at once
//!                                    └─ permanent: only a replay claims it again
//!                             held ──── beyond the brake: only a replay claims it again; it stays held until the replay
//!                                       has ended, so one that dies releases nothing
//! ```
//!
//! A failed or held record becomes `resolved` when a later look at its subject ends in sync, or when an
//! operator dismisses it. The subject's [audit](AuditEntry) trail lists what a run changed at a remote. The run appends
//! to it in the same transaction.
//!
//! A lease has a *memo*: a short text that the owner leaves for the next one. It is in the lease's own item and stays for
//! ten years, as a held record does, because only a later run may end them.
//!
//! There is at most one live lease per subject and one live claim per event. A write by an owner that another owner
//! replaced changes nothing and returns [`Recorded::Superseded`]. Only an explicit [`Reason::Replay`] claims a `done`
//! record again. A record whose `expires_at` has passed counts as absent.
//!
//! An event is its id together with its subject. A record of the same id about another subject is not this event's
//! record. The second subject gets its own, under `<id>#<subject>`.
//!
//! Leases compare the clocks of different machines. If a clock is ahead by more than the margin in a lease, its machine
//! takes a subject over early. A run that lost its lease may still be in the middle of a call. It writes nothing more
//! after that call ([`Lease::check`]), and each step is safe to run twice.
//!
//! ```
//! # #[cfg(feature = "local")]
//! # async fn example() -> Result<(), okta_anypoint::failure::Failure> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use okta_anypoint::clock::SystemClock;
//! use okta_anypoint::ledger::{
//!     Conclusion, EndState, Ending, Leased, Ledger, ClaimOutcome, Reason, SqliteLedger, Work,
//! };
//! use okta_anypoint::sqlite::Database;
//!
//! let ledger = SqliteLedger::new(Database::in_memory()?, 30, Arc::new(SystemClock));
//! let time = Duration::from_secs(30);
//! let Leased::Ours(lease) = ledger.lease("recipient#1", time).await? else {
//!     return Ok(());
//! };
//! // The second to ask is told to wait.
//! assert!(matches!(ledger.lease("recipient#1", time).await?, Leased::Busy { .. }));
//! let work = Work {
//!     id: "0f8e2c10".to_owned(),
//!     kind: "letter".to_owned(),
//!     subject: "recipient#1".to_owned(),
//!     published: "2026-03-02T09:15:04Z".to_owned(),
//!     actor: None,
//!     reason: None,
//! };
//! let ClaimOutcome::Claimed(claim) = ledger.claim(&work, &lease, Reason::Delivery).await? else {
//!     return Ok(());
//! };
//! // … send the letter …
//! let done = Ending {
//!     applied: vec!["send_letter".to_owned()],
//!     planned: Vec::new(),
//!     state: EndState::Done,
//! };
//! ledger.conclude(lease, Conclusion::of(vec![(claim, done)])).await?;
//! # Ok(())
//! # }
//! # #[cfg(feature = "local")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(example())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod conclusion;
mod dynamodb;
mod lease;
mod record;
#[cfg(feature = "local")]
mod sqlite;
mod times;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::failure::Failure;

pub use audit::AuditEntry;
pub use conclusion::{Conclusion, EndState, Ending, Memo, Recorded, Resolved};
pub use record::{BY_OPERATOR, DRY_RUN, Filter, Record, Status};

pub(crate) use audit::{month_of, months};
pub use dynamodb::DynamoDbLedger;
pub(crate) use dynamodb::under_lease;
pub(crate) use lease::while_kept;
pub use lease::{Lease, Leased, SUBJECT_WAIT, lease_within};
#[cfg(feature = "local")]
pub use sqlite::SqliteLedger;
#[cfg(feature = "local")]
pub(crate) use sqlite::write_memo;

/// The work to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The unique id. For an event, its uuid.
    pub id: String,
    /// The kind of work. For an event, its event type.
    pub kind: String,
    /// The subject, for people and filters.
    pub subject: String,
    /// When it was published, as RFC 3339 text.
    pub published: String,
    /// The id of the actor at Okta.
    pub actor: Option<String>,
    /// The operator's reason for passing evidence and brake (`push --now`).
    pub reason: Option<String>,
}

impl Work {
    /// The record's key if another subject already has the id.
    fn own_key(&self) -> String {
        format!("{}#{}", self.id, self.subject)
    }
}

/// Why a caller asks for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was delivered, for the first time or again.
    Delivery,
    /// A run comes back to it after the follow-ups. That is no new attempt.
    Return,
    /// An operator replays it, whatever its result (but not while a lease runs).
    Replay,
    /// As [`Reason::Replay`], and the operator also approves the removals that the brake held.
    Approval,
}

impl Reason {
    pub(crate) fn is_of_operator(self) -> bool {
        matches!(self, Self::Replay | Self::Approval)
    }

    /// What the claim adds to the attempts.
    fn attempts(self) -> u32 {
        u32::from(self != Self::Return)
    }
}

/// The permission to do one change. Made only by [`Ledger::claim`], consumed by
/// [`Ledger::conclude`].
#[derive(Debug)]
#[must_use = "a claim that is dropped blocks its work until the lease is over"]
pub struct Claim {
    /// The record's key: the work's id, with its subject if another subject already has that id.
    id: String,
    owner: String,
    /// How often this work has been claimed, this time included.
    pub attempts: u32,
    /// How many owners in a row began and never reported a result. Their effects must be verified.
    pub deaths: u32,
}

impl Claim {
    /// The id of the claimed work.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The answer to a claim.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The caller owns the work now.
    Claimed(Claim),
    /// It is already done.
    AlreadyDone,
    /// It already failed for good. Only a replay does it again.
    AlreadyFailed,
    /// It waits for a second look that is due at `until_ms` (milliseconds since the epoch).
    Waiting {
        /// When the second look is due, in milliseconds since the epoch.
        until_ms: i64,
    },
    /// Another owner has a lease that ends at `until_ms` (milliseconds since the epoch).
    Busy {
        /// When the lease ends, in milliseconds since the epoch.
        until_ms: i64,
    },
}

/// The port. Its adapters are DynamoDB and SQLite. Both pass the same suite.
///
/// Every method fails with a [`Failure`] of side `Table`: retryable when the table is out of reach,
/// throttles or refuses, permanent when a record cannot be read.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes the lease on `subject` for a new owner, until `time` from now ([`MAX_LEASE`] at most). Makes one conditional
    /// write, which also returns the memo.
    ///
    /// [`MAX_LEASE`]: crate::deadline::MAX_LEASE
    async fn lease(&self, subject: &str, time: Duration) -> Result<Leased, Failure>;

    /// Keeps the lease and the claims under it until `time` from now.
    async fn renew(
        &self,
        lease: &Lease,
        claims: &[&Claim],
        time: Duration,
    ) -> Result<Recorded, Failure>;

    /// The memo of a subject, for readers.
    async fn memo(&self, subject: &str) -> Result<Option<String>, Failure>;

    /// Replaces the memo if the owner still has the lease.
    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Result<Recorded, Failure>;

    /// When the leases on these subjects were last taken or given back, in milliseconds since the
    /// epoch. The answer lacks subjects without a recent run.
    async fn last_leased(&self, subjects: &[String]) -> Result<HashMap<String, i64>, Failure>;

    /// Claims `work` for the owner of `lease` until the lease ends. Makes one conditional write.
    async fn claim(
        &self,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<ClaimOutcome, Failure>;

    /// Records the results of the claims, writes the memo and gives the lease back, in one transaction. The answer has
    /// one entry for each claim. If another owner took the lease over, nothing is written and every entry is
    /// [`Recorded::Superseded`].
    async fn conclude(
        &self,
        lease: Lease,
        conclusion: Conclusion,
    ) -> Result<Vec<Recorded>, Failure>;

    /// Records `work` as failed for good without claiming it (a message that can never succeed).
    /// Does not change a record that is `done`, `waiting`, or in progress under a running lease, and returns
    /// [`Recorded::Superseded`].
    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure>;

    /// The record of an id. `None` if there is none or it has expired. This is the first subject's record; others are
    /// under `<id>#<subject>`.
    async fn record(&self, id: &str) -> Result<Option<Record>, Failure>;

    /// The record of a change, whichever subject had its id first.
    async fn record_of(&self, work: &Work) -> Result<Option<Record>, Failure> {
        match self.record(&work.id).await? {
            Some(record) if record.subject != work.subject => self.record(&work.own_key()).await,
            found => Ok(found),
        }
    }

    /// The records that match, newest first. Reads the whole table, so it is for people and not for the hot path.
    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure>;

    /// The audit entries of one subject from `since_ms` on (milliseconds since the epoch), oldest first. Makes one batch
    /// read.
    async fn history(&self, subject: &str, since_ms: i64) -> Result<Vec<AuditEntry>, Failure>;

    /// The audit entries of all subjects from `since_ms` on, oldest first. Reads the whole table.
    async fn whole_history(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure>;
}
