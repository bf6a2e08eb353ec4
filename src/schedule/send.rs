//! Hands changes to the queue in portions, while there is time.
//!
//! Without a queue a portion is worked on inline, so it can take long, or fail for one of its subjects. The
//! others go on. The next run does what this one has no time for.

use std::time::Duration;

use super::Scheduler;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};

/// Changes in one portion.
const PORTION: usize = 100;
/// A portion is not begun with less than this left: the worker asks for five seconds to begin a subject.
const MIN_TIME: Duration = Duration::from_secs(7);
/// A portion ends this long before the run has to, so that the run can say how far it came.
const SPARE: Duration = Duration::from_secs(1);
/// Portions that the queue may refuse one after the other before it counts as out of reach.
const MAX_FAILURES: usize = 3;

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
    /// Sends `changes` in order, until the time is up or the queue is out of reach.
    pub(super) async fn send(&self, changes: &[Change], deadline: Deadline) -> Sent {
        let mut sent = Sent::default();
        let mut failures = 0;
        for portion in changes.chunks(PORTION) {
            if deadline.remaining() < MIN_TIME {
                sent.out_of_time = true;
                return sent;
            }
            let until = deadline.earlier_by(SPARE);
            match self.queue.send_by(portion, until).await {
                Ok(()) => {
                    failures = 0;
                    sent.count += portion.len();
                }
                Err(failure) => {
                    tracing::warn!(changes = portion.len(), "not all were taken: {failure}");
                    if deadline.remaining() < MIN_TIME {
                        sent.out_of_time = true;
                        return sent;
                    }
                    if failure.side == Side::Queue {
                        failures += 1;
                    }
                    sent.failure.get_or_insert(failure);
                    if failures >= MAX_FAILURES {
                        return sent;
                    }
                }
            }
            self.progress("sending changes", sent.count, Some(changes.len()));
        }
        sent
    }
}
