//! Contract §4, "Group", and the team part of "User": each line and its opposite.

use std::sync::Arc;

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{GroupSelection, Policy, TeamNamePolicy, TeamRemoval};
use okta_anypoint::queue::Queue;
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::store::Origin;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Worker};

use crate::schedule::Recorder;
use crate::world::{APP, World, look_at};

/// A team of `name`, made by hand, directly below the root.
pub fn team_by_hand(world: &World, name: &str) -> String {
    world.anypoint().add_team(name, None).unwrap()
}

/// A pushed group "Devs" with one member, ann, who has an account.
pub async fn devs_with_ann(policy: Policy) -> (World, String, String) {
    let world = World::with(policy).await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann");
    (world, devs, ann)
}

async fn failure_of(world: &World, event: &okta_anypoint::simulator::okta::LogEvent) -> String {
    let record = world.record(event).await;
    assert_eq!(
        (record.status, record.error_class),
        (Status::Failed, Some(Class::Permanent))
    );
    record.error.unwrap()
}

#[tokio::test]
async fn an_assigned_group_becomes_a_team_below_the_root_whatever_its_name() {
    let world = World::new().await;
    let root = world.anypoint().root_team_id.clone();
    world.anypoint().rename_team(&root, "Renamed Root").unwrap();
    let group = world.pushed_group("Devs").await;
    let link = world.team_link(&group).await.unwrap();
    assert_eq!(
        (link.team_name.as_str(), link.origin),
        ("Devs", Origin::Created)
    );
    let devs = world.anypoint().team_by_name("Devs").unwrap().clone();
    assert_eq!(
        (devs.id.as_str(), devs.ancestors),
        (link.team_id.as_str(), vec![root])
    );
}

#[tokio::test]
async fn a_group_that_is_not_selected_gets_no_team() {
    let world = World::new().await;
    let events = world.okta.world().create_group("Devs").unwrap().events;
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "none");
}

#[tokio::test]
async fn every_form_of_the_selection_works() {
    let all = GroupSelection::All;
    let named = GroupSelection::Named("Any*".to_owned());
    for (groups, anydevs, others) in [
        (GroupSelection::None, false, false),
        (all, true, true),
        (named, true, false),
    ] {
        let world = World::with(Policy {
            groups,
            ..Policy::default()
        })
        .await;
        let mut events = world.okta.world().create_group("AnyDevs").unwrap().events;
        events.extend(world.okta.world().create_group("Others").unwrap().events);
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team("AnyDevs") != "none", anydevs);
        assert_eq!(world.team("Others") != "none", others);
    }
}

#[tokio::test]
async fn only_selected_ids_get_teams() {
    let listed = okta_anypoint::ids::OktaGroupId::parse("00gLISTED").unwrap();
    let groups = GroupSelection::Ids(vec![listed]);
    let world = World::with(Policy {
        groups,
        ..Policy::default()
    })
    .await;
    let mut events = Vec::new();
    for (id, name) in [("00gLISTED", "Listed"), ("00gOTHER", "Other")] {
        let profile = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        let created = world
            .okta
            .world()
            .create_group_from(Some(id), profile)
            .unwrap();
        events.extend(created.events);
    }
    assert_eq!(world.deliver(&events).await, 204);
    assert_ne!(world.team("Listed"), "none");
    assert_eq!(world.team("Other"), "none");
}

#[tokio::test]
async fn a_rename_moves_a_group_into_and_out_of_the_selection() {
    let groups = GroupSelection::Named("Any*".to_owned());
    let world = World::with(Policy {
        groups,
        ..Policy::default()
    })
    .await;
    let ann = world.assigned_user("ann").await;
    let group = world.okta.world().create_group("Devs").unwrap().id;
    world.when(|okta| okta.add_member(&group, &ann)).await;
    assert_eq!(world.team("Devs"), "none");
    world
        .when(|okta| okta.rename_group(&group, "AnyDevs"))
        .await;
    assert_eq!(world.team("AnyDevs"), "ann");
    world.when(|okta| okta.rename_group(&group, "Devs")).await;
    assert_eq!(
        world.team("AnyDevs"),
        "",
        "emptied and kept under its last name"
    );
    world.when(|okta| okta.rename_group(&group, "AnyOne")).await;
    assert_eq!(world.team("AnyOne"), "ann", "the same team again");
    assert_eq!(world.team("AnyDevs"), "none");
}

#[tokio::test]
async fn a_renamed_group_renames_its_team() {
    let (world, devs, _) = devs_with_ann(Policy::default()).await;
    let id = world.team_id("Devs");
    world.when(|okta| okta.rename_group(&devs, "R&D")).await;
    assert_eq!(world.team_id("R-D"), id);
    assert_eq!(world.team("R-D"), "ann");
    assert_eq!(world.team_link(&devs).await.unwrap().team_name, "R-D");
}

#[tokio::test]
async fn strict_names_are_refused_with_advice() {
    let policy = Policy {
        team_names: TeamNamePolicy::Strict,
        ..Policy::default()
    };
    let world = World::with(policy).await;
    let group = world.okta.world().create_group("R&D").unwrap().id;
    let events = world.okta_does(|okta| okta.assign_group(APP, &group));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(
        failure_of(&world, &events[0])
            .await
            .contains("TEAM_NAME_POLICY")
    );
}

#[tokio::test]
async fn an_existing_team_is_adopted_and_its_other_members_stay() {
    let world = World::new().await;
    let team = team_by_hand(&world, "Devs");
    let stranger = world
        .anypoint()
        .add_user("bob", "Bob", "Hand", "bob@acme.example")
        .unwrap();
    world
        .anypoint()
        .add_member(&team, &stranger, "member")
        .unwrap();
    let group = world.pushed_group("Devs").await;
    let link = world.team_link(&group).await.unwrap();
    assert_eq!(
        (link.team_id.as_str(), link.origin),
        (team.as_str(), Origin::Adopted)
    );
    assert_eq!(world.team("Devs"), "bob");
}

#[tokio::test]
async fn a_team_name_taken_elsewhere_fails_permanently_with_advice() {
    let world = World::new().await;
    let parent = team_by_hand(&world, "Parent");
    world.anypoint().add_team("Devs", Some(&parent)).unwrap();
    let group = world.okta.world().create_group("Devs").unwrap().id;
    let events = world.okta_does(|okta| okta.assign_group(APP, &group));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(
        failure_of(&world, &events[0])
            .await
            .contains("another team of the organization has the team name")
    );
    assert!(world.team_link(&group).await.is_none());
}

#[tokio::test]
async fn the_second_of_two_groups_with_one_team_name_fails_with_advice() {
    let world = World::new().await;
    let first = world.pushed_group("R-D").await;
    let second = world.okta.world().create_group("r-d").unwrap().id;
    let events = world.okta_does(|okta| okta.assign_group(APP, &second));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(failure_of(&world, &events[0]).await.contains(&first));
    // When the first group is gone, its team is free.
    world.when(|okta| okta.delete_group(&first)).await;
    world.when(|okta| okta.unassign_group(APP, &second)).await;
    world.when(|okta| okta.assign_group(APP, &second)).await;
    assert!(world.team_link(&second).await.is_some());
}

/// An administrator deletes a group, or unassigns it, and makes a new one of the same name.
#[tokio::test]
async fn a_new_group_adopts_the_team_of_a_group_that_is_no_longer_pushed() {
    for removal in [TeamRemoval::Empty, TeamRemoval::Keep] {
        for way in ["delete", "unassign"] {
            let policy = Policy {
                team_removal: removal,
                ..Policy::default()
            };
            let (world, old, ann) = devs_with_ann(policy).await;
            let team = world.team_id("Devs");
            let ended = world.okta_does(|okta| match way {
                "delete" => okta.delete_group(&old),
                _ => okta.unassign_group(APP, &old),
            });
            if way == "unassign" {
                world.okta_does(|okta| okta.rename_group(&old, "Old devs"));
            }
            let new = world.okta.world().create_group("Devs").unwrap().id;
            world.okta_does(|okta| okta.add_member(&new, &ann));
            // The event of the old group's end comes first, or not at all.
            if removal == TeamRemoval::Empty {
                assert_eq!(world.deliver(&ended).await, 204);
                assert_eq!(world.team("Devs"), "");
            }
            world.when(|okta| okta.assign_group(APP, &new)).await;
            let link = world.team_link(&new).await.unwrap();
            let found = (link.team_id.as_str(), link.origin);
            assert_eq!(found, (team.as_str(), Origin::Adopted), "{way}");
            assert!(world.team_link(&old).await.is_none(), "{way}");
            assert_eq!(world.team("Devs"), "ann", "{way}");
        }
    }
}

/// The member's run leaves the other group's team to the new group's own look, which follows.
#[tokio::test]
async fn a_members_event_leads_to_the_team_of_a_group_that_is_no_longer_pushed() {
    let (world, old, ann) = devs_with_ann(Policy::default()).await;
    let (team, bob) = (world.team_id("Devs"), world.assigned_user("bob").await);
    world.okta_does(|okta| okta.delete_group(&old));
    let new = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &new));
    world.okta_does(|okta| okta.add_member(&new, &ann));
    world.when(|okta| okta.add_member(&new, &bob)).await;
    assert_eq!(world.team("Devs"), "ann bob");
    let link = world.team_link(&new).await.unwrap();
    assert_eq!(link.team_id.as_str(), team);
    assert!(world.team_link(&old).await.is_none());
}

#[tokio::test]
async fn two_groups_can_swap_their_names() {
    let world = World::new().await;
    let one = world.pushed_group("One").await;
    let two = world.pushed_group("Two").await;
    let (team_one, team_two) = (world.team_id("One"), world.team_id("Two"));
    let mut events = world.okta_does(|okta| okta.rename_group(&one, "Tmp"));
    events.extend(world.okta_does(|okta| okta.rename_group(&two, "One")));
    events.extend(world.okta_does(|okta| okta.rename_group(&one, "Two")));
    // In the first delivery the names collide. The open events are delivered again.
    for _ in 0..4 {
        if world.deliver(&events).await == 204 {
            break;
        }
    }
    assert_eq!(world.team_id("Two"), team_one);
    assert_eq!(world.team_id("One"), team_two);
}

/// One member's event is enough: the group's own look adds the others.
#[tokio::test]
async fn a_team_deleted_by_hand_is_made_again_with_all_members() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let bob = world.assigned_user("bob").await;
    world.when(|okta| okta.add_member(&devs, &bob)).await;
    let id = world.team_id("Devs");
    world.anypoint().delete_team(&id).unwrap();
    world.look_again(&ann).await;
    assert_eq!(world.team("Devs"), "ann bob");
    assert_ne!(world.team_id("Devs"), id);
}

#[tokio::test]
async fn a_team_that_a_members_event_adopts_gets_all_members() {
    let world = World::new().await;
    let [ann, bob] = [
        world.assigned_user("ann").await,
        world.assigned_user("bob").await,
    ];
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    world.okta_does(|okta| okta.add_member(&devs, &bob));
    let team = team_by_hand(&world, "Devs");
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann bob");
    assert_eq!(world.team_id("Devs"), team);
}

/// The next run finds the team, so a run that failed makes the group a follow-up, too.
#[tokio::test]
async fn the_group_of_a_new_team_is_looked_at_after_a_run_that_failed() {
    for has_team in [false, true] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let devs = world.okta.world().create_group("Devs").unwrap().id;
        let assigned = world.okta_does(|okta| okta.assign_group(APP, &devs));
        world.okta_does(|okta| okta.add_member(&devs, &ann));
        if has_team {
            assert_eq!(world.deliver(&assigned).await, 204);
            let (team, account) = (world.team_id("Devs"), world.account_id("ann"));
            world.anypoint().remove_member(&team, &account).unwrap();
        }
        let recorder = Arc::new(Recorder::default());
        let metrics = Arc::new(Metrics::new("test"));
        let queue: Arc<dyn Queue> = recorder.clone();
        let worker = Worker::new(world.ports.clone(), Some(queue), metrics, Pace::QUEUED);
        let failing = Fault::status("/members", 403, "{}").on(Method::PATCH);
        world.anypoint.traffic().inject(failing);
        let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
        let verdict = look_at(&worker, subject).await;
        assert!(verdict.is_retry(), "{verdict:?}");
        let expected = match has_team {
            false => vec![format!("group#{devs}")],
            true => Vec::new(),
        };
        assert_eq!(recorder.subjects(), expected);
    }
}

#[tokio::test]
async fn a_group_that_leaves_in_any_way_follows_team_removal() {
    for removal in [TeamRemoval::Empty, TeamRemoval::Keep, TeamRemoval::Delete] {
        for way in ["delete", "unassign"] {
            let policy = Policy {
                team_removal: removal,
                ..Policy::default()
            };
            let (world, devs, ann) = devs_with_ann(policy).await;
            let bob = world
                .anypoint()
                .add_user("bob", "Bob", "Hand", "bob@acme.example")
                .unwrap();
            let team = world.team_id("Devs");
            world.anypoint().add_member(&team, &bob, "member").unwrap();
            let events = world.okta_does(|okta| match way {
                "delete" => okta.delete_group(&devs),
                _ => okta.unassign_group(APP, &devs),
            });
            let of_the_group: Vec<_> = events
                .into_iter()
                .filter(|event| event.event_type.starts_with("group."))
                .collect();
            assert_eq!(world.deliver(&of_the_group).await, 204);
            let expected = match removal {
                TeamRemoval::Empty => "bob",
                TeamRemoval::Keep => "ann bob",
                TeamRemoval::Delete => "none",
            };
            assert_eq!(world.team("Devs"), expected, "{removal:?} by {way}");
            assert_eq!(
                world.team_link(&devs).await.is_some(),
                removal == TeamRemoval::Empty,
                "{removal:?} by {way}"
            );
            // A later look at the user keeps it that way.
            world.look_again(&ann).await;
            assert_eq!(
                world.team("Devs"),
                expected,
                "{removal:?} by {way}, after a look"
            );
        }
    }
}

#[tokio::test]
async fn a_team_with_child_teams_is_not_deleted() {
    let policy = Policy {
        team_removal: TeamRemoval::Delete,
        ..Policy::default()
    };
    let (world, devs, _) = devs_with_ann(policy).await;
    let team = world.team_id("Devs");
    world.anypoint().add_team("Child", Some(&team)).unwrap();
    let events = world.okta_does(|okta| okta.delete_group(&devs));
    assert_eq!(world.deliver(&events).await, 204);
    let deleted = events
        .iter()
        .find(|e| e.event_type == "group.lifecycle.delete")
        .unwrap();
    assert!(failure_of(&world, deleted).await.contains("below it"));
    assert_ne!(world.team("Child"), "none");
    assert_eq!(world.team("Devs"), "", "nobody keeps access because of it");
}
