//! A membership has two subjects. If the group's run overtakes the user's, nobody stays in the team by mistake.

use std::sync::Arc;

use http::Method;
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{GroupSelection, Policy, RemovalLimit, TeamRemoval};
use rstest::rstest;

use super::meanwhile::{USERS, done, meanwhile};
use crate::world::{APP, World, look_at_group, worker};

/// What happens to the group after the user's look.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Deleted,
    Unassigned,
    LeavesSelection,
}

/// The user's run continues after the group's run, with what it saw before.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_the_team_of_a_group_that_has_ended(
    #[values(Change::Deleted, Change::Unassigned, Change::LeavesSelection)] change: Change,
    #[values(TeamRemoval::Empty, TeamRemoval::Delete, TeamRemoval::Keep)] removal: TeamRemoval,
    #[values("there", "missing")] team: &str,
) {
    let policy = Policy {
        team_removal: removal,
        groups: match change {
            Change::LeavesSelection => GroupSelection::Named("Dev*".to_owned()),
            Change::Deleted | Change::Unassigned => GroupSelection::Assigned,
        },
        ..Policy::default()
    };
    let world = Arc::new(World::with(policy).await);
    let group = world.okta.world().create_group("Devs").unwrap().id;
    let assigned = world.okta_does(|okta| okta.assign_group(APP, &group));
    if team == "there" {
        assert_eq!(world.deliver(&assigned).await, 204);
    }
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    world.okta_does(|okta| okta.add_member(&group, &ann));
    let ended = group.clone();
    let told = meanwhile(&world, Method::POST, USERS, async move |world| {
        let events = match change {
            Change::Deleted => world.okta_does(|okta| okta.delete_group(&ended)),
            Change::Unassigned => world.okta_does(|okta| okta.unassign_group(APP, &ended)),
            Change::LeavesSelection => world.okta_does(|okta| okta.rename_group(&ended, "Ops")),
        };
        world.deliver(&events).await
    });
    // The first attempt is overtaken. The retry brings both sides in sync.
    for code in [503, 204] {
        let answered = world.deliver(&events).await;
        if answered == 204 {
            break;
        }
        assert_eq!(answered, code);
    }
    assert_eq!(told.try_recv(), Ok(204));
    assert!(world.account("ann").ends_with("enabled"));
    let inside = world.team("Devs");
    assert!(
        ["none", ""].contains(&inside.as_str()),
        "in the team: {inside}"
    );
    if team == "missing" {
        assert_eq!(inside, "none", "a team was made");
    }
    done(world);
}

/// After the user's look, which found no team, the group's runs make the team and empty it again.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_a_team_that_was_made_and_emptied_since_the_look() {
    let world = Arc::new(World::new().await);
    let group = world.okta.world().create_group("Devs").unwrap().id;
    let assigned = world.okta_does(|okta| okta.assign_group(APP, &group));
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    world.okta_does(|okta| okta.add_member(&group, &ann));
    let ended = group.clone();
    let told = meanwhile(&world, Method::POST, USERS, async move |world| {
        world.deliver(&assigned).await;
        let made = world.team("Devs");
        world.okta_does(|okta| okta.unassign_group(APP, &ended));
        look_at_group(&worker(&world.ports), &ended).await;
        made
    });
    assert_eq!(world.deliver(&events).await, 503);
    assert_eq!(told.try_recv().as_deref(), Ok(""));
    assert_eq!(world.team("Devs"), "");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "");
    assert_eq!(world.account("ann"), "ann Example - enabled");
    done(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_keeps_the_name_that_its_group_has_now() {
    let world = Arc::new(World::new().await);
    let group = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &group));
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    world.okta_does(|okta| okta.add_member(&group, &ann));
    let renamed = group.clone();
    let told = meanwhile(&world, Method::POST, USERS, async move |world| {
        let events = world.okta_does(|okta| okta.rename_group(&renamed, "Ops"));
        world.deliver(&events).await
    });
    assert_eq!(world.deliver(&events).await, 204);
    // Its follow-up for the user waits for this run, and may be retried.
    assert!(told.try_recv().is_ok());
    assert_eq!(world.team("Devs"), "none");
    assert_eq!(world.team("Ops"), "ann");
    done(world);
}

/// A look at a group does not remove a person whom the brake holds.
#[tokio::test]
async fn a_person_held_by_the_brake_stays_in_the_team() {
    let world = World::with(Policy {
        removals: RemovalLimit::Count(0),
        groups: GroupSelection::All,
        ..Policy::default()
    })
    .await;
    let group = world.okta.world().create_group("Devs").unwrap().id;
    let ann = world.user("ann");
    world.when(|okta| okta.assign(APP, &ann)).await;
    world.when(|okta| okta.add_member(&group, &ann)).await;
    let events = world.okta_does(|okta| okta.unassign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.record(&events[0]).await.status, Status::Held);
    world.when(|okta| okta.rename_group(&group, "Ops")).await;
    assert_eq!(world.team("Ops"), "ann");
    assert!(world.account("ann").ends_with("enabled"));
}

/// The old account joins the team while its user gets another account.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_account_is_not_left_in_a_team() {
    let world = Arc::new(World::new().await);
    let group = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    world.when(|okta| okta.assign(APP, &ann)).await;
    let joined = world.okta_does(|okta| okta.add_member(&group, &ann));
    let renamed = ann.clone();
    let told = meanwhile(&world, Method::GET, "/members", async move |world| {
        let events = world.okta_does(|okta| okta.set_app_username(APP, &renamed, "anna"));
        world.deliver(&events).await
    });
    drop(joined);
    look_at_group(&worker(&world.ports), &group).await;
    assert_eq!(told.try_recv(), Ok(204));
    assert_eq!(world.team("Devs"), "anna");
    assert!(world.account("ann").ends_with("disabled"));
    done(world);
}
