//! Takes changes, leases their subject, claims them, provisions the subject and records the result.
//!
//! At most one run works on a subject at a time: it holds the lease from before its look until its
//! records are written. A run claims several changes of one subject together, and serves them with one look. The worker
//! works on several subjects at once. A subject that fails or panics does not stop the others.
//!
//! The record decides about a change's message ([`Verdict`]):
//!
//! | the record says | the message |
//! |---|---|
//! | `done`, or `failed` for good | is acknowledged |
//! | `held` by the brake | is acknowledged, because the table keeps held changes |
//! | `failed`, retryable | goes back with a growing pause |
//! | `waiting`, or another run has the subject | goes back with exactly the pause that is left |
//!
//! The worker queues users and groups that it has to look at next before it writes the record. Without a queue it
//! serves them in the same run.
//!
//! The worker acknowledges a change only when the ledger says `done`, `held`, or `failed` for good. It may look at a
//! change more than once. If a run died after it applied a change, the next look finds both sides in sync and only writes
//! the record.

mod asked;
mod follow_ups;
mod inline;
mod late;
mod pace;
mod record;
mod report;
mod serve;
mod surroundings;
mod words;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use futures_util::{FutureExt, StreamExt, stream};

use crate::clock::rfc3339;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ids::{EventUuid, Subject};
use crate::interruption::is_interrupted;
use crate::ledger::{ClaimOutcome, Leased, Reason, Work, lease_within};
use crate::provision::{Changes, Ports, Provisioner, Shadow, paused_since};
use crate::queue::Queue;
use crate::telemetry::{Metric, Metrics};

pub use inline::InlineQueue;
pub(crate) use late::Late;
pub use pace::{Pace, Pauses};

use follow_ups::Serving;
use serve::{Claimed, panicked};
use surroundings::Surroundings;

/// What the caller does with a change's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The change is recorded as done, held, or failed for good. Acknowledge the message.
    Settled,
    /// A retry may succeed. Give the message back, with at least this pause.
    Retry {
        /// The pause that the remote, or a running lease, asks for.
        after: Option<Duration>,
        /// How many runs of the subject failed in a row, if this run knows.
        failures: Option<u32>,
    },
    /// The change waits for a second look. Give the message back for exactly this long.
    Wait {
        /// How long.
        after: Duration,
    },
    /// Another run has the lease, so nothing was tried. Give the message back for exactly this long.
    Busy {
        /// How long.
        after: Duration,
    },
    /// Changes are paused, so nothing was tried. Give the message back, with at least this pause.
    Paused {
        /// How long.
        after: Duration,
    },
}

impl Verdict {
    fn retry(failure: &Failure) -> Self {
        Self::retry_after(failure.retry_after)
    }

    fn retry_after(after: Option<Duration>) -> Self {
        Self::Retry {
            after,
            failures: None,
        }
    }

    /// The same verdict, after this many failed runs in a row.
    fn counting(self, in_a_row: u32) -> Self {
        match self {
            Self::Retry { after, .. } => Self::Retry {
                after,
                failures: Some(in_a_row),
            },
            other => other,
        }
    }

    /// This verdict if the message goes back by it, else `other`.
    fn or(self, other: Self) -> Self {
        if self.is_retry() { self } else { other }
    }

    /// Whether the message goes back.
    pub fn is_retry(self) -> bool {
        !matches!(self, Self::Settled)
    }
}

/// How long a message stays away while changes are paused.
const PAUSED_FOR: Duration = Duration::from_secs(600);

/// Works on changes.
pub struct Worker {
    pub(crate) ports: Ports,
    provisioner: Provisioner,
    follow_ups: Option<Arc<dyn Queue>>,
    pub(crate) metrics: Arc<Metrics>,
    pace: Pace,
    shadow: Shadow,
    surroundings: Surroundings,
    serving: Serving,
}

impl Worker {
    /// A worker that looks and applies through `ports`. Subjects to look at next go to `follow_ups`. Without that queue
    /// the same run serves them.
    pub fn new(
        ports: Ports,
        follow_ups: Option<Arc<dyn Queue>>,
        metrics: Arc<Metrics>,
        pace: Pace,
    ) -> Self {
        Self {
            shadow: Shadow::default(),
            surroundings: Surroundings::default(),
            serving: Serving::default(),
            provisioner: Provisioner::new(ports.clone()),
            ports,
            follow_ups,
            metrics,
            pace,
        }
    }

    /// Records an unreadable message as failed for good, which lets it leave its queue. `id` and `subject` are those that
    /// the queue knows.
    pub(crate) async fn reject(&self, id: String, subject: String) -> Result<(), Failure> {
        let work = Work {
            id,
            kind: "unreadable".to_owned(),
            subject,
            published: rfc3339(self.ports.clock.now_ms()),
            actor: None,
            reason: None,
        };
        let failure = Failure::permanent(
            Side::Queue,
            "this program did not write the message.",
            "Find out which program writes to the queue, and push the user or group that the message was about.",
        );
        tracing::error!(event = work.id, subject = work.subject, "{failure}");
        self.ports.ledger.reject(&work, &failure).await?;
        self.metrics
            .count(Metric::Failed(failure.class, failure.cause), 1);
        Ok(())
    }

    /// Works on `changes` until `deadline`. Returns a verdict for each, in the same order. The same uuid twice about one
    /// subject is one change.
    pub async fn run(
        &self,
        changes: &[Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Vec<Verdict> {
        let mut subjects: Vec<(&Subject, Vec<&Change>)> = Vec::new();
        for change in changes {
            let same = |(subject, _): &&mut (&Subject, _)| **subject == change.subject;
            match subjects.iter_mut().find(same) {
                Some((_, group)) if group.iter().any(|other| other.uuid == change.uuid) => {}
                Some((_, group)) => group.push(change),
                None => subjects.push((&change.subject, vec![change])),
            }
        }
        let mut work = Vec::with_capacity(subjects.len());
        for (subject, group) in subjects {
            work.push(self.guarded(subject, group, reason, deadline));
        }
        let done = stream::iter(work).buffer_unordered(self.pace.subjects_at_once);
        let done: Vec<_> = done.collect().await;
        let verdicts: HashMap<_, _> = done.into_iter().flatten().collect();
        let verdict = |change: &Change| verdicts.get(&(&change.subject, &change.uuid)).copied();
        changes
            .iter()
            .map(|change| verdict(change).unwrap_or(Verdict::retry_after(None)))
            .collect()
    }

    /// Runs [`Worker::subject`] until `deadline` at the latest. A panic does not affect other subjects.
    fn guarded<'a>(
        &'a self,
        subject: &'a Subject,
        changes: Vec<&'a Change>,
        reason: Reason,
        deadline: Deadline,
    ) -> BoxFuture<'a, Vec<((&'a Subject, &'a EventUuid), Verdict)>> {
        Box::pin(async move {
            let work = AssertUnwindSafe(self.subject(subject, &changes, reason, deadline));
            let in_time = tokio::time::timeout_at(deadline.instant(), work.catch_unwind());
            let verdicts = match in_time.await {
                Ok(Ok(verdicts)) => verdicts,
                failed => {
                    let what = match failed {
                        Ok(_) => "the work on a subject panicked; its events go back",
                        Err(_) => {
                            "the time was up before the table recorded the results of the events; they go back"
                        }
                    };
                    tracing::error!(%subject, "{what}");
                    vec![Verdict::retry_after(None); changes.len()]
                }
            };
            let changes = changes.into_iter().map(|change| (subject, &change.uuid));
            changes.zip(verdicts).collect()
        })
    }

    /// All changes of one subject, in order.
    async fn subject(
        &self,
        subject: &Subject,
        changes: &[&Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Vec<Verdict> {
        let back = |after| vec![Verdict::retry_after(after); changes.len()];
        match self.pause().await {
            Ok(None) => {}
            Ok(Some(pause)) => {
                tracing::warn!(%subject, "changes are paused ({pause}); events go back");
                return vec![Verdict::Paused { after: PAUSED_FOR }; changes.len()];
            }
            Err(failure) => {
                tracing::error!(%subject, "could not read whether changes are paused: {failure}");
                return back(failure.retry_after);
            }
        }
        if is_interrupted() || deadline.remaining() < self.pace.least {
            return back(None);
        }
        if self.surroundings.are_in_doubt() {
            let ended = self.ended(changes, reason).await;
            if changes.iter().all(|change| ended.contains(&change.uuid)) {
                return self.without_run(changes, &ended, Verdict::Settled);
            }
            if let Some(failure) = self.surroundings.out_of_order(&self.ports, deadline).await {
                self.metrics.count(Metric::SideRefuses(failure.side), 1);
                tracing::error!(%subject, "events go back, because a side refuses everybody: {failure}");
                self.report_late(&open(changes, &ended), Late::because_of(&failure));
                let verdict = Verdict::retry_after(failure.retry_after);
                return self.without_run(changes, &ended, verdict);
            }
        }
        let lease = match self.take(subject, deadline).await {
            Ok(Leased::Ours(lease)) => lease,
            Ok(Leased::Busy { until_ms }) => {
                tracing::info!(%subject, "another run works on the subject");
                let after = self.until(until_ms);
                let ended = self.ended(changes, reason).await;
                self.report_late(&open(changes, &ended), Late::Waiting);
                return self.without_run(changes, &ended, Verdict::Busy { after });
            }
            Err(failure) => {
                tracing::error!(%subject, "could not lease the subject: {failure}");
                self.report_late(changes, Late::because_of(&failure));
                return back(failure.retry_after);
            }
        };
        if lease.took_over() {
            tracing::warn!(%subject, "an earlier run did not finish; this run verifies its effects");
        }
        let works: Vec<Work> = changes.iter().copied().map(Change::work).collect();
        let mut asked = Vec::with_capacity(works.len());
        for work in &works {
            asked.push(self.ports.ledger.claim(work, &lease, reason));
        }
        let recall = AssertUnwindSafe(self.provisioner.recall(subject)).catch_unwind();
        let (outcomes, known) = join(join_all(asked), recall).await;
        let known = known.unwrap_or_else(|_| Err(panicked()));

        let mut verdicts = Vec::with_capacity(changes.len());
        let (mut positions, mut claims) = (Vec::new(), Vec::new());
        for (position, outcome) in outcomes.into_iter().enumerate() {
            verdicts.push(match outcome {
                Ok(ClaimOutcome::Claimed(claim)) => {
                    positions.push(position);
                    claims.push(claim);
                    Verdict::Settled
                }
                Ok(ClaimOutcome::AlreadyDone | ClaimOutcome::AlreadyFailed) => {
                    self.metrics.count(Metric::Duplicate, 1);
                    Verdict::Settled
                }
                Ok(ClaimOutcome::Busy { until_ms }) => Verdict::Busy {
                    after: self.until(until_ms),
                },
                Ok(ClaimOutcome::Waiting { until_ms }) => Verdict::Wait {
                    after: self.until(until_ms),
                },
                Err(failure) => {
                    tracing::error!(%subject, "could not claim an event: {failure}");
                    Verdict::retry(&failure)
                }
            });
        }
        let claimed = Claimed {
            subject,
            changes: positions.iter().map(|at| changes[*at]).collect(),
            claims,
            reason,
            deadline,
        };
        let verdict = Box::pin(self.serve(claimed, lease, known)).await;
        for position in positions {
            verdicts[position] = verdict;
        }
        in_order(verdicts)
    }

    /// The setting or command that pauses changes, if this worker heeds it.
    async fn pause(&self) -> Result<Option<&'static str>, Failure> {
        if self.ports.policy.changes == Changes::Pause {
            return Ok(Some("CHANGES=pause"));
        }
        if self.pace.pauses == Pauses::Setting {
            return Ok(None);
        }
        let since = paused_since(&*self.ports.documents).await?;
        Ok(since.map(|_| "okta-anypoint pause"))
    }

    /// The changes that only repeat an event whose record is final.
    async fn ended<'c>(&self, changes: &[&'c Change], reason: Reason) -> HashSet<&'c EventUuid> {
        let mut ended = HashSet::new();
        if reason.is_of_operator() {
            return ended;
        }
        for change in changes {
            let record = self.ports.ledger.record_of(&change.work()).await;
            if record.is_ok_and(|record| record.is_some_and(|record| record.is_final())) {
                ended.insert(&change.uuid);
            }
        }
        ended
    }

    /// The verdicts if no run begins: the `ended` ones are acknowledged, and the others get this verdict.
    fn without_run(
        &self,
        changes: &[&Change],
        ended: &HashSet<&EventUuid>,
        verdict: Verdict,
    ) -> Vec<Verdict> {
        let verdicts = changes.iter().map(|change| {
            if !ended.contains(&change.uuid) {
                return verdict;
            }
            self.metrics.count(Metric::Duplicate, 1);
            Verdict::Settled
        });
        in_order(verdicts.collect())
    }

    /// Takes the lease on a subject. Waits for another run while the pace and the time allow it.
    async fn take(&self, subject: &Subject, deadline: Deadline) -> Result<Leased, Failure> {
        let patient = deadline.earlier_by(self.pace.recording + self.pace.least);
        let patience = self.pace.patience.min(patient.remaining());
        lease_within(
            &*self.ports.ledger,
            &subject.to_string(),
            deadline,
            patience,
        )
        .await
    }

    fn report_late(&self, changes: &[&Change], why: Late) {
        let now_ms = self.ports.clock.now_ms();
        late::report(&self.metrics, &self.ports.policy, changes, why, now_ms);
    }

    fn until(&self, until_ms: i64) -> Duration {
        let left = until_ms.saturating_sub(self.ports.clock.now_ms());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

/// The changes that are no repetitions of `ended` events.
fn open<'c>(changes: &[&'c Change], ended: &HashSet<&EventUuid>) -> Vec<&'c Change> {
    let open = |change: &&Change| !ended.contains(&change.uuid);
    changes.iter().copied().filter(open).collect()
}

/// If a change goes back, every later one goes back, too. That keeps their order.
fn in_order(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    if let Some(first) = verdicts.iter().position(|verdict| verdict.is_retry()) {
        let verdict = verdicts[first];
        verdicts[first..].fill(verdict);
    }
    verdicts
}
