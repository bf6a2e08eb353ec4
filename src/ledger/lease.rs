//! The right to work on one subject.
//!
//! A run takes a lease with one conditional write, and the lease ends by itself. It lasts as long as the run may
//! still work, plus a margin, and never longer than two minutes. A longer run renews it ([`while_kept`]). The owner
//! asks [`Lease::check`] before it writes at a remote. Writes of the table are conditional on the owner.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::{Claim, Ledger, Recorded};
use crate::backoff::Backoff;
use crate::clock::{Clock, later};
use crate::deadline::Deadline;
use crate::failure::{Cause, Failure, Side};

/// How long a run waits for a subject that another run works on before it gives its changes back.
pub const SUBJECT_WAIT: Duration = Duration::from_secs(5);
/// The pause between two attempts to take a lease.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(25), Duration::from_millis(200));

/// The exclusive right to work on one subject. Made only by [`Ledger::lease`], consumed by
/// [`Ledger::conclude`]. Every function that writes at Anypoint, or writes a link, asks for it.
#[must_use = "a lease that is dropped keeps others away until it is over"]
pub struct Lease {
    key: LeaseKey,
    found: Found,
    clock: Arc<dyn Clock>,
    end: Mutex<End>,
    /// Set as well by a write of a memo that may have failed.
    may_have_memo: AtomicBool,
}

/// Identifies one acquisition of a lease. The owner is new each time.
#[derive(Debug, Clone)]
pub(crate) struct LeaseKey {
    pub(crate) subject: String,
    pub(crate) owner: String,
}

/// When a lease is over, by the clock that other machines share and by a clock that cannot be set.
#[derive(Debug, Clone, Copy)]
struct End {
    until_ms: i64,
    instant: Instant,
}

/// The answer to [`Ledger::lease`].
#[derive(Debug)]
pub enum Leased {
    /// The caller owns the subject now.
    Ours(Lease),
    /// Another owner has it, until `until_ms` (milliseconds since the epoch) at the latest.
    Busy {
        /// When that lease ends, in milliseconds since the epoch.
        until_ms: i64,
    },
}

/// A lease as an adapter found it.
pub(super) struct Found {
    pub(super) memo: Option<String>,
    pub(super) took_over: bool,
    pub(super) last_leased_ms: Option<i64>,
}

impl Lease {
    pub(super) fn new(
        key: LeaseKey,
        found: Found,
        now_ms: i64,
        time: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            may_have_memo: AtomicBool::new(found.memo.is_some()),
            key,
            found,
            clock,
            end: Mutex::new(End::after(now_ms, time)),
        }
    }

    /// The subject of the lease.
    pub fn subject(&self) -> &str {
        &self.key.subject
    }

    /// Whether the previous owner never gave it back. Then its effects must be verified.
    pub fn took_over(&self) -> bool {
        self.found.took_over
    }

    /// When the previous owner took it or gave it back, in milliseconds since the epoch.
    pub(crate) fn last_leased_ms(&self) -> Option<i64> {
        self.found.last_leased_ms
    }

    /// The memo that the previous owner left.
    pub fn memo(&self) -> Option<&str> {
        self.found.memo.as_deref()
    }

    /// Whether the item may have a memo by now.
    pub(super) fn may_have_memo(&self) -> bool {
        self.may_have_memo.load(Ordering::Relaxed)
    }

    /// A memo is about to be written under the lease.
    pub(super) fn note_memo(&self) {
        self.may_have_memo.store(true, Ordering::Relaxed);
    }

    pub(crate) fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// When it ends, in milliseconds since the epoch.
    pub fn until_ms(&self) -> i64 {
        self.end().until_ms
    }

    pub(super) fn extend(&self, now_ms: i64, time: Duration) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = End::after(now_ms, time);
    }

    fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the owner may still write. Compares clocks, without a call.
    ///
    /// # Errors
    /// Retryable, when the lease is over.
    pub fn check(&self) -> Result<(), Failure> {
        let end = self.end();
        if self.clock.now_ms() < end.until_ms && Instant::now() < end.instant {
            return Ok(());
        }
        Err(self.lost())
    }

    /// Ends when the lease is over, with whatever it was extended by meanwhile.
    async fn over(&self) {
        loop {
            let end = self.end().instant;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }

    /// The failure of a run whose lease is over or belongs to another one.
    pub(crate) fn lost(&self) -> Failure {
        Failure::retryable(
            Side::Table,
            format!(
                "the lease on {} is over; the next run continues",
                self.subject()
            ),
        )
        .because(Cause::LostLease)
    }
}

impl End {
    fn after(now_ms: i64, time: Duration) -> Self {
        Self {
            until_ms: later(now_ms, time),
            instant: Instant::now() + time,
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("subject", &self.key.subject)
            .finish_non_exhaustive()
    }
}

/// Takes the lease on `subject` for the time that `deadline` leaves. Waits up to `patience` for another owner to give it
/// back.
///
/// # Errors
/// When the table fails.
pub async fn lease_within(
    ledger: &dyn Ledger,
    subject: &str,
    deadline: Deadline,
    patience: Duration,
) -> Result<Leased, Failure> {
    let until = deadline.or_within(patience);
    let mut backoff = BACKOFF;
    loop {
        let leased = ledger.lease(subject, deadline.lease()).await?;
        if matches!(leased, Leased::Ours(_)) || until.remaining() < backoff.limit() {
            return Ok(leased);
        }
        backoff.wait().await;
    }
}

/// How long after it was taken or last renewed a lease is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(40);

/// Does `work`, and renews the lease and the claims under it meanwhile.
///
/// # Errors
/// When they are lost. Then the work stops.
pub(crate) async fn while_kept<T>(
    ledger: &dyn Ledger,
    lease: &Lease,
    claims: &[Claim],
    until: Deadline,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let kept = pin!(keep(ledger, lease, claims, until));
    match select(pin!(work), kept).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right((lost, _)) => Err(lost),
    }
}

/// Ends when the lease or a claim is lost, or when the lease is over because the table could not be reached in time.
async fn keep(ledger: &dyn Ledger, lease: &Lease, claims: &[Claim], until: Deadline) -> Failure {
    let renewed = pin!(renew_again(ledger, lease, claims, until));
    match select(renewed, pin!(lease.over())).await {
        Either::Left((lost, _)) => lost,
        Either::Right(((), _)) => lease.lost(),
    }
}

async fn renew_again(
    ledger: &dyn Ledger,
    lease: &Lease,
    claims: &[Claim],
    until: Deadline,
) -> Failure {
    let claims: Vec<&Claim> = claims.iter().collect();
    loop {
        tokio::time::sleep(RENEW_AFTER).await;
        match ledger.renew(lease, &claims, until.lease()).await {
            Ok(Recorded::Written) => {}
            Ok(Recorded::Superseded) => return lease.lost(),
            Err(failure) => {
                tracing::warn!(
                    subject = lease.subject(),
                    "could not renew the lease: {failure}"
                );
            }
        }
    }
}

#[cfg(feature = "local")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::ledger::SqliteLedger;
    use crate::sqlite::Database;

    /// A renewal that hangs does not lengthen the lease. Without an end by the clock, the work would end after 40 s.
    #[tokio::test]
    async fn work_ends_with_its_lease() {
        let ledger = SqliteLedger::new(Database::in_memory().unwrap(), 30, Arc::new(SystemClock));
        let time = Duration::from_millis(100);
        let Leased::Ours(lease) = ledger.lease("user#00u1", time).await.unwrap() else {
            panic!("nobody has it");
        };
        let until = Deadline::within(Duration::from_secs(60));
        let work = while_kept(&ledger, &lease, &[], until, std::future::pending::<()>());
        let ended = tokio::time::timeout(Duration::from_secs(10), work).await;
        assert_eq!(ended.unwrap().unwrap_err().cause, Cause::LostLease);
    }
}
