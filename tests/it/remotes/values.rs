//! Values of one side that the other refuses.

use http::Method;
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::LogEvent;

use crate::world::{APP, World};

const ODD: &str = "+49 (0) 30 / 12";

/// Before: no account was created, and none was enabled again.
#[tokio::test]
async fn a_phone_number_that_anypoint_refuses_is_left_out() {
    let world = World::new().await;
    world.anypoint().refused_phones.insert(ODD.to_owned());
    let ann = world.user("ann");
    let phone = [("mobilePhone", ODD.into())];
    world.okta_does(|okta| okta.update_profile(&ann, &phone));
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");

    // An update with other changes: these are applied.
    let changes = [("firstName", "Anna".into())];
    world.when(|okta| okta.update_profile(&ann, &changes)).await;
    assert_eq!(world.account("ann"), "Anna Example - enabled");

    // Alone: nothing was changed, and the record does not say that something was.
    let events =
        world.okta_does(|okta| okta.update_profile(&ann, &[("lastName", "Sample".into())]));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(applied(&world, &events[0]).await, ["update_account:…"]);
    let another = [("mobilePhone", "+49 (0) 30 / 13".into())];
    world.anypoint().refused_phones.insert("*".to_owned());
    let events = world.okta_does(|okta| okta.update_profile(&ann, &another));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(applied(&world, &events[0]).await.is_empty());
    assert_eq!(world.account("ann"), "Anna Sample - enabled");
    let changes = [("lastName", "Example".into())];
    world.when(|okta| okta.update_profile(&ann, &changes)).await;

    // Disabled and enabled again.
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(world.account("ann"), "Anna Example - disabled");
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(world.account("ann"), "Anna Example - enabled");
}

/// What the record says was done, without the ids.
async fn applied(world: &World, event: &LogEvent) -> Vec<String> {
    let applied = world.record(event).await.applied.unwrap_or_default();
    let name = |step: &String| format!("{}:…", step.split(':').next().unwrap());
    applied.iter().map(name).collect()
}

/// Gateways and newer versions answer 422 where the documented answer is 400.
#[tokio::test]
async fn both_refusals_of_a_value_leave_the_phone_number_out() {
    let own = r#"{"status":422,"message":"no"}"#;
    let refused = |method: Method| Fault::status("/users", 422, own).on(method).times(1);
    let world = World::new().await;
    let ann = world.user("ann");
    let phone = [("mobilePhone", "+49 30 12".into())];
    world.okta_does(|okta| okta.update_profile(&ann, &phone));
    world.anypoint.traffic().inject(refused(Method::POST));
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    world.anypoint.traffic().inject(refused(Method::PUT));
    let changes = [("firstName", "Anna".into())];
    world.when(|okta| okta.update_profile(&ann, &changes)).await;
    assert_eq!(world.account("ann"), "Anna Example - enabled");
}

/// A refusal for another reason still fails, and an accepted phone number is kept.
#[tokio::test]
async fn other_refused_values_are_reported() {
    let world = World::new().await;
    let ann = world.user("ann");
    let phone = [("mobilePhone", "+49 30 12".into())];
    world.okta_does(|okta| okta.update_profile(&ann, &phone));
    let own = r#"{"status":400,"message":"no"}"#;
    let refused = Fault::status("/users", 400, own).on(Method::POST);
    let fault = world.anypoint.traffic().inject(refused);
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(
        world
            .record(&events[0])
            .await
            .error
            .unwrap()
            .contains("400")
    );
    let tries = world.anypoint.traffic().count(&Method::POST, "/users");
    assert_eq!(tries, 2, "with the phone, and once without");
    world.anypoint.traffic().remove_fault(fault);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example +49 30 12 enabled");
}

/// Before, the advice was to give the user another name.
#[tokio::test]
async fn a_taken_name_in_an_org_without_visible_users_points_to_the_scope() {
    let world = World::new().await;
    world
        .anypoint()
        .add_user("ann", "ann", "Example", "ann@acme.example")
        .unwrap();
    let ann = world.user("ann");
    let hidden = Fault::empty_list("/accounts/api/organizations/*/users");
    world.anypoint.traffic().inject(hidden);
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 503);
    let error = world.record(&events[0]).await.error.unwrap();
    assert!(error.contains("View Users"), "{error}");
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// Before, every such name became "--", and the second group got no team.
#[tokio::test]
async fn groups_without_latin_letters_get_their_own_teams() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let mut teams = Vec::new();
    for name in ["日本", "中国"] {
        let group = world.pushed_group(name).await;
        world.when(|okta| okta.add_member(&group, &ann)).await;
        let link = world.team_link(&group).await.unwrap();
        let end = &group[group.len().saturating_sub(6)..];
        assert_eq!(link.team_name, format!("-- {end}"));
        assert_eq!(world.team(&link.team_name), "ann");
        teams.push(link.team_id);
        // A second look does not change that.
        world.forget_traffic();
        world.when(|okta| okta.unassign_group(APP, &group)).await;
        world.when(|okta| okta.assign_group(APP, &group)).await;
        let kept = world.team_link(&group).await.unwrap();
        assert_eq!(kept.team_name, link.team_name);
    }
    assert_ne!(teams[0], teams[1]);
}
