//! An account changes hands while a run of its owner still changes it. The new owner gets it as Okta wants it.

use std::sync::Arc;

use http::Method;
use okta_anypoint::provision::Adopt;

use super::meanwhile::{done, meanwhile_at_okta, policy};
use crate::world::{APP, World};

/// The new user's look sees the account as it was before the run of the old user.
#[tokio::test(flavor = "multi_thread")]
async fn a_rehired_person_is_enabled_and_in_the_team_although_the_old_user_ends_meanwhile() {
    let world = Arc::new(World::with(policy(Adopt::Username)).await);
    let group = world.pushed_group("Devs").await;
    let old = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&group, &old)).await;
    let account = world.account_id("ann");
    let mut left = world.okta_does(|okta| okta.remove_member(&group, &old));
    left.extend(world.okta_does(|okta| okta.deactivate(&old)));
    let new = world.person("ann.again@acme.example", "Ann", "Again");
    let mut came = world.okta_does(|okta| okta.assign_with_username(APP, &new, "ann"));
    came.extend(world.okta_does(|okta| okta.add_member(&group, &new)));
    let of_old = format!("/api/v1/users/{old}");
    let told = meanwhile_at_okta(&world, Method::GET, &of_old, async move |world| {
        let answered = world.deliver(&left).await;
        (answered, world.account("ann"), world.team("Devs"))
    });
    assert_eq!(world.deliver(&came).await, 204);
    let (answered, between, inside) = told.try_recv().unwrap();
    assert_eq!((answered, inside.as_str()), (204, ""));
    assert_eq!(between, "ann Example - disabled");
    assert_eq!(world.account("ann"), "Ann Again - enabled");
    assert_eq!(world.team("Devs"), "ann");
    let link = world.user_link(&new).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    assert_eq!(world.user_link(&old).await, None);
    done(world);
}

/// A run of the owner that began before the swap still adds the account to a team.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_joined_a_team_before_it_changed_hands_leaves_it() {
    let world = Arc::new(World::with(policy(Adopt::Username)).await);
    let group = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let bob = world.assigned_user("bob").await;
    world.okta_does(|okta| okta.add_member(&group, &ann));
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "bob"));
    world.okta_does(|okta| okta.set_app_username(APP, &bob, "ann"));
    let of_ann = format!("/api/v1/users/{ann}");
    let told = meanwhile_at_okta(&world, Method::GET, &of_ann, async move |world| {
        let (team, account) = (world.team_id("Devs"), world.account_id("ann"));
        world
            .anypoint()
            .add_member(&team, &account, "member")
            .unwrap();
    });
    world.look_again(&bob).await;
    assert_eq!(told.try_recv(), Ok(()));
    world.look_again(&ann).await;
    // "bob" is Ann's account now, and Bob, who has "ann", is not in the group.
    assert_eq!(world.team("Devs"), "bob");
    let link = world.user_link(&bob).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), world.account_id("ann"));
    done(world);
}
