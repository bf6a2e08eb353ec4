//! How SQS can fail for a sender.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::failure::Cause;
use okta_anypoint::queue::{Queue as _, SqsQueue};

use super::{change, sqs};
use crate::servers;

#[tokio::test]
async fn message_bodies_hold_ids_only() {
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
async fn a_missing_sqs_queue_is_named_in_the_failure() {
    let client = servers::sqs().await;
    let url = format!("{}/123456789012/no-such-queue.fifo", servers::moto_url());
    let queue = SqsQueue::new(client, &url, Duration::from_secs(5));
    let failure = queue.send(&[change("user#00u1", 1)]).await.unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    assert_eq!(failure.cause, Cause::NotFound, "{failure}");
    let text = failure.to_string();
    assert!(
        text.contains("no-such-queue") && text.contains("QUEUE_URL"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_sqs_fails_in_time_and_is_retryable() {
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

/// SQS may accept part of a batch. The queue sends only the rest again, in order, also what the answer does not name.
#[tokio::test]
async fn a_partly_accepted_batch_is_completed() {
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
            } else if n % 4 == 1 {
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

    // Without time for another round it fails, and is retryable.
    let hasty = SqsQueue::new(client, &queue_url, Duration::from_millis(30));
    let failure = hasty.send(&sent).await.unwrap_err();
    assert!(failure.is_retryable(), "{failure}");
    server.abort();
}
