//! Takes changes, leases their subject, claims them, looks once, applies, records.
//!
//! At most one run works on a subject at a time: it holds the lease from before its look until its
//! records are written. Several changes of one subject are claimed together and served by one look;
//! several subjects are worked on at once. One subject that fails, or panics, stops no other.
//!
//! A change ends in one of three ways ([`Verdict`]):
//!
//! | the record says | the message |
//! |---|---|
//! | `done`, or `failed` for good | is acknowledged |
//! | `held` by the brake | is acknowledged: held work lives in the table |
//! | `failed`, retryable | goes back with a growing pause |
//! | `waiting`, or another run has the subject | goes back with exactly the pause that is left |
//!
//! Users and groups that have to be looked at next are queued before the record is written. Without a queue
//! they are done in the same run.
//!
//! Guaranteed: a change is acknowledged only when the ledger says `done`, or `failed` for good.
//! Not guaranteed: that a change is applied once only. A run that died may have applied it; the next look
//! finds that and only records.

mod asked;
mod inline;
mod late;
mod record;
mod surroundings;
mod words;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use futures_util::{FutureExt, StreamExt, stream};

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Cause, Class, Failure, Side};
use crate::ids::{EventUuid, Subject};
use crate::ledger::{
    AuditEntry, Claim, ClaimOutcome, Conclusion, EndState, Ending, Lease, Leased, Ledger, Memo,
    Reason, Recorded, SUBJECT_WAIT, Work, lease_within, while_kept,
};
use crate::provision::{
    Announced, Brake, Changes, FollowUp, Known, Ports, Progress, Provisioner, SecondLook, Shadow,
    Turn,
};
use crate::queue::Queue;
use crate::store::{Documents, Memory};
use crate::telemetry::{Metric, Metrics};

pub use inline::InlineQueue;
pub(crate) use late::Late;

use surroundings::Surroundings;

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
    /// It waits for a second look, or for another run's lease: give it back for exactly this long.
    Wait {
        /// How long.
        after: Duration,
    },
}

impl Verdict {
    /// Whether the message goes back.
    pub fn is_retry(self) -> bool {
        matches!(self, Self::Retry { .. } | Self::Wait { .. })
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
    /// How long to wait for a subject that another run works on.
    pub patience: Duration,
    /// Where a second look happens, when one is needed.
    pub second_look: SecondLook,
}

impl Pace {
    /// For answering within Okta's 3 seconds.
    pub const INLINE: Self = Self {
        recording: Duration::from_millis(300),
        least: Duration::from_millis(400),
        subjects_at_once: 4,
        patience: Duration::from_millis(1500),
        second_look: SecondLook::AtOnce,
    };
    /// For working from a queue.
    pub const QUEUED: Self = Self {
        recording: Duration::from_secs(2),
        least: Duration::from_secs(5),
        subjects_at_once: 4,
        patience: SUBJECT_WAIT,
        second_look: SecondLook::Later,
    };
    /// For an operator who waits for the answer.
    pub const BY_HAND: Self = Self {
        second_look: SecondLook::AtOnce,
        ..Self::QUEUED
    };
}

/// A change whose runs died so often fails for good.
const MAX_DEATHS: u32 = 10;

/// While changes are paused, a message comes back after this.
const PAUSED_FOR: Duration = Duration::from_secs(600);

/// Does the work.
pub struct Worker {
    ledger: Arc<dyn Ledger>,
    provisioner: Provisioner,
    follow_ups: Option<Arc<dyn Queue>>,
    clock: Arc<dyn Clock>,
    documents: Arc<dyn Documents>,
    metrics: Arc<Metrics>,
    pace: Pace,
    changes: Changes,
    shadow: Shadow,
    surroundings: Surroundings,
}

impl Worker {
    /// A worker that looks and applies through `ports`. Subjects that have to be looked at next go to
    /// `follow_ups`, or are done in the same run when there is no queue.
    pub fn new(
        ports: Ports,
        follow_ups: Option<Arc<dyn Queue>>,
        metrics: Arc<Metrics>,
        pace: Pace,
    ) -> Self {
        Self {
            ledger: ports.ledger.clone(),
            clock: ports.clock.clone(),
            documents: ports.documents.clone(),
            changes: ports.policy.changes,
            shadow: Shadow::default(),
            surroundings: Surroundings::new(&ports),
            provisioner: Provisioner::new(ports),
            follow_ups,
            metrics,
            pace,
        }
    }

    /// Works on `changes` until `deadline`, and says for each, in the same order, what is to become of
    /// it. The same uuid twice is one change.
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
        let back = |after| vec![Verdict::Retry { after }; changes.len()];
        if self.changes == Changes::Pause {
            tracing::warn!(%subject, "changes are paused (CHANGES=pause); events go back");
            return back(Some(PAUSED_FOR));
        }
        if deadline.remaining() < self.pace.least {
            return back(None);
        }
        if let Some(failure) = self.surroundings.out_of_order(deadline).await {
            self.metrics.count(Metric::SideRefuses(failure.side), 1);
            tracing::error!(%subject, "events go back, the surroundings are out of order: {failure}");
            self.tell_late(changes.iter(), Late::because_of(&failure));
            return back(failure.retry_after);
        }
        let patient = deadline.earlier_by(self.pace.recording + self.pace.least);
        let patience = self.pace.patience.min(patient.remaining());
        let key = subject.to_string();
        let lease = match lease_within(&*self.ledger, &key, deadline, patience).await {
            Ok(Leased::Ours(lease)) => lease,
            Ok(Leased::Busy { until_ms }) => {
                tracing::info!(%subject, "another run works on the subject");
                self.tell_late(changes.iter(), Late::Waiting);
                let after = self.until(until_ms);
                return vec![Verdict::Wait { after }; changes.len()];
            }
            Err(failure) => {
                tracing::error!(%subject, "the subject could not be leased: {failure}");
                self.tell_late(changes.iter(), Late::because_of(&failure));
                return back(failure.retry_after);
            }
        };
        if lease.took_over() {
            tracing::warn!(%subject, "an earlier run did not finish; its effects are verified");
        }
        let works: Vec<Work> = changes.iter().map(Change::work).collect();
        let mut asked = Vec::with_capacity(works.len());
        for work in &works {
            asked.push(self.ledger.claim(work, &lease, reason));
        }
        let recall = AssertUnwindSafe(self.provisioner.recall(subject)).catch_unwind();
        let (outcomes, known) = join(join_all(asked), recall).await;
        let known = known.unwrap_or_else(|_| Err(panicked()));

        let mut verdicts = Vec::with_capacity(changes.len());
        let mut claims = Vec::new();
        for (position, outcome) in outcomes.into_iter().enumerate() {
            verdicts.push(match outcome {
                Ok(ClaimOutcome::Claimed(claim)) => {
                    claims.push((position, claim));
                    Verdict::Settled
                }
                Ok(ClaimOutcome::AlreadyDone | ClaimOutcome::AlreadyFailed) => {
                    self.metrics.count(Metric::Duplicate, 1);
                    Verdict::Settled
                }
                Ok(ClaimOutcome::Busy { until_ms } | ClaimOutcome::Waiting { until_ms }) => {
                    Verdict::Wait {
                        after: self.until(until_ms),
                    }
                }
                Err(failure) => {
                    tracing::error!(%subject, "an event could not be claimed: {failure}");
                    Verdict::Retry {
                        after: failure.retry_after,
                    }
                }
            });
        }
        let served = self.serve(subject, changes, lease, claims, known, reason, deadline);
        for (position, verdict) in Box::pin(served).await {
            verdicts[position] = verdict;
        }
        // Order: behind a change that goes back, every later one goes back.
        if let Some(first) = verdicts.iter().position(|verdict| verdict.is_retry()) {
            let verdict = verdicts[first];
            verdicts[first..].fill(verdict);
        }
        verdicts
    }

    fn tell_late<'c>(&self, changes: impl Iterator<Item = &'c Change>, why: Late) {
        late::tell(&self.metrics, changes, why, self.clock.now_ms());
    }

    fn until(&self, until_ms: i64) -> Duration {
        let left = until_ms.saturating_sub(self.clock.now_ms());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// One look for all claimed changes; gives the lease back. What becomes of each claimed change.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `subject`, called there only"
    )]
    async fn serve(
        &self,
        subject: &Subject,
        changes: &[Change],
        lease: Lease,
        claims: Vec<(usize, Claim)>,
        known: Result<Known, Failure>,
        reason: Reason,
        deadline: Deadline,
    ) -> Vec<(usize, Verdict)> {
        let positions: Vec<usize> = claims.iter().map(|(position, _)| *position).collect();
        let (dead, claims): (Vec<Claim>, Vec<Claim>) = claims
            .into_iter()
            .map(|(_, claim)| claim)
            .partition(|claim| claim.deaths >= MAX_DEATHS);
        let mut endings: Vec<(Claim, Ending)> = dead.into_iter().map(set_aside).collect();
        let mut progress = Progress::default();
        let mut result = Ok(());
        let mine: Vec<&Change> = positions
            .iter()
            .filter_map(|position| changes.get(*position))
            .collect();
        if !claims.is_empty() {
            result = match known {
                Ok(known) => {
                    let turn = self.turn(&lease, known, mine.iter().copied(), reason, deadline);
                    self.provision(subject, turn, &claims, &mut progress).await
                }
                Err(failure) => Err(failure),
            };
        }
        if let Err(failure) = &result
            && failure.cause.is_refusal()
            && self.surroundings.affects_everybody(failure, deadline).await
        {
            self.metrics.count(Metric::SideRefuses(failure.side), 1);
            tracing::error!(side = %failure.side, "the side refuses everybody: {failure}");
        }
        let now_ms = self.clock.now_ms();
        let memory = progress.memory.take();
        let mut memory = memory.unwrap_or_else(|| Memory::of(&lease, now_ms));
        let memo = memory.to_memo();
        let mut audit = record::audit(&lease, &mine, reason, &progress, now_ms);
        audit.iter().for_each(AuditEntry::log);
        let mut lease = lease;
        let next = progress.next(&result);
        if !next.is_empty() {
            match self
                .follow_up(&next, lease, &memo, &mut audit, deadline)
                .await
            {
                Ok((ours, followed)) => {
                    lease = ours;
                    result = result.and(followed);
                }
                // The claims stay until their lease is over; then the next run does the rest.
                Err(failure) => {
                    tracing::warn!(%subject, "events go back: {failure}");
                    let after = failure.retry_after;
                    let back = |position| (position, Verdict::Retry { after });
                    return positions.into_iter().map(back).collect();
                }
            }
        }
        let verdict = self.tell(subject, changes, &positions, &progress, &result);
        let ending = record::ending(result, &mut progress);
        endings.extend(claims.into_iter().map(|claim| (claim, ending.clone())));
        let resolved = record::settle(&mut memory, &endings);
        let conclusion = Conclusion {
            claims: endings,
            memo: memory.to_memo(),
            resolved,
            audit,
        };
        let unrecorded = self.conclude(lease, conclusion).await;
        let verdict = unrecorded.unwrap_or(verdict);
        positions
            .into_iter()
            .map(|position| (position, verdict))
            .collect()
    }

    fn turn<'t>(
        &self,
        lease: &'t Lease,
        known: Known,
        changes: impl Iterator<Item = &'t Change> + Clone,
        reason: Reason,
        deadline: Deadline,
    ) -> Turn<'t> {
        // An operator's emergency and approval pass, and so does what a reconcile's own limit let pass.
        let passes = |change: &Change| change.reason.is_some() || !change.planned.is_empty();
        let brake = if reason == Reason::Approval || changes.clone().any(passes) {
            Brake::Passes
        } else {
            Brake::Counts
        };
        let is_found = |change: &&Change| change.event_type == crate::event::RECONCILE_EVENT_TYPE;
        let distrusted = changes.clone().filter(is_found);
        Turn {
            lease,
            known,
            distrusted: distrusted
                .filter_map(|change| change.group.clone())
                .collect(),
            announced: match reason {
                Reason::Delivery => Announced::by(changes, self.clock.now_ms()),
                Reason::Replay | Reason::Approval => Announced::everything(),
            },
            brake,
            second_look: self.pace.second_look,
            deadline: deadline.earlier_by(self.pace.recording),
        }
    }

    /// Logs and counts what came of a look; gives what becomes of its changes.
    fn tell(
        &self,
        subject: &Subject,
        changes: &[Change],
        positions: &[usize],
        progress: &Progress,
        result: &Result<(), Failure>,
    ) -> Verdict {
        for applied in &progress.applied {
            self.metrics.count(Metric::Applied(applied.action), 1);
        }
        let events = positions.len();
        if let Some(why) = Late::of(progress, result) {
            self.tell_late(positions.iter().filter_map(|at| changes.get(*at)), why);
        }
        // What was done is told also where the run did not get to its end.
        let done = words::done(&progress.applied);
        let done = (!done.is_empty()).then_some(done.as_str());
        if let (Ok(()), Some(held)) = (result, &progress.held) {
            self.metrics.count(Metric::Held, events);
            tracing::warn!(%subject, events, why = held.why, "subject held by the brake");
            return Verdict::Settled;
        }
        if let (Ok(()), Some(steps)) = (result, &progress.planned) {
            let steps = steps.join(", ");
            tracing::info!(%subject, events, steps, "dry run: nothing was changed");
            return Verdict::Settled;
        }
        match (result, &progress.wait) {
            (Ok(()), Some(wait)) => {
                let after = self.until(wait.until_ms);
                self.metrics.count(Metric::Waiting, events);
                tracing::info!(
                    %subject, events, done, seen = wait.seen,
                    wait_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                    "subject waits for a second look"
                );
                Verdict::Wait { after }
            }
            (Ok(()), None) => {
                if events > 0 {
                    let actions = progress.applied.len();
                    let ended = words::ended(subject, &progress.applied);
                    tracing::info!(%subject, events, actions, "{ended}");
                }
                let now_ms = self.clock.now_ms();
                for position in positions {
                    if let Some(age) = changes.get(*position).and_then(|c| age_ms(c, now_ms)) {
                        self.metrics.measure(Metric::AgeMs, age);
                    }
                }
                Verdict::Settled
            }
            (Err(failure), _) => {
                self.metrics
                    .count(Metric::Failed(failure.class, failure.cause), events);
                let (class, cause) = (failure.class.as_str(), failure.cause.as_str());
                match failure.class {
                    Class::Permanent => {
                        tracing::error!(%subject, events, done, class, cause, "events failed: {failure}");
                        Verdict::Settled
                    }
                    Class::Retryable => {
                        tracing::warn!(%subject, events, done, class, cause, "events will be retried: {failure}");
                        Verdict::Retry {
                            after: failure.retry_after,
                        }
                    }
                }
            }
        }
    }

    /// Looks, plans and applies while the time lasts and the lease is held.
    async fn provision(
        &self,
        subject: &Subject,
        turn: Turn<'_>,
        claims: &[Claim],
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let (lease, until) = (turn.lease, turn.deadline);
        if self.changes == Changes::Report {
            let planned = self.plan_only(subject, turn.announced, until, progress);
            return Box::pin(planned).await;
        }
        let work = AssertUnwindSafe(self.provisioner.provision(subject, turn, progress));
        let kept_work = while_kept(&*self.ledger, lease, claims, until, work.catch_unwind());
        match tokio::time::timeout_at(until.instant(), Box::pin(kept_work)).await {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(_))) => Err(panicked()),
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(out_of_time()),
        }
    }

    /// Looks and plans, and writes at no remote. The next reconcile that applies hears of it.
    async fn plan_only(
        &self,
        subject: &Subject,
        announced: Announced,
        until: Deadline,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        self.shadow.note(&*self.documents).await?;
        let planning = self.provisioner.steps(subject, announced, until);
        let steps = match tokio::time::timeout_at(until.instant(), planning).await {
            Ok(steps) => steps?,
            Err(_) => return Err(out_of_time()),
        };
        progress.planned = Some(steps.iter().map(ToString::to_string).collect());
        Ok(())
    }

    /// Subjects that have to be looked at next, as changes of their own. Without a queue they are done
    /// at once, and the lease is given back meanwhile: nobody waits in a circle.
    async fn follow_up(
        &self,
        next: &[FollowUp],
        lease: Lease,
        memo: &Memo,
        audit: &mut Vec<AuditEntry>,
        deadline: Deadline,
    ) -> Result<(Lease, Result<(), Failure>), Failure> {
        let now_ms = self.clock.now_ms();
        let changes: Vec<Change> = next
            .iter()
            .map(|next| match next {
                FollowUp::Subject(subject) => Change::found(subject.clone(), now_ms),
                FollowUp::Freed(user) => Change::found(Subject::User(user.clone()), now_ms),
                FollowUp::Member(user, group) => {
                    Change::found(Subject::User(user.clone()), now_ms).in_group(group.clone())
                }
            })
            .collect();
        if let Some(queue) = &self.follow_ups {
            return Ok((lease, queue.send(&changes).await));
        }
        let subject = lease.subject().to_owned();
        // The lease is given back, so nobody would notice that this run dies from here on.
        let conclusion = Conclusion {
            memo: memo.clone(),
            audit: std::mem::take(audit),
            ..Conclusion::default()
        };
        self.ledger.conclude(lease, conclusion).await?;
        let verdicts = self
            .run_again(&changes, deadline.earlier_by(self.pace.recording))
            .await;
        let open = verdicts.iter().filter(|verdict| verdict.is_retry()).count();
        let result = if open == 0 {
            Ok(())
        } else {
            let message = format!(
                "{open} of {} subjects that follow are not done",
                changes.len()
            );
            Err(Failure::retryable(Side::Program, message).because(Cause::Busy))
        };
        match self.ledger.lease(&subject, deadline.lease()).await? {
            Leased::Ours(lease) => Ok((lease, result)),
            Leased::Busy { until_ms } => Err(Failure::retryable(
                Side::Program,
                "another run took the subject meanwhile",
            )
            .because(Cause::Busy)
            .after(Some(self.until(until_ms)))),
        }
    }

    /// [`Worker::run`] from within a run; the boxed type ends the recursion of types.
    fn run_again<'a>(
        &'a self,
        changes: &'a [Change],
        deadline: Deadline,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(self.run(changes, Reason::Delivery, deadline))
    }

    /// Records what became of the claims and gives the lease back. `Some` when it could not be written,
    /// or another run took over and what becomes of its work is not known: the changes go back.
    async fn conclude(&self, lease: Lease, conclusion: Conclusion) -> Option<Verdict> {
        match self.ledger.conclude(lease, conclusion).await {
            Ok(recorded) => {
                let lost = recorded
                    .iter()
                    .filter(|r| **r == Recorded::Superseded)
                    .count();
                if lost == 0 {
                    return None;
                }
                self.metrics.count(Metric::Superseded, lost);
                Some(Verdict::Retry { after: None })
            }
            Err(error) => {
                tracing::error!("what became of events could not be recorded: {error}");
                Some(Verdict::Retry {
                    after: error.retry_after,
                })
            }
        }
    }
}

fn out_of_time() -> Failure {
    Failure::retryable(
        Side::Program,
        "the time of this run was up; the next run goes on from what is there",
    )
    .because(Cause::Timeout)
}

fn panicked() -> Failure {
    Failure::retryable(Side::Program, "the work panicked").because(Cause::Defect)
}

/// A change whose runs died again and again takes no more of them along.
fn set_aside(claim: Claim) -> (Claim, Ending) {
    let failure = Failure::permanent(
        Side::Program,
        format!(
            "{} runs in a row died while they worked on this event.",
            claim.deaths
        ),
        "Look for the cause in the log.",
    )
    .because(Cause::RunsDied);
    tracing::error!(event = claim.id(), "events failed: {failure}");
    let state = EndState::Failed(failure.of_event());
    (
        claim,
        Ending {
            applied: Vec::new(),
            state,
        },
    )
}

/// How old a change is; none is younger than this moment, whatever Okta's clock says.
fn age_ms(change: &Change, now_ms: i64) -> Option<u64> {
    let published: jiff::Timestamp = change.published.parse().ok()?;
    u64::try_from((now_ms - published.as_millisecond()).max(0)).ok()
}
