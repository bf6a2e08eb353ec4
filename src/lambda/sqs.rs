//! Batches of an SQS FIFO queue, with `ReportBatchItemFailures` (AWS Lambda, "Handling errors for an
//! SQS event source").
//!
//! A message goes back if a retry may help, and so does any later message of the same subject. It
//! sets its own visibility time-out: longer with every failure, never less than what the remote or a
//! running lease asks for. The messages of one subject get the same one, so that none becomes visible
//! before an earlier one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};
use crate::ledger::Reason;
use crate::queue::{Redelivery, pause};
use crate::telemetry::Metric;
use crate::worker::{Verdict, Worker};

/// A batch of messages. (`aws_lambda_events::sqs` fails the whole batch at one record with a field of another type.)
#[derive(Debug, Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records", deserialize_with = "messages")]
    records: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    message_id: String,
    receipt_handle: Option<String>,
    body: Option<String>,
    attributes: HashMap<String, String>,
}

/// Every record that has an id. Any other oddity of a record does not affect the others.
fn messages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    let records = Vec::<Box<RawValue>>::deserialize(deserializer)?;
    let messages = records.iter().filter_map(|record| {
        let message = Message::read(record);
        if message.is_none() {
            tracing::error!("skipped a record without a message id: it did not come from SQS");
        }
        message
    });
    Ok(messages.collect())
}

impl Message {
    /// Reads each field on its own: one that cannot be read counts as missing.
    fn read(record: &RawValue) -> Option<Self> {
        let record: Fields<'_> = serde_json::from_str(record.get()).ok()?;
        let field = |name: &str| record.get(name).copied();
        let attributes = field("attributes").map(RawValue::get);
        let attributes: Fields<'_> = attributes
            .and_then(|fields| serde_json::from_str(fields).ok())
            .unwrap_or_default();
        let attributes = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, text(value)?)));
        Some(Self {
            message_id: field("messageId").and_then(text)?,
            receipt_handle: field("receiptHandle").and_then(text),
            body: field("body").and_then(text),
            attributes: attributes.collect(),
        })
    }
}

/// The fields of an object, not read yet.
type Fields<'f> = HashMap<String, &'f RawValue>;

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
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
    redelivery: Option<Arc<dyn Redelivery>>,
}

impl BatchHandler {
    /// A handler that gives messages to `worker`. Without `redelivery`, messages that go back wait for the queue's own
    /// visibility time-out.
    pub fn new(worker: Worker, redelivery: Option<Arc<dyn Redelivery>>) -> Self {
        Self { worker, redelivery }
    }

    /// Works on a batch until `deadline` and says which messages go back. Telling the queue when they come back takes
    /// half a second more at the most.
    pub async fn handle(&self, event: &SqsEvent, deadline: Deadline) -> BatchAnswer {
        let mut readable: Vec<&Message> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        let mut unreadable: Vec<&Message> = Vec::new();
        for message in &event.records {
            match read(message) {
                Some(change) => {
                    readable.push(message);
                    changes.push(change);
                }
                None => unreadable.push(message),
            }
        }
        self.worker
            .metrics
            .count(Metric::Received, event.records.len());
        let rejected = unreadable.into_iter();
        let rejected = join_all(rejected.map(|message| self.reject(message, deadline)));
        let run = self.worker.run(&changes, Reason::Delivery, deadline);
        let (rejected, verdicts) = join(rejected, run).await;
        let mut back: Vec<GoesBack<'_>> = rejected.into_iter().flatten().collect();
        for (message, verdict) in readable.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Settled => {}
                Verdict::Retry { after, failures } => {
                    back.push(GoesBack::grown(message, failures, after, rand::random()));
                }
                Verdict::Wait { after: pause } | Verdict::Busy { after: pause } => {
                    back.push(GoesBack { message, pause });
                }
                Verdict::Paused { after } => {
                    back.push(GoesBack::grown(message, None, Some(after), rand::random()));
                }
            }
        }
        let time = deadline.remaining().max(Duration::from_millis(500));
        if tokio::time::timeout(time, self.postpone(&back))
            .await
            .is_err()
        {
            tracing::warn!(
                "messages could not be postponed in time; the queue's own pause applies"
            );
        }
        let batch_item_failures = back
            .into_iter()
            .map(|goes_back| ItemFailure {
                item_identifier: goes_back.message.message_id.clone(),
            })
            .collect();
        BatchAnswer {
            batch_item_failures,
        }
    }

    /// Records an unreadable message as failed for good, under its own id. If that fails, the message goes back.
    async fn reject<'m>(&self, message: &'m Message, deadline: Deadline) -> Option<GoesBack<'m>> {
        let attribute = |name: &str| message.attributes.get(name).cloned();
        let id = attribute("MessageDeduplicationId").unwrap_or_else(|| message.message_id.clone());
        let subject = attribute("MessageGroupId").unwrap_or_else(|| "unknown".to_owned());
        let rejected = self.worker.reject(id, subject);
        let failure = match tokio::time::timeout_at(deadline.instant(), rejected).await {
            Ok(rejected) => rejected.err()?,
            Err(_) => Failure::retryable(Side::Table, "no answer in time"),
        };
        tracing::error!("an unreadable message could not be recorded: {failure}");
        let pause = failure.retry_after;
        Some(GoesBack::grown(message, None, pause, rand::random()))
    }

    async fn postpone(&self, back: &[GoesBack<'_>]) {
        let Some(redelivery) = &self.redelivery else {
            return;
        };
        let pauses = pauses(back);
        let asked = back
            .iter()
            .zip(pauses)
            .map(|(goes_back, pause)| async move {
                let Some(receipt) = &goes_back.message.receipt_handle else {
                    return;
                };
                if let Err(failure) = redelivery.postpone(receipt, pause).await {
                    // The queue's own time-out applies then.
                    tracing::warn!("a message could not be postponed: {failure}");
                }
            });
        join_all(asked).await;
    }
}

/// A message on its way back to the queue.
struct GoesBack<'a> {
    message: &'a Message,
    /// How long it stays hidden if its subject has no other message.
    pause: Duration,
}

impl<'a> GoesBack<'a> {
    /// With a pause that grows with each failure, and is not shorter than `asked_for`.
    fn grown(
        message: &'a Message,
        failures: Option<u32>,
        asked_for: Option<Duration>,
        jitter: f64,
    ) -> Self {
        let count = message.attributes.get("ApproximateReceiveCount");
        let received = count.and_then(|count| count.parse().ok()).unwrap_or(1);
        Self {
            message,
            pause: pause(received, failures, asked_for, jitter),
        }
    }

    /// The subject; a message without one stands for itself.
    fn group(&self) -> &'a str {
        let group = self.message.attributes.get("MessageGroupId");
        group.unwrap_or(&self.message.message_id)
    }
}

/// The pause of each message: the longest of its subject's.
fn pauses(back: &[GoesBack<'_>]) -> Vec<Duration> {
    let mut of_group: HashMap<&str, Duration> = HashMap::new();
    for goes_back in back {
        let longest = of_group.entry(goes_back.group()).or_default();
        *longest = goes_back.pause.max(*longest);
    }
    back.iter()
        .map(|goes_back| of_group.get(goes_back.group()).copied().unwrap_or_default())
        .collect()
}

fn read(message: &Message) -> Option<Change> {
    serde_json::from_str(message.body.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn messages_of_one_subject_get_the_same_pause() {
        let message = |id: &str, group: &str, count: &str| Message {
            message_id: id.to_owned(),
            receipt_handle: None,
            body: None,
            attributes: [
                ("MessageGroupId", group),
                ("ApproximateReceiveCount", count),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        };
        let messages = [
            message("1", "user#a", "3"),
            message("2", "user#b", "1"),
            message("3", "user#a", "1"),
        ];
        let back = messages.iter().map(|m| GoesBack::grown(m, None, None, 0.0));
        let pauses = pauses(&back.collect::<Vec<_>>());
        let seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [600, 30, 600]);
    }

    #[test]
    fn extra_fields_of_a_body_do_no_harm() {
        let body = r#"{"uuid":"u","event_type":"t","subject":"user#00u1","published":"2026-03-02T09:15:04Z","more":1}"#;
        let record = to_raw_value(&json!({"messageId": "m", "body": body})).unwrap();
        let message = Message::read(&record).unwrap();
        assert_eq!(read(&message).unwrap().subject.to_string(), "user#00u1");
    }

    #[test]
    fn an_odd_record_does_not_affect_the_others() {
        let odd = [
            json!({"messageId": "1", "body": {"uuid": "u"}}),
            json!({"messageId": "2", "attributes": null, "body": null}),
            json!({"messageId": "3", "attributes": {"ApproximateReceiveCount": 2, "MessageGroupId": "user#a"}}),
            json!({"messageId": 4}),
            json!(null),
        ]
        .map(|record| record.to_string());
        let records = odd.join(",")
            + r#",{"messageId":"4","body":"\ud800","attributes":{"MessageGroupId":"user#a","x":"\ud800"}}"#
            + r#",{"messageId":"\ud800","body":"{}"},{"messageId":"5","x":"\ud800"}"#;
        let event: SqsEvent =
            serde_json::from_str(&format!(r#"{{"Records":[{records}],"x":"\ud800"}}"#)).unwrap();
        let ids = event.records.iter().map(|m| m.message_id.as_str());
        assert_eq!(ids.collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
        assert!(event.records.iter().all(|message| read(message).is_none()));
        for record in &event.records[2..4] {
            assert_eq!(record.attributes["MessageGroupId"], "user#a");
            assert_eq!(record.attributes.len(), 1);
        }
        assert!(serde_json::from_str::<SqsEvent>(r#"{"task": "import"}"#).is_err());
    }
}
