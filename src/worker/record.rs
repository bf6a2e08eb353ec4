//! What a run leaves in the table: how its claims ended, the list of open records, and the audit trail.

use super::asked::who_asked;
use super::serve::Looked;
use super::{Verdict, Worker};
use crate::counted::counted;
use crate::event::Change;
use crate::ledger::{
    AuditEntry, BY_OPERATOR, Claim, Conclusion, EndState, Ending, Lease, Reason, Recorded, Resolved,
};
use crate::provision::{Applied, Progress};
use crate::store::Memory;
use crate::telemetry::Metric;

/// The most open records of one subject that are remembered.
const MAX_OPEN: usize = 400;
/// The reason in the audit trail when an operator approved what the brake held.
const APPROVED: &str = "approved by an operator";

/// What a run writes when it gives its lease back. It holds the claims, so none of them outlives the lease.
pub(super) struct Records {
    pub(super) claims: Vec<Claim>,
    /// The ends of the claims whose runs died too often.
    pub(super) dead: Vec<(Claim, Ending)>,
    pub(super) memory: Memory,
    pub(super) audit: Vec<AuditEntry>,
}

impl Worker {
    /// Records how the claims ended, and gives the lease back. The verdict is `verdict`, unless another run took over or
    /// the table failed: then the changes go back.
    pub(super) async fn record(
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
            planned: looked.planned.clone(),
            state: match state {
                EndState::Failed(failure) => EndState::Failed(failure.clone().of_event()),
                other => other.clone(),
            },
        };
        endings.extend(claims.into_iter().map(|claim| (claim, ending.clone())));
        let resolved = remember_open(&mut memory, &endings);
        let conclusion = Conclusion {
            claims: endings,
            memo: memory.to_memo(),
            resolved,
            audit,
        };
        self.conclude(lease, conclusion).await.unwrap_or(verdict)
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

/// Remembers the records that need an operator. A look that ends in sync resolves those of earlier runs.
fn remember_open(memory: &mut Memory, ended: &[(Claim, Ending)]) -> Vec<Resolved> {
    let own = |id: &String| ended.iter().any(|(claim, _)| claim.id() == id);
    memory.open.retain(|id| !own(id));
    for (claim, ending) in ended {
        if ending.status().is_open() {
            memory.open.push(claim.id().to_owned());
        }
    }
    let surplus = memory.open.len().saturating_sub(MAX_OPEN);
    memory.open.drain(..surplus);
    // A dry run settles nothing: it may have left out what it doubts.
    let in_sync = |(_, ending): &(Claim, Ending)| matches!(ending.state, EndState::Done);
    match ended.first() {
        Some((claim, _)) if ended.iter().all(in_sync) => {
            let resolved = |id| Resolved {
                id,
                by: claim.id().to_owned(),
            };
            memory.open.drain(..).map(resolved).collect()
        }
        _ => Vec::new(),
    }
}

/// The audit entries of a run. Each write has one, even if its answer did not arrive. There is one more if the previous
/// run was cut off.
pub(super) fn audit(
    lease: &Lease,
    changes: &[&Change],
    reason: Reason,
    progress: &Progress,
    now_ms: i64,
) -> Vec<AuditEntry> {
    let of_operator = match reason {
        Reason::Delivery | Reason::Return => None,
        Reason::Replay => Some(BY_OPERATOR),
        Reason::Approval => Some(APPROVED),
    };
    let asked_for = |entry: AuditEntry| {
        let asked = who_asked(changes, &entry.action);
        let said = asked.and_then(|change| change.reason.clone());
        AuditEntry {
            event: asked.map(|change| change.uuid.to_string()),
            event_type: asked.map(|change| change.event_type.clone()),
            actor: asked.and_then(|change| change.actor.as_ref().map(ToString::to_string)),
            reason: said.or_else(|| of_operator.map(str::to_owned)),
            ..entry
        }
    };
    let interrupted = lease.took_over().then(|| {
        let planned = match &progress.end {
            Some(EndState::Planned { steps }) => steps.len(),
            _ => 0,
        };
        let found = match progress.applied.len().max(planned) {
            _ if changes.is_empty() => "no event of the subject was open".to_owned(),
            0 => "the subject was in sync, or the look failed".to_owned(),
            steps => counted(
                steps,
                "step was still to be done",
                "steps were still to be done",
            ),
        };
        asked_for(AuditEntry {
            why: Some(found),
            ..AuditEntry::new(lease, AuditEntry::INTERRUPTED, now_ms)
        })
    });
    let of = |applied: &Applied| asked_for(applied.entry(lease, now_ms));
    let changes = progress.applied.iter().map(of);
    let in_doubt = progress.in_doubt().map(|applied| AuditEntry {
        after: Some(AuditEntry::NOT_KNOWN.to_owned()),
        ..of(applied)
    });
    interrupted
        .into_iter()
        .chain(changes)
        .chain(in_doubt)
        .collect()
}
