//! Pauses between the attempts at one call. A message that goes back to its queue waits by
//! [`crate::queue::pause`] instead.

use std::time::Duration;

/// Pauses that double, from the first up to the longest. A random part, at most half, is taken off each, so that
/// callers that failed together do not retry together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    /// The next pause is at most this long.
    pub(crate) fn limit(&self) -> Duration {
        self.next
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// Waits for the next pause.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for limit_ms in [100, 200, 350, 350] {
            let limit = Duration::from_millis(limit_ms);
            assert_eq!(backoff.limit(), limit);
            let pause = backoff.pause();
            assert!(limit / 2 <= pause && pause <= limit, "{pause:?}");
        }
    }
}
