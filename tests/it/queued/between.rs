//! Stands between a program and an AWS server: notes every call, passes it on, or plays a fault.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

/// One call: `SendMessageBatch` and so on, and its body.
#[derive(Debug, Clone)]
pub struct Call {
    pub operation: String,
    pub body: Value,
}

/// What happens to the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// They pass.
    Fine,
    /// They are refused with 503.
    Down,
    /// They are never answered.
    Hangs,
    /// Of each batch that is sent, only every second entry is taken.
    TakesHalf,
    /// Of each batch that is sent, only the first entry is taken, and none of a single one.
    TakesNoLast,
}

/// What a troubled server does to one call.
#[derive(Debug, Clone, Copy)]
enum Strike {
    /// It is refused: too many calls.
    Throttled,
    /// It is refused: out of order.
    Unavailable,
    /// It is done, and the answer says that it failed: its repetition meets its own effect.
    AnswerLost,
    /// It takes its time.
    Slow,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    mood: Mutex<Mood>,
    calls: Mutex<Vec<Call>>,
    trouble: Mutex<Option<StdRng>>,
    struck: AtomicUsize,
}

/// See the module.
#[derive(Clone)]
pub struct Between {
    shared: Arc<Shared>,
    url: String,
}

impl Between {
    pub async fn start(upstream: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            mood: Mutex::new(Mood::Fine),
            calls: Mutex::default(),
            trouble: Mutex::default(),
            struck: AtomicUsize::new(0),
        });
        let routes = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { shared, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// From now on one call of five is struck, as `seed` draws it.
    pub fn trouble(&self, seed: u64) {
        *self.shared.trouble.lock().unwrap() = Some(StdRng::seed_from_u64(seed));
    }

    /// Ends the trouble.
    pub fn calm(&self) {
        *self.shared.trouble.lock().unwrap() = None;
    }

    /// How many calls were struck.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.shared.calls.lock().unwrap().clear();
    }

    /// The bodies of all calls of one operation.
    pub fn of(&self, operation: &str) -> Vec<Value> {
        let calls = self.calls().into_iter();
        let of_it = calls.filter(|call| call.operation == operation);
        of_it.map(|call| call.body).collect()
    }

    /// The batches that were sent; not the empty one that opens the connection.
    pub fn sent(&self) -> Vec<Value> {
        let mut batches = self.of("SendMessageBatch");
        batches.retain(|body| body["Entries"].as_array().is_some_and(|e| !e.is_empty()));
        batches
    }
}

impl Shared {
    fn strike(&self) -> Option<Strike> {
        let mut trouble = self.trouble.lock().unwrap();
        let dice = trouble.as_mut()?;
        let strike = match dice.random_range(0..20) {
            0 => Strike::Throttled,
            1 => Strike::Unavailable,
            2 => Strike::AnswerLost,
            3 => Strike::Slow,
            _ => return None,
        };
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some(strike)
    }

    async fn forward(&self, headers: &HeaderMap, body: Vec<u8>) -> (StatusCode, Bytes) {
        let mut headers = headers.clone();
        for changed in ["host", "content-length"] {
            headers.remove(changed);
        }
        let request = self.http.post(&self.upstream).headers(headers).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap())
    }

    /// Passes on the entries that `takes`, and reports the others as failed.
    async fn partly(
        &self,
        headers: &HeaderMap,
        mut body: Value,
        takes: impl Fn(usize, usize) -> bool,
    ) -> (StatusCode, Bytes) {
        let entries = body["Entries"].as_array().unwrap().clone();
        let is_taken: Vec<bool> = (0..entries.len())
            .map(|n| takes(n, entries.len()))
            .collect();
        let part = |wanted: bool| -> Vec<Value> {
            let parts = entries.iter().zip(&is_taken);
            parts
                .filter(|(_, taken)| **taken == wanted)
                .map(|(e, _)| e.clone())
                .collect()
        };
        let mut answer = json!({"Successful": []});
        body["Entries"] = part(true).into();
        if is_taken.contains(&true) {
            let (status, bytes) = self.forward(headers, body.to_string().into()).await;
            assert!(status.is_success(), "{bytes:?}");
            answer = serde_json::from_slice(&bytes).unwrap();
        }
        let failed = part(false)
            .into_iter()
            .map(|entry| json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}));
        answer["Failed"] = failed.collect::<Vec<_>>().into();
        (StatusCode::OK, answer.to_string().into())
    }
}

async fn pass(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Bytes) {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let read: Value = serde_json::from_slice(&body).unwrap();
    shared.calls.lock().unwrap().push(Call {
        operation: operation.clone(),
        body: read.clone(),
    });
    let is_send = operation == "SendMessageBatch";
    let mood = *shared.mood.lock().unwrap();
    let failed = |status, kind: &str| (status, json!({"__type": kind}).to_string().into());
    let strike = shared.strike();
    let (status, answer) = match (mood, strike) {
        (Mood::Hangs, _) => std::future::pending().await,
        (Mood::Down, _) | (_, Some(Strike::Unavailable)) => {
            failed(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
        (_, Some(Strike::Throttled)) => failed(StatusCode::BAD_REQUEST, throttled(target)),
        (_, Some(Strike::AnswerLost)) => {
            shared.forward(&headers, body.to_vec()).await;
            failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
        }
        (Mood::TakesHalf, _) if is_send => shared.partly(&headers, read, |n, _| n % 2 == 0).await,
        (Mood::TakesNoLast, _) if is_send => {
            shared.partly(&headers, read, |n, of| n + 1 < of).await
        }
        (_, strike) => {
            if matches!(strike, Some(Strike::Slow)) {
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            shared.forward(&headers, body.to_vec()).await
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/x-amz-json-1.0".parse().unwrap(),
    );
    (status, headers, answer)
}

/// How the service says that there are too many calls.
fn throttled(target: &str) -> &'static str {
    if target.starts_with("DynamoDB") {
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    } else {
        "com.amazonaws.sqs#RequestThrottled"
    }
}
