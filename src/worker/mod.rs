//! Takes changes, claims them, looks at their subject once, applies, records.
//!
//! Order inside a subject is kept; several subjects are worked on at once. Several changes of one
//! subject are claimed together and served by one look. One subject that fails, or panics, stops no
//! other.
//!
//! What is guaranteed: a change is acknowledged ([`Verdict::Settled`]) only when the ledger says
//! `done`, or `failed` for good. What is not: that a change is applied once only. A cut-off run may
//! have applied it; the next look finds that and only records.

mod inline;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, StreamExt, stream};

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Class, Failure, Side};
use crate::ids::{EventUuid, Subject};
use crate::ledger::{Claim, Ledger, Outcome, Reason, Recorded, Work};
use crate::provision::{Applied, Provisioner};
use crate::queue::Queue;
use crate::telemetry::{Metric, Metrics};

pub use inline::InlineQueue;

/// What is to become of a change's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is recorded as done, or as failed for good: acknowledge it.
    Settled,
    /// A retry may heal it: give it back, not before the pause is over.
    Retry {
        /// The pause that the remote, or a running lease, asks for.
        after: Option<Duration>,
    },
}

impl Verdict {
    /// Whether the message goes back.
    pub fn is_retry(self) -> bool {
        matches!(self, Self::Retry { .. })
    }
}

/// How the time of one run is spent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Kept free at the end for recording what became of the work.
    pub recording: Duration,
    /// Work is not begun with less than this left.
    pub least: Duration,
    /// Subjects worked on at once. Low: Anypoint serializes the writes of an organization.
    pub subjects_at_once: usize,
}

impl Pace {
    /// For answering within Okta's 3 seconds.
    pub const INLINE: Self = Self {
        recording: Duration::from_millis(300),
        least: Duration::from_millis(400),
        subjects_at_once: 4,
    };
    /// For working from a queue.
    pub const QUEUED: Self = Self {
        recording: Duration::from_secs(2),
        least: Duration::from_secs(5),
        subjects_at_once: 4,
    };
}

/// Does the work.
pub struct Worker {
    ledger: Arc<dyn Ledger>,
    provisioner: Provisioner,
    follow_ups: Option<Arc<dyn Queue>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    pace: Pace,
}

impl Worker {
    /// A worker that records in `ledger` and applies with `provisioner`. Users that have to be looked
    /// at next go to `follow_ups`, or are done in the same run when there is no queue.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        provisioner: Provisioner,
        follow_ups: Option<Arc<dyn Queue>>,
        metrics: Arc<Metrics>,
        pace: Pace,
    ) -> Self {
        let clock = provisioner.clock.clone();
        Self {
            ledger,
            provisioner,
            follow_ups,
            clock,
            metrics,
            pace,
        }
    }

    /// Works on `changes` until `deadline`, and says for each, in the same order, what is to become of
    /// it. The same uuid twice is one piece of work.
    pub async fn run(
        &self,
        changes: &[Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Vec<Verdict> {
        let mut subjects: Vec<(Subject, Vec<Change>)> = Vec::new();
        for change in changes {
            match subjects
                .iter_mut()
                .find(|(subject, _)| *subject == change.subject)
            {
                Some((_, group)) if group.iter().any(|other| other.uuid == change.uuid) => {}
                Some((_, group)) => group.push(change.clone()),
                None => subjects.push((change.subject.clone(), vec![change.clone()])),
            }
        }
        let mut work = Vec::with_capacity(subjects.len());
        for (subject, group) in subjects {
            work.push(self.guarded(subject, group, reason, deadline));
        }
        let mut done = stream::iter(work).buffer_unordered(self.pace.subjects_at_once);
        let mut verdicts = HashMap::new();
        while let Some(of_group) = done.next().await {
            verdicts.extend(of_group);
        }
        changes
            .iter()
            .map(|change| {
                verdicts
                    .get(&change.uuid)
                    .copied()
                    .unwrap_or(Verdict::Retry { after: None })
            })
            .collect()
    }

    /// As [`Worker::subject`], until `deadline` and no longer; a panic is this subject's alone.
    fn guarded(
        &self,
        subject: Subject,
        changes: Vec<Change>,
        reason: Reason,
        deadline: Deadline,
    ) -> BoxFuture<'_, Vec<(EventUuid, Verdict)>> {
        Box::pin(async move {
            let work = AssertUnwindSafe(self.subject(&subject, &changes, reason, deadline));
            let in_time = tokio::time::timeout_at(deadline.instant(), work.catch_unwind());
            let back = vec![Verdict::Retry { after: None }; changes.len()];
            let verdicts = match in_time.await {
                Ok(Ok(verdicts)) => verdicts,
                Ok(Err(_)) => {
                    tracing::error!(%subject, "the work on a subject panicked; its events go back");
                    back
                }
                Err(_) => {
                    tracing::error!(
                        %subject,
                        "the time was up before the table took what became of the events; they go back"
                    );
                    back
                }
            };
            changes
                .into_iter()
                .map(|change| change.uuid)
                .zip(verdicts)
                .collect()
        })
    }

    /// All changes of one subject, in order.
    async fn subject(
        &self,
        subject: &Subject,
        changes: &[Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Vec<Verdict> {
        if deadline.remaining() < self.pace.least {
            return vec![Verdict::Retry { after: None }; changes.len()];
        }
        let lease = deadline.lease();
        let works: Vec<Work> = changes.iter().map(Change::work).collect();
        let mut asked = Vec::with_capacity(works.len());
        for work in &works {
            asked.push(self.ledger.claim(work, lease, reason));
        }
        let outcomes = join_all(asked).await;

        let mut verdicts = Vec::with_capacity(changes.len());
        let mut claims = Vec::new();
        let mut blocked: Option<Option<Duration>> = None;
        for (position, outcome) in outcomes.into_iter().enumerate() {
            let verdict = match (outcome, blocked) {
                (Ok(Outcome::Claimed(claim)), None) => {
                    claims.push((position, claim));
                    Verdict::Settled
                }
                (Ok(Outcome::Claimed(claim)), Some(after)) => {
                    self.give_back(claim).await;
                    Verdict::Retry { after }
                }
                (_, Some(after)) => Verdict::Retry { after },
                (Ok(Outcome::AlreadyDone | Outcome::AlreadyFailed), None) => {
                    self.metrics.count(Metric::Duplicate, 1);
                    Verdict::Settled
                }
                (Ok(Outcome::Busy { until_ms }), None) => {
                    let left = u64::try_from(until_ms - self.clock.now_ms()).unwrap_or(0);
                    let after = Some(Duration::from_millis(left));
                    blocked = Some(after);
                    Verdict::Retry { after }
                }
                (Err(failure), None) => {
                    tracing::error!(%subject, "an event could not be claimed: {failure}");
                    blocked = Some(failure.retry_after);
                    Verdict::Retry {
                        after: failure.retry_after,
                    }
                }
            };
            verdicts.push(verdict);
        }
        let first = claims.first().map_or(0, |(position, _)| *position);
        if let Some(after) = self.serve(subject, changes, claims, deadline).await {
            // What was claimed goes back, and so does everything after the first of it: order.
            verdicts[first..].fill(Verdict::Retry { after });
        }
        verdicts
    }

    /// One look for all claimed changes. `Some` when they go back.
    async fn serve(
        &self,
        subject: &Subject,
        changes: &[Change],
        claims: Vec<(usize, Claim)>,
        deadline: Deadline,
    ) -> Option<Option<Duration>> {
        let (_, first) = claims.first()?;
        if first.took_over {
            tracing::warn!(%subject, "an earlier run did not finish; its effects are verified");
        }
        let result = self.provision(subject, first, deadline).await;
        match result {
            Ok(applied) => {
                tracing::info!(
                    %subject,
                    events = claims.len(),
                    actions = ?applied.actions,
                    "looked at a subject; both sides agree"
                );
                for action in &applied.actions {
                    self.metrics.count(Metric::Applied(action), 1);
                }
                let now_ms = self.clock.now_ms();
                for (position, _) in &claims {
                    if let Some(age) = changes.get(*position).and_then(|c| age_ms(c, now_ms)) {
                        self.metrics.measure(Metric::AgeMs, age);
                    }
                }
                self.record(claims, None).await
            }
            Err(failure) => {
                match failure.class {
                    Class::Permanent => tracing::error!(
                        %subject, class = failure.class.as_str(), "events failed for good: {failure}"
                    ),
                    Class::Retryable => tracing::warn!(
                        %subject, class = failure.class.as_str(), "events will be retried: {failure}"
                    ),
                }
                self.metrics
                    .count(Metric::Failed(failure.class.as_str()), claims.len());
                let not_recorded = self.record(claims, Some(&failure)).await;
                match failure.class {
                    Class::Retryable => Some(failure.retry_after),
                    Class::Permanent => not_recorded,
                }
            }
        }
    }

    async fn provision(
        &self,
        subject: &Subject,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<Applied, Failure> {
        let until = deadline.earlier_by(self.pace.recording);
        let work = AssertUnwindSafe(async {
            let applied = self.provisioner.provision(subject, claim, until).await?;
            self.follow_up(&applied, until).await?;
            Ok(applied)
        })
        .catch_unwind();
        match tokio::time::timeout_at(until.instant(), work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::retryable(Side::Program, "the work panicked")),
            Err(_) => Err(Failure::retryable(
                Side::Program,
                "the time of this run was up; the next run goes on from what is there",
            )),
        }
    }

    /// Users that have to be looked at next, as changes of their own.
    async fn follow_up(&self, applied: &Applied, deadline: Deadline) -> Result<(), Failure> {
        if applied.follow_ups.is_empty() {
            return Ok(());
        }
        let now_ms = self.clock.now_ms();
        let changes: Vec<Change> = applied
            .follow_ups
            .iter()
            .map(|user| Change::found(Subject::User(user.clone()), now_ms))
            .collect();
        if let Some(queue) = &self.follow_ups {
            return queue.send(&changes).await;
        }
        let verdicts = self.run_again(&changes, deadline).await;
        let open = verdicts.iter().filter(|verdict| verdict.is_retry()).count();
        if open == 0 {
            return Ok(());
        }
        Err(Failure::retryable(
            Side::Program,
            format!(
                "{open} of {} members of the group are not done yet",
                changes.len()
            ),
        ))
    }

    /// [`Worker::run`] from within a run; the boxed type ends the recursion of types.
    fn run_again<'a>(
        &'a self,
        changes: &'a [Change],
        deadline: Deadline,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(self.run(changes, Reason::Delivery, deadline))
    }

    /// Writes what became of the claims. `Some` when it could not be written, or another run took over
    /// and what becomes of its work is not known: the changes go back.
    async fn record(
        &self,
        claims: Vec<(usize, Claim)>,
        failure: Option<&Failure>,
    ) -> Option<Option<Duration>> {
        let mut writes = Vec::with_capacity(claims.len());
        for (_, claim) in claims {
            writes.push(match failure {
                None => self.ledger.complete(claim),
                Some(failure) => self.ledger.fail(claim, failure),
            });
        }
        let mut unwritten = None;
        for written in join_all(writes).await {
            match written {
                Ok(Recorded::Written) => {}
                Ok(Recorded::Superseded) => {
                    self.metrics.count(Metric::Superseded, 1);
                    unwritten = unwritten.or(Some(None));
                }
                Err(error) => {
                    tracing::error!("what became of an event could not be recorded: {error}");
                    unwritten = Some(error.retry_after);
                }
            }
        }
        unwritten
    }

    async fn give_back(&self, claim: Claim) {
        let waits = Failure::retryable(
            Side::Program,
            "waits for an earlier event of the same subject that another run works on",
        );
        if let Err(error) = self.ledger.fail(claim, &waits).await {
            tracing::error!("a claim could not be given back: {error}");
        }
    }
}

/// How old a change is; none is younger than this moment, whatever Okta's clock says.
fn age_ms(change: &Change, now_ms: i64) -> Option<u64> {
    let published: jiff::Timestamp = change.published.parse().ok()?;
    u64::try_from((now_ms - published.as_millisecond()).max(0)).ok()
}
