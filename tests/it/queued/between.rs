//! Stands between a program and an AWS server. It records every call, and passes it on or plays a fault.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
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
    /// The server refuses them with 503.
    Down,
    /// The server never answers.
    Hangs,
    /// The server accepts only every second entry of a batch.
    TakesHalf,
    /// The server accepts only the first entry of a batch, and no entry of a batch of one.
    TakesNoLast,
}

/// What a troubled server does to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    /// It is refused: too many calls.
    Throttled,
    /// It is refused: out of order.
    Unavailable,
    /// The connection breaks before it is done.
    Dropped,
    /// It is done, but the answer says that it failed. The repetition meets the effect of the first.
    AnswerLost,
    /// It is done, but the connection breaks within the answer.
    AnswerCut,
    /// It takes its time.
    Slow,
    /// The second half of the answer takes its time.
    SlowBody,
    /// Of a batch, only every second entry is taken.
    Partly,
}

impl Strike {
    const ALL: [Self; 8] = [
        Self::Throttled,
        Self::Unavailable,
        Self::Dropped,
        Self::AnswerLost,
        Self::AnswerCut,
        Self::Slow,
        Self::SlowBody,
        Self::Partly,
    ];

    /// Its name in the figures.
    fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "503",
            Self::Dropped => "connection dropped",
            Self::AnswerLost => "500, after the effect",
            Self::AnswerCut => "body cut short, after the effect",
            Self::Slow => "late answer",
            Self::SlowBody => "slow body",
            Self::Partly => "batch taken in part",
        }
    }
}

/// How long a slow answer takes.
const PAUSE: Duration = Duration::from_millis(60);
/// The name in the figures for a conditional write that the table refused.
const CONDITION_LOST: &str = "conditional check lost";

/// Gets every call: its host and its operation.
type Watcher = Arc<dyn Fn(&str, &str) + Send + Sync>;

struct Shared {
    upstream: String,
    http: reqwest::Client,
    mood: Mutex<Mood>,
    calls: Mutex<Vec<Call>>,
    trouble: Mutex<Option<StdRng>>,
    struck: Mutex<BTreeMap<&'static str, usize>>,
    watcher: Mutex<Option<Watcher>>,
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
            struck: Mutex::default(),
            watcher: Mutex::default(),
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

    /// From now on one call of five fails, drawn from `seed`.
    pub fn trouble(&self, seed: u64) {
        *self.shared.trouble.lock().unwrap() = Some(StdRng::seed_from_u64(seed));
        let mut struck = self.shared.struck.lock().unwrap();
        for strike in Strike::ALL {
            struck.entry(strike.name()).or_default();
        }
    }

    /// Ends the trouble.
    pub fn calm(&self) {
        *self.shared.trouble.lock().unwrap() = None;
    }

    /// The number of calls that failed, by kind of fault, including kinds that never came. And the conditional writes that
    /// the table refused.
    pub fn struck(&self) -> BTreeMap<&'static str, usize> {
        self.shared.struck.lock().unwrap().clone()
    }

    /// Calls `watcher` after each call is done and before it is answered.
    pub fn on_call(&self, watcher: impl Fn(&str, &str) + Send + Sync + 'static) {
        *self.shared.watcher.lock().unwrap() = Some(Arc::new(watcher));
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

    /// The batches that were sent, without the empty one that opens the connection.
    pub fn sent(&self) -> Vec<Value> {
        let mut batches = self.of("SendMessageBatch");
        batches.retain(|body| body["Entries"].as_array().is_some_and(|e| !e.is_empty()));
        batches
    }
}

impl Shared {
    fn strike(&self, is_send: bool) -> Option<Strike> {
        let mut trouble = self.trouble.lock().unwrap();
        let dice = trouble.as_mut()?;
        let strike = *Strike::ALL.get(dice.random_range(0..5 * Strike::ALL.len()))?;
        if strike == Strike::Partly && !is_send {
            return None;
        }
        self.count(strike.name());
        Some(strike)
    }

    fn count(&self, kind: &'static str) {
        *self.struck.lock().unwrap().entry(kind).or_default() += 1;
    }

    async fn forward(&self, headers: &HeaderMap, body: Vec<u8>) -> (StatusCode, Bytes) {
        let mut headers = headers.clone();
        for changed in ["host", "content-length"] {
            headers.remove(changed);
        }
        let request = self.http.post(&self.upstream).headers(headers).body(body);
        let answer = request.send().await.unwrap();
        let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
        if !status.is_success() && contains(&bytes, b"ConditionalCheckFailed") {
            self.count(CONDITION_LOST);
        }
        (status, bytes)
    }

    /// Passes on the entries for which `takes` is true, and reports the others as failed.
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

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

async fn pass(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let read: Value = serde_json::from_slice(&body).unwrap();
    shared.calls.lock().unwrap().push(Call {
        operation: operation.clone(),
        body: read.clone(),
    });
    // The empty batch that opens the connection has no entries.
    let is_send = operation == "SendMessageBatch" && read["Entries"].is_array();
    let mood = *shared.mood.lock().unwrap();
    let failed = |status, kind: &str| (status, json!({"__type": kind}).to_string().into());
    let strike = shared.strike(is_send);
    let (status, answer): (StatusCode, Bytes) = match (mood, strike) {
        (Mood::Hangs, _) => std::future::pending().await,
        (Mood::Down, _) | (_, Some(Strike::Unavailable)) => {
            failed(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
        (_, Some(Strike::Throttled)) => failed(StatusCode::BAD_REQUEST, throttled(target)),
        (_, Some(Strike::Dropped)) => failed(StatusCode::OK, "never read"),
        (_, Some(Strike::AnswerLost)) => {
            shared.forward(&headers, body.to_vec()).await;
            failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
        }
        (Mood::TakesHalf, _) | (_, Some(Strike::Partly)) if is_send => {
            shared.partly(&headers, read, |n, _| n % 2 == 0).await
        }
        (Mood::TakesNoLast, _) if is_send => {
            shared.partly(&headers, read, |n, of| n + 1 < of).await
        }
        (_, strike) => {
            if strike == Some(Strike::Slow) {
                tokio::time::sleep(PAUSE).await;
            }
            shared.forward(&headers, body.to_vec()).await
        }
    };
    let watcher = shared.watcher.lock().unwrap().clone();
    if let Some(watcher) = watcher {
        let host = headers["host"].to_str().unwrap();
        watcher(host, &operation);
    }
    let length = answer.len();
    let mut response = Response::new(match strike {
        Some(Strike::Dropped) => {
            in_halves(Bytes::new(), Err(io::ErrorKind::ConnectionReset.into()))
        }
        Some(Strike::AnswerCut) => in_halves(
            answer.slice(..length / 2),
            Err(io::ErrorKind::ConnectionReset.into()),
        ),
        Some(Strike::SlowBody) => {
            in_halves(answer.slice(..length / 2), Ok(answer.slice(length / 2..)))
        }
        _ => Body::from(answer),
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/x-amz-json-1.0");
    headers.insert("content-type", kind);
    headers.insert("content-length", HeaderValue::from(length));
    response
}

/// A body whose second half comes late, or never.
fn in_halves(first: Bytes, second: io::Result<Bytes>) -> Body {
    let second = async move {
        tokio::time::sleep(PAUSE).await;
        second
    };
    Body::from_stream(stream::once(async { Ok(first) }).chain(stream::once(second)))
}

/// The service's answer to too many calls.
fn throttled(target: &str) -> &'static str {
    if target.starts_with("DynamoDB") {
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    } else {
        "com.amazonaws.sqs#RequestThrottled"
    }
}
