//! An SQS FIFO queue in memory: takes what the functions send over HTTP, and hands it out as Lambda's
//! event source mapping gets it. It checks no signature.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

/// The most messages of a batch.
const BATCH: usize = 10;

/// One message.
#[derive(Clone)]
pub struct Message {
    id: String,
    group: String,
    body: String,
}

#[derive(Default)]
struct Content {
    waiting: VecDeque<Message>,
    /// Groups of which a message is out: the next one has to wait for it.
    out: HashSet<String>,
    in_flight: usize,
    /// Every deduplication id.
    taken: HashSet<String>,
    is_away: bool,
}

/// See the module. Clones are the same queue.
#[derive(Clone)]
pub struct Fifo {
    content: Arc<Mutex<Content>>,
    /// Where it is.
    pub url: String,
}

impl Fifo {
    /// Starts it on loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let content = Arc::default();
        let fifo = Self { content, url };
        let routes = Router::new()
            .fallback(post(answer))
            .with_state(fifo.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        fifo
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// Every call is refused with 503 until [`Fifo::come_back`].
    pub fn go_away(&self) {
        self.content().is_away = true;
    }

    pub fn come_back(&self) {
        self.content().is_away = false;
    }

    /// Whether it has ever taken a message of that deduplication id.
    pub fn has_taken(&self, id: &str) -> bool {
        self.content().taken.contains(id)
    }

    /// Messages that wait or are out.
    pub fn depth(&self) -> usize {
        let content = self.content();
        content.waiting.len() + content.in_flight
    }

    /// The next batch: in order, and of no group of which a message is out.
    pub fn receive(&self) -> Vec<Message> {
        let mut content = self.content();
        let (mut batch, mut left) = (Vec::new(), VecDeque::new());
        let mut held_up: HashSet<String> = HashSet::new();
        while let Some(message) = content.waiting.pop_front() {
            let is_free =
                !content.out.contains(&message.group) && !held_up.contains(&message.group);
            if batch.len() < BATCH && is_free {
                batch.push(message);
            } else {
                held_up.insert(message.group.clone());
                left.push_back(message);
            }
        }
        content.waiting = left;
        content.in_flight += batch.len();
        content
            .out
            .extend(batch.iter().map(|message| message.group.clone()));
        batch
    }

    /// Deletes a batch but for the messages that failed, which are shown again.
    pub fn settle(&self, batch: Vec<Message>, failed: &[String]) {
        let mut content = self.content();
        content.in_flight -= batch.len();
        for message in batch.into_iter().rev() {
            content.out.remove(&message.group);
            if failed.contains(&message.id) {
                content.waiting.push_front(message);
            }
        }
    }

    fn send(&self, entry: &Value) -> Value {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        let id = text("MessageDeduplicationId");
        let mut content = self.content();
        if content.taken.insert(id.clone()) {
            content.waiting.push_back(Message {
                id: id.clone(),
                group: text("MessageGroupId"),
                body: text("MessageBody"),
            });
        }
        json!({"Id": entry["Id"], "MessageId": id, "MD5OfMessageBody": "00000000000000000000000000000000"})
    }
}

/// What a worker is invoked with.
pub fn batch_event(batch: &[Message]) -> Value {
    let record = |message: &Message| {
        json!({
            "messageId": message.id,
            "receiptHandle": message.id,
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": message.group},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:load.fifo",
            "awsRegion": "us-east-1",
        })
    };
    json!({"Records": batch.iter().map(record).collect::<Vec<_>>()})
}

/// The AWS JSON protocol: the operation is a header.
async fn answer(State(fifo): State<Fifo>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let request: Value = serde_json::from_slice(&body).unwrap();
    if fifo.content().is_away {
        let away = json!({"__type": "com.amazonaws.sqs#ServiceUnavailable"});
        return (StatusCode::SERVICE_UNAVAILABLE, away.to_string());
    }
    let operation = headers["x-amz-target"].to_str().unwrap();
    let answer = match operation {
        "AmazonSQS.SendMessageBatch" => {
            let entries = request["Entries"].as_array().cloned().unwrap_or_default();
            let taken: Vec<Value> = entries.iter().map(|entry| fifo.send(entry)).collect();
            json!({"Successful": taken, "Failed": []})
        }
        // What comes back is shown again at once.
        "AmazonSQS.ChangeMessageVisibility" => json!({}),
        other => panic!("{other} is not known here"),
    };
    (StatusCode::OK, answer.to_string())
}
