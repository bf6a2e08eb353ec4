//! What a run leaves in the table: the list of open records, and the audit trail.

use super::asked::who_asked;
use crate::counted::counted;
use crate::event::Change;
use crate::ledger::{
    AuditEntry, BY_OPERATOR, Claim, EndState, Ending, Lease, Reason, Resolved, Status,
};
use crate::provision::{Applied, Progress};
use crate::store::Memory;

/// The most open records of one subject that are remembered.
const MAX_OPEN: usize = 20;
/// The reason in the audit trail when an operator approved what the brake held.
const APPROVED: &str = "approved by an operator";

/// Remembers the records that need an operator. A look that ends in sync resolves those of earlier runs.
pub(super) fn remember_open(memory: &mut Memory, ended: &[(Claim, Ending)]) -> Vec<Resolved> {
    let own = |id: &String| ended.iter().any(|(claim, _)| claim.id() == id);
    memory.open.retain(|id| !own(id));
    for (claim, ending) in ended {
        if ending.status().is_open() {
            memory.open.push(claim.id().to_owned());
        }
    }
    let surplus = memory.open.len().saturating_sub(MAX_OPEN);
    memory.open.drain(..surplus);
    let in_sync = |(_, ending): &(Claim, Ending)| match &ending.state {
        EndState::Planned { steps } => steps.is_empty(),
        _ => ending.status() == Status::Done,
    };
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
