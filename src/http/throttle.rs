//! One remote's pause, kept by all of its callers.
//!
//! A remote that throttles one caller throttles the others as well. So a refused caller stops them all for as
//! long as the remote asked. A caller who cannot wait that long asks at once instead of giving up: Okta counts
//! per kind of address (Okta, "Rate limits"), so the pause may not be about this call, and a wrong hint must
//! not lock anybody out.
//!
//! The throttle also remembers how many calls the last answers left. Anypoint refuses further ones with a 503
//! that gives no reason (MuleSoft knowledge base, 001116018). Then the remembered reset is the hint.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::hints::Quota;
use crate::deadline::Deadline;
use crate::failure::Side;

/// Callers who waited go on within this time, not all at once.
const SPREAD: Duration = Duration::from_millis(100);

/// The longest time until the next window that is believed of an answer; a longer one is cut to this. Both remotes
/// count by the minute.
const WINDOW: Duration = Duration::from_secs(61);

/// Until when each remote is left alone, and when its calls are counted afresh. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Throttle(Arc<Mutex<HashMap<Side, State>>>);

#[derive(Clone, Copy, Default)]
struct State {
    stopped_until: Option<Instant>,
    /// The quota of the last answer that named one, and when the next window begins.
    quota: Option<(Quota, Instant)>,
}

impl Throttle {
    /// Leaves `side` alone for `pause`; a shorter pause does not cut a longer one.
    pub(super) fn stop(&self, side: Side, pause: Duration) {
        let until = Instant::now() + pause;
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = &mut states.entry(side).or_default().stopped_until;
        *closed = (*closed).max(Some(until));
    }

    /// Remembers how many calls an answer of `side` leaves. When it leaves none, all callers stop until the next
    /// window.
    pub(super) fn note(&self, side: Side, quota: Quota) {
        let Some(reset) = quota.reset.map(|reset| reset.min(WINDOW)) else {
            return;
        };
        let next = Instant::now() + reset;
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.entry(side).or_default().quota = Some((quota, next));
        drop(states);
        if quota.remaining == Some(0) {
            self.stop(side, reset);
        }
    }

    /// How long until `side` counts calls afresh, when few were left at the last answer.
    pub(super) fn until_next_window(&self, side: Side) -> Option<Duration> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (quota, next) = states.get(&side)?.quota?;
        let left = next.checked_duration_since(Instant::now())?;
        quota.is_nearly_used_up().then_some(left)
    }

    /// Waits while `side` is to be left alone, unless that takes longer than until `deadline`.
    pub(super) async fn pass(&self, side: Side, deadline: Deadline) {
        while let Some(until) = self.stopped_until(side) {
            let at = until + SPREAD.mul_f64(rand::random::<f64>());
            if at >= deadline.instant() {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }

    fn stopped_until(&self, side: Side) -> Option<Instant> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = states.get(&side)?.stopped_until;
        until.filter(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// How long a caller of `side` that has this much `time` waits.
    async fn waits(throttle: &Throttle, side: Side, time: Duration) -> Duration {
        let begun = Instant::now();
        throttle.pass(side, Deadline::within(time)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_kept_by_all_callers_of_that_remote() {
        let throttle = Throttle::default();
        throttle.stop(Side::Okta, Duration::from_secs(7));
        throttle.stop(Side::Okta, Duration::from_secs(1));
        let clone = throttle.clone();
        let (one, other) = tokio::join!(
            waits(&throttle, Side::Okta, MINUTE),
            waits(&clone, Side::Okta, MINUTE)
        );
        for waited in [one, other] {
            assert!(waited >= Duration::from_secs(7), "{waited:?}");
            assert!(waited <= Duration::from_secs(7) + SPREAD * 2, "{waited:?}");
        }
        assert_eq!(waits(&throttle, Side::Okta, MINUTE).await, Duration::ZERO);
        throttle.stop(Side::Okta, MINUTE);
        assert_eq!(
            waits(&throttle, Side::Anypoint, MINUTE).await,
            Duration::ZERO
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_renewed_meanwhile_is_kept_to_its_new_end() {
        let throttle = Throttle::default();
        throttle.stop(Side::Okta, Duration::from_secs(2));
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            throttle.stop(Side::Okta, Duration::from_secs(5));
        };
        let (waited, ()) = tokio::join!(waits(&throttle, Side::Okta, MINUTE), later);
        assert!(waited >= Duration::from_secs(6), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_last_call_of_a_window_all_wait_for_the_next() {
        let throttle = Throttle::default();
        let quota = |remaining| Quota {
            limit: Some(500),
            remaining: Some(remaining),
            reset: Some(Duration::from_secs(12)),
        };
        throttle.note(Side::Anypoint, quota(400));
        assert_eq!(throttle.until_next_window(Side::Anypoint), None);
        assert_eq!(
            waits(&throttle, Side::Anypoint, MINUTE).await,
            Duration::ZERO
        );
        throttle.note(Side::Anypoint, quota(30));
        let left = throttle.until_next_window(Side::Anypoint);
        assert_eq!(left, Some(Duration::from_secs(12)));
        assert_eq!(throttle.until_next_window(Side::Okta), None);
        throttle.note(Side::Anypoint, quota(0));
        let waited = waits(&throttle, Side::Anypoint, MINUTE).await;
        assert!(waited >= Duration::from_secs(12), "{waited:?}");
        assert_eq!(throttle.until_next_window(Side::Anypoint), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_cannot_wait_long_enough_does_not_wait_at_all() {
        let throttle = Throttle::default();
        throttle.stop(Side::Anypoint, Duration::from_secs(3));
        let waited = waits(&throttle, Side::Anypoint, Duration::from_millis(2300)).await;
        assert_eq!(waited, Duration::ZERO);
    }
}
