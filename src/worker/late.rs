//! Reports announced removals that are late, because people keep access for longer than expected. The log and a metric
//! say why, within a quarter of an hour of the event.

use std::time::Duration;

use super::report::age_ms;
use crate::event::Change;
use crate::failure::{Cause, Failure};
use crate::ledger::EndState;
use crate::provision::{Policy, announces_removal};
use crate::telemetry::{Metric, Metrics};

/// A removal of this age that goes back is late. Pauses have grown by then (`queue::pause`), so its next look follows
/// more than a quarter of an hour after the event.
const MIN_LATE_AGE: Duration = Duration::from_secs(10 * 60);

words! {
    /// Why a removal is late.
    pub(crate) enum Late {
        /// It waits for a second look, or for another run.
        Waiting = "waiting",
        /// Answers contradict each other.
        Contradiction = "contradiction",
        /// A side refuses the credentials or the rights.
        Refused = "refused",
        /// The brake holds it.
        Held = "held",
        /// It fails for another reason.
        Failing = "failing",
    }
}

impl Late {
    /// Why a look with this end leaves its changes open. `None`: they are done, or failed for good.
    pub(super) fn of(state: &EndState) -> Option<Self> {
        match state {
            EndState::Held { .. } => Some(Self::Held),
            EndState::Waiting { .. } => Some(Self::Waiting),
            EndState::Failed(failure) if failure.is_retryable() => Some(Self::because_of(failure)),
            EndState::Failed(_) | EndState::Planned { .. } | EndState::Done => None,
        }
    }

    pub(super) fn because_of(failure: &Failure) -> Self {
        match failure.cause {
            Cause::Contradiction => Self::Contradiction,
            Cause::Busy => Self::Waiting,
            cause if cause.is_refusal() => Self::Refused,
            _ => Self::Failing,
        }
    }
}

/// Counts and logs the `changes` that are late removals under `policy`.
pub(super) fn report(
    metrics: &Metrics,
    policy: &Policy,
    changes: &[&Change],
    why: Late,
    now_ms: i64,
) {
    let limit_ms = u64::try_from(MIN_LATE_AGE.as_millis()).unwrap_or(u64::MAX);
    let is_late = |change: &&&Change| {
        announces_removal(change, policy)
            && age_ms(change, now_ms).is_some_and(|age| age >= limit_ms)
    };
    for change in changes.iter().filter(is_late) {
        metrics.count(Metric::RemovalLate(why.as_str()), 1);
        let (subject, event, published) = (&change.subject, &change.uuid, &change.published);
        tracing::error!(
            %subject, %event, published, why = why.as_str(),
            "a removal that Okta announced is late: see `okta-anypoint explain`"
        );
    }
}
