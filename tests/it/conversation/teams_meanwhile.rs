//! What happens between two calls of a look at a group: other runs, people, lost answers.

use std::sync::Arc;

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::simulator::traffic::{Fault, FaultKind};
use okta_anypoint::store::Origin;

use super::meanwhile::{done, meanwhile};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_name_taken_between_look_and_rename_is_reported_as_taken() {
    let world = Arc::new(World::new().await);
    let devs = world.pushed_group("Devs").await;
    meanwhile(&world, Method::GET, "/teams", async |world: Arc<World>| {
        world.anypoint().add_team("Ops", None).unwrap();
    });
    let events = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
    assert_eq!(world.deliver(&events).await, 204);
    let record = world.record(&events[0]).await;
    assert_eq!(record.error_class, Some(Class::Permanent));
    assert_eq!(record.error_code.as_deref(), Some("team_name_taken"));
    assert_ne!(world.team("Devs"), "none");
    done(world);
}

/// The client repeats the call. Anypoint refuses it because the first one worked, and the next look finds the team.
#[tokio::test]
async fn a_team_whose_create_answer_was_lost_counts_as_created() {
    let world = World::new().await;
    let lost = Fault::new("/teams", FaultKind::DropConnection).on(Method::POST);
    let lost = world.anypoint.traffic().inject(lost.after_effect().once());
    let devs = world.pushed_group("Devs").await;
    assert_eq!(world.anypoint.traffic().fired(lost), 1);
    let link = world.team_link(&devs).await.unwrap();
    assert_eq!(link.team_id.as_str(), world.team_id("Devs"));
    assert_eq!(link.origin, Origin::Created);
}
