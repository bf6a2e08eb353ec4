//! The contract of every queue: SQS, simulated by moto, and the embedded one.

mod sqlite_only;
mod sqlite_pauses;
mod sqs_only;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use okta_anypoint::clock::ManualClock;
use okta_anypoint::event::Change;
use okta_anypoint::queue::{Queue, Received, Redelivery, SqliteQueue, SqsQueue};
use okta_anypoint::sqlite::Database;

use crate::ledger::START_MS;
use crate::servers;

const HIDDEN: Duration = Duration::from_secs(60);

/// A queue with both of its ends. Only Lambda reads SQS for the worker, so the test does it here.
#[async_trait]
trait World: Send + Sync {
    fn queue(&self) -> &dyn Queue;
    fn redelivery(&self) -> &dyn Redelivery;
    async fn receive(&self, max: usize) -> Vec<Received>;
    async fn delete(&self, receipt: &str);
}

struct Sqs {
    client: aws_sdk_sqs::Client,
    url: String,
    queue: SqsQueue,
}

struct Sqlite {
    queue: SqliteQueue,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

async fn sqs() -> Sqs {
    let client = servers::sqs().await;
    let url = client
        .create_queue()
        .queue_name(format!("q-{}.fifo", uuid::Uuid::new_v4()))
        .attributes(QueueAttributeName::FifoQueue, "true")
        .attributes(QueueAttributeName::VisibilityTimeout, "60")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    Sqs {
        queue: SqsQueue::new(client.clone(), &url, Duration::from_secs(10)),
        client,
        url,
    }
}

async fn sqlite() -> Sqlite {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let database = Database::open(&folder.path().join("queue.db")).unwrap();
    Sqlite {
        queue: SqliteQueue::new(database, clock.clone()),
        clock,
        folder,
    }
}

#[async_trait]
impl World for Sqs {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn redelivery(&self) -> &dyn Redelivery {
        &self.queue
    }

    async fn receive(&self, max: usize) -> Vec<Received> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(max).unwrap())
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap();
        let messages = answer.messages.unwrap_or_default().into_iter();
        messages
            .map(|message| {
                let attributes = message.attributes.unwrap();
                let change: Change = serde_json::from_str(&message.body.unwrap()).unwrap();
                assert_eq!(
                    attributes[&MessageSystemAttributeName::MessageGroupId],
                    change.subject.to_string()
                );
                assert_eq!(
                    attributes[&MessageSystemAttributeName::MessageDeduplicationId],
                    change.uuid.as_str()
                );
                Received {
                    change,
                    receipt: message.receipt_handle.unwrap(),
                    receive_count: attributes[&MessageSystemAttributeName::ApproximateReceiveCount]
                        .parse()
                        .unwrap(),
                }
            })
            .collect()
    }

    async fn delete(&self, receipt: &str) {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .send()
            .await
            .unwrap();
    }
}

#[async_trait]
impl World for Sqlite {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn redelivery(&self) -> &dyn Redelivery {
        &self.queue
    }

    async fn receive(&self, max: usize) -> Vec<Received> {
        // Subject by subject, the longest waiting first, until there are enough.
        let mut received: Vec<Received> = Vec::new();
        while received.len() < max {
            let left = max - received.len();
            let taken = self.queue.receive_subjects(1, left, HIDDEN).await.unwrap();
            assert!(taken.unreadable.is_empty());
            if taken.groups.is_empty() {
                break;
            }
            received.extend(taken.groups.into_iter().flatten());
        }
        received
    }

    async fn delete(&self, receipt: &str) {
        let deleted = self.queue.delete_all(vec![receipt.to_owned()]).await;
        assert_eq!(deleted.unwrap(), 1);
    }
}

on_every!(
    queue [sqs, sqlite]
    a_sent_message_is_received,
    sending_nothing_succeeds,
    order_is_kept_within_a_subject,
    a_message_in_work_blocks_its_subject,
    a_postponed_message_blocks_its_subject,
    a_postponed_message_can_come_back_at_once,
    a_uuid_is_delivered_once,
    messages_beyond_one_batch_all_arrive,
);

fn change(subject: &str, n: usize) -> Change {
    Change {
        uuid: uuid::Uuid::new_v4().to_string().parse().unwrap(),
        event_type: "group.user_membership.add".to_owned(),
        published: format!("2026-01-01T00:00:{:02}.000Z", n % 60),
        ..Change::found(subject.parse().unwrap(), 0)
    }
}

fn uuids<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<String> {
    changes
        .into_iter()
        .map(|change| change.uuid.to_string())
        .collect()
}

fn received(messages: &[Received]) -> Vec<String> {
    uuids(messages.iter().map(|message| &message.change))
}

async fn a_sent_message_is_received(world: impl World) {
    let sent = change("user#00u1", 1);
    world
        .queue()
        .send(std::slice::from_ref(&sent))
        .await
        .unwrap();
    let messages = world.receive(10).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].change, sent);
    assert_eq!(messages[0].receive_count, 1);
    world.delete(&messages[0].receipt).await;
    assert!(world.receive(10).await.is_empty());
}

async fn sending_nothing_succeeds(world: impl World) {
    world.queue().send(&[]).await.unwrap();
    assert!(world.receive(10).await.is_empty());
}

async fn order_is_kept_within_a_subject(world: impl World) {
    let subjects = ["user#00u1", "user#00u2", "group#00g1"];
    let sent: Vec<_> = (0..25).map(|n| change(subjects[n % 3], n)).collect();
    world.queue().send(&sent).await.unwrap();
    let mut got: HashMap<String, Vec<String>> = HashMap::new();
    for _ in 0..50 {
        let messages = world.receive(2).await;
        for message in &messages {
            let subject = message.change.subject.to_string();
            got.entry(subject)
                .or_default()
                .push(message.change.uuid.to_string());
            world.delete(&message.receipt).await;
        }
        if messages.is_empty() {
            break;
        }
    }
    for subject in subjects {
        let of_subject = sent
            .iter()
            .filter(|change| change.subject.to_string() == subject);
        assert_eq!(got[subject], uuids(of_subject), "{subject}");
    }
}

async fn a_message_in_work_blocks_its_subject(world: impl World) {
    let sent = [
        change("user#00u1", 1),
        change("user#00u1", 2),
        change("user#00u2", 3),
    ];
    world.queue().send(&sent).await.unwrap();
    let first = world.receive(1).await;
    assert_eq!(received(&first), uuids([&sent[0]]));
    let other = world.receive(10).await;
    assert_eq!(received(&other), uuids([&sent[2]]));
    assert!(world.receive(10).await.is_empty());
    world.delete(&first[0].receipt).await;
    assert_eq!(received(&world.receive(10).await), uuids([&sent[1]]));
}

async fn a_postponed_message_blocks_its_subject(world: impl World) {
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue().send(&sent).await.unwrap();
    let first = world.receive(1).await;
    let delay = Duration::from_secs(600);
    world
        .redelivery()
        .postpone(&first[0].receipt, delay)
        .await
        .unwrap();
    assert!(world.receive(10).await.is_empty());
}

async fn a_postponed_message_can_come_back_at_once(world: impl World) {
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue().send(&sent).await.unwrap();
    let first = world.receive(1).await;
    world
        .redelivery()
        .postpone(&first[0].receipt, Duration::ZERO)
        .await
        .unwrap();
    let again = world.receive(10).await;
    assert_eq!(received(&again), uuids(&sent));
    assert_eq!((again[0].receive_count, again[1].receive_count), (2, 1));
}

async fn a_uuid_is_delivered_once(world: impl World) {
    let sent = change("user#00u1", 1);
    let twice = [sent.clone(), sent.clone()];
    world.queue().send(&twice).await.unwrap();
    world.queue().send(&twice[..1]).await.unwrap();
    let messages = world.receive(10).await;
    assert_eq!(received(&messages), uuids([&sent]));
    // SQS still remembers the uuid after the message is deleted. moto does not.
    assert!(world.receive(10).await.is_empty());
}

async fn messages_beyond_one_batch_all_arrive(world: impl World) {
    let sent: Vec<_> = (0..105)
        .map(|n| change(&format!("user#00u{}", n % 40), n))
        .collect();
    world.queue().send(&sent).await.unwrap();
    let mut got = Vec::new();
    loop {
        let messages = world.receive(10).await;
        if messages.is_empty() {
            break;
        }
        for message in &messages {
            world.delete(&message.receipt).await;
        }
        got.extend(received(&messages));
    }
    let (mut got, mut due) = (got, uuids(&sent));
    got.sort();
    due.sort();
    assert_eq!(got, due);
}
