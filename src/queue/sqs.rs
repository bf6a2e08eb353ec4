//! The queue on SQS FIFO: message group = subject, deduplication id = event uuid, body = the change.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout_at};

use super::{Queue, Redelivery};
use crate::aws::{AwsCall, explain};
use crate::backoff::Backoff;
use crate::event::Change;
use crate::failure::{Cause, Failure, Side};
use crate::ids::Subject;

/// The most messages in one `SendMessageBatch` (SQS API reference).
const MAX_ENTRIES_A_CALL: usize = 10;
/// Batches that are sent at the same time. Batches of one subject follow one another.
const MAX_LANES: usize = 8;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(40), Duration::from_secs(1));
/// The longest a message can be hidden (SQS API reference, `ChangeMessageVisibility`).
const MAX_DELAY: Duration = Duration::from_secs(12 * 60 * 60);
/// The errors of SQS when a message is no longer in flight under this receipt.
const GONE: &[&str] = &[
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
    "MessageNotInflight",
    "ReceiptHandleIsInvalid",
];

/// See the module.
#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    bound: Duration,
}

impl SqsQueue {
    /// The queue at `url`. Sending ends after `bound`, whatever the SDK's own limits are.
    pub fn new(client: Client, url: impl Into<String>, bound: Duration) -> Self {
        Self {
            client,
            url: url.into(),
            bound,
        }
    }

    /// Opens the connection early, so that the first delivery does not wait for it. It sends an empty batch, which SQS
    /// refuses (`EmptyBatchRequest`, SQS API reference, `SendMessageBatch`). That needs no other permission than
    /// sending. The result does not matter, because the first delivery reports any problem.
    pub async fn warm_up(&self) {
        let call = self
            .client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(Vec::new()));
        let _ = call.send().await;
    }

    fn target<'a>(&'a self, operation: &'a str) -> AwsCall<'a> {
        AwsCall {
            side: Side::Queue,
            operation,
            resource: &self.url,
            setting: "QUEUE_URL",
        }
    }

    async fn send_lane(&self, lane: Vec<&Change>, deadline: Instant) -> Result<(), Failure> {
        for batch in lane.chunks(MAX_ENTRIES_A_CALL) {
            self.send_batch(batch, deadline).await?;
        }
        Ok(())
    }

    /// Sends at most ten changes. Sends the entries that SQS did not accept again, in their order. A later change of the
    /// same subject may have overtaken one by then, which is harmless because an event is only a hint.
    async fn send_batch(&self, batch: &[&Change], deadline: Instant) -> Result<(), Failure> {
        let mut left = batch
            .iter()
            .enumerate()
            .map(|(index, change)| entry(index, change))
            .collect::<Result<Vec<_>, _>>()?;
        let mut backoff = BACKOFF;
        loop {
            let call = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(left.clone()))
                .send();
            let answer = timeout_at(deadline, call)
                .await
                .map_err(|_| self.too_late(left.len()))?
                .map_err(|error| explain(self.target("sqs:SendMessage"), &error))?;
            if let Some(wrong) = answer.failed.iter().find(|failed| failed.sender_fault) {
                return Err(Failure::retryable(
                    Side::Queue,
                    format!("{} refused a message ({})", self.url, wrong.code),
                )
                .because(Cause::Rejected)
                .advising(
                    "check that QUEUE_URL names a FIFO queue and that the function's role may use its \
                     key",
                ));
            }
            // An entry that the answer does not name was not accepted, either.
            left.retain(|entry| !answer.successful.iter().any(|sent| sent.id == entry.id));
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() + backoff.limit() >= deadline {
                return Err(self.too_late(left.len()));
            }
            backoff.wait().await;
        }
    }

    fn too_late(&self, left: usize) -> Failure {
        Failure::retryable(
            Side::Queue,
            format!(
                "{} did not accept {left} message(s) within {} ms",
                self.url,
                self.bound.as_millis()
            ),
        )
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        let deadline = Instant::now() + self.bound;
        let lanes = lanes(changes);
        try_join_all(lanes.into_iter().map(|lane| self.send_lane(lane, deadline))).await?;
        Ok(())
    }
}

#[async_trait]
impl Redelivery for SqsQueue {
    async fn postpone(&self, receipt_handle: &str, delay: Duration) -> Result<(), Failure> {
        let seconds = whole_seconds(delay.min(MAX_DELAY));
        let sent = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if error.code().is_some_and(|code| GONE.contains(&code)) => Ok(()),
            Err(error) => Err(explain(self.target("sqs:ChangeMessageVisibility"), &error)),
        }
    }
}

/// SQS accepts whole seconds. The pause is rounded up, because a message that came back early would not be due yet.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

/// Distributes changes to a few lanes that are sent at the same time. All changes of a subject are in one lane, in
/// order. Changes that fit into one call stay in one lane.
fn lanes(changes: &[Change]) -> Vec<Vec<&Change>> {
    let wanted = changes
        .len()
        .div_ceil(MAX_ENTRIES_A_CALL)
        .clamp(1, MAX_LANES);
    let mut lanes: Vec<Vec<&Change>> = vec![Vec::new(); wanted];
    let mut lane_of: HashMap<&Subject, usize> = HashMap::new();
    for change in changes {
        let next = lane_of.len() % wanted;
        let lane = *lane_of.entry(&change.subject).or_insert(next);
        lanes[lane].push(change);
    }
    lanes.retain(|lane| !lane.is_empty());
    lanes
}

fn entry(index: usize, change: &Change) -> Result<SendMessageBatchRequestEntry, Failure> {
    let unfit = || {
        Failure::permanent(
            Side::Program,
            "a change cannot be written as a message",
            "report this as a bug",
        )
    };
    let body = serde_json::to_string(change).map_err(|_| unfit())?;
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_group_id(change.subject.to_string())
        .message_deduplication_id(change.uuid.as_str())
        .message_body(body)
        .build()
        .map_err(|_| unfit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_stays_in_one_lane_in_order() {
        let changes: Vec<Change> = (0..100)
            .map(|n| {
                let subject = format!("user#00u{}", n % 7).parse().unwrap();
                Change::found(subject, n)
            })
            .collect();
        let lanes = lanes(&changes);
        assert!(lanes.len() > 1 && lanes.len() <= MAX_LANES);
        assert_eq!(lanes.iter().map(Vec::len).sum::<usize>(), 100);
        for subject in changes.iter().map(|change| &change.subject) {
            let holding: Vec<_> = lanes
                .iter()
                .filter(|lane| lane.iter().any(|change| change.subject == *subject))
                .collect();
            assert_eq!(holding.len(), 1, "{subject} is in {} lanes", holding.len());
            let sent: Vec<_> = holding[0]
                .iter()
                .filter(|c| c.subject == *subject)
                .collect();
            let given: Vec<_> = changes.iter().filter(|c| c.subject == *subject).collect();
            assert_eq!(sent.len(), given.len());
            assert!(sent.iter().zip(&given).all(|(a, b)| a.uuid == b.uuid));
        }
    }

    #[test]
    fn no_message_comes_back_early() {
        let seconds = |ms| whole_seconds(Duration::from_millis(ms));
        assert_eq!([0, 1, 999, 1_000, 1_001].map(seconds), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn ten_changes_take_one_call() {
        let changes: Vec<Change> = (0..10)
            .map(|n| Change::found(format!("user#{n}").parse().unwrap(), 0))
            .collect();
        assert_eq!(lanes(&changes).len(), 1);
        assert!(lanes(&[]).is_empty());
    }
}
