//! The metrics of a side that refuses everything, and of a late removal.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::{Conclusion, Memo, Reason};
use okta_anypoint::provision::{Policy, RemovalLimit};
use okta_anypoint::simulator::fault::{Absence, Fault, Refused};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Worker};
use serde_json::Value;

use crate::world::{APP, World};

const TIME: Duration = Duration::from_secs(20);
const MINUTE: i64 = 60_000;

/// A change of an event of this type and age.
fn change(user: &str, event_type: &str, age_ms: i64) -> Change {
    let now_ms = SystemClock.now_ms();
    let subject = Subject::User(OktaUserId::parse(user).unwrap());
    Change {
        event_type: event_type.to_owned(),
        published: rfc3339(now_ms - age_ms),
        ..Change::found(subject, now_ms)
    }
}

/// The metrics of one run, with their dimension.
async fn counted(world: &World, change: Change, policy: Policy) -> Vec<(String, String)> {
    let metrics = Arc::new(Metrics::new("test"));
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(policy);
    let worker = Worker::new(ports, None, metrics.clone(), Pace::QUEUED);
    worker
        .run(&[change], Reason::Delivery, Deadline::within(TIME))
        .await;
    let mut found = Vec::new();
    for line in metrics.take_lines(0) {
        let line: Value = serde_json::from_str(&line).unwrap();
        for (name, by) in [("SideRefuses", "Side"), ("RemovalLate", "Cause")] {
            if !line[name].is_null() {
                found.push((name.to_owned(), line[by].as_str().unwrap().to_owned()));
            }
        }
    }
    found.sort();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, by): &(&str, &str)| ((*name).to_owned(), (*by).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn a_refusing_side_is_counted_by_name() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    for (side, traffic, path) in [
        ("okta", world.okta.traffic(), "/api/v1/"),
        ("anypoint", world.anypoint.traffic(), "/accounts/api/"),
    ] {
        traffic.inject(Fault::refused(path, Refused::Credentials));
        let young = change(&ann, "user.lifecycle.suspend", 0);
        let told = counted(&world, young, Policy::default()).await;
        assert_eq!(
            told,
            pairs(&[("SideRefuses", side)]),
            "a young removal is not late"
        );
        let old = change(&ann, "user.lifecycle.suspend", 11 * MINUTE);
        let told = counted(&world, old, Policy::default()).await;
        let both = [("RemovalLate", "refused"), ("SideRefuses", side)];
        assert_eq!(told, pairs(&both));
        let other = change(&ann, "user.account.update_profile", 11 * MINUTE);
        let told = counted(&world, other, Policy::default()).await;
        assert_eq!(told, pairs(&[("SideRefuses", side)]), "no removal");
        traffic.remove_all_faults();
    }
    let done = change(&ann, "user.lifecycle.suspend", 11 * MINUTE);
    assert_eq!(counted(&world, done, Policy::default()).await, []);
}

#[tokio::test]
async fn a_late_removal_is_counted_by_cause() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    // She was assigned long ago.
    let lease = crate::world::lease(&*world.table.ledger, &ann, Duration::from_secs(60)).await;
    let forgets = Conclusion {
        memo: Memo::Write(None),
        ..Conclusion::default()
    };
    world.table.ledger.conclude(lease, forgets).await.unwrap();
    let removal = || change(&ann, "application.user_membership.remove", 11 * MINUTE);

    // The user exists, but the user's groups are missing.
    let no_groups = Fault::not_found("/api/v1/users/*/groups", Absence::Service);
    world.okta.traffic().inject(no_groups);
    let told = counted(&world, removal(), Policy::default()).await;
    assert_eq!(told, pairs(&[("RemovalLate", "contradiction")]));
    world.okta.traffic().remove_all_faults();

    world.okta_does(|okta| okta.unassign(APP, &ann));
    let policy = Policy {
        removals: RemovalLimit::Count(0),
        ..Policy::default()
    };
    let told = counted(&world, removal(), policy).await;
    assert_eq!(told, pairs(&[("RemovalLate", "held")]));

    let down = Fault::status("/accounts/api/", 500, "");
    world.anypoint.traffic().inject(down);
    let told = counted(&world, removal(), Policy::default()).await;
    assert_eq!(told, pairs(&[("RemovalLate", "failing")]));
    world.anypoint.traffic().remove_all_faults();

    // Another run has the subject.
    let lease = crate::world::lease(&*world.table.ledger, &ann, Duration::from_secs(60)).await;
    let told = counted(&world, removal(), Policy::default()).await;
    assert_eq!(told, pairs(&[("RemovalLate", "waiting")]));
    drop(lease);
}

/// Okta repeats a removal that is done while another run has the user.
#[tokio::test]
async fn a_repeated_removal_that_is_done_is_not_late() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.okta_does(|okta| okta.suspend(&ann));
    let done = change(&ann, "user.lifecycle.suspend", 11 * MINUTE);
    let policy = Policy::default;
    assert_eq!(counted(&world, done.clone(), policy()).await, []);
    let _theirs = crate::world::lease(&*world.table.ledger, &ann, Duration::from_secs(60)).await;
    assert_eq!(counted(&world, done, policy()).await, []);
    let open = change(&ann, "user.lifecycle.suspend", 11 * MINUTE);
    let told = counted(&world, open, policy()).await;
    assert_eq!(told, pairs(&[("RemovalLate", "waiting")]));
}
