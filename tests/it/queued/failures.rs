//! Failures: what goes back to the queue, for how long, and what the records say.

use okta_anypoint::failure::Class;
use okta_anypoint::ledger::Status;
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use serde_json::{Value, json};

use super::{APP, LONG, Message, Scene, batch_event, failed_of};
use crate::runtime_api::Lambda;
use crate::tenant::eventually;

/// Okta answers every call about a user with 429 and this `Retry-After`.
fn refuse(scene: &Scene, user: &str, retry_after: &str) {
    let kind = FaultKind::Status {
        code: 429,
        headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
        body: r#"{"errorCode":"E0000047"}"#.to_owned(),
    };
    let path = format!("/api/v1/users/{user}");
    scene.okta.traffic().inject(Fault::new(&path, kind));
}

/// The visibility time-outs that the worker set, in seconds.
fn pauses(scene: &Scene) -> Vec<i64> {
    let set = scene.sqs.of("ChangeMessageVisibility");
    set.iter()
        .map(|body| body["VisibilityTimeout"].as_i64().unwrap())
        .collect()
}

/// Delivers one event of a new user and receives its message.
async fn one_message(scene: &Scene, hook: &Lambda) -> (String, Message) {
    let (user, event) = scene.assigned("ann");
    assert_eq!(scene.deliver(hook, &[event]).await, 204);
    let batch = scene.received(1).await;
    (user, batch[0].clone())
}

#[tokio::test]
async fn a_retryable_failure_waits_longer_each_time() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, mut message) = one_message(&scene, &hook).await;
    // The pause is longer than the invocation, so the worker does not retry by itself.
    let kind = FaultKind::Status {
        code: 400,
        headers: Vec::new(),
        body: r#"{"errorCode":"E0000112"}"#.to_owned(),
    };
    let path = format!("/api/v1/users/{ann}");
    scene.okta.traffic().inject(Fault::new(&path, kind));
    for (time, (least, most)) in [(30, 38), (120, 150), (600, 750)].into_iter().enumerate() {
        assert_eq!(message.count(), (time + 1).to_string());
        scene.sqs.forget();
        let back = scene
            .work(&worker, std::slice::from_ref(&message), LONG)
            .await
            .unwrap();
        assert_eq!(back, [message.uuid()]);
        let set = pauses(&scene);
        assert!(
            set.len() == 1 && (least..=most).contains(&set[0]),
            "{set:?}"
        );
        let record = scene.record(&message.uuid()).await;
        assert_eq!(
            (record.status, record.error_class),
            (Status::Failed, Some(Class::Retryable))
        );
        assert_eq!(record.attempts as usize, time + 1);
        // The test received it with a time-out of one second. The queue hides it for longer.
        assert_eq!(
            (scene.receive(1).await.len(), scene.depth().await),
            (0, (0, 1))
        );
        scene.show(&message).await;
        message = scene.received(5).await.remove(0);
    }
    assert_eq!(scene.accounts("ann"), (0, 0));
}

#[tokio::test]
async fn a_retry_after_header_is_honoured() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, message) = one_message(&scene, &hook).await;
    refuse(&scene, &ann, "300");
    let batch = [message];
    assert_eq!(scene.work(&worker, &batch, LONG).await.unwrap().len(), 1);
    assert_eq!(pauses(&scene), [300]);
}

#[tokio::test]
async fn a_permanent_failure_is_recorded_with_advice_and_leaves_the_queue() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let user = scene.assigned("ann").0;
    let events = scene
        .okta
        .world()
        .set_app_username(APP, &user, "not a valid name")
        .unwrap();
    drop(events);
    let event = scene.hint(&user);
    assert_eq!(
        scene.deliver(&hook, std::slice::from_ref(&event)).await,
        204
    );
    let batch = scene.received(60).await;
    assert!(scene.work(&worker, &batch, LONG).await.unwrap().is_empty());
    assert_eq!(scene.depth().await, (0, 0));
    let record = scene.record(&event.uuid).await;
    assert_eq!(
        (record.status, record.error_class),
        (Status::Failed, Some(Class::Permanent))
    );
    let error = record.error.unwrap();
    assert!(error.contains("What to do:"), "{error}");
    assert!(scene.anypoint.traffic().writes().is_empty());

    // If SQS delivers it again, the worker acknowledges it without a call.
    scene.forget_traffic();
    let answer = worker.invoke(batch_event(&batch), LONG).await.unwrap();
    assert_eq!((failed_of(&answer), scene.calls().len()), (Vec::new(), 0));
    assert_eq!(scene.record(&event.uuid).await.attempts, 1);
}

/// The message is still JSON, so Lambda hands it on.
#[tokio::test]
async fn half_a_surrogate_pair_fails_only_its_own_message() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (_, event) = scene.assigned("ann");
    assert_eq!(scene.deliver(&hook, &[event]).await, 204);
    scene.send_raw("user#00uODD", "odd", "half").await;
    let mut batch = scene.received(60).await;
    while batch.len() < 2 {
        batch.extend(scene.received(60).await);
    }
    let payload = batch_event(&batch).to_string();
    let payload = payload.replace("\"half\"", r#""\ud800""#);
    let answer = worker.invoke_with(payload.into_bytes(), LONG).await;
    assert_eq!(answer.unwrap(), json!({"batchItemFailures": []}));
    let record = scene.record("odd").await;
    assert_eq!(
        (record.status, record.error_class),
        (Status::Failed, Some(Class::Permanent))
    );
    assert_eq!(scene.accounts("ann"), (1, 1));
}

#[tokio::test]
async fn an_unreadable_message_is_recorded_and_leaves_the_queue() {
    let scene = Scene::new().await;
    let worker = scene.worker().await;
    let odd = [
        ("odd-1", "not json"),
        ("odd-2", "{}"),
        (
            "odd-3",
            r#"{"uuid":"u","event_type":"t","subject":"nobody","published":"p"}"#,
        ),
        ("odd-4", "null"),
    ];
    for (id, body) in odd {
        scene.send_raw("user#00uODD", id, body).await;
    }
    let batch = scene.received(60).await;
    assert_eq!(batch.len(), odd.len());
    let answer = worker.invoke(batch_event(&batch), LONG).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    for (id, _) in odd {
        let record = scene.record(id).await;
        assert_eq!(
            (record.status, record.error_class),
            (Status::Failed, Some(Class::Permanent))
        );
        assert_eq!(record.subject, "user#00uODD");
    }
    assert_eq!(scene.calls().len(), 0);
}

/// Contract §6: a retryable message goes back, and so does every later message of the same subject, even one that would
/// only be acknowledged. Earlier messages do not go back.
#[tokio::test]
async fn only_later_messages_of_the_subject_go_back_with_a_failure() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, event) = scene.assigned("ann");
    assert_eq!(scene.deliver(&hook, &[event]).await, 204);
    let done = scene.received(60).await.remove(0);
    scene
        .work(&worker, std::slice::from_ref(&done), LONG)
        .await
        .unwrap();

    let new = scene.hint(&ann);
    assert_eq!(scene.deliver(&hook, &[new]).await, 204);
    let new = scene.received(60).await.remove(0);
    refuse(&scene, &ann, "300");
    for (batch, back) in [
        ([done.clone(), new.clone()], vec![new.id.clone()]),
        (
            [new.clone(), done.clone()],
            vec![new.id.clone(), done.id.clone()],
        ),
    ] {
        let answer = worker.invoke(batch_event(&batch), LONG).await.unwrap();
        assert_eq!(failed_of(&answer), back);
    }
    assert_eq!(scene.record(&done.uuid()).await.status, Status::Done);
}

/// With the table out of reach the worker does nothing, and all messages go back in time.
#[tokio::test]
async fn an_unreachable_table_returns_all_messages_in_time() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (_, message) = one_message(&scene, &hook).await;
    let is_warm = || !scene.dynamodb.calls().is_empty();
    eventually("the worker is warm", is_warm).await;
    scene.forget_traffic();
    scene.dynamodb.set(super::between::Mood::Hangs);
    let odd = Message {
        id: "odd".to_owned(),
        body: "not json".to_owned(),
        attributes: [("MessageGroupId".to_owned(), Value::from("user#00uODD"))]
            .into_iter()
            .collect(),
        ..message.clone()
    };
    let time = std::time::Duration::from_secs(8);
    let event = batch_event(&[message.clone(), odd]);
    let answer = worker.invoke(event, time).await.unwrap();
    let mut back = failed_of(&answer);
    back.sort();
    let mut due = vec![message.id, "odd".to_owned()];
    due.sort();
    assert_eq!((back, scene.calls().len()), (due, 0));
}

#[tokio::test]
async fn a_lasting_retryable_failure_ends_in_the_dead_letter_queue() {
    /// Fewer than `maxReceiveCount` in `template.yaml`, to be quicker.
    const MAX_RECEIVES: usize = 10;
    let scene = Scene::new().await;
    let dead_letters = scene.dead_letters(MAX_RECEIVES).await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, mut message) = one_message(&scene, &hook).await;
    let kind = FaultKind::Status {
        code: 400,
        headers: Vec::new(),
        body: r#"{"errorCode":"E0000112"}"#.to_owned(),
    };
    let path = format!("/api/v1/users/{ann}");
    let fault = scene.okta.traffic().inject(Fault::new(&path, kind));
    for receive in 1..=MAX_RECEIVES {
        let batch = [message.clone()];
        assert_eq!(scene.work(&worker, &batch, LONG).await.unwrap().len(), 1);
        scene.show(&message).await;
        if receive < MAX_RECEIVES {
            message = scene.received(5).await.remove(0);
        }
    }
    assert_eq!(scene.receive(5).await.len(), 0);
    let kept = scene.receive_from(&dead_letters, 5).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].body, message.body);
    let record = scene.record(&message.uuid()).await;
    assert_eq!(
        (record.status, record.error_class, record.attempts as usize),
        (Status::Failed, Some(Class::Retryable), MAX_RECEIVES)
    );

    // The cause is fixed. The message moves back, as with "start DLQ redrive".
    scene.okta.traffic().remove_fault(fault);
    scene
        .send_raw(&format!("user#{ann}"), "redrive", &kept[0].body)
        .await;
    scene.drain(&worker).await;
    assert_eq!(scene.record(&message.uuid()).await.status, Status::Done);
    assert_eq!(scene.accounts("ann"), (1, 1));
}
