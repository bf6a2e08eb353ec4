//! Inline: the queue that applies changes before `send` returns.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Verdict, Worker};
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ledger::Reason;
use crate::queue::Queue;

/// Applies changes inline, within a bounded time.
pub struct InlineQueue {
    worker: Arc<Worker>,
    time: Duration,
}

impl InlineQueue {
    /// A queue that gives `worker` at most `time` for each `send`.
    pub fn new(worker: Arc<Worker>, time: Duration) -> Self {
        Self { worker, time }
    }

    async fn apply(&self, changes: &[Change], deadline: Deadline) -> Result<(), Failure> {
        let verdicts = self.worker.run(changes, Reason::Delivery, deadline).await;
        let open: Vec<Option<Duration>> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Retry { after, .. } => Some(*after),
                Verdict::Wait { after } | Verdict::Busy { after } | Verdict::Paused { after } => {
                    Some(Some(*after))
                }
                Verdict::Settled => None,
            })
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let wait = open.iter().flatten().max().copied();
        let message = format!(
            "{} of {} events have to be sent again",
            open.len(),
            changes.len()
        );
        Err(Failure::retryable(Side::Program, message).after(wait))
    }
}

#[async_trait]
impl Queue for InlineQueue {
    /// Fails, retryable, if any change has to be sent again. The others are recorded as done or failed, and sending them
    /// again is harmless.
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        self.apply(changes, Deadline::within(self.time)).await
    }

    /// The claims' leases end with the caller's time, too.
    async fn send_by(&self, changes: &[Change], deadline: Deadline) -> Result<(), Failure> {
        self.apply(changes, deadline.or_within(self.time)).await
    }
}
