//! The hook in queue mode: one call, an answer in time, nothing lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use okta_anypoint::simulator::okta::LogEvent;

use super::between::Mood;
use super::{Message, Scene};
use crate::tenant::eventually;

/// Contract §3: "An answer comes within 2.5 s always".
const ANSWER: Duration = Duration::from_millis(2_500);

fn events(scene: &Scene, count: usize) -> Vec<LogEvent> {
    (0..count)
        .map(|n| scene.assigned(&format!("u{n}")).1)
        .collect()
}

fn uuids(events: &[LogEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.uuid.clone()).collect()
}

/// Everything in the queue.
async fn queued(scene: &Scene) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch = scene.receive(60).await;
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(Message::uuid));
    }
}

#[tokio::test]
async fn ten_events_take_one_sqs_call() {
    let scene = Scene::new().await;
    let hook = scene.hook().await;
    scene.sqs.forget();
    assert_eq!(scene.deliver(&hook, &events(&scene, 10)).await, 204);
    let calls = scene.sqs.calls();
    let names: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(names, ["SendMessageBatch"]);
    assert_eq!(calls[0].body["Entries"].as_array().unwrap().len(), 10);
    assert!(scene.dynamodb.calls().is_empty());
    assert_eq!(scene.calls().len(), 0);
    assert_eq!(scene.anypoint.traffic().log().len(), 0, "not even a token");
}

#[tokio::test]
async fn without_sqs_the_answer_is_503_and_the_retry_completes_the_delivery() {
    let scene = Scene::new().await;
    let hook = scene.hook().await;
    let events = events(&scene, 10);
    for mood in [Mood::Down, Mood::Hangs] {
        scene.sqs.set(mood);
        let begun = Instant::now();
        assert_eq!(scene.deliver(&hook, &events).await, 503, "{mood:?}");
        assert!(begun.elapsed() < ANSWER, "{mood:?}: {:?}", begun.elapsed());
        assert_eq!(scene.depth().await, (0, 0));
    }
    scene.sqs.set(Mood::Fine);
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    let all = queued(&scene).await;
    assert_eq!((all.len(), all.into_iter().collect()), (10, uuids(&events)));
}

#[tokio::test]
async fn a_partly_accepted_batch_is_completed() {
    let scene = Scene::new().await;
    let hook = scene.hook().await;
    let events = events(&scene, 10);
    scene.sqs.set(Mood::TakesHalf);
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    let sizes: Vec<usize> = scene
        .sqs
        .sent()
        .iter()
        .map(|body| body["Entries"].as_array().unwrap().len())
        .collect();
    assert_eq!(
        sizes,
        [10, 5, 2, 1],
        "only the refused entries are sent again"
    );
    let all = queued(&scene).await;
    assert_eq!((all.len(), all.into_iter().collect()), (10, uuids(&events)));
}

#[tokio::test]
async fn a_batch_that_stays_incomplete_is_a_503_and_the_retry_completes_it() {
    let scene = Scene::new().await;
    let hook = scene.hook().await;
    let events = events(&scene, 10);
    scene.sqs.set(Mood::TakesNoLast);
    let begun = Instant::now();
    assert_eq!(scene.deliver(&hook, &events).await, 503);
    assert!(begun.elapsed() < ANSWER, "{:?}", begun.elapsed());
    scene.sqs.set(Mood::Fine);
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    let all = queued(&scene).await;
    assert_eq!((all.len(), all.into_iter().collect()), (10, uuids(&events)));
}

/// Without a queue, the first delivery waits for the table and Anypoint.
#[tokio::test]
async fn an_inline_hook_opens_its_connections_before_the_first_delivery() {
    let scene = Scene::new().await;
    let _hook = scene.inline_hook().await;
    let is_warm = || {
        let has_token = !scene.anypoint.traffic().log().is_empty();
        has_token && scene.dynamodb.calls().len() == 1
    };
    eventually("table and token were asked for", is_warm).await;
    assert_eq!(scene.dynamodb.calls()[0].operation, "GetItem");
    assert!(scene.sqs.calls().is_empty());
}
