//! Team names that are handed on from group to group, and where that ends.

use okta_anypoint::provision::{GroupSelection, Policy, TeamRemoval};

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

/// Pushes another group "One": it gets its name, and the first one's team moves aside.
async fn push_one(world: &World, one: &str) {
    let aside = world.team_link(one).await.unwrap().team_id;
    let group = world.okta.world().create_group("One").unwrap().id;
    world.when(|okta| okta.assign_group(APP, &group)).await;
    assert_eq!(world.team_link(&group).await.unwrap().team_name, "One");
    assert_eq!(
        world.anypoint().teams[aside.as_str()].name,
        format!("One {aside}")
    );
}

#[tokio::test]
async fn a_team_whose_new_name_another_group_keeps_moves_aside() {
    let (world, one, _) = one_wants_the_name_of_two().await;
    push_one(&world, &one).await;
}

/// The team of a group that is not pushed any more stays as it was left.
#[tokio::test]
async fn a_team_whose_new_name_an_unpushed_group_keeps_moves_aside() {
    for renamed in [None, Some("Zwei")] {
        let (world, one, two) = one_wants_the_name_of_two().await;
        world.when(|okta| okta.unassign_group(APP, &two)).await;
        if let Some(name) = renamed {
            world.okta_does(|okta| okta.rename_group(&two, name));
        }
        push_one(&world, &one).await;
        assert_eq!(world.team("T-wo"), "", "{renamed:?}");
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
}
