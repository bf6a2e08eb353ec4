//! The brake on removals: what it counts, holds and lets pass, and how a held change is settled.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::{Filter, Reason, Record, Status};
use okta_anypoint::provision::{Policy, RemovalLimit, brake_off_until, lift_brake};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::worker::{Pace, Worker};

use super::audit::history;
use super::evidence::{denied, truth};
use crate::world::{APP, World, worker};

async fn held(world: &World) -> Vec<Record> {
    let filter = Filter::with_status(Status::Held);
    world.table.ledger.records(&filter).await.unwrap()
}

async fn with_limit(removals: RemovalLimit) -> World {
    World::with(Policy {
        removals,
        ..Policy::default()
    })
    .await
}

fn unassign(world: &World, user: &str) -> Vec<LogEvent> {
    world.okta_does(|okta| okta.unassign(APP, user))
}

/// Runs an operator's command on the record of an event.
async fn again(world: &World, event: &LogEvent, reason: Reason) {
    let record = world.record(event).await;
    let subject: Subject = record.subject.parse().unwrap();
    let change = Change {
        uuid: record.uuid().parse().unwrap(),
        event_type: record.event_type.clone(),
        ..Change::found(subject, 0)
    };
    let deadline = Deadline::within(Duration::from_secs(20));
    worker(&world.ports).run(&[change], reason, deadline).await;
}

#[tokio::test]
async fn the_brake_holds_only_changes_beyond_the_limit() {
    let world = with_limit(RemovalLimit::Count(2)).await;
    let mut users = Vec::new();
    for name in ["ann", "bob", "cid", "dan"] {
        users.push(world.assigned_user(name).await);
    }
    for user in &users[..2] {
        assert_eq!(world.deliver(&unassign(&world, user)).await, 204);
    }
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("bob"), "bob Example - disabled");

    let third = unassign(&world, &users[2]);
    assert_eq!(
        world.deliver(&third).await,
        204,
        "held work is acknowledged"
    );
    assert_eq!(world.account("cid"), "cid Example - enabled");
    let record = world.record(&third[0]).await;
    assert_eq!(record.status, Status::Held);
    let account = world.account_id("cid");
    assert_eq!(
        record.planned.unwrap(),
        [format!("disable_account:{account}")]
    );
    assert!(
        record
            .held_for
            .unwrap()
            .contains("MAX_REMOVALS_PER_HOUR allows 2")
    );

    // A repeated delivery is acknowledged without a look.
    world.forget_traffic();
    assert_eq!(world.deliver(&third).await, 204);
    assert_eq!(world.calls(), Vec::<String>::new());

    // A suspension does not count, and is applied at once.
    world.when(|okta| okta.suspend(&users[3])).await;
    assert_eq!(world.account("dan"), "dan Example - disabled");

    // Nor does the deactivation that follows. It settles the held change.
    world.when(|okta| okta.deactivate(&users[2])).await;
    assert_eq!(world.account("cid"), "cid Example - disabled");
    assert_eq!(held(&world).await.len(), 0);
    assert_eq!(world.record(&third[0]).await.status, Status::Resolved);
}

/// An operator lifted the brake for an hour while the clock was a day ahead. Now the clock is right.
#[tokio::test]
async fn a_brake_lifted_under_a_fast_clock_holds_again() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let world = with_limit(RemovalLimit::Count(0)).await;
    let documents = &*world.table.documents;
    let now_ms = world.ports.clock.now_ms();
    let until = async |at_ms| brake_off_until(documents, at_ms).await.unwrap();

    // A small difference between clocks is allowed.
    let end = lift_brake(documents, now_ms + 60_000, HOUR).await.unwrap();
    assert_eq!(until(now_ms).await, Some(end));
    assert_eq!(until(end).await, None);

    lift_brake(documents, now_ms + DAY_MS, HOUR).await.unwrap();
    assert!(until(now_ms + DAY_MS).await.is_some());
    assert_eq!(until(now_ms).await, None);
    let ann = world.assigned_user("ann").await;
    let left = unassign(&world, &ann);
    assert_eq!(world.deliver(&left).await, 204);
    assert_eq!(world.record(&left[0]).await.status, Status::Held);
    assert_eq!(until(now_ms + DAY_MS).await, None);

    // The entry of an earlier version holds only the end.
    let found = documents.document("brake_lifted").await.unwrap().unwrap();
    let old = format!(r#"{{"until_ms":{}}}"#, now_ms + DAY_MS);
    documents
        .put_document("brake_lifted", &old, found.version)
        .await
        .unwrap();
    assert_eq!(until(now_ms).await, Some(now_ms + DAY_MS));
}

#[tokio::test]
async fn a_reversal_in_okta_or_an_approval_settles_a_held_change() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    let bob = world.assigned_user("bob").await;
    let of_ann = unassign(&world, &ann);
    let of_bob = unassign(&world, &bob);
    for events in [&of_ann, &of_bob] {
        assert_eq!(world.deliver(events).await, 204);
    }
    assert_eq!(held(&world).await.len(), 2);

    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.record(&of_ann[0]).await.status, Status::Resolved);
    assert_eq!(world.account("ann"), "ann Example - enabled");

    // A replay counts like any event. An approval passes.
    again(&world, &of_bob[0], Reason::Replay).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");
    again(&world, &of_bob[0], Reason::Approval).await;
    assert_eq!(world.account("bob"), "bob Example - disabled");
    assert_eq!(world.record(&of_bob[0]).await.status, Status::Done);
    assert_eq!(held(&world).await.len(), 0);
}

#[tokio::test]
async fn the_brake_holds_a_group_that_left_the_selection_but_not_a_member_who_left() {
    let world = with_limit(RemovalLimit::Count(1)).await;
    let devs = world.pushed_group("Devs").await;
    for name in ["ann", "bob", "cid"] {
        let user = world.assigned_user(name).await;
        world.when(|okta| okta.add_member(&devs, &user)).await;
        if name == "cid" {
            world.when(|okta| okta.remove_member(&devs, &user)).await;
        }
    }
    assert_eq!(world.team("Devs"), "ann bob");
    let events = world.okta_does(|okta| okta.unassign_group(APP, &devs));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "ann bob");
    let held = held(&world).await;
    assert_eq!(
        (held.len(), &*held[0].subject),
        (1, &*format!("group#{devs}"))
    );

    // A deleted group has not left the selection.
    world.when(|okta| okta.delete_group(&devs)).await;
    assert_eq!(world.team("Devs"), "");
}

#[tokio::test]
async fn a_retried_removal_is_counted_once() {
    let world = with_limit(RemovalLimit::Count(1)).await;
    let documents = &world.table.documents;
    let people = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let minute = 60_000;
    for at in [0, 1] {
        let tally = documents
            .count_removals(&people(&["a", "b"]), at)
            .await
            .unwrap();
        assert_eq!(
            (tally.total, tally.newly.len()),
            (2, if at == 0 { 2 } else { 0 })
        );
    }
    let tally = documents.count_removals(&people(&["c"]), 2).await.unwrap();
    assert_eq!((tally.total, &*tally.newly), (3, &["c".to_owned()][..]));
    documents.uncount_removals(&tally.newly, 2).await.unwrap();
    let later = documents.count_removals(&people(&["d"]), 59 * minute).await;
    assert_eq!(later.unwrap().total, 3);
    let much_later = documents.count_removals(&people(&["e"]), 75 * minute).await;
    assert_eq!(much_later.unwrap().total, 2, "d and e");
}

#[tokio::test]
async fn an_emergency_passes_the_brake_and_keeps_its_reason() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    unassign(&world, &ann);
    let subject = Subject::User(OktaUserId::parse(&*ann).unwrap());
    let change = Change {
        reason: Some("ticket 4711".to_owned()),
        ..Change::found(subject, 0)
    };
    let metrics = Arc::new(okta_anypoint::telemetry::Metrics::new("test"));
    let by_hand = Worker::new(world.ports.clone(), None, metrics, Pace::BY_HAND);
    let deadline = Deadline::within(Duration::from_secs(20));
    by_hand.run(&[change], Reason::Replay, deadline).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    let entries = history(&world, &format!("user#{ann}")).await;
    let last = entries.last().unwrap();
    assert_eq!(last.reason.as_deref(), Some("ticket 4711"));
}

#[tokio::test]
async fn an_unannounced_absence_is_not_held_before_it_is_confirmed() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    super::evidence::lie(&world, denied(super::evidence::APP_USER, &ann).times(1));
    world.look_again(&ann).await;
    truth(&world);
    assert_eq!(held(&world).await.len(), 0);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}
