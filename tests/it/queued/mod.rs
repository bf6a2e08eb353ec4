//! The asynchronous path on its real parts: the binaries of the hook and the worker, SQS simulated by moto, DynamoDB
//! Local, and both simulators. The test plays Lambda's event source mapping: it receives a batch, invokes the worker,
//! and deletes the messages that did not fail.

pub mod between;
mod claims;
mod failures;
mod isolation;
mod late_removals;
mod output;
mod path;
pub mod queue;
mod scheduled;
mod sending;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::ids::OktaUserId;
use okta_anypoint::ledger::{DynamoDbLedger, Filter, Ledger, Record};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::store::{DynamoDbStore, Store, UserLink};
use serde_json::{Map, Value, json};

use crate::runtime_api::{Failed, Function, Lambda, Request};
use crate::servers;
pub use crate::tenant::APP;
use crate::tenant::{Tenant, eventually};
use between::Between;
use queue::TestQueue;

pub const HOOK_SECRET: &str = "planted-hook-secret";
/// How long an invocation of the worker may run if it does not matter to the test.
pub const LONG: Duration = Duration::from_secs(60);
/// The bound on waiting for a condition.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Scene {
    tenant: Tenant,
    pub sqs: Between,
    pub dynamodb: Between,
    pub ledger: DynamoDbLedger,
    pub store: DynamoDbStore,
    queue: TestQueue,
    table: String,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub receipt: String,
    pub body: String,
    pub attributes: Map<String, Value>,
}

impl Message {
    pub fn uuid(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["uuid"].as_str().unwrap().to_owned()
    }

    pub fn count(&self) -> &str {
        self.attributes["ApproximateReceiveCount"].as_str().unwrap()
    }
}

impl Deref for Scene {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Scene {
    pub async fn new() -> Self {
        let (database, table) = servers::table().await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            tenant: Tenant::new().await,
            sqs: Between::start(servers::moto_url()).await,
            dynamodb: Between::start(servers::dynamodb_url()).await,
            ledger: DynamoDbLedger::new(database.clone(), &table, 30, clock.clone()),
            store: DynamoDbStore::new(database, &table, clock),
            queue: TestQueue::create().await,
            table,
        }
    }

    fn remotes(&self) -> Vec<(&'static str, String)> {
        let mut env = self.environment();
        env.extend([
            ("AWS_ENDPOINT_URL_SQS", self.sqs.url().to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb.url().to_owned()),
            ("QUEUE_URL", self.queue.url.clone()),
            // The most detailed level. Even then no personal data may show.
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE".to_owned()),
            ("RUST_LOG", "trace".to_owned()),
        ]);
        env
    }

    /// The receiver, with a queue and no table.
    pub async fn hook(&self) -> Lambda {
        let mut env = self.remotes();
        env.push(("HOOK_SECRET", HOOK_SECRET.to_owned()));
        let hook = start(Function::Hook, &env).await;
        let is_warm = || !self.sqs.of("SendMessageBatch").is_empty();
        eventually("the hook opens its connection", is_warm).await;
        hook
    }

    /// The receiver without a queue: it applies events itself.
    pub async fn inline_hook(&self) -> Lambda {
        self.inline_hook_with(&[]).await
    }

    /// The receiver with some settings replaced.
    pub async fn inline_hook_with(&self, others: &[(&'static str, String)]) -> Lambda {
        let mut env = self.remotes();
        env.retain(|(name, _)| {
            *name != "QUEUE_URL" && others.iter().all(|(other, _)| other != name)
        });
        env.extend_from_slice(others);
        env.push(("HOOK_SECRET", HOOK_SECRET.to_owned()));
        env.push(("TABLE_NAME", self.table.clone()));
        start(Function::Hook, &env).await
    }

    /// A worker.
    pub async fn worker(&self) -> Lambda {
        let mut env = self.remotes();
        env.push(("TABLE_NAME", self.table.clone()));
        start(Function::Provision, &env).await
    }

    /// The scheduled tasks, with a queue.
    pub async fn schedule(&self) -> Lambda {
        let mut env = self.remotes();
        env.push(("TABLE_NAME", self.table.clone()));
        start(Function::Schedule, &env).await
    }

    /// The scheduled tasks without a queue: they apply what they find themselves.
    pub async fn inline_schedule(&self, others: &[(&'static str, String)]) -> Lambda {
        let mut env = self.remotes();
        env.retain(|(name, _)| *name != "QUEUE_URL");
        env.extend_from_slice(others);
        env.push(("TABLE_NAME", self.table.clone()));
        start(Function::Schedule, &env).await
    }

    /// Delivers events in one request; gives the status.
    pub async fn deliver(&self, hook: &Lambda, events: &[LogEvent]) -> u16 {
        let body = self.okta.world().delivery(events);
        let request = Request::new("POST", "/okta")
            .header("Authorization", HOOK_SECRET)
            .body(body.to_string());
        let answer = hook
            .invoke(request.http_api(), Duration::from_secs(5))
            .await;
        u16::try_from(answer.unwrap()["statusCode"].as_u64().unwrap()).unwrap()
    }

    /// An active user with a planted name, assigned to the app; gives the id and the event.
    pub fn assigned(&self, username: &str) -> (String, LogEvent) {
        let login = format!("{username}@planted.example");
        let user = self.person(&login, "Xaveria", "Plantedname");
        let mut okta = self.okta.world();
        let events = okta.assign_with_username(APP, &user, username).unwrap();
        (user, events[0].clone())
    }

    /// A dead-letter queue for messages that failed `most_receives` times.
    pub async fn dead_letters(&self, most_receives: usize) -> String {
        let client = &self.queue.client;
        let queue = client
            .create_queue()
            .queue_name(format!("dead-{}.fifo", uuid::Uuid::new_v4()))
            .attributes(QueueAttributeName::FifoQueue, "true");
        let url = queue.send().await.unwrap().queue_url.unwrap();
        let asked = client.get_queue_attributes().queue_url(&url);
        let asked = asked.attribute_names(QueueAttributeName::QueueArn);
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        let policy = json!({
            "deadLetterTargetArn": attributes[&QueueAttributeName::QueueArn],
            "maxReceiveCount": most_receives,
        });
        client
            .set_queue_attributes()
            .queue_url(&self.queue.url)
            .attributes(QueueAttributeName::RedrivePolicy, policy.to_string())
            .send()
            .await
            .unwrap();
        url
    }

    /// Up to ten messages, hidden for `visibility` seconds.
    pub async fn receive(&self, visibility: i32) -> Vec<Message> {
        self.queue.receive(visibility).await
    }

    /// The same from another queue.
    pub async fn receive_from(&self, queue_url: &str, visibility: i32) -> Vec<Message> {
        self.queue.receive_from(queue_url, visibility).await
    }

    /// Waits until it receives messages.
    pub async fn received(&self, visibility: i32) -> Vec<Message> {
        let begun = Instant::now();
        loop {
            let messages = self.receive(visibility).await;
            if !messages.is_empty() {
                return messages;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the pause of a message, as time would.
    pub async fn show(&self, message: &Message) {
        self.queue.show(message, Duration::ZERO).await;
    }

    /// Sends a message that the product did not write.
    pub async fn send_raw(&self, group: &str, id: &str, body: &str) {
        let call = self.queue.client.send_message().queue_url(&self.queue.url);
        let call = call.message_group_id(group).message_deduplication_id(id);
        call.message_body(body).send().await.unwrap();
    }

    /// Does what the event source mapping does: invokes the worker and deletes the messages that did not fail. Returns the
    /// uuids that went back.
    pub async fn work(
        &self,
        worker: &Lambda,
        batch: &[Message],
        time: Duration,
    ) -> Result<Vec<String>, Failed> {
        let answer = worker.invoke(batch_event(batch), time).await?;
        let failed = failed_of(&answer);
        for message in batch {
            if !failed.contains(&message.id) {
                self.queue.delete(message).await;
            }
        }
        let back = batch.iter().filter(|message| failed.contains(&message.id));
        Ok(back.map(Message::uuid).collect())
    }

    /// Works on messages that hold no change. The worker must acknowledge all of them.
    pub async fn work_raw(&self, worker: &Lambda, batch: &[Message]) {
        let answer = worker.invoke(batch_event(batch), LONG).await.unwrap();
        assert_eq!(failed_of(&answer), Vec::<String>::new());
        for message in batch {
            self.queue.delete(message).await;
        }
    }

    /// Everything in the ledger.
    pub async fn ledger_records(&self) -> Vec<Record> {
        self.ledger.records(&Filter::default()).await.unwrap()
    }

    /// Receives and works until the queue is empty. Returns the sizes of the batches.
    pub async fn drain(&self, worker: &Lambda) -> Vec<usize> {
        let mut sizes = Vec::new();
        loop {
            let batch = self.receive(60).await;
            if batch.is_empty() {
                return sizes;
            }
            sizes.push(batch.len());
            assert!(sizes.len() < 100, "there is no end to it");
            let back = self.work(worker, &batch, LONG).await.unwrap();
            assert_eq!(back, Vec::<String>::new());
        }
    }

    /// The number of waiting messages, and of those in work or postponed.
    pub async fn depth(&self) -> (u32, u32) {
        self.queue.depth().await
    }

    pub async fn record(&self, uuid: &str) -> Record {
        self.ledger.record(uuid).await.unwrap().expect("a record")
    }

    pub async fn link(&self, user: &str) -> Option<UserLink> {
        let user = OktaUserId::parse(user).unwrap();
        self.store.user_link(&user).await.unwrap()
    }

    /// The number of accounts with that name, and of create requests to Anypoint.
    pub fn accounts(&self, username: &str) -> (usize, usize) {
        let world = self.anypoint.world();
        let named = world
            .users
            .values()
            .filter(|user| user.username == username);
        let log = self.anypoint.traffic().log();
        let is_creation = |path: &str| path.ends_with("/users");
        let asked = log
            .iter()
            .filter(|c| c.method == "POST" && is_creation(&c.path));
        (named.count(), asked.count())
    }
}

async fn start(function: Function, env: &[(&str, String)]) -> Lambda {
    let lambda = Lambda::start(function, env).await;
    lambda.ready(PATIENCE).await.unwrap();
    lambda
}

/// The event that Lambda makes of a batch.
pub fn batch_event(batch: &[Message]) -> Value {
    let records: Vec<Value> = batch
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": message.attributes,
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q.fifo",
                "awsRegion": "us-east-1",
            })
        })
        .collect();
    json!({"Records": records})
}

/// The message ids that an answer returns to the queue.
pub fn failed_of(answer: &Value) -> Vec<String> {
    let failures = answer["batchItemFailures"].as_array().unwrap();
    let ids = failures
        .iter()
        .map(|f| f["itemIdentifier"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}
