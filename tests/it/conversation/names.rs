//! Team names that are handed on from group to group, and where that ends.

use okta_anypoint::provision::{GroupSelection, Policy, TeamRemoval};

use super::converge::refusal;
use crate::world::{APP, World};

/// Two pushed groups, "One" and "T-wo". The first gets a name that makes the second's team name of it, and
/// nobody hears of that.
async fn one_wants_the_name_of_two() -> (World, String, String) {
    let world = World::new().await;
    let one = world.pushed_group("One").await;
    let two = world.pushed_group("T-wo").await;
    world.okta_does(|okta| okta.rename_group(&one, "T&wo"));
    (world, one, two)
}

/// Pushes another group "One", which cannot have its name; gives the reason.
async fn push_one(world: &World) -> String {
    let group = world.okta.world().create_group("One").unwrap().id;
    let events = world.okta_does(|okta| okta.assign_group(APP, &group));
    assert_eq!(world.deliver(&events).await, 204);
    refusal(world, &events[0]).await
}

#[tokio::test]
async fn a_group_that_keeps_its_name_is_the_end_of_the_line() {
    let (world, one, _) = one_wants_the_name_of_two().await;
    let text = push_one(&world).await;
    assert!(text.contains(&one) && text.contains("cannot get"), "{text}");
    world.done();
}

/// Its team stays as it was left, whatever became of the group's name.
#[tokio::test]
async fn a_group_that_is_not_pushed_any_more_is_the_end_of_the_line() {
    for renamed in [None, Some("Zwei")] {
        let (world, one, two) = one_wants_the_name_of_two().await;
        world.when(|okta| okta.unassign_group(APP, &two)).await;
        if let Some(name) = renamed {
            world.okta_does(|okta| okta.rename_group(&two, name));
        }
        let text = push_one(&world).await;
        assert!(text.contains(&one) && text.contains("cannot get"), "{text}");
        assert_eq!(world.team("T-wo"), "", "{renamed:?}");
        world.done();
    }
}

#[tokio::test]
async fn who_is_in_a_group_whose_name_is_selected_no_more_stays_in_a_team_that_is_kept() {
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
    world.done();
}
