//! What a reconcile's own limit lets pass the brake, and how many held changes of one subject one decision settles.

use std::time::Duration;

use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Filter, Reason, Status};
use okta_anypoint::provision::{Changes, Policy, RemovalLimit};
use okta_anypoint::simulator::okta::LogEvent;

use crate::world::{APP, World, worker};

async fn with_limit(removals: usize) -> World {
    World::with(Policy {
        removals: RemovalLimit::Count(removals),
        ..Policy::default()
    })
    .await
}

async fn run(world: &World, changes: &[Change], reason: Reason) {
    let deadline = Deadline::within(Duration::from_secs(20));
    worker(&world.ports).run(changes, reason, deadline).await;
}

async fn held(world: &World) -> usize {
    let filter = Filter::with_status(Status::Held);
    let records = world.table.ledger.records(&filter).await;
    records.unwrap().len()
}

/// A reconcile counted one leaver. Then the whole group is unassigned by mistake, before its change is worked on.
#[tokio::test]
async fn one_planned_leaver_lifts_the_brake_for_nobody_else() {
    for (planned, expected) in [
        ("not_member:00uX", "ann bob"),
        ("not_pushed", "ann bob"),
        ("counted_by_limit", ""),
    ] {
        let world = with_limit(0).await;
        let devs = world.pushed_group("Devs").await;
        for name in ["ann", "bob"] {
            let user = world.assigned_user(name).await;
            world.when(|okta| okta.add_member(&devs, &user)).await;
        }
        world.okta_does(|okta| okta.unassign_group(APP, &devs));
        let group = Subject::Group(OktaGroupId::parse(&devs).unwrap());
        let change = Change {
            planned: vec![planned.to_owned()],
            ..Change::found(group, world.ports.clock.now_ms())
        };
        run(&world, &[change], Reason::Delivery).await;
        assert_eq!(world.team("Devs"), expected, "{planned}");
    }
}

/// The user's events were held one by one. One approval, or one look in sync, settles them all.
#[tokio::test]
async fn any_number_of_held_changes_of_a_user_is_settled_at_once() {
    for is_approved in [true, false] {
        let world = with_limit(0).await;
        let ann = world.assigned_user("ann").await;
        let unassigned = world.okta_does(|okta| okta.unassign(APP, &ann));
        assert_eq!(world.deliver(&unassigned).await, 204);
        for _ in 0..30 {
            world.look_again(&ann).await;
        }
        assert_eq!(held(&world).await, 31);
        let user = Subject::User(OktaUserId::parse(&ann).unwrap());
        if is_approved {
            let event: &LogEvent = &unassigned[0];
            let change = Change {
                uuid: event.uuid.parse().unwrap(),
                ..Change::found(user, 0)
            };
            run(&world, &[change], Reason::Approval).await;
        } else {
            world.when(|okta| okta.assign(APP, &ann)).await;
        }
        assert_eq!(held(&world).await, 0, "{is_approved}");
    }
}

/// A dry run doubts what it saw once, and so plans nothing. The held change is still to be decided.
#[tokio::test]
async fn a_dry_run_settles_nothing() {
    let world = with_limit(0).await;
    let ann = world.assigned_user("ann").await;
    let unassigned = world.okta_does(|okta| okta.unassign(APP, &ann));
    assert_eq!(world.deliver(&unassigned).await, 204);
    assert_eq!(held(&world).await, 1);
    let mut ports = world.ports.clone();
    ports.policy = std::sync::Arc::new(Policy {
        changes: Changes::Report,
        ..(*ports.policy).clone()
    });
    world.okta_does(|okta| okta.assign(APP, &ann));
    let user = Subject::User(OktaUserId::parse(&ann).unwrap());
    let change = Change::found(user, world.ports.clock.now_ms());
    let deadline = Deadline::within(Duration::from_secs(20));
    worker(&ports)
        .run(&[change], Reason::Delivery, deadline)
        .await;
    assert_eq!(held(&world).await, 1);
}
