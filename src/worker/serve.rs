//! Serves the claimed changes of a subject with one look: provision, follow up, log, record.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::follow_ups::found;
use super::record::{Records, audit};
use super::{Verdict, Worker};
use crate::deadline::Deadline;
use crate::event::{Change, RECONCILE_EVENT_TYPE};
use crate::failure::{Cause, Failure, Side};
use crate::ids::Subject;
use crate::interruption::interrupted;
use crate::ledger::{AuditEntry, Claim, EndState, Ending, Lease, Reason, while_kept};
use crate::provision::{
    Announced, Applied, Brake, COUNTED, Changes, Forecast, Known, Progress, Turn,
};
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
pub(super) struct Looked<'c> {
    pub(super) subject: &'c Subject,
    pub(super) changes: Vec<&'c Change>,
    pub(super) applied: Vec<Applied>,
    /// What a dry run that failed would do before.
    pub(super) planned: Vec<String>,
    pub(super) deadline: Deadline,
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
        let mut memory = memory.unwrap_or_else(|| Memory::of(&lease, now_ms));
        let audit = audit(&lease, &changes, reason, &progress, now_ms);
        audit.iter().for_each(AuditEntry::log);
        let mut next = progress.next(&result);
        if let Err(refused) = &result
            && !refused.is_retryable()
            && progress.waits()
        {
            // The changes would be acknowledged, and nobody would take the second look.
            tracing::warn!(%subject, "a second look follows and reports: {refused}");
            result = Ok(());
        }
        self.serving.owe(&mut memory, &mut next);
        let mut next = found(&next, now_ms);
        if let Some(queue) = &self.follow_ups
            && !next.is_empty()
        {
            match queue.send(&next).await {
                Ok(()) => memory.owed.clear(),
                Err(refused) => {
                    let failure = Failure::of_parts([result.err(), Some(refused)]);
                    result = failure.map_or(Ok(()), Err);
                }
            }
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
            planned: progress.planned,
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

    fn turn<'t>(
        &self,
        lease: &'t Lease,
        known: Known,
        changes: &[&Change],
        reason: Reason,
        deadline: Deadline,
    ) -> Turn<'t> {
        // The brake lets an operator's `push --now` and approval pass, and removals that a reconcile's own limit counted.
        let passes = |change: &&Change| {
            change.reason.is_some() || change.planned.iter().any(|word| word == COUNTED)
        };
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
        let planning = self.provisioner.forecast(subject, announced, until);
        let Forecast { steps, failure } =
            match tokio::time::timeout_at(until.instant(), planning).await {
                Ok(forecast) => forecast?,
                Err(_) => return Err(out_of_time()),
            };
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        if let Some(failure) = failure {
            progress.planned = steps;
            return Err(failure);
        }
        progress.end = Some(EndState::Planned { steps });
        Ok(())
    }
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
            planned: Vec::new(),
            state,
        },
    )
}
