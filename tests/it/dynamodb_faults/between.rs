//! The server between the product and DynamoDB Local.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::servers;

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is carried out, and answered 500.
    Lost,
    /// A batch gets this many of its items; the other keys are left out.
    Partly(usize),
    /// It is not carried out, and answered so.
    Answer(u16, Value),
}

/// Decides by the operation and by the number of its earlier calls.
pub type Plan = fn(&str, usize) -> Fault;

#[derive(Clone)]
pub struct Between {
    http: reqwest::Client,
    plan: Plan,
    calls: Arc<std::sync::Mutex<std::collections::HashMap<String, usize>>>,
}

impl Between {
    pub fn made(&self, operation: &str) -> usize {
        self.calls
            .lock()
            .unwrap()
            .get(operation)
            .copied()
            .unwrap_or(0)
    }

    pub async fn forward(&self, mut headers: HeaderMap, body: Vec<u8>) -> (StatusCode, Bytes) {
        for changed in ["host", "content-length"] {
            headers.remove(changed);
        }
        let request = self.http.post(servers::dynamodb_url()).headers(headers);
        let answer = request.body(body).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap())
    }
}

pub async fn pass(
    State(between): State<Between>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Bytes) {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.rsplit('.').next().unwrap().to_owned();
    let before = {
        let mut calls = between.calls.lock().unwrap();
        let count = calls.entry(operation.clone()).or_default();
        *count += 1;
        *count - 1
    };
    let (status, answer) = match (between.plan)(&operation, before) {
        Fault::None => between.forward(headers, body.to_vec()).await,
        Fault::Lost => {
            between.forward(headers, body.to_vec()).await;
            (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from("{}"))
        }
        Fault::Partly(most) => {
            let mut request: Value = serde_json::from_slice(&body).unwrap();
            let (_, table) = request["RequestItems"]
                .as_object_mut()
                .unwrap()
                .iter_mut()
                .next()
                .unwrap();
            let keys = table["Keys"].as_array_mut().unwrap();
            let left = keys.split_off(most.min(keys.len()));
            let mut rest = request.clone();
            let (status, mut answer) = if most == 0 {
                (StatusCode::OK, json!({"Responses": {}}))
            } else {
                let sent = request.to_string().into();
                let (status, answer) = between.forward(headers, sent).await;
                (status, serde_json::from_slice(&answer).unwrap())
            };
            if !left.is_empty() {
                let (_, table) = rest["RequestItems"]
                    .as_object_mut()
                    .unwrap()
                    .iter_mut()
                    .next()
                    .unwrap();
                table["Keys"] = left.into();
                answer["UnprocessedKeys"] = rest["RequestItems"].clone();
            }
            (status, Value::to_string(&answer).into())
        }
        Fault::Answer(status, answer) => (
            StatusCode::from_u16(status).unwrap(),
            answer.to_string().into(),
        ),
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/x-amz-json-1.0".parse().unwrap(),
    );
    (status, headers, answer)
}

/// A client whose calls pass the faults, a table, and the server between them.
pub async fn between(plan: Plan) -> (aws_sdk_dynamodb::Client, String, Between) {
    let (_, table) = servers::table().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let between = Between {
        http: reqwest::Client::builder().build().unwrap(),
        plan,
        calls: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(between.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = aws_sdk_dynamodb::Client::new(&servers::config(&url).await);
    (client, table, between)
}

/// The SDK repeats every write, because its answer was lost. DynamoDB carries it out twice or more.
pub fn lose_every_second(operation: &str, before: usize) -> Fault {
    match operation {
        "UpdateItem" | "PutItem" | "TransactWriteItems" if before.is_multiple_of(2) => Fault::Lost,
        _ => Fault::None,
    }
}

pub fn refuse(code: &str) -> Value {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    json!({"__type": kind, "message": "a text that quotes Jane Doe"})
}
