//! The trials in which the nearest open system of this kind fails (`docs/architecture.md` names it), with their counts.
//! Here every count must be zero.

use std::time::{Duration, Instant};

use http::Method;
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::worker::Pace;
use serde_json::json;

use crate::world::{APP, World, worker};

const TRIALS: usize = 25;

/// Two sandboxes get the same delivery at the same instant: one effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_delivery_twice_at_once_has_one_effect() {
    let mut doubled = 0;
    for trial in 0..TRIALS {
        let world = World::new().await;
        world
            .anypoint
            .traffic()
            .set_latency(Duration::from_millis(5));
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let (first, second) = tokio::join!(world.deliver(&events), world.deliver(&events));
        assert!(
            [first, second].contains(&204),
            "trial {trial}: {first} {second}"
        );
        assert_eq!(world.deliver(&events).await, 204);
        let creates = world.anypoint.traffic().count(&Method::POST, "/users");
        if creates != 1 || world.anypoint().mails.len() != 1 {
            doubled += 1;
        }
    }
    assert_eq!(doubled, 0, "of {TRIALS} trials");
}

/// Two events of one user in two sandboxes at the same instant: one account, one mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_events_of_one_user_at_once_make_one_account() {
    let mut doubled = 0;
    for _ in 0..TRIALS {
        let world = World::new().await;
        world
            .anypoint
            .traffic()
            .set_latency(Duration::from_millis(5));
        let ann = world.user("ann");
        let one = world.okta_does(|okta| okta.assign(APP, &ann));
        let two =
            world.okta_does(|okta| okta.update_profile(&ann, &[("firstName", json!("Anna"))]));
        let (first, second) = tokio::join!(world.deliver(&one), world.deliver(&two));
        assert_eq!((first, second), (204, 204));
        if world.anypoint().users.len() != 1 || world.anypoint().mails.len() != 1 {
            doubled += 1;
        }
        assert_eq!(world.account("ann"), "Anna Example - enabled");
    }
    assert_eq!(doubled, 0, "of {TRIALS} trials");
}

/// After a failure of the target, the retry always applies the event.
#[tokio::test]
async fn a_failed_event_is_applied_by_the_retry() {
    let mut lost = 0;
    for _ in 0..TRIALS {
        let time = Duration::from_millis(800);
        let world = World::with_pace(Policy::default(), Pace::INLINE, time).await;
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let down = world
            .anypoint
            .traffic()
            .inject(Fault::status("/users", 500, ""));
        assert_eq!(world.deliver(&events).await, 503);
        world.anypoint.traffic().remove_fault(down);
        assert_eq!(world.deliver(&events).await, 204);
        if world.account("ann") != "ann Example - enabled" {
            lost += 1;
        }
    }
    assert_eq!(lost, 0, "of {TRIALS} trials");
}

/// A bad event comes first, and the good events of the delivery are still applied.
#[tokio::test]
async fn a_bad_event_does_not_stop_the_good_ones() {
    let world = World::new().await;
    for trial in 0..TRIALS {
        let (one, two) = (format!("one_{trial}"), format!("two_{trial}"));
        let (first, second) = (world.user(&one), world.user(&two));
        let mut body = {
            let mut events = world.okta_does(|okta| okta.assign(APP, &first));
            events.extend(world.okta_does(|okta| okta.assign(APP, &second)));
            world.okta.world().delivery(&events)
        };
        let events = body["data"]["events"].as_array_mut().unwrap();
        events.insert(0, json!({"uuid": null, "eventType": 7, "target": "x"}));
        assert_eq!(world.post(&body).await, 204);
        assert_ne!(world.account(&one), "none");
        assert_ne!(world.account(&two), "none");
    }
}

/// An older suspend after a newer unsuspend does not win.
#[tokio::test]
async fn an_older_event_does_not_undo_a_newer_one() {
    let world = World::new().await;
    for trial in 0..TRIALS {
        let name = format!("user_{trial}");
        let user = world.assigned_user(&name).await;
        let suspended = world.okta_does(|okta| okta.suspend(&user));
        let unsuspended = world.okta_does(|okta| okta.unsuspend(&user));
        assert_eq!(world.deliver(&unsuspended).await, 204);
        assert_eq!(world.deliver(&suspended).await, 204);
        assert!(world.account(&name).ends_with("enabled"), "trial {trial}");
    }
}

/// A create and a group membership of one user in one delivery keep the membership.
#[tokio::test]
async fn a_create_and_a_membership_in_one_delivery_keep_the_membership() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    for trial in 0..TRIALS {
        let name = format!("user_{trial}");
        let user = world.user(&name);
        let mut events = world.okta_does(|okta| okta.add_member(&devs, &user));
        events.extend(world.okta_does(|okta| okta.assign(APP, &user)));
        events.reverse();
        assert_eq!(world.deliver(&events).await, 204);
        assert!(
            world.team("Devs").split(' ').any(|member| member == name),
            "trial {trial}"
        );
    }
}

/// A target that takes 4 s does not make the answer take 4 s.
#[tokio::test]
async fn a_slow_target_does_not_delay_the_answer() {
    let time = Duration::from_millis(2_300);
    let world = World::with_pace(Policy::default(), Pace::INLINE, time).await;
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    world.anypoint.traffic().inject(Fault::new(
        "/users",
        FaultKind::Delay(Duration::from_secs(4)),
    ));
    let began = Instant::now();
    assert_eq!(world.deliver(&events).await, 503);
    assert!(
        began.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        began.elapsed()
    );
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// A run that is killed between claim and effect blocks its event no longer than its lease.
#[tokio::test]
async fn a_killed_run_is_taken_over_after_its_lease() {
    use okta_anypoint::deadline::Deadline;
    use okta_anypoint::event::Change;
    use okta_anypoint::ids::{EventUuid, OktaUserId, Subject};
    use okta_anypoint::ledger::{ClaimOutcome, Reason, Status};

    let clock = std::sync::Arc::new(okta_anypoint::clock::ManualClock::at(1_772_442_904_000));
    let database = okta_anypoint::sqlite::Database::in_memory().unwrap();
    let shared: std::sync::Arc<dyn okta_anypoint::clock::Clock> = clock.clone();
    let table = crate::world::embedded(database, &shared);
    let ledger = table.ledger.clone();
    let world = World::on(
        table,
        Policy::default(),
        Pace::INLINE,
        Duration::from_secs(20),
    )
    .await;
    for trial in 0..TRIALS {
        let name = format!("user_{trial}");
        let user = world.user(&name);
        let event = world.okta_does(|okta| okta.assign(APP, &user)).remove(0);
        let change = Change {
            uuid: EventUuid::parse(event.uuid.clone()).unwrap(),
            event_type: event.event_type.clone(),
            published: "2026-03-02T09:15:04Z".to_owned(),
            ..Change::found(Subject::User(OktaUserId::parse(user.clone()).unwrap()), 0)
        };
        // The first run claims and is killed.
        let lease = crate::world::lease(&*ledger, &user, Duration::from_secs(3)).await;
        let claimed = ledger
            .claim(&change.work(), &lease, Reason::Delivery)
            .await
            .unwrap();
        assert!(matches!(claimed, ClaimOutcome::Claimed(_)));
        let run = async || {
            let worker = worker(&world.ports);
            let deadline = Deadline::within(Duration::from_secs(10));
            worker
                .run(std::slice::from_ref(&change), Reason::Delivery, deadline)
                .await[0]
        };
        assert!(run().await.is_retry(), "the lease runs");
        assert_eq!(world.account(&name), "none");
        clock.advance(3_000);
        assert!(!run().await.is_retry());
        assert_ne!(world.account(&name), "none");
        let record = ledger.record(&event.uuid).await.unwrap().unwrap();
        assert_eq!((record.status, record.attempts), (Status::Done, 2));
    }
}
