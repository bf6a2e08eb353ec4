//! The way of events when nothing goes wrong.

use std::time::Duration;

use okta_anypoint::ledger::{Ledger, Status};
use okta_anypoint::simulator::traffic::Fault;
use serde_json::json;

use super::{APP, LONG, Scene};

#[tokio::test]
async fn a_delivery_reaches_anypoint_through_the_queue() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, event) = scene.assigned("ann");
    assert_eq!(
        scene.deliver(&hook, std::slice::from_ref(&event)).await,
        204
    );
    assert_eq!(
        (scene.accounts("ann"), scene.depth().await),
        ((0, 0), (1, 0))
    );

    assert_eq!(scene.drain(&worker).await, [1]);
    assert_eq!(
        (scene.accounts("ann"), scene.depth().await),
        ((1, 1), (0, 0))
    );
    let record = scene.record(&event.uuid).await;
    assert_eq!((record.status, record.attempts), (Status::Done, 1));
    assert_eq!(record.subject, format!("user#{ann}"));
    assert_eq!(scene.link(&ann).await.unwrap().username, "ann");
}

/// Contract §6: "Messages of one subject in one batch are served by one look".
#[tokio::test]
async fn ten_changes_of_a_user_cause_one_look() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, event) = scene.assigned("ann");
    let mut events = vec![event];
    events.extend((0..9).map(|_| scene.hint(&ann)));
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    assert_eq!(scene.drain(&worker).await, [10]);
    let path = format!("/api/v1/users/{ann}");
    let log = scene.okta.traffic().log();
    assert_eq!(log.iter().filter(|call| call.path == path).count(), 1);
    assert_eq!(scene.accounts("ann"), (1, 1));
    for event in &events {
        assert_eq!(scene.record(&event.uuid).await.status, Status::Done);
    }
}

/// All messages of a failing subject go back in order. The others of the batch are done.
#[tokio::test]
async fn a_subject_keeps_its_order_and_fails_alone() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let (ann, first) = scene.assigned("ann");
    let (_, other) = scene.assigned("bob");
    let second = scene.hint(&ann);
    // Only ann's look fails: it asks Okta for her id.
    let fault = scene.okta.traffic().inject(Fault::status(
        &format!("/api/v1/users/{ann}"),
        400,
        r#"{"errorCode":"E0000112"}"#,
    ));
    for event in [&first, &second, &other] {
        assert_eq!(scene.deliver(&hook, std::slice::from_ref(event)).await, 204);
    }
    let batch = scene.received(60).await;
    assert_eq!(batch.len(), 3);
    let back = scene.work(&worker, &batch, LONG).await.unwrap();
    assert_eq!(back, [first.uuid.clone(), second.uuid.clone()]);
    assert_eq!(scene.record(&other.uuid).await.status, Status::Done);
    assert_eq!((scene.accounts("ann").0, scene.accounts("bob").0), (0, 1));
    for event in [&first, &second] {
        let record = scene.record(&event.uuid).await;
        assert_eq!(record.status, Status::Failed);
    }

    // No message of ann comes early, not even a later one.
    let third = scene.hint(&ann);
    assert_eq!(
        scene.deliver(&hook, std::slice::from_ref(&third)).await,
        204
    );
    assert!(scene.receive(60).await.is_empty());

    scene.okta.traffic().remove_fault(fault);
    for message in &batch {
        if back.contains(&message.uuid()) {
            scene.show(message).await;
        }
    }
    let again = scene.received(60).await;
    let order: Vec<String> = again.iter().map(super::Message::uuid).collect();
    assert_eq!(
        order,
        [&first.uuid, &second.uuid, &third.uuid].map(String::clone)
    );
    assert!(scene.work(&worker, &again, LONG).await.unwrap().is_empty());
    assert_eq!(scene.accounts("ann"), (1, 2));
    assert_eq!(scene.record(&first.uuid).await.attempts, 2);
}

/// Changes that a look at a group finds for its members are queued as `reconcile` with fresh uuids, and recorded.
#[tokio::test]
async fn the_members_of_a_group_reach_the_team_through_the_queue() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let users: Vec<String> = ["ann", "bob", "eve"]
        .map(|name| scene.assigned(name).0)
        .into();
    let events = {
        let mut okta = scene.okta.world();
        let group = okta.create_group("Planted Group").unwrap().id;
        for user in &users {
            okta.add_member(&group, user).unwrap();
        }
        okta.assign_group(APP, &group).unwrap()
    };
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    scene.sqs.forget();
    let batch = scene.received(60).await;
    assert!(scene.work(&worker, &batch, LONG).await.unwrap().is_empty());
    let sent = scene.sqs.sent();
    assert_eq!(sent.len(), 1, "three follow-ups take one call");
    let entries = sent[0]["Entries"].as_array().unwrap();
    let mut uuids = std::collections::HashSet::new();
    for entry in entries {
        let body: serde_json::Value =
            serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        assert_eq!(body["event_type"], "reconcile");
        assert_eq!(entry["MessageGroupId"], body["subject"]);
        assert_eq!(entry["MessageDeduplicationId"], body["uuid"]);
        let mut keys: Vec<&String> = body.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            json!(keys),
            json!(["event_type", "published", "subject", "uuid"])
        );
        uuids.insert(body["uuid"].as_str().unwrap().to_owned());
    }
    assert_eq!(uuids.len(), 3);
    scene.drain(&worker).await;
    for uuid in &uuids {
        let record = scene.ledger.record(uuid).await.unwrap().unwrap();
        assert_eq!(
            (record.status, record.event_type.as_str()),
            (Status::Done, "reconcile")
        );
    }
    {
        let world = scene.anypoint.world();
        let team = world.team_by_name("Planted Group").unwrap();
        assert_eq!(world.members_of(&team.id).len(), 3);
    }
}

/// Anypoint handles the writes of an organization one by one, so a worker limits its concurrency.
#[tokio::test]
async fn the_worker_limits_the_subjects_at_a_time() {
    let scene = Scene::new().await;
    let (hook, worker) = tokio::join!(scene.hook(), scene.worker());
    let events: Vec<_> = (0..10)
        .map(|n| scene.assigned(&format!("user{n}")).1)
        .collect();
    assert_eq!(scene.deliver(&hook, &events).await, 204);
    scene.anypoint.traffic().clear();
    // Long enough for the subjects to overlap.
    scene
        .anypoint
        .traffic()
        .set_latency(Duration::from_millis(200));
    assert_eq!(scene.drain(&worker).await, [10]);
    let (_, writes) = scene.anypoint.traffic().peak_concurrency();
    assert_eq!(writes, 4);
}
