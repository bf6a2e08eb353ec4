//! Hands changes to the queue in portions, while there is time.

use std::time::Duration;

use super::Scheduler;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::Failure;

/// Changes in one portion.
const PORTION: usize = 100;
/// A portion is not begun with less than this left.
const LEAST: Duration = Duration::from_secs(4);
/// Portions that may fail one after the other before the queue counts as out of reach.
const MOST_FAILURES: usize = 3;

/// What became of the changes.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// How many are durable (without a queue: done).
    pub(super) count: usize,
    /// The first failure.
    pub(super) failure: Option<Failure>,
    /// Whether the time was up before all were sent.
    pub(super) out_of_time: bool,
}

impl Scheduler {
    /// Sends `changes` in order. A portion that fails does not keep the others back, because without
    /// a queue it fails when any of its subjects does.
    pub(super) async fn send(&self, changes: &[Change], deadline: Deadline) -> Sent {
        let mut sent = Sent::default();
        let mut failures = 0;
        for portion in changes.chunks(PORTION) {
            if deadline.remaining() < LEAST {
                sent.out_of_time = true;
                return sent;
            }
            match self.queue.send(portion).await {
                Ok(()) => {
                    failures = 0;
                    sent.count += portion.len();
                }
                Err(failure) => {
                    tracing::warn!(changes = portion.len(), "not all were taken: {failure}");
                    sent.failure.get_or_insert(failure);
                    failures += 1;
                    if failures >= MOST_FAILURES {
                        return sent;
                    }
                }
            }
            self.progress("sending changes", sent.count, Some(changes.len()));
        }
        sent
    }
}
