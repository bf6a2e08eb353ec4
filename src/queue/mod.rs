//! The queue port: how changes get from the code that learns of them to the worker.
//!
//! A queue keeps the order per subject. It delivers a change once if its uuid was sent in the last five minutes (SQS
//! developer guide, "FIFO queues"). Everything else is the ledger's job: a queue may deliver a change more than once.

mod pause;
#[cfg(feature = "local")]
mod sqlite;
mod sqs;

use std::time::Duration;

use async_trait::async_trait;

use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ledger::Work;

pub use pause::pause;
#[cfg(feature = "local")]
pub use sqlite::{DeadLetters, Depth, Received, SqliteQueue, Taken, Unreadable};
#[cfg(feature = "local")]
pub(crate) use sqlite::{dead_letters, depth};
pub use sqs::SqsQueue;

/// How an unreadable message is recorded, so that it can leave its queue: under the `id` and `subject` that the
/// queue knows it by. `received` (RFC 3339) takes the place of a time of publication.
pub fn unreadable(id: String, subject: String, received: String) -> (Work, Failure) {
    let work = Work {
        id,
        kind: "unreadable".to_owned(),
        subject,
        published: received,
        actor: None,
        reason: None,
    };
    let failure = Failure::permanent(
        Side::Queue,
        "the message is not one that this program writes.",
        "Find out which program writes to the queue, and push the user or group that the message was about.",
    );
    (work, failure)
}

/// Where changes are made durable.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes every change durable, in order, or fails: then some of them may be durable and all may be
    /// sent again. An empty slice is fine.
    ///
    /// Fails with side `Queue`, and retryable unless a change cannot be written as a message.
    async fn send(&self, changes: &[Change]) -> Result<(), Failure>;

    /// [`Queue::send`] for a caller whose own time ends at `deadline`. Where `send` means doing the
    /// work, what is not done by then fails, retryable.
    async fn send_by(&self, changes: &[Change], _deadline: Deadline) -> Result<(), Failure> {
        self.send(changes).await
    }
}

/// Decides when a message that was received and not done comes back.
#[async_trait]
pub trait Redelivery: Send + Sync {
    /// Hides the message of this receipt for `delay` from now; later messages of its subject wait with
    /// it. Nothing happens when the receipt is not the message's last one.
    ///
    /// Fails with side `Queue`.
    async fn postpone(&self, receipt_handle: &str, delay: Duration) -> Result<(), Failure>;
}
