//! Stands between a program and an AWS server: notes every call, passes it on, or plays a fault.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
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

struct Shared {
    upstream: String,
    http: reqwest::Client,
    mood: Mutex<Mood>,
    calls: Mutex<Vec<Call>>,
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
    let (status, answer) = match mood {
        Mood::Hangs => std::future::pending().await,
        Mood::Down => {
            let error = json!({"__type": "ServiceUnavailable"});
            (StatusCode::SERVICE_UNAVAILABLE, error.to_string().into())
        }
        Mood::TakesHalf if is_send => shared.partly(&headers, read, |n, _| n % 2 == 0).await,
        Mood::TakesNoLast if is_send => shared.partly(&headers, read, |n, of| n + 1 < of).await,
        _ => shared.forward(&headers, body.to_vec()).await,
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/x-amz-json-1.0".parse().unwrap(),
    );
    (status, headers, answer)
}
