//! `ATTRIBUTES`: names and phone number from the app user's profile, as Okta maps them.

use std::sync::Arc;

use okta_anypoint::provision::{AccountField, Attributes, Policy};
use serde_json::{Value, json};

use crate::world::{APP, World, worker};

pub fn mapped() -> Policy {
    let mut attributes = Attributes::default();
    for (target, source) in [
        (AccountField::FirstName, "app.firstName"),
        (AccountField::LastName, "app.lastName"),
        (AccountField::Phone, "app.mobilePhone"),
    ] {
        assert!(attributes.insert(target, source.parse().unwrap()));
    }
    Policy {
        attributes,
        ..Policy::default()
    }
}

fn profile(value: Value) -> serde_json::Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

/// The app profile changes; Okta announces it.
async fn map_to(world: &World, user: &str, changes: Value) {
    world
        .when(|okta| okta.update_app_profile(APP, user, profile(changes)))
        .await;
}

#[tokio::test]
async fn the_app_profile_takes_precedence_over_the_base_profile() {
    let world = World::with(mapped()).await;
    let ann = world.assigned_user("ann").await;
    assert_eq!(world.account("ann"), "ann Example - enabled");

    world.forget_traffic();
    let changes = json!({"firstName": "Mapped", "mobilePhone": "555-0101"});
    map_to(&world, &ann, changes).await;
    assert_eq!(world.account("ann"), "Mapped Example 555-0101 enabled");
    let with_mapping = world.calls();

    // Where the app profile has a value, the base profile does not count.
    world
        .when(|okta| {
            let changes = [("firstName", json!("Base")), ("lastName", json!("Family"))];
            okta.update_profile(&ann, &changes)
        })
        .await;
    assert_eq!(world.account("ann"), "Mapped Family 555-0101 enabled");

    // A value that is not text counts as missing.
    map_to(
        &world,
        &ann,
        json!({"firstName": {"odd": [1]}, "lastName": 7}),
    )
    .await;
    assert_eq!(world.account("ann"), "Base Family 555-0101 enabled");

    // The mapping costs no call.
    let unmapped = World::new().await;
    let ben = unmapped.assigned_user("ben").await;
    unmapped.forget_traffic();
    let change = [("firstName", json!("Benno"))];
    unmapped
        .when(|okta| okta.update_profile(&ben, &change))
        .await;
    assert_eq!(
        unmapped.calls().len(),
        with_mapping.len(),
        "{with_mapping:?}"
    );
}

#[tokio::test]
async fn a_new_account_gets_the_mapped_names_and_the_users_own_address() {
    let world = World::with(mapped()).await;
    let ann = world.user("ann");
    let mut events = world.okta_does(|okta| okta.assign(APP, &ann));
    let changes = json!({"lastName": "Mapped", "email": "other@acme.example"});
    events.extend(world.okta_does(|okta| okta.update_app_profile(APP, &ann, profile(changes))));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Mapped - enabled");
    let email = world
        .anypoint()
        .user_by_username("ann")
        .unwrap()
        .email
        .clone();
    assert_eq!(email, "ann@acme.example");
}

#[tokio::test]
async fn the_app_profile_is_ignored_without_the_setting() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.forget_traffic();
    map_to(
        &world,
        &ann,
        json!({"firstName": "Mapped", "mobilePhone": "555-0101"}),
    )
    .await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.writes().len(), 0);

    // With the setting, the next look uses the app profile.
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(mapped());
    let subject = format!("user#{ann}").parse().unwrap();
    crate::world::look_at(&worker(&ports), subject).await;
    assert_eq!(world.account("ann"), "Mapped Example 555-0101 enabled");
}
