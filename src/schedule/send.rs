//! Sends changes to the queue in portions while there is time.
//!
//! Without a queue the changes of a portion are applied inline. That can take long, or fail for one subject, and the
//! others go on. The next run does the rest.

use std::time::Duration;

use super::Scheduler;
use super::catch_up::OpenChange;
use super::summary::Cut;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::interruption::is_interrupted;

/// Changes in one portion.
const MAX_PORTION: usize = 100;
/// A run does not begin a portion with less time left, because the worker asks for five seconds to begin a subject.
const MIN_TIME: Duration = Duration::from_secs(7);
/// A portion ends this long before the run has to end, so that the run can report how far it came.
const SPARE: Duration = Duration::from_secs(1);
/// If the queue refuses this many portions, it counts as out of reach.
const MAX_FAILURES: usize = 3;

/// How many changes were sent, and what stopped the rest.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// How many are durable. Without a queue, how many are done.
    pub(super) count: usize,
    /// Changes of portions that failed inline, if they are neither done nor failed for good.
    pub(super) open: Vec<OpenChange>,
    /// The first failure.
    pub(super) failure: Option<Failure>,
    /// What ended the run before all were sent.
    pub(super) cut: Option<Cut>,
}

impl Scheduler {
    /// Sends `changes` in order, until the time is up, changes are paused or the queue is out of reach.
    ///
    /// # Errors
    /// When the table fails.
    pub(super) async fn send(
        &self,
        changes: &[Change],
        deadline: Deadline,
    ) -> Result<Sent, Failure> {
        let mut sent = Sent::default();
        let mut failures = 0;
        for portion in changes.chunks(MAX_PORTION) {
            if is_interrupted() || deadline.remaining() < MIN_TIME {
                sent.cut = Some(Cut::Time);
                return Ok(sent);
            }
            if let Some(pause) = self.pause().await? {
                sent.cut = Some(Cut::Pause(pause));
                return Ok(sent);
            }
            let until = deadline.earlier_by(SPARE);
            match self.queue.send_by(portion, until).await {
                Ok(()) => {
                    failures = 0;
                    sent.count += portion.len();
                }
                Err(failure) => {
                    tracing::warn!(
                        changes = portion.len(),
                        "could not send all changes: {failure}"
                    );
                    if failure.side == Side::Queue {
                        failures += 1;
                    } else {
                        // A portion that failed inline may be done but for one change.
                        let open = self.open(portion.to_vec()).await?;
                        sent.count += portion.len() - open.len();
                        sent.open.extend(open);
                    }
                    if deadline.remaining() < MIN_TIME {
                        sent.cut = Some(Cut::Time);
                        return Ok(sent);
                    }
                    // The worker begins no subject while changes are paused. The changes did not fail.
                    if let Some(pause) = self.pause().await? {
                        sent.cut = Some(Cut::Pause(pause));
                        return Ok(sent);
                    }
                    sent.failure.get_or_insert(failure);
                    if failures >= MAX_FAILURES {
                        return Ok(sent);
                    }
                }
            }
            self.progress("sending changes", sent.count, Some(changes.len()));
        }
        Ok(sent)
    }
}
