//! Values that one side has and the other does not take.

use http::Method;
use okta_anypoint::simulator::fault::Fault;

use crate::world::{APP, World};

const ODD: &str = "+49 (0) 30 / 12";

/// Before: no account, and nobody enabled again.
#[tokio::test]
async fn a_phone_that_anypoint_refuses_is_left_out() {
    let world = World::new().await;
    world.anypoint().refused_phones.insert(ODD.to_owned());
    let ann = world.user("ann");
    let phone = [("mobilePhone", ODD.into())];
    world.okta_does(|okta| okta.update_profile(&ann, &phone));
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");

    // An update with other changes: they are made.
    let changes = [("firstName", "Anna".into())];
    world.when(|okta| okta.update_profile(&ann, &changes)).await;
    assert_eq!(world.account("ann"), "Anna Example - enabled");

    // Disabled and enabled again.
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(world.account("ann"), "Anna Example - disabled");
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(world.account("ann"), "Anna Example - enabled");
    world.done();
}

/// A refusal that is not the phone's fault stays one, and a phone that is taken is kept.
#[tokio::test]
async fn other_refused_values_are_told() {
    let world = World::new().await;
    let ann = world.user("ann");
    let phone = [("mobilePhone", "+49 30 12".into())];
    world.okta_does(|okta| okta.update_profile(&ann, &phone));
    let refused = Fault::status("/users", 400, "{}").on(Method::POST);
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
