//! Okta repeats an event whose record is final: it is acknowledged, whatever keeps other events from being worked on.

use std::time::Duration;

use okta_anypoint::simulator::traffic::Fault;

use crate::world::{APP, World, lease};

#[tokio::test]
async fn a_repetition_is_acknowledged_while_another_run_works_on_the_user() {
    let world = World::new().await;
    let ann = world.user("ann");
    let done = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&done).await, 204);
    let _theirs = lease(&*world.table.ledger, &ann, Duration::from_secs(60)).await;
    let new = world.hint(&ann);
    assert_eq!(world.deliver(&done).await, 204);
    assert_eq!(world.deliver(std::slice::from_ref(&new)).await, 503);
    // An event before it that is open keeps the order.
    assert_eq!(world.deliver(&[new, done[0].clone()]).await, 503);
}

/// Okta refuses everybody. A repetition asks it nothing.
#[tokio::test]
async fn a_repetition_is_acknowledged_while_a_side_refuses_everybody() {
    let world = World::new().await;
    let ann = world.user("ann");
    let done = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&done).await, 204);
    let refused = Fault::status("/api/v1/", 403, r#"{"errorCode":"E0000006"}"#);
    world.okta.traffic().inject(refused.times(u32::MAX));
    let new = world.hint(&ann);
    assert_eq!(world.deliver(std::slice::from_ref(&new)).await, 503);
    let asked = world.okta.traffic().log().len();
    assert_eq!(world.deliver(&done).await, 204);
    assert_eq!(world.okta.traffic().log().len(), asked);
    assert_eq!(world.deliver(&[new]).await, 503);
}
