//! Stands in for SQS and Secrets Manager: takes every message at once and knows one secret. It checks no
//! signature.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// A running server; it ends with the program.
pub struct StandIn {
    /// Where it is.
    pub url: String,
}

impl StandIn {
    /// Starts it on loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url }
    }
}

/// The AWS JSON protocol: the operation is a header.
async fn answer(headers: HeaderMap, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let operation = headers["x-amz-target"].to_str().unwrap();
    let (status, answer) = match operation {
        "AmazonSQS.SendMessage" => (StatusCode::OK, taken(&json!("1"))),
        "AmazonSQS.SendMessageBatch" => match request["Entries"].as_array() {
            Some(entries) if !entries.is_empty() => {
                let taken: Vec<_> = entries.iter().map(|entry| taken(&entry["Id"])).collect();
                (StatusCode::OK, json!({"Successful": taken, "Failed": []}))
            }
            _ => refused("com.amazonaws.sqs#EmptyBatchRequest"),
        },
        "secretsmanager.GetSecretValue" if request["VersionStage"] == "AWSPREVIOUS" => {
            refused("ResourceNotFoundException")
        }
        "secretsmanager.GetSecretValue" => {
            let secret = json!({"Name": "hook", "SecretString": "demo-hook-secret"});
            (StatusCode::OK, secret)
        }
        other => panic!("{other} is not known here"),
    };
    (status, answer.to_string()).into_response()
}

fn taken(id: &Value) -> Value {
    json!({
        "Id": id,
        "MessageId": "6f0c7c1e-0000-4000-8000-000000000001",
        "MD5OfMessageBody": "00000000000000000000000000000000",
        "SequenceNumber": "18849496460467696128",
    })
}

fn refused(code: &str) -> (StatusCode, Value) {
    (
        StatusCode::BAD_REQUEST,
        json!({"__type": code, "message": code}),
    )
}
