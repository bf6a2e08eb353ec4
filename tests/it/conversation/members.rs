//! Contract §4: who is in a team, and which members the program leaves alone.

use http::Method;
use okta_anypoint::ledger::AuditEntry;
use okta_anypoint::provision::{GroupSelection, Policy, TeamRemoval};
use okta_anypoint::simulator::traffic::{Fault, FaultKind};

use super::groups::{devs_with_ann, team_by_hand};
use crate::world::{APP, World, look_at_group, worker};

#[tokio::test]
async fn a_team_holds_the_assigned_and_enabled_members_of_its_group() {
    let world = World::new().await;
    let (ann, bob, eve) = (
        world.assigned_user("ann").await,
        world.assigned_user("bob").await,
        world.user("eve"),
    );
    let sue = world.assigned_user("sue").await;
    world.when(|okta| okta.suspend(&sue)).await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    for user in [&ann, &bob, &eve, &sue] {
        world.okta_does(|okta| okta.add_member(&devs, user));
    }
    // The group has members but is not assigned, because assigning it would assign everybody in it.
    let policy = Policy {
        groups: GroupSelection::All,
        ..Policy::default()
    };
    let mut ports = world.ports.clone();
    ports.policy = std::sync::Arc::new(policy);
    let worker = crate::world::worker(&ports);
    crate::world::look_at_group(&worker, &devs).await;
    assert_eq!(world.team("Devs"), "ann bob");
}

#[tokio::test]
async fn members_without_an_account_get_one_by_a_user_look() {
    let world = World::new().await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let users: Vec<String> = (0..30).map(|n| world.user(&format!("user_{n}"))).collect();
    for user in &users {
        world.okta_does(|okta| okta.add_member(&devs, user));
    }
    let events = world.okta_does(|okta| okta.assign_group(APP, &devs));
    let of_the_group: Vec<_> = events
        .into_iter()
        .filter(|event| event.event_type.starts_with("group.application"))
        .collect();
    assert_eq!(of_the_group.len(), 1);
    assert_eq!(world.deliver(&of_the_group).await, 204);
    assert_eq!(world.team("Devs").split(' ').count(), 30);
    assert!(world.user_link(&users[29]).await.is_some());
}

#[tokio::test]
async fn a_missing_team_is_created_before_the_membership() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann");
    world.when(|okta| okta.remove_member(&devs, &ann)).await;
    // The group assigned her, too; she keeps her individual assignment.
    assert_eq!(world.team("Devs"), "");
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn other_peoples_memberships_are_left_alone() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let team = world.team_id("Devs");
    let boss = world.assigned_user("boss").await;
    let mapped = world.assigned_user("mapped").await;
    let linked = world.assigned_user("linked").await;
    let (boss_account, mapped_account, linked_account) = (
        world.account_id("boss"),
        world.account_id("mapped"),
        world.account_id("linked"),
    );
    let child = world.anypoint().add_team("Child", Some(&team)).unwrap();
    let private = team_by_hand(&world, "Private");
    {
        let mut anypoint = world.anypoint();
        let stranger = anypoint
            .add_user("bob", "Bob", "Hand", "bob@acme.example")
            .unwrap();
        anypoint
            .add_member(&team, &boss_account, "maintainer")
            .unwrap();
        anypoint
            .add_member(&team, &mapped_account, "member")
            .unwrap();
        anypoint.mark_external(&team, &mapped_account).unwrap();
        anypoint
            .add_member(&team, &linked_account, "member")
            .unwrap();
        anypoint.add_member(&team, &stranger, "member").unwrap();
        anypoint
            .add_member(&private, &linked_account, "member")
            .unwrap();
        anypoint
            .add_member(&child, &linked_account, "member")
            .unwrap();
    }
    // A look at the group ends only the plain membership of a linked user who is not in the group.
    world.when(|okta| okta.rename_group(&devs, "Devs2")).await;
    assert_eq!(world.team("Devs2"), "ann bob boss mapped");
    // A look at the user follows the same rule.
    world
        .anypoint()
        .add_member(&team, &linked_account, "member")
        .unwrap();
    for user in [&linked, &boss, &mapped, &ann] {
        world.look_again(user).await;
    }
    assert_eq!(world.team("Devs2"), "ann bob boss mapped");
    assert_eq!(world.team("Private"), "linked");
    assert_eq!(world.team("Child"), "linked");
}

#[tokio::test]
async fn a_disabled_user_leaves_the_pushed_teams_and_returns_to_them() {
    let (world, _, ann) = devs_with_ann(Policy::default()).await;
    let private = team_by_hand(&world, "Private");
    let account = world.account_id("ann");
    world
        .anypoint()
        .add_member(&private, &account, "member")
        .unwrap();
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(
        (world.team("Devs").as_str(), world.team("Private").as_str()),
        ("", "ann")
    );
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(
        (world.team("Devs").as_str(), world.team("Private").as_str()),
        ("ann", "ann")
    );
}

#[tokio::test]
async fn memberships_move_to_a_new_account() {
    let (world, _, ann) = devs_with_ann(Policy::default()).await;
    world.rename(&ann, "ann_new").await;
    assert_eq!(world.team("Devs"), "ann_new");
}

/// A random history found this: a group adopts a team in which somebody already has another role.
#[tokio::test]
async fn a_maintainer_of_an_adopted_team_stays_one() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let (team, account) = (team_by_hand(&world, "Devs"), world.account_id("ann"));
    let made = world.anypoint().add_member(&team, &account, "maintainer");
    made.unwrap();
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    // The user's event comes first, so the look at the user adopts the team.
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.look_again(&ann).await;
    let kind = |world: &World| {
        let anypoint = world.anypoint();
        anypoint.teams[&team].members[&account]
            .membership_type
            .clone()
    };
    assert_eq!(kind(&world), "maintainer");
    world.when(|okta| okta.remove_member(&devs, &ann)).await;
    assert_eq!(kind(&world), "maintainer");
}

/// Anypoint answers with an empty list. The worker does not add an existing member again, because that would demote a
/// maintainer to a plain member. It adds somebody who is really missing.
#[tokio::test]
async fn a_maintainer_missing_from_an_empty_list_stays_one() {
    let empty = r#"{"data":[],"total":0}"#;
    for of_team in [true, false] {
        let (world, devs, ann) = devs_with_ann(Policy::default()).await;
        let ben = world.assigned_user("ben").await;
        let (team, boss) = (world.team_id("Devs"), world.account_id("ann"));
        {
            let mut anypoint = world.anypoint();
            anypoint.add_member(&team, &boss, "maintainer").unwrap();
        }
        let path = if of_team {
            format!("/teams/{team}/members")
        } else {
            format!("/users/{boss}/teams")
        };
        let lie = Fault::status(&path, 200, empty).on(Method::GET).once();
        let lie = world.anypoint.traffic().inject(lie);
        if of_team {
            world.okta_does(|okta| okta.add_member(&devs, &ben));
            look_at_group(&worker(&world.ports), &devs).await;
            assert_eq!(world.team("Devs"), "ann ben");
        } else {
            world.look_again(&ann).await;
        }
        assert_eq!(world.anypoint.traffic().fired(lie), 1);
        let kind = {
            let anypoint = world.anypoint();
            let member = &anypoint.teams[&team].members[&boss];
            member.membership_type.clone()
        };
        assert_eq!(kind, "maintainer", "of the team: {of_team}");
    }
}

/// The service's own 404 for the teams of an existing account.
#[tokio::test]
async fn a_404_for_the_teams_of_an_existing_account_is_a_contradiction() {
    let (world, _, ann) = devs_with_ann(Policy::default()).await;
    let path = format!("/users/{}/teams", world.account_id("ann"));
    let lie = Fault::status(&path, 404, r#"{"message":"not found"}"#).once();
    world.anypoint.traffic().inject(lie);
    let hint = [world.hint(&ann)];
    assert_eq!(world.deliver(&hint).await, 503);
    let record = world.record(&hint[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("contradiction"));
    assert!(record.error.unwrap().contains("two answers of Anypoint"));
    assert_eq!(world.team("Devs"), "ann");
}

/// The case of a migration: the people are already in the team, so the worker writes nothing about them.
#[tokio::test]
async fn existing_members_of_an_adopted_team_are_not_added_again() {
    for user_first in [true, false] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let (team, account) = (team_by_hand(&world, "Devs"), world.account_id("ann"));
        world
            .anypoint()
            .add_member(&team, &account, "member")
            .unwrap();
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        world.okta_does(|okta| okta.assign_group(APP, &devs));
        world.okta_does(|okta| okta.add_member(&devs, &ann));
        world.forget_traffic();
        if user_first {
            world.look_again(&ann).await;
        }
        look_at_group(&worker(&world.ports), &devs).await;
        world.look_again(&ann).await;
        assert_eq!(world.team_link(&devs).await.unwrap().team_id.as_str(), team);
        assert_eq!(world.team("Devs"), "ann");
        assert_eq!(world.writes().len(), 0, "{:?}", world.calls());
        let entries = world.table.ledger.whole_history(0).await.unwrap();
        let about_members = |entry: &&AuditEntry| {
            let action = entry.action.as_str();
            action == "join_team" || action == "add_members"
        };
        assert_eq!(entries.iter().find(about_members), None);
    }
}

/// The worker used to remove a member who had joined so recently that reads did not show it.
#[tokio::test]
async fn a_member_who_joined_just_before_the_group_left_stays() {
    let world = World::with(Policy {
        team_removal: TeamRemoval::Keep,
        ..Policy::default()
    })
    .await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let path = format!("/users/{}/teams", world.account_id("ann"));
    let stale = Fault::new(&path, FaultKind::StaleRead).skipping(1).once();
    let stale = world.anypoint.traffic().inject(stale);
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.unassign_group(APP, &devs)).await;
    world.look_again(&ann).await;
    assert_eq!(world.anypoint.traffic().fired(stale), 1);
    assert_eq!(world.team("Devs"), "ann");
}

#[tokio::test]
async fn a_member_of_another_pushed_group_stays_in_a_kept_team() {
    let policy = Policy {
        team_removal: TeamRemoval::Keep,
        ..Policy::default()
    };
    let (world, devs, ann) = devs_with_ann(policy).await;
    let ops = world.pushed_group("Ops").await;
    world.when(|okta| okta.add_member(&ops, &ann)).await;
    world.when(|okta| okta.unassign_group(APP, &devs)).await;
    world.look_again(&ann).await;
    assert_eq!(
        (world.team("Devs").as_str(), world.team("Ops").as_str()),
        ("ann", "ann")
    );
    // A group that is still pushed follows other rules.
    world.when(|okta| okta.remove_member(&ops, &ann)).await;
    assert_eq!(
        (world.team("Devs").as_str(), world.team("Ops").as_str()),
        ("ann", "")
    );
}

#[tokio::test]
async fn lagging_reads_end_in_sync() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let bob = world.assigned_user("bob").await;
    world.anypoint().member_read_lag = 2;
    world.when(|okta| okta.add_member(&devs, &bob)).await;
    world.when(|okta| okta.remove_member(&devs, &bob)).await;
    world.when(|okta| okta.remove_member(&devs, &ann)).await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann");
    // A look at the group sees its own writes late, and continues until it does.
    let account = world.account_id("bob");
    let team = world.team_id("Devs");
    world
        .anypoint()
        .add_member(&team, &account, "member")
        .unwrap();
    world.when(|okta| okta.rename_group(&devs, "Devs2")).await;
    for _ in 0..3 {
        world.okta_does(|okta| okta.rename_group(&devs, "Devs3"));
        world.when(|okta| okta.rename_group(&devs, "Devs4")).await;
    }
    assert_eq!(world.team("Devs4"), "ann");
}
