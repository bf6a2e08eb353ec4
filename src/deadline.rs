//! How much time is left.

use std::time::Duration;

use tokio::time::Instant;

/// The longest lease. A run that takes longer renews its own.
pub const MAX_LEASE: Duration = Duration::from_secs(120);
/// A lease outlives its work by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(2);
/// The longest that a change waits for a second look.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// The moment by which an answer must be there. Cheap to copy and handed down through every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `time` from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left; zero when the moment has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// How long a lease of this work has to keep others away: as long as the work may still run, and a margin. Never
    /// longer than [`MAX_LEASE`].
    pub fn lease(self) -> Duration {
        (self.remaining() + LEASE_MARGIN).min(MAX_LEASE)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The same deadline, earlier by `time`.
    #[must_use]
    pub fn earlier_by(self, time: Duration) -> Self {
        Self(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// The earlier of this deadline and `time` from now.
    #[must_use]
    pub(crate) fn or_within(self, time: Duration) -> Self {
        self.min(Self::within(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlives_the_work_even_when_no_time_is_left() {
        let over = Deadline::within(Duration::ZERO);
        assert_eq!(over.lease(), LEASE_MARGIN);
        let running = Deadline::within(Duration::from_secs(60));
        assert!(running.lease() >= running.remaining() + LEASE_MARGIN);
        let decades = Deadline::within(Duration::from_secs(3_000_000_000));
        assert_eq!(decades.lease(), MAX_LEASE);
    }
}
