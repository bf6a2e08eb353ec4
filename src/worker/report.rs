//! Logs and counts how a look ended.

use super::late::Late;
use super::serve::Looked;
use super::{Verdict, Worker, words};
use crate::event::Change;
use crate::ledger::EndState;
use crate::telemetry::Metric;

impl Worker {
    /// Logs and counts how a look ended. Returns the verdict for its changes.
    pub(super) fn report_end(&self, looked: &Looked<'_>, state: &EndState) -> Verdict {
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
}

/// How old a change is. 0 if Okta's clock is ahead.
pub(super) fn age_ms(change: &Change, now_ms: i64) -> Option<u64> {
    let published: jiff::Timestamp = change.published.parse().ok()?;
    u64::try_from((now_ms - published.as_millisecond()).max(0)).ok()
}
