//! How long a message waits after it went back to its queue.

use std::time::Duration;

/// The longest pause. SQS allows 12 hours (API reference, `ChangeMessageVisibility`), but an hour is the limit here, so
/// that a message reaches the dead-letter queue within its retention.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long a message stays hidden after `received` receives, of which the last `failures` failed. `None` counts all of
/// them as failed. The pauses are 30 s, 2 min, 10 min, then half an hour. A receive that waited for a second look is no
/// failure.
/// `jitter` (0 to 1) adds up to a quarter. The pause is never less than `asked_for`, and never more than an hour.
pub fn pause(
    received: u32,
    failures: Option<u32>,
    asked_for: Option<Duration>,
    jitter: f64,
) -> Duration {
    let grown = match failures.unwrap_or(received).min(received) {
        0 | 1 => Duration::from_secs(30),
        2 => Duration::from_secs(2 * 60),
        3 => Duration::from_secs(10 * 60),
        _ => Duration::from_secs(30 * 60),
    };
    grown
        .mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
        .max(asked_for.unwrap_or_default())
        .min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_respect_the_pause_that_was_asked_for() {
        let seconds = |received, asked: Option<u64>, jitter| {
            pause(received, None, asked.map(Duration::from_secs), jitter).as_secs_f64()
        };
        assert_eq!(seconds(1, None, 0.0), 30.0);
        assert_eq!(seconds(2, None, 0.0), 120.0);
        assert_eq!(seconds(3, None, 1.0), 750.0);
        assert_eq!(seconds(1, Some(90), 0.5), 90.0);
        assert_eq!(seconds(9, Some(100_000), 1.0), 3600.0);
    }

    #[test]
    fn only_failures_make_a_pause_grow() {
        let seconds = |received, failures| pause(received, failures, None, 0.0).as_secs();
        assert_eq!(seconds(4, Some(1)), 30);
        assert_eq!(seconds(4, Some(2)), 120);
        assert_eq!(seconds(4, Some(4)), 1800);
        // Another message of the subject failed before this one came.
        assert_eq!(seconds(1, Some(4)), 30);
    }
}
