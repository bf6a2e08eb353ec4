//! What every queue owes its callers: SQS as moto plays it, and the embedded one.

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

/// A queue from both ends. SQS has a worker end in Lambda only, so the test reads it by itself.
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
        queue: SqliteQueue::new(database, 3, clock.clone()),
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
        self.queue.receive(max, HIDDEN).await.unwrap()
    }

    async fn delete(&self, receipt: &str) {
        assert!(self.queue.delete(receipt).await.unwrap());
    }
}

macro_rules! on_every_queue {
    ($($test:ident),+ $(,)?) => {
        mod every {
            $(
                mod $test {
                    #[tokio::test]
                    async fn sqs() {
                        crate::queue::$test(&crate::queue::sqs().await).await;
                    }

                    #[tokio::test]
                    async fn sqlite() {
                        crate::queue::$test(&crate::queue::sqlite().await).await;
                    }
                }
            )+
        }
    };
}

on_every_queue!(
    what_is_sent_is_received,
    nothing_is_fine,
    order_is_kept_within_a_subject,
    a_message_that_is_out_holds_its_subject_back,
    a_postponed_message_holds_its_subject_back,
    a_postponed_message_can_come_back_at_once,
    a_uuid_is_delivered_once,
    more_than_a_batch_all_arrive,
);

fn change(subject: &str, n: usize) -> Change {
    Change {
        uuid: uuid::Uuid::new_v4().to_string().parse().unwrap(),
        event_type: "group.user_membership.add".to_owned(),
        subject: subject.parse().unwrap(),
        published: format!("2026-01-01T00:00:{:02}.000Z", n % 60),
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

async fn what_is_sent_is_received(world: &dyn World) {
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

async fn nothing_is_fine(world: &dyn World) {
    world.queue().send(&[]).await.unwrap();
    assert!(world.receive(10).await.is_empty());
}

async fn order_is_kept_within_a_subject(world: &dyn World) {
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

async fn a_message_that_is_out_holds_its_subject_back(world: &dyn World) {
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

async fn a_postponed_message_holds_its_subject_back(world: &dyn World) {
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

async fn a_postponed_message_can_come_back_at_once(world: &dyn World) {
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

async fn a_uuid_is_delivered_once(world: &dyn World) {
    let sent = change("user#00u1", 1);
    let twice = [sent.clone(), sent.clone()];
    world.queue().send(&twice).await.unwrap();
    world.queue().send(&twice[..1]).await.unwrap();
    let messages = world.receive(10).await;
    assert_eq!(received(&messages), uuids([&sent]));
    // SQS remembers it when the message is done with, too; moto does not.
    assert!(world.receive(10).await.is_empty());
}

async fn more_than_a_batch_all_arrive(world: &dyn World) {
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

#[tokio::test]
async fn sqs_bodies_hold_ids_only() {
    let world = sqs().await;
    let sent = change("user#00u1", 1);
    world.queue.send(std::slice::from_ref(&sent)).await.unwrap();
    let answer = world
        .client
        .receive_message()
        .queue_url(&world.url)
        .send()
        .await
        .unwrap();
    let body = answer.messages.unwrap()[0].body.clone().unwrap();
    assert_eq!(
        body,
        format!(
            r#"{{"uuid":"{}","event_type":"group.user_membership.add","subject":"user#00u1","published":"2026-01-01T00:00:01.000Z"}}"#,
            sent.uuid
        )
    );
}

#[tokio::test]
async fn a_missing_sqs_queue_is_named() {
    let client = servers::sqs().await;
    let url = format!("{}/123456789012/no-such-queue.fifo", servers::moto_url());
    let queue = SqsQueue::new(client, &url, Duration::from_secs(5));
    let failure = queue.send(&[change("user#00u1", 1)]).await.unwrap_err();
    assert!(!failure.is_retryable(), "{failure}");
    let text = failure.to_string();
    assert!(
        text.contains("no-such-queue") && text.contains("QUEUE_URL"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_sqs_is_retryable_within_the_bound() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = aws_sdk_sqs::Client::new(&servers::config(&url).await);
    let queue = SqsQueue::new(
        client,
        format!("{url}/1/q.fifo"),
        Duration::from_millis(300),
    );
    let begun = std::time::Instant::now();
    let failure = queue.send(&[change("user#00u1", 1)]).await.unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    assert!(
        begun.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begun.elapsed()
    );
}

/// SQS may take part of a batch. The rest is sent again, in order, and only the rest.
#[tokio::test]
async fn a_partly_taken_batch_is_completed() {
    use axum::{Json, Router, extract::State, routing::post};
    use serde_json::{Value, json};
    use std::sync::Mutex;

    type Calls = Arc<Mutex<Vec<Vec<String>>>>;
    async fn take_every_second(State(calls): State<Calls>, body: String) -> Json<Value> {
        let request: Value = serde_json::from_str(&body).unwrap();
        let entries = request["Entries"].as_array().unwrap();
        let field = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let ids = entries
            .iter()
            .map(|entry| field(entry, "MessageDeduplicationId"));
        calls.lock().unwrap().push(ids.collect());
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (n, entry) in entries.iter().enumerate() {
            let id = field(entry, "Id");
            if n % 2 == 0 {
                taken.push(json!({"Id": id, "MessageId": id, "MD5OfMessageBody": ""}));
            } else {
                left.push(json!({"Id": id, "Code": "InternalError", "SenderFault": false}));
            }
        }
        Json(json!({"Successful": taken, "Failed": left}))
    }

    let calls = Calls::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(post(take_every_second))
        .with_state(calls.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let client = aws_sdk_sqs::Client::new(&servers::config(&url).await);
    let queue_url = format!("{url}/1/q.fifo");
    let queue = SqsQueue::new(client.clone(), &queue_url, Duration::from_secs(10));
    let sent: Vec<_> = (0..8).map(|n| change("user#00u1", n)).collect();
    queue.send(&sent).await.unwrap();
    let due: Vec<Vec<String>> = [
        vec![0, 1, 2, 3, 4, 5, 6, 7],
        vec![1, 3, 5, 7],
        vec![3, 7],
        vec![7],
    ]
    .into_iter()
    .map(|call| {
        call.into_iter()
            .map(|n: usize| sent[n].uuid.to_string())
            .collect()
    })
    .collect();
    assert_eq!(*calls.lock().unwrap(), due);

    // With no time for another round it fails, and may be sent again.
    let hasty = SqsQueue::new(client, &queue_url, Duration::from_millis(30));
    let failure = hasty.send(&sent).await.unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    server.abort();
}

#[tokio::test]
async fn sqlite_hidden_messages_come_back_in_order() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    let first = world.receive(10).await;
    assert_eq!(received(&first), uuids(&sent));
    world.clock.advance(59_999);
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    let again = world.receive(10).await;
    assert_eq!(received(&again), uuids(&sent));
    // The receipts of before are worth nothing now.
    assert!(!world.queue.delete(&first[0].receipt).await.unwrap());
    world
        .queue
        .postpone(&first[1].receipt, Duration::ZERO)
        .await
        .unwrap();
    assert!(world.receive(10).await.is_empty());
    world.delete(&again[0].receipt).await;
    world.delete(&again[1].receipt).await;
    assert!(!world.queue.delete(&again[1].receipt).await.unwrap());
}

#[tokio::test]
async fn sqlite_forgets_uuids_after_five_minutes() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1)];
    world.queue.send(&sent).await.unwrap();
    let first = world.receive(10).await;
    world.delete(&first[0].receipt).await;
    world.clock.advance(299_999);
    world.queue.send(&sent).await.unwrap();
    assert!(world.receive(10).await.is_empty());
    world.clock.advance(1);
    world.queue.send(&sent).await.unwrap();
    assert_eq!(received(&world.receive(10).await), uuids(&sent));
}

#[tokio::test]
async fn sqlite_sets_messages_aside_that_come_back_too_often() {
    let world = sqlite().await;
    let sent = [change("user#00u1", 1), change("user#00u1", 2)];
    world.queue.send(&sent).await.unwrap();
    for count in 1..=3 {
        let messages = world.receive(1).await;
        assert_eq!(received(&messages), uuids([&sent[0]]));
        assert_eq!(messages[0].receive_count, count);
        assert!(world.queue.dead_letters().await.unwrap().is_empty());
        world
            .queue
            .postpone(&messages[0].receipt, Duration::from_secs(30))
            .await
            .unwrap();
        world.clock.advance(30_000);
    }
    // The next of the subject takes its turn.
    let next = world.receive(10).await;
    assert_eq!(received(&next), uuids([&sent[1]]));
    let dead = world.queue.dead_letters().await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].change, sent[0]);
    assert_eq!((dead[0].receive_count, dead[0].sent_at_ms), (3, START_MS));

    world.delete(&next[0].receipt).await;
    assert_eq!(world.queue.redrive().await.unwrap(), 1);
    let again = world.receive(10).await;
    assert_eq!(received(&again), uuids([&sent[0]]));
    assert_eq!(again[0].receive_count, 1);
    assert_eq!(world.queue.discard_dead().await.unwrap(), 0);
}

#[tokio::test]
async fn sqlite_knows_how_full_it_is() {
    let world = sqlite().await;
    assert_eq!(world.queue.depth().await.unwrap(), Default::default());
    world.queue.send(&[change("user#00u1", 1)]).await.unwrap();
    world.clock.advance(5_000);
    world
        .queue
        .send(&[change("user#00u2", 2), change("user#00u3", 3)])
        .await
        .unwrap();
    let out = world.receive(1).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight, depth.dead), (2, 1, 0));
    assert_eq!(depth.oldest_age, Some(Duration::from_secs(5)));
    world.delete(&out[0].receipt).await;
    let depth = world.queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.in_flight), (2, 0));
    assert_eq!(depth.oldest_age, Some(Duration::ZERO));
}

#[tokio::test]
async fn sqlite_workers_never_share_a_subject() {
    let world = Arc::new(sqlite().await);
    let sent: Vec<_> = (0..60)
        .map(|n| change(&format!("user#00u{}", n % 5), n))
        .collect();
    world.queue.send(&sent).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    for _ in 0..6 {
        let (world, seen) = (world.clone(), seen.clone());
        tasks.spawn(async move {
            while world.queue.depth().await.unwrap().oldest_age.is_some() {
                for message in world.queue.receive(3, HIDDEN).await.unwrap() {
                    seen.lock().unwrap().push(message.change.clone());
                    tokio::task::yield_now().await;
                    world.delete(&message.receipt).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 60);
    for n in 0..5 {
        let of = |change: &&Change| change.subject.to_string() == format!("user#00u{n}");
        assert_eq!(uuids(seen.iter().filter(of)), uuids(sent.iter().filter(of)));
    }
}

const VICTIM: &str = "OKTA_ANYPOINT_TEST_QUEUE_FILE";

/// Not a test: the process that the next one kills. Says each uuid once it is durable.
#[tokio::test]
#[ignore = "run by a_kill_loses_nothing_that_was_acknowledged"]
async fn victim() {
    use std::io::Write as _;
    let Some(file) = std::env::var_os(VICTIM) else {
        return;
    };
    let database = Database::open(file.as_ref()).unwrap();
    let queue = SqliteQueue::new(database, 3, Arc::new(ManualClock::at(START_MS)));
    for n in 0.. {
        let change = change(&format!("user#00u{n}"), n);
        queue.send(std::slice::from_ref(&change)).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "sent {}", change.uuid).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead as _, BufReader};
    let world = sqlite().await;
    let file = world.folder.path().join("queue.db");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "queue::victim", "--nocapture"])
        .env(VICTIM, &file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((_, uuid)) = line.split_once("sent ") {
            acknowledged.push(uuid.to_owned());
        }
        if acknowledged.len() == 50 {
            victim.kill().unwrap();
        }
    }
    victim.wait().unwrap();
    assert!(acknowledged.len() >= 50);
    let there = received(&world.receive(usize::MAX).await);
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|uuid| !there.contains(uuid))
        .collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}
