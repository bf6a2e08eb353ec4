//! Several workers, workers that die, messages that come back too early: one side effect.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use okta_anypoint::ledger::Ledger as _;
use okta_anypoint::ledger::Status;
use okta_anypoint::simulator::traffic::Moment;
use serde_json::json;

use super::{LONG, Message, Scene, batch_event, failed_of};
use crate::runtime_api::Failed;
use crate::tenant::eventually;

/// The time of an invocation that is cut off. It is more than the minimum with which a worker begins.
const SHORT: Duration = Duration::from_secs(7);

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

async fn one_message(scene: &Scene, visibility: i32) -> (String, Vec<Message>) {
    let hook = scene.hook().await;
    let (ann, event) = scene.assigned("ann");
    assert_eq!(scene.deliver(&hook, &[event]).await, 204);
    (ann, scene.received(visibility).await)
}

/// A message of the same user as `message`, which SQS would hand out after it.
fn later_message(user: &str, message: &Message) -> Message {
    let uuid = uuid::Uuid::new_v4().to_string();
    let published = "2026-03-02T09:15:04.120Z";
    let body = json!({
        "uuid": uuid, "event_type": "t", "subject": format!("user#{user}"), "published": published,
    });
    Message {
        id: "later".to_owned(),
        receipt: "none".to_owned(),
        body: body.to_string(),
        ..message.clone()
    }
}

/// kill -9 in the middle of a create, before or after it had its effect, then redelivery: one account.
async fn killed_in_a_create(moment: Moment) {
    let scene = Scene::new().await;
    let (first, second) = tokio::join!(scene.worker(), scene.worker());
    let (ann, batch) = one_message(&scene, 9).await;
    let creation = scene.held(Method::POST, "/users", moment);
    let began_ms = now_ms();
    let killed = async {
        creation.reached().await;
        first.kill9();
    };
    let (cut_off, ()) = tokio::join!(scene.work(&first, &batch, SHORT), killed);
    assert!(matches!(cut_off, Err(Failed::Exited(_))), "{cut_off:?}");

    // The lease lasts as long as the invocation may still run, plus at most 10 s.
    let record = scene.record(&batch[0].uuid()).await;
    assert_eq!((record.status, record.attempts), (Status::InProgress, 1));
    let lease_ms = record.lease_until_ms.unwrap() - began_ms;
    assert!((7_000..=17_000).contains(&lease_ms), "{lease_ms} ms");

    // Until the lease ends, no worker handles this message or the ones after it.
    scene.forget_traffic();
    let later = later_message(&ann, &batch[0]);
    let event = batch_event(&[batch[0].clone(), later.clone()]);
    let answer = second.invoke(event, SHORT).await.unwrap();
    let both = vec![batch[0].id.clone(), later.id.clone()];
    assert_eq!((failed_of(&answer), scene.calls().len()), (both, 0));
    let later = scene.ledger.record(&later.uuid()).await.unwrap();
    assert_eq!(
        later, None,
        "no run claims while another run has the subject"
    );
    // In SQS that would set the message's time-out. Here the nine seconds continue.
    let show = async {
        let lease_over = || now_ms() > record.lease_until_ms.unwrap();
        eventually("the lease is over", lease_over).await;
        scene.show(&batch[0]).await;
        scene.received(60).await
    };
    let again = show.await;
    assert_eq!(
        (again[0].id.as_str(), again[0].count()),
        (batch[0].id.as_str(), "2")
    );
    assert!(scene.work(&second, &again, LONG).await.unwrap().is_empty());

    assert_eq!(scene.accounts("ann").0, 1);
    let id = scene.account_id("ann");
    assert_eq!(scene.link(&ann).await.unwrap().anypoint_id.as_str(), id);
    let record = scene.record(&batch[0].uuid()).await;
    assert_eq!((record.status, record.attempts), (Status::Done, 2));
    assert_eq!(scene.depth().await, (0, 0));
}

#[tokio::test]
async fn a_kill_before_the_create_takes_effect_makes_one_account() {
    killed_in_a_create(Moment::BeforeEffect).await;
}

#[tokio::test]
async fn a_kill_after_the_create_takes_effect_makes_one_account() {
    killed_in_a_create(Moment::AfterEffect).await;
}

/// The visibility time-out ends while the first worker still works. The second one gives the message back without work,
/// and acknowledges it when it comes back later.
#[tokio::test]
async fn a_visibility_timeout_during_the_work_has_one_effect() {
    let scene = Scene::new().await;
    let (first, second) = tokio::join!(scene.worker(), scene.worker());
    let (_, batch) = one_message(&scene, 1).await;
    let slow = scene.held(Method::POST, "/users", Moment::BeforeEffect);
    let second_run = async {
        slow.reached().await;
        let again = scene.received(1).await;
        assert_eq!(
            (again[0].id.as_str(), again[0].count()),
            (batch[0].id.as_str(), "2")
        );
        scene.sqs.forget();
        let before = scene.okta.traffic().log().len();
        let back = scene.work(&second, &again, LONG).await.unwrap();
        assert_eq!(back, [batch[0].uuid()]);
        assert_eq!(
            scene.okta.traffic().log().len(),
            before,
            "a busy message reads nothing"
        );
        // Hidden until the lease ends, which is nearly the minute that the first worker has.
        let set = scene.sqs.of("ChangeMessageVisibility");
        let pause = set[0]["VisibilityTimeout"].as_i64().unwrap();
        assert!((50..=150).contains(&pause), "{pause} s");
        slow.release();
        again
    };
    let answer = first.invoke(batch_event(&batch), LONG);
    let (answer, again) = tokio::join!(answer, second_run);
    assert_eq!(failed_of(&answer.unwrap()), Vec::<String>::new());
    assert_eq!(scene.accounts("ann"), (1, 1));
    // The first worker's receipt is outdated, so its deletion may fail and the message may come back.
    scene.forget_traffic();
    scene.show(&again[0]).await;
    let later = scene.received(60).await;
    assert!(scene.work(&second, &later, LONG).await.unwrap().is_empty());
    assert_eq!(
        scene.calls().len(),
        0,
        "a done event is acknowledged without a call"
    );
    assert_eq!(scene.record(&batch[0].uuid()).await.attempts, 1);
    assert_eq!(scene.depth().await, (0, 0));
}

/// Two workers get the same message at the same instant.
#[tokio::test]
async fn two_workers_on_one_message_have_one_effect() {
    let scene = Scene::new().await;
    let (hook, first, second) = tokio::join!(scene.hook(), scene.worker(), scene.worker());
    scene.okta.traffic().set_latency(Duration::from_millis(10));
    scene
        .anypoint
        .traffic()
        .set_latency(Duration::from_millis(10));
    for round in 0..8 {
        let name = format!("user-{round}");
        let (user, event) = scene.assigned(&name);
        assert_eq!(scene.deliver(&hook, &[event]).await, 204);
        let batch = scene.received(60).await;
        scene.forget_traffic();
        let (one, other) = tokio::join!(
            first.invoke(batch_event(&batch), LONG),
            second.invoke(batch_event(&batch), LONG)
        );
        let back: Vec<String> = [one, other]
            .iter()
            .flat_map(|a| failed_of(a.as_ref().unwrap()))
            .collect();
        assert!(back.len() <= 1, "both gave it back, in round {round}");
        assert_eq!(
            scene.accounts(&name),
            (1, 1),
            "round {round}, {back:?}, {batch:?}\n{}\n{}",
            first.output(),
            second.output()
        );
        assert!(scene.link(&user).await.is_some());
        let record = scene.record(&batch[0].uuid()).await;
        assert_eq!((record.status, record.attempts), (Status::Done, 1));
    }
    assert_eq!(scene.anypoint.world().mails.len(), 8);
}
