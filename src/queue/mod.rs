//! The queue port. It takes changes from the code that finds them to the worker.
//!
//! A queue keeps the order per subject. It delivers a change once if its uuid was sent in the last five minutes (SQS
//! developer guide, "FIFO queues"). Otherwise a queue may deliver a change more than once, which the ledger handles.

mod pause;
#[cfg(feature = "local")]
mod sqlite;
mod sqs;

use std::time::Duration;

use async_trait::async_trait;

use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::Failure;

pub use pause::pause;
#[cfg(feature = "local")]
pub use sqlite::{DeadLetters, Depth, Received, SqliteQueue, Taken, Unreadable};
#[cfg(feature = "local")]
pub(crate) use sqlite::{dead_letters, depth};
pub use sqs::SqsQueue;

/// Makes changes durable.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes every change durable, in order, or fails. After a failure some of them may be durable, and all may be sent
    /// again. An empty slice is fine.
    ///
    /// Fails with side `Queue`, and retryable unless a change cannot be written as a message.
    async fn send(&self, changes: &[Change]) -> Result<(), Failure>;

    /// [`Queue::send`] for a caller whose own time ends at `deadline`. If `send` does the work itself, the changes that
    /// are not done by then fail, retryable.
    async fn send_by(&self, changes: &[Change], _deadline: Deadline) -> Result<(), Failure> {
        self.send(changes).await
    }
}

/// Decides when a message that was received but not done comes back.
#[async_trait]
pub trait Redelivery: Send + Sync {
    /// Hides the message of this receipt for `delay` from now. Later messages of its subject wait with
    /// it. Does nothing if the receipt is not the message's last one.
    ///
    /// Fails with side `Queue`.
    async fn postpone(&self, receipt_handle: &str, delay: Duration) -> Result<(), Failure>;
}
