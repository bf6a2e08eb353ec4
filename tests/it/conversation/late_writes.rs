//! Runs that write late, after a faster run changed what they saw. A random history (`properties`) found each case,
//! and each ends in sync.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::{Hold, Moment};
use okta_anypoint::worker::Pace;

use super::meanwhile::done;
use crate::world::{APP, World};

/// Lets the slower run continue while another run waits for it. If the other run is late, it looks afterwards.
pub async fn goes_on(slow: &Hold) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    slow.release();
}

/// One group gives up a name and its team, another takes both, and reads of members lag.
#[tokio::test]
async fn a_team_adopted_while_it_is_emptied_keeps_its_new_members() {
    let policy = Policy {
        groups: GroupSelection::Named("Red*".to_owned()),
        ..Policy::default()
    };
    let world = World::with(policy).await;
    let ann = world.assigned_user("ann").await;
    let old = world.pushed_group("Red").await;
    world.when(|okta| okta.add_member(&old, &ann)).await;
    world.when(|okta| okta.rename_group(&old, "Red")).await;
    assert_eq!(world.team("Red"), "ann");

    let left = world.okta_does(|okta| okta.rename_group(&old, "Green"));
    let new = world.okta.world().create_group("Red").unwrap();
    world.okta_does(|okta| okta.add_member(&new.id, &ann));
    world.anypoint().member_read_lag = 4;
    let slow = world.held(Method::DELETE, "/members", Moment::AfterEffect);
    let taken_over = async {
        slow.reached().await;
        assert_eq!(world.deliver(&new.events).await, 204);
        slow.release();
    };
    let (emptied, ()) = tokio::join!(world.deliver(&left), taken_over);
    assert_eq!(emptied, 204);
    assert_eq!(world.team("Red"), "ann");
}

/// Delivers until the events are accepted.
async fn taken(world: &World, events: &[LogEvent]) {
    let begun = Instant::now();
    while world.deliver(events).await != 204 {
        assert!(begun.elapsed() < Duration::from_secs(20), "never accepted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The slower run saw the username before last with a disabled account, and enables it. The faster run waits for that,
/// and disables it again.
#[tokio::test]
async fn an_account_that_is_enabled_too_late_is_disabled_again() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.pushed_group("Devs").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.suspend(&ann)).await;
    let path = format!("/users/{}", world.account_id("ann"));
    let slow = world.held(Method::PUT, &path, Moment::BeforeEffect);

    let back = world.okta_does(|okta| okta.unsuspend(&ann));
    let renamed = async {
        slow.reached().await;
        tokio::join!(world.rename(&ann, "ann_new"), goes_on(&slow));
    };
    let (first, ()) = tokio::join!(world.deliver(&back), renamed);
    assert_eq!(first, 204);
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.team("Devs"), "ann_new");
}

/// The same, but the slower run is killed as soon as the account is enabled. Its intent is enough for the next run.
#[tokio::test]
async fn an_account_that_a_killed_run_enabled_too_late_is_disabled() {
    // Intents of a killed run block others for little longer than its time.
    let time = Duration::from_millis(1_500);
    let world = Arc::new(World::with_pace(Policy::default(), Pace::INLINE, time).await);
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.suspend(&ann)).await;
    let path = format!("/users/{}", world.account_id("ann"));
    let slow = world.held(Method::PUT, &path, Moment::BeforeEffect);

    let back = world.okta_does(|okta| okta.unsuspend(&ann));
    let killed = tokio::spawn({
        let (world, back) = (world.clone(), back.clone());
        async move { world.deliver(&back).await }
    });
    let kill = killed.abort_handle();
    world.anypoint.traffic().on_request(move |call| {
        if call.method == Method::PUT {
            kill.abort();
        }
    });
    slow.reached().await;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    slow.release();
    for events in [vec![world.hint(&ann)], back] {
        taken(&world, &events).await;
    }
    assert!(killed.await.unwrap_err().is_cancelled());
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    done(world);
}

/// Somebody deletes the team between a run's look and its write.
#[tokio::test]
async fn a_team_deleted_during_a_run_is_created_again() {
    for of_a_user in [true, false] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let devs = world.pushed_group("Devs").await;
        let joined = world.okta_does(|okta| okta.add_member(&devs, &ann));
        let (name, events) = if of_a_user {
            ("Devs", joined)
        } else {
            let renamed = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
            ("Ops", renamed)
        };
        let slow = world.held(Method::PATCH, "/members", Moment::BeforeEffect);
        let deleted = async {
            slow.reached().await;
            let team = world.team_id(name);
            world.anypoint().delete_team(&team).unwrap();
            slow.release();
        };
        let (first, ()) = tokio::join!(world.deliver(&events), deleted);
        assert_eq!(first, 204);
        assert_eq!(world.team(name), "ann");
    }
}
