//! Serves the claimed changes of a subject with one look: provision, follow up, log, record.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::late::Late;
use super::{Verdict, Worker, record, words};
use crate::deadline::Deadline;
use crate::event::{Change, RECONCILE_EVENT_TYPE};
use crate::failure::{Cause, Failure, Side};
use crate::ids::Subject;
use crate::interruption::interrupted;
use crate::ledger::{
    AuditEntry, Claim, ClaimOutcome, Conclusion, EndState, Ending, Lease, Leased, Reason, Recorded,
    while_kept,
};
use crate::provision::{Announced, Applied, Brake, Changes, FollowUp, Known, Progress, Turn};
use crate::store::Memory;
use crate::telemetry::Metric;

/// A change fails for good after this many runs died in a row.
const MAX_DEATHS: u32 = 10;

/// The changes of one subject that a run has claimed.
pub(super) struct Claimed<'c> {
    pub(super) subject: &'c Subject,
    pub(super) changes: Vec<&'c Change>,
    pub(super) claims: Vec<Claim>,
    pub(super) reason: Reason,
    pub(super) deadline: Deadline,
}

/// What a run looked at, and what it did.
struct Looked<'c> {
    subject: &'c Subject,
    changes: Vec<&'c Change>,
    applied: Vec<Applied>,
    deadline: Deadline,
}

/// What a run writes when it gives its lease back. It holds the claims, so none of them outlives the lease.
struct Records {
    claims: Vec<Claim>,
    /// The ends of the claims whose runs died too often.
    dead: Vec<(Claim, Ending)>,
    memory: Memory,
    audit: Vec<AuditEntry>,
}

impl Worker {
    /// Serves all claimed changes with one look, and gives the lease back.
    pub(super) async fn serve(
        &self,
        claimed: Claimed<'_>,
        lease: Lease,
        known: Result<Known, Failure>,
    ) -> Verdict {
        let Claimed {
            subject,
            changes,
            claims,
            reason,
            deadline,
        } = claimed;
        let (dead, claims): (Vec<Claim>, Vec<Claim>) = claims
            .into_iter()
            .partition(|claim| claim.deaths >= MAX_DEATHS);
        let endings: Vec<(Claim, Ending)> = dead.into_iter().map(fail_dead).collect();
        let mut progress = Progress::default();
        let mut result = match known {
            _ if claims.is_empty() => Ok(()),
            Ok(known) => {
                let turn = self.turn(&lease, known, &changes, reason, deadline);
                self.provision(subject, turn, &claims, &mut progress).await
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &result
            && failure.cause.is_refusal()
            && self
                .surroundings
                .affects_everybody(&self.ports, failure, deadline)
                .await
        {
            self.metrics.count(Metric::SideRefuses(failure.side), 1);
            tracing::error!(side = %failure.side, "the side refuses everybody: {failure}");
        }
        let now_ms = self.ports.clock.now_ms();
        let memory = progress.memory.take();
        let memory = memory.unwrap_or_else(|| Memory::of(&lease, now_ms));
        let audit = record::audit(&lease, &changes, reason, &progress, now_ms);
        audit.iter().for_each(AuditEntry::log);
        let mut next = found(&progress.next(&result), now_ms);
        if let Some(queue) = &self.follow_ups
            && !next.is_empty()
        {
            result = result.and(queue.send(&next).await);
            next.clear();
        }
        let state = match result {
            Ok(()) => progress.end.take().unwrap_or(EndState::Done),
            Err(failure) => EndState::Failed(failure),
        };
        let looked = Looked {
            subject,
            changes,
            applied: progress.applied,
            deadline,
        };
        let records = Records {
            claims,
            dead: endings,
            memory,
            audit,
        };
        if next.is_empty() {
            let verdict = self.report_end(&looked, &state);
            return self.record(&looked, lease, records, &state, verdict).await;
        }
        Box::pin(self.serve_next(looked, lease, records, state, next)).await
    }

    /// Serves the subjects to look at next, because there is no queue for them. It gives the lease back meanwhile, so that
    /// no two runs wait for each other. The claims end with the lease: until the rest is done, their records say that it
    /// is not. So a run that dies here, or finds the subject busy, leaves true records.
    async fn serve_next(
        &self,
        looked: Looked<'_>,
        lease: Lease,
        records: Records,
        state: EndState,
        next: Vec<Change>,
    ) -> Verdict {
        let for_now = match &state {
            EndState::Failed(_) => state.clone(),
            _ => EndState::Failed(not_done(next.len(), next.len())),
        };
        let recorded = self.record(&looked, lease, records, &for_now, Verdict::Settled);
        let recorded = recorded.await;
        let until = looked.deadline.earlier_by(self.pace.recording);
        let run: BoxFuture<'_, _> = Box::pin(self.run(&next, Reason::Delivery, until));
        let verdicts = run.await;
        let open = verdicts.iter().filter(|verdict| verdict.is_retry()).count();
        let failed = match &state {
            EndState::Failed(_) => Some(for_now),
            _ if open > 0 => Some(EndState::Failed(not_done(open, next.len()))),
            _ => None,
        };
        if let Some(failed) = failed {
            return recorded.or(self.report_end(&looked, &failed));
        }
        if recorded.is_retry() {
            return recorded;
        }
        let (lease, records, claimed) = match self.claim_again(&looked).await {
            Ok(claimed) => claimed,
            Err(failure) => return self.report_end(&looked, &EndState::Failed(failure)),
        };
        let verdict = claimed.or(self.report_end(&looked, &state));
        // The records have the steps already.
        let looked = Looked {
            applied: Vec::new(),
            ..looked
        };
        self.record(&looked, lease, records, &state, verdict).await
    }

    /// Takes the lease and the claims again after the follow-ups are done. The verdict says whether a change goes back
    /// because it could not be claimed.
    async fn claim_again(&self, looked: &Looked<'_>) -> Result<(Lease, Records, Verdict), Failure> {
        let lease = match self.take(looked.subject, looked.deadline).await? {
            Leased::Ours(lease) => lease,
            Leased::Busy { until_ms } => {
                let what = "another run works on the subject; all is done but the record";
                return Err(Failure::retryable(Side::Program, what)
                    .because(Cause::Busy)
                    .after(Some(self.until(until_ms))));
            }
        };
        let mut claims = Vec::with_capacity(looked.changes.len());
        let mut verdict = Verdict::Settled;
        for change in &looked.changes {
            let work = change.work();
            let claimed = self.ports.ledger.claim(&work, &lease, Reason::Return);
            match claimed.await {
                Ok(ClaimOutcome::Claimed(claim)) => claims.push(claim),
                // Another run did it meanwhile.
                Ok(ClaimOutcome::AlreadyDone | ClaimOutcome::AlreadyFailed) => {}
                Ok(ClaimOutcome::Busy { .. } | ClaimOutcome::Waiting { .. }) => {
                    verdict = Verdict::retry_after(None);
                }
                Err(failure) => {
                    tracing::error!(subject = %looked.subject, "could not claim an event: {failure}");
                    verdict = Verdict::retry(&failure);
                }
            }
        }
        let now_ms = self.ports.clock.now_ms();
        let found = "a run that came back to the subject found a run between cut off";
        let interrupted = AuditEntry::for_interrupted(&lease, found, now_ms);
        interrupted.iter().for_each(AuditEntry::log);
        let records = Records {
            claims,
            dead: Vec::new(),
            memory: Memory::of(&lease, now_ms),
            audit: interrupted.into_iter().collect(),
        };
        Ok((lease, records, verdict))
    }

    /// Records how the claims ended, and gives the lease back. The verdict is `verdict`, unless another run took over or
    /// the table failed: then the changes go back.
    async fn record(
        &self,
        looked: &Looked<'_>,
        lease: Lease,
        records: Records,
        state: &EndState,
        verdict: Verdict,
    ) -> Verdict {
        let Records {
            claims,
            dead: mut endings,
            mut memory,
            audit,
        } = records;
        if !claims.is_empty() {
            memory.note_end(state);
        }
        let verdict = verdict.counting(memory.failures);
        let ending = Ending {
            applied: looked.applied.iter().map(ToString::to_string).collect(),
            state: match state {
                EndState::Failed(failure) => EndState::Failed(failure.clone().of_event()),
                other => other.clone(),
            },
        };
        endings.extend(claims.into_iter().map(|claim| (claim, ending.clone())));
        let resolved = record::remember_open(&mut memory, &endings);
        let conclusion = Conclusion {
            claims: endings,
            memo: memory.to_memo(),
            resolved,
            audit,
        };
        self.conclude(lease, conclusion).await.unwrap_or(verdict)
    }

    fn turn<'t>(
        &self,
        lease: &'t Lease,
        known: Known,
        changes: &[&Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Turn<'t> {
        // The brake lets an operator's `push --now` and approval pass, and removals that a reconcile's own limit counted.
        let passes = |change: &&Change| change.reason.is_some() || !change.planned.is_empty();
        let brake = if reason == Reason::Approval || changes.iter().any(passes) {
            Brake::Passes
        } else {
            Brake::Counts
        };
        let found = changes
            .iter()
            .filter(|change| change.event_type == RECONCILE_EVENT_TYPE);
        Turn {
            lease,
            known,
            distrusted: found.filter_map(|change| change.group.clone()).collect(),
            announced: match reason {
                Reason::Delivery | Reason::Return => {
                    let (last_leased_ms, now_ms) =
                        (lease.last_leased_ms(), self.ports.clock.now_ms());
                    Announced::by(changes.iter().copied(), last_leased_ms, now_ms)
                }
                Reason::Replay if changes.iter().any(|change| change.reason.is_some()) => {
                    Announced::despite_gaps()
                }
                Reason::Replay | Reason::Approval => Announced::everything(),
            },
            brake,
            second_look: self.pace.second_look,
            deadline: deadline.earlier_by(self.pace.recording),
        }
    }

    /// Logs and counts how a look ended. Returns the verdict for its changes.
    fn report_end(&self, looked: &Looked<'_>, state: &EndState) -> Verdict {
        let (subject, changes, applied) = (looked.subject, &looked.changes, &looked.applied);
        for applied in applied {
            self.metrics.count(Metric::Applied(applied.action), 1);
        }
        let events = changes.len();
        if let Some(why) = Late::of(state) {
            self.report_late(changes, why);
        }
        // A failed run may have done some steps, too.
        let done = words::done(applied);
        let done = (!done.is_empty()).then_some(done.as_str());
        match state {
            EndState::Failed(failure) => {
                let (class, cause) = (failure.class, failure.cause);
                self.metrics.count(Metric::Failed(class, cause), events);
                let (class, cause) = (class.as_str(), cause.as_str());
                if !failure.is_retryable() {
                    tracing::error!(%subject, events, done, class, cause, "events failed: {failure}");
                    return Verdict::Settled;
                }
                tracing::warn!(%subject, events, done, class, cause, "events will be retried: {failure}");
                return Verdict::retry(failure);
            }
            EndState::Held { why, .. } => {
                self.metrics.count(Metric::Held, events);
                tracing::warn!(%subject, events, why, "subject held by the brake");
            }
            EndState::Planned { steps } => {
                let steps = steps.join(", ");
                tracing::info!(%subject, events, steps, "dry run: nothing was changed");
            }
            EndState::Waiting { until_ms, seen } => {
                let after = self.until(*until_ms);
                self.metrics.count(Metric::Waiting, events);
                tracing::info!(
                    %subject, events, done, seen,
                    wait_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                    "subject waits for a second look"
                );
                return Verdict::Wait { after };
            }
            EndState::Done if events == 0 => {}
            EndState::Done => {
                let actions = applied.len();
                let ended = words::ended(subject, applied);
                tracing::info!(%subject, events, actions, "{ended}");
                let now_ms = self.ports.clock.now_ms();
                for age in changes.iter().filter_map(|change| age_ms(change, now_ms)) {
                    self.metrics.measure(Metric::AgeMs, age);
                }
            }
        }
        Verdict::Settled
    }

    /// Looks, plans and applies while there is time and the run holds the lease.
    async fn provision(
        &self,
        subject: &Subject,
        turn: Turn<'_>,
        claims: &[Claim],
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let (lease, until) = (turn.lease, turn.deadline);
        if self.ports.policy.changes == Changes::Report {
            let planned = self.plan_only(subject, turn.announced, until, progress);
            return Box::pin(planned).await;
        }
        let work = AssertUnwindSafe(self.provisioner.provision(turn, progress));
        let kept_work = while_kept(
            &*self.ports.ledger,
            lease,
            claims,
            until,
            work.catch_unwind(),
        );
        let in_time = tokio::time::timeout_at(until.instant(), Box::pin(kept_work));
        let ended = tokio::select! {
            ended = in_time => ended,
            () = interrupted() => return Err(cut_short()),
        };
        match ended {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(_))) => Err(panicked()),
            Ok(Err(lost)) => Err(lost),
            Err(_) => Err(out_of_time()),
        }
    }

    /// Looks and plans, and writes at no remote. The next reconcile that applies looks at the subject again.
    async fn plan_only(
        &self,
        subject: &Subject,
        announced: Announced,
        until: Deadline,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        self.shadow.note(&*self.ports.documents).await?;
        let planning = self.provisioner.steps(subject, announced, until);
        let steps = match tokio::time::timeout_at(until.instant(), planning).await {
            Ok(steps) => steps?,
            Err(_) => return Err(out_of_time()),
        };
        let steps = steps.iter().map(ToString::to_string).collect();
        progress.end = Some(EndState::Planned { steps });
        Ok(())
    }

    /// Writes the records and gives the lease back. `Some`: that failed, or another run took over. The changes go back.
    async fn conclude(&self, lease: Lease, conclusion: Conclusion) -> Option<Verdict> {
        match self.ports.ledger.conclude(lease, conclusion).await {
            Ok(recorded) => {
                let lost = recorded
                    .iter()
                    .filter(|r| **r == Recorded::Superseded)
                    .count();
                if lost == 0 {
                    return None;
                }
                self.metrics.count(Metric::Superseded, lost);
                Some(Verdict::retry_after(None))
            }
            Err(error) => {
                tracing::error!("could not record the results of events: {error}");
                Some(Verdict::retry(&error))
            }
        }
    }
}

/// The subjects to look at next, as changes of their own.
fn found(next: &[FollowUp], now_ms: i64) -> Vec<Change> {
    let change = |next: &FollowUp| match next {
        FollowUp::Subject(subject) | FollowUp::Once(subject) => {
            Change::found(subject.clone(), now_ms)
        }
        FollowUp::Member(user, group) => {
            Change::found(Subject::User(user.clone()), now_ms).in_group(group.clone())
        }
    };
    next.iter().map(change).collect()
}

fn not_done(open: usize, all: usize) -> Failure {
    let message = format!("{open} of {all} follow-up subjects are not done");
    Failure::retryable(Side::Program, message).because(Cause::Busy)
}

fn out_of_time() -> Failure {
    Failure::retryable(
        Side::Program,
        "the run's time was up; the next run continues",
    )
    .because(Cause::Timeout)
}

fn cut_short() -> Failure {
    Failure::retryable(Side::Program, "the command was interrupted").because(Cause::Timeout)
}

pub(super) fn panicked() -> Failure {
    Failure::retryable(Side::Program, "the work panicked").because(Cause::Defect)
}

/// Fails a change whose runs died again and again.
fn fail_dead(claim: Claim) -> (Claim, Ending) {
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

/// How old a change is. 0 if Okta's clock is ahead.
pub(super) fn age_ms(change: &Change, now_ms: i64) -> Option<u64> {
    let published: jiff::Timestamp = change.published.parse().ok()?;
    u64::try_from((now_ms - published.as_millisecond()).max(0)).ok()
}
