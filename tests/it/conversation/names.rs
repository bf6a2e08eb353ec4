//! Team names that move from group to group.

use std::sync::Arc;

use http::Method;
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{GroupSelection, Policy, TeamRemoval};
use okta_anypoint::simulator::okta::LogEvent;

use super::meanwhile::{done, meanwhile};
use crate::world::{APP, World, look_at_group, worker};

/// Two pushed groups, "One" and "T-wo". The first gets a name that results in the second's team name, and no event
/// reports it.
async fn one_wants_the_name_of_two() -> (World, String, String) {
    let world = World::new().await;
    let one = world.pushed_group("One").await;
    let two = world.pushed_group("T-wo").await;
    world.okta_does(|okta| okta.rename_group(&one, "T&wo"));
    (world, one, two)
}

/// Pushes another group "One": it gets its name, and the first one's team moves aside.
async fn push_one(world: &World, one: &str) {
    let aside = world.team_link(one).await.unwrap().team_id;
    let group = world.okta.world().create_group("One").unwrap().id;
    world.when(|okta| okta.assign_group(APP, &group)).await;
    assert_eq!(world.team_link(&group).await.unwrap().team_name, "One");
    let name = world.anypoint().teams[aside.as_str()].name.clone();
    assert_eq!(name, told_apart("T-wo", one));
}

/// The team name of a group when another group's team has the plain name: it ends with the group's id.
fn told_apart(name: &str, group: &str) -> String {
    format!("{name} {}", &group[group.len() - 6..])
}

#[tokio::test]
async fn a_team_moves_aside_when_another_group_keeps_its_new_name() {
    let (world, one, _) = one_wants_the_name_of_two().await;
    push_one(&world, &one).await;
}

/// The team of a group that is no longer pushed moves aside for the team of a pushed group.
#[tokio::test]
async fn a_team_gets_the_name_that_the_team_of_an_unpushed_group_has() {
    for renamed in [None, Some("Zwei")] {
        let (world, one, two) = one_wants_the_name_of_two().await;
        let team = async |group| world.team_link(group).await.unwrap().team_id.to_string();
        let (first, second) = (team(&one).await, team(&two).await);
        world.when(|okta| okta.unassign_group(APP, &two)).await;
        if let Some(name) = renamed {
            world.okta_does(|okta| okta.rename_group(&two, name));
        }
        let group = world.okta.world().create_group("One").unwrap().id;
        world.when(|okta| okta.assign_group(APP, &group)).await;
        assert_eq!(world.team_id("One"), team(&group).await, "{renamed:?}");
        assert_eq!(world.team_id("T-wo"), first, "{renamed:?}");
        let aside = world.anypoint().teams[&second].name.clone();
        assert_eq!(aside, format!("T-wo {second}"), "{renamed:?}");
        assert_eq!(team(&two).await, second, "it keeps its team");
    }
}

#[tokio::test]
async fn members_stay_in_a_kept_team_after_a_rename_out_of_the_selection() {
    let world = World::with(Policy {
        groups: GroupSelection::Named("Any*".to_owned()),
        team_removal: TeamRemoval::Keep,
        ..Policy::default()
    })
    .await;
    let ann = world.assigned_user("ann").await;
    let group = world.okta.world().create_group("AnyDevs").unwrap().id;
    world.when(|okta| okta.add_member(&group, &ann)).await;
    assert_eq!(world.team("AnyDevs"), "ann");
    world.when(|okta| okta.rename_group(&group, "Devs")).await;
    world.look_again(&ann).await;
    assert_eq!(world.team("AnyDevs"), "ann");
}

#[tokio::test]
async fn groups_with_the_same_team_name_get_a_team_each() {
    for order in [["A/B", "A:B", "A-B"], ["A-B", "A:B", "A/B"]] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let groups = order.map(|name| world.okta.world().create_group(name).unwrap().id);
        for group in &groups {
            let mut events = world.okta_does(|okta| okta.assign_group(APP, group));
            events.extend(world.okta_does(|okta| okta.add_member(group, &ann)));
            delivered(&world, &events).await;
        }
        let first = world.team_link(&groups[0]).await.unwrap().team_name;
        assert_eq!(first, "A-B", "{order:?}");
        for group in &groups[1..] {
            let link = world.team_link(group).await.unwrap();
            assert_eq!(link.team_name, told_apart("A-B", group), "{order:?}");
            assert_eq!(world.team(&link.team_name), "ann");
        }
        // They keep these names, even when the plain name is free.
        world
            .when(|okta| okta.rename_group(&groups[0], "Else"))
            .await;
        world.forget_traffic();
        for group in &groups[1..] {
            look_at_group(&worker(&world.ports), group).await;
        }
        assert_eq!(world.writes(), Vec::<String>::new());
    }
}

/// Two concurrent runs can find the same team. The one that links it keeps it.
#[tokio::test]
async fn groups_with_the_same_team_name_get_a_team_each_in_one_delivery() {
    let world = World::new().await;
    let groups =
        ["A/B", "A:B", "A B", "A?B"].map(|name| world.okta.world().create_group(name).unwrap().id);
    let mut events = Vec::new();
    for group in &groups {
        events.extend(world.okta_does(|okta| okta.assign_group(APP, group)));
    }
    delivered(&world, &events).await;
    let mut teams = std::collections::HashSet::new();
    for group in &groups {
        teams.insert(world.team_link(group).await.unwrap().team_id);
    }
    assert_eq!(teams.len(), 4);
}

/// The run of the other group adopts a team between its creation and its link.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_stays_with_the_group_that_links_it_first() {
    let world = Arc::new(World::new().await);
    let [first, second] =
        ["A/B", "A:B"].map(|name| world.okta.world().create_group(name).unwrap().id);
    world.okta_does(|okta| okta.assign_group(APP, &second));
    let events = world.okta_does(|okta| okta.assign_group(APP, &first));
    let other = second.clone();
    let linked = meanwhile(
        &world,
        Method::POST,
        "/teams",
        async move |world: Arc<World>| {
            look_at_group(&worker(&world.ports), &other).await;
        },
    );
    delivered(&world, &events).await;
    linked.recv().unwrap();
    let name = async |group| world.team_link(group).await.unwrap().team_name;
    assert_eq!(name(&second).await, "A-B");
    assert_eq!(name(&first).await, told_apart("A-B", &first));
    done(world);
}

/// Delivers events, and repeats those that Okta would repeat. No event may fail.
async fn delivered(world: &World, events: &[LogEvent]) {
    for _ in 0..3 {
        if world.deliver(events).await == 204 {
            break;
        }
    }
    let failed = Filter::with_status(Status::Failed);
    let failed = world.table.ledger.records(&failed).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

/// A refused team is a failure of its group. When the group gets a team after all, its members are in it.
#[tokio::test]
async fn a_refused_team_fails_for_its_group_but_not_for_its_members() {
    let world = World::new().await;
    let ops = world.pushed_group("Ops").await;
    let ann = world.user("ann");
    let taken = world.okta.world().create_group("OPS").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &taken));
    world.okta_does(|okta| okta.add_member(&taken, &ann));
    world.okta_does(|okta| okta.add_member(&ops, &ann));
    let events = [world.hint(&ann)];
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
    assert_eq!(world.team("Ops"), "ann");
    let failed = Filter::with_status(Status::Failed);
    let failed = world.table.ledger.records(&failed).await.unwrap();
    let [of_group] = &failed[..] else {
        panic!("{failed:?}")
    };
    assert_eq!(of_group.subject, format!("group#{taken}"));
    assert_eq!(of_group.error_code.as_deref(), Some("team_name_taken"));
    world.when(|okta| okta.rename_group(&taken, "Others")).await;
    assert_eq!(world.team("Others"), "ann");
    let failed = Filter::with_status(Status::Failed);
    assert_eq!(world.table.ledger.records(&failed).await.unwrap(), []);
}
