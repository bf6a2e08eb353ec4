//! Batches of an SQS FIFO queue, with `ReportBatchItemFailures` (AWS Lambda, "Handling errors for an
//! SQS event source").
//!
//! Only what a retry may heal goes back, and any later message of the same subject. Each message that
//! goes back sets its own visibility time-out: longer with every receive, never less than what the
//! remote or a running lease asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, rfc3339};
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ledger::{Ledger, Reason, Work};
use crate::queue::{Redelivery, pause};
use crate::telemetry::{Metric, Metrics};
use crate::worker::{Verdict, Worker};

/// A batch of messages.
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records", default)]
    records: Vec<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    message_id: String,
    #[serde(default)]
    receipt_handle: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    attributes: HashMap<String, String>,
}

/// The messages that go back to the queue.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: String,
}

/// Serves batches.
pub struct BatchHandler {
    worker: Worker,
    ledger: Arc<dyn Ledger>,
    redelivery: Option<Arc<dyn Redelivery>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl BatchHandler {
    /// A handler that gives readable messages to `worker` and records unreadable ones in `ledger`.
    /// Without `redelivery`, messages that go back wait for the queue's own visibility time-out.
    pub fn new(
        worker: Worker,
        ledger: Arc<dyn Ledger>,
        redelivery: Option<Arc<dyn Redelivery>>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            worker,
            ledger,
            redelivery,
            clock,
            metrics,
        }
    }

    /// Works on a batch until `deadline` and says which messages go back.
    pub async fn handle(&self, event: &SqsEvent, deadline: Deadline) -> BatchAnswer {
        let mut readable: Vec<(&Message, Change)> = Vec::new();
        let mut back: Vec<(&Message, Option<Duration>)> = Vec::new();
        for message in &event.records {
            match read(message) {
                Some(change) => readable.push((message, change)),
                None => {
                    if let Err(failure) = self.reject(message).await {
                        tracing::error!("an unreadable message could not be recorded: {failure}");
                        back.push((message, failure.retry_after));
                    }
                }
            }
        }
        let changes: Vec<Change> = readable.iter().map(|(_, change)| change.clone()).collect();
        let verdicts = self.worker.run(&changes, Reason::Delivery, deadline).await;
        for ((message, _), verdict) in readable.iter().zip(verdicts) {
            if let Verdict::Retry { after } = verdict {
                back.push((message, after));
            }
        }
        self.postpone(&back).await;
        let batch_item_failures = back
            .into_iter()
            .map(|(message, _)| ItemFailure {
                item_identifier: message.message_id.clone(),
            })
            .collect();
        BatchAnswer {
            batch_item_failures,
        }
    }

    /// A message that nobody can read is recorded as failed for good, under its own id.
    async fn reject(&self, message: &Message) -> Result<(), Failure> {
        let attribute = |name: &str| message.attributes.get(name).cloned();
        let work = Work {
            id: attribute("MessageDeduplicationId").unwrap_or_else(|| message.message_id.clone()),
            kind: "unreadable".to_owned(),
            subject: attribute("MessageGroupId").unwrap_or_else(|| "unknown".to_owned()),
            published: rfc3339(self.clock.now_ms()),
        };
        let failure = Failure::permanent(
            Side::Queue,
            format!(
                "message {} is not one that this program writes.",
                message.message_id
            ),
            "Find out who sends to the queue; only the hook, the worker and the schedules may.",
        );
        tracing::error!(message = %message.message_id, "{failure}");
        self.metrics
            .count(Metric::Failed(failure.class.as_str()), 1);
        self.ledger.reject(&work, &failure).await.map(|_| ())
    }

    async fn postpone(&self, back: &[(&Message, Option<Duration>)]) {
        let Some(redelivery) = &self.redelivery else {
            return;
        };
        for (message, asked_for) in back {
            let Some(receipt) = &message.receipt_handle else {
                continue;
            };
            let received = message
                .attributes
                .get("ApproximateReceiveCount")
                .and_then(|count| count.parse().ok())
                .unwrap_or(1);
            let delay = pause(received, *asked_for, rand::random());
            if let Err(failure) = redelivery.postpone(receipt, delay).await {
                // The queue's own time-out applies then.
                tracing::warn!("a message could not be postponed: {failure}");
            }
        }
    }
}

fn read(message: &Message) -> Option<Change> {
    serde_json::from_str(message.body.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_fields_of_a_body_do_no_harm() {
        let message: Message = serde_json::from_str(
            r#"{"messageId":"m","body":"{\"uuid\":\"u\",\"event_type\":\"t\",\"subject\":\"user#00u1\",\"published\":\"2026-03-02T09:15:04Z\",\"more\":1}"}"#,
        )
        .unwrap();
        assert_eq!(read(&message).unwrap().subject.to_string(), "user#00u1");
    }
}
