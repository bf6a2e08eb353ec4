//! Limits log lines that anybody from outside can cause.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(60);

/// Counts what happens, for a report at most once a minute.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    unsaid: u64,
    said_at: Option<Instant>,
}

impl Tally {
    /// Counts one more. Returns the count since the last report, if the next report is due.
    pub fn one_more(&self) -> Option<u64> {
        self.due(1)
    }

    /// The count since the last report, if the next report is due.
    pub fn rest(&self) -> Option<u64> {
        self.due(0)
    }

    fn due(&self, more: u64) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.unsaid += more;
        let is_time = counted.said_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if counted.unsaid == 0 || !is_time {
            return None;
        }
        counted.said_at = Some(Instant::now());
        Some(std::mem::take(&mut counted.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tally_counts_all_and_reports_at_most_once_a_minute() {
        let tally = Tally::default();
        assert_eq!(tally.rest(), None);
        assert_eq!(tally.one_more(), Some(1));
        for _ in 0..1_000 {
            assert_eq!(tally.one_more(), None);
        }
        assert_eq!(tally.rest(), None);
        tokio::time::advance(PAUSE).await;
        assert_eq!(tally.rest(), Some(1_000));
        assert_eq!(tally.rest(), None);
        tokio::time::advance(PAUSE).await;
        assert_eq!(tally.one_more(), Some(1));
    }
}
