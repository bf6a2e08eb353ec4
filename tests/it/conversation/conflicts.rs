//! Situations in which two sides, two runs or two subjects get in each other's way. A random history (`properties`)
//! found each of them, and each ends in sync.

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{Adopt, Policy, TeamNamePolicy};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::{Fault, FaultKind, Moment};
use okta_anypoint::store::Origin;

use super::late_writes::goes_on;
use crate::world::{APP, World};

/// Why an event failed for good.
pub(super) async fn refusal(world: &World, event: &LogEvent) -> String {
    let record = world.record(event).await;
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
    record.error.unwrap()
}

/// Sends events until all are done.
async fn deliver_until_done(world: &World, events: &[LogEvent]) {
    for _ in 0..4 {
        if world.deliver(events).await == 204 {
            return;
        }
    }
    panic!("the events stay open");
}

/// Somebody is deleted in Okta and hired again: a new Okta user with the old name.
#[tokio::test]
async fn a_rehired_person_gets_the_old_account_if_adoption_allows_it() {
    for (adopt, email, adopted) in [
        (Adopt::UsernameAndEmail, "ann@acme.example", true),
        (Adopt::UsernameAndEmail, "other@acme.example", false),
        (Adopt::Username, "other@acme.example", true),
        (Adopt::Never, "ann@acme.example", false),
    ] {
        let policy = Policy {
            adopt,
            ..Policy::default()
        };
        let world = World::with(policy).await;
        let first = world.assigned_user("ann").await;
        let account = world.account_id("ann");
        world.when(|okta| okta.delete_user(&first)).await;
        let second = {
            let mut okta = world.okta.world();
            let new = okta.create_user("ann@acme.example", "Ann", "Again", email, None);
            new.unwrap().id
        };
        let events = world.okta_does(|okta| okta.assign(APP, &second));
        assert_eq!(world.deliver(&events).await, 204);
        if adopted {
            assert_eq!(world.account("ann"), "Ann Again - enabled");
            let link = world.user_link(&second).await.unwrap();
            assert_eq!(
                (link.anypoint_id.as_str(), link.origin),
                (account.as_str(), Origin::Adopted)
            );
            assert!(world.user_link(&first).await.is_none());
        } else {
            refusal(&world, &events[0]).await;
            assert_eq!(world.account("ann"), "ann Example - disabled");
        }
    }
}

#[tokio::test]
async fn three_groups_can_rotate_their_names() {
    let world = World::new().await;
    let mut groups = Vec::new();
    for name in ["One", "Two", "Three"] {
        groups.push(world.pushed_group(name).await);
    }
    let teams = ["One", "Two", "Three"].map(|name| world.team_id(name));
    let mut events = Vec::new();
    for (group, name) in groups.iter().zip(["A", "B", "C"]) {
        world.okta_does(|okta| okta.rename_group(group, name));
    }
    for (group, name) in groups.iter().zip(["Two", "Three", "One"]) {
        events.extend(world.okta_does(|okta| okta.rename_group(group, name)));
    }
    // One group's event is enough.
    deliver_until_done(&world, &events[..1]).await;
    assert_eq!(world.team_id("Two"), teams[0]);
    deliver_until_done(&world, &events).await;
    assert_eq!(world.team_id("Three"), teams[1]);
    assert_eq!(world.team_id("One"), teams[2]);
}

/// The group that has the name gives it up, but its event was lost.
#[tokio::test]
async fn a_team_name_moves_on_even_if_its_holders_event_was_lost() {
    let world = World::new().await;
    let (one, two) = (
        world.pushed_group("One").await,
        world.pushed_group("Two").await,
    );
    world.okta_does(|okta| okta.rename_group(&one, "Three"));
    world.when(|okta| okta.rename_group(&two, "One")).await;
    for (group, name) in [(&two, "One"), (&one, "Three")] {
        let link = world.team_link(group).await.unwrap();
        assert_eq!(link.team_id.as_str(), world.team_id(name));
    }
}

#[tokio::test]
async fn a_team_moves_aside_when_its_groups_new_name_is_refused() {
    let world = World::with(Policy {
        team_names: TeamNamePolicy::Strict,
        ..Policy::default()
    })
    .await;
    let one = world.pushed_group("One").await;
    world.okta_does(|okta| okta.rename_group(&one, "R&D"));
    let two = world.okta.world().create_group("One").unwrap().id;
    let aside = world.team_link(&one).await.unwrap().team_id;
    world.when(|okta| okta.assign_group(APP, &two)).await;
    assert_eq!(world.team_link(&two).await.unwrap().team_name, "One");
    assert_eq!(
        world.anypoint().teams[aside.as_str()].name,
        format!("One {aside}")
    );
}

/// A search that shows old data must not link an account of somebody else.
#[tokio::test]
async fn an_account_that_appears_between_look_and_create_belongs_to_somebody_else() {
    let world = World::with(Policy {
        adopt: Adopt::Never,
        ..Policy::default()
    })
    .await;
    let stale = Fault::new("/users", FaultKind::StaleRead);
    world.anypoint.traffic().inject(stale.once());
    let theirs = world
        .anypoint()
        .add_user("ann", "Other", "Name", "ann@acme.example")
        .unwrap();
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    let text = refusal(&world, &events[0]).await;
    assert!(text.contains("ADOPT=never"), "{text}");
    assert_eq!(world.account("ann"), "Other Name - enabled");
    assert!(world.user_link(&ann).await.is_none());
    assert_eq!(world.account_id("ann"), theirs);
}

/// After a lost answer the worker must not create a second account, nor treat the first as somebody else's.
#[tokio::test]
async fn an_account_whose_create_answer_was_lost_is_found_again() {
    let world = World::with(Policy {
        adopt: Adopt::Never,
        ..Policy::default()
    })
    .await;
    let lost = Fault::new("/users", FaultKind::DropConnection).on(Method::POST);
    world.anypoint.traffic().inject(lost.after_effect().once());
    let ann = world.assigned_user("ann").await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.origin, Origin::Created);
    assert_eq!(world.anypoint().mails.len(), 1);
}

/// Leaves what a cut-off run leaves: an intent and an orphaned account.
pub(super) async fn leave_orphan(world: &World, user: &str, username: &str) {
    crate::world::intend_new(&world.table, user, username, "ann@acme.example").await;
    let mut anypoint = world.anypoint();
    let made = anypoint.add_user(username, "Left", "Behind", "ann@acme.example");
    made.unwrap();
}

#[tokio::test]
async fn an_orphaned_account_is_disabled_when_another_is_wanted() {
    let world = World::new().await;
    // Without a link, and with one.
    for name in ["ann", "bob"] {
        let user = world.user(name);
        world.okta_does(|okta| okta.assign(APP, &user));
        if name == "bob" {
            world.look_again(&user).await;
        }
        leave_orphan(&world, &user, &format!("{name}_old")).await;
        world.rename(&user, &format!("{name}_new")).await;
        let old = world.account(&format!("{name}_old"));
        assert_eq!(old, "Left Behind - disabled");
        let new = world.account(&format!("{name}_new"));
        assert_eq!(new, format!("{name} Example - enabled"));
    }
    assert_eq!(world.account("bob"), "bob Example - disabled");
}

/// An intent of an account that was never created must not keep its user from another account.
#[tokio::test]
async fn an_intent_without_an_account_is_harmless() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    crate::world::intend(&world.table, &ann, "ann_old", None).await;
    let made = world
        .anypoint()
        .add_user("ann_new", "Ann", "There", "ann@acme.example");
    made.unwrap();
    world.rename(&ann, "ann_new").await;
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(
        (link.username.as_str(), link.origin),
        ("ann_new", Origin::Adopted)
    );
}

#[tokio::test]
async fn an_orphaned_account_is_disabled_with_the_linked_one() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    leave_orphan(&world, &ann, "ann_new").await;
    world.when(|okta| okta.deactivate(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "Left Behind - disabled");
    let log = world.anypoint.traffic().log();
    let asked = log.iter().flat_map(|request| &request.query);
    let searches = asked.filter(|(name, value)| name == "search" && value == "ann_new");
    assert_eq!(searches.count(), 1, "one search is enough");
}

#[tokio::test]
async fn an_orphaned_account_is_disabled_when_the_new_name_is_refused() {
    // A name that somebody else has, and one that the policy refuses.
    for username in ["bob", "in valid"] {
        let world = World::new().await;
        world.assigned_user("bob").await;
        let ann = world.user("ann");
        world.okta_does(|okta| okta.assign(APP, &ann));
        leave_orphan(&world, &ann, "ann").await;
        world.rename(&ann, username).await;
        assert_eq!(world.account("ann"), "Left Behind - disabled", "{username}");
    }
}

#[tokio::test]
async fn an_account_deleted_in_anypoint_does_not_stop_other_members() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let mut users = Vec::new();
    for name in ["ann", "bob"] {
        let user = world.assigned_user(name).await;
        world.when(|okta| okta.add_member(&devs, &user)).await;
        users.push(user);
    }
    let (ann, bob) = (world.account_id("ann"), world.account_id("bob"));
    let team = world.team_id("Devs");
    world.anypoint().remove_member(&team, &bob).unwrap();
    world.anypoint().delete_user(&ann).unwrap();
    world.when(|okta| okta.rename_group(&devs, "Devs2")).await;
    assert_eq!(world.team("Devs2"), "bob");
}

#[tokio::test]
async fn a_refused_new_username_costs_no_membership() {
    for username in ["taken", "in valid"] {
        let world = World::new().await;
        let devs = world.pushed_group("Devs").await;
        let ann = world.assigned_user("ann").await;
        world.when(|okta| okta.add_member(&devs, &ann)).await;
        let mut anypoint = world.anypoint();
        anypoint.foreign_usernames.insert("taken".to_owned());
        drop(anypoint);
        world.rename(&ann, username).await;
        world.when(|okta| okta.rename_group(&devs, "Devs2")).await;
        assert_eq!(world.account("ann"), "ann Example - enabled");
        assert_eq!(world.team("Devs2"), "ann", "{username}");
        // A user who leaves the group leaves the team, whatever the username.
        let events = world.okta_does(|okta| okta.remove_member(&devs, &ann));
        world.deliver(&events).await;
        world.when(|okta| okta.rename_group(&devs, "Devs3")).await;
        assert_eq!(world.team("Devs3"), "", "{username}");
    }
}

#[tokio::test]
async fn a_refused_team_does_not_affect_memberships_of_other_teams() {
    let world = World::with(Policy {
        team_names: TeamNamePolicy::Strict,
        ..Policy::default()
    })
    .await;
    let (ops, devs) = (
        world.pushed_group("Ops").await,
        world.pushed_group("Devs").await,
    );
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&ops, &ann)).await;
    let refused = world.okta.world().create_group("R&D").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &refused));
    world.okta_does(|okta| okta.add_member(&refused, &ann));
    world.okta_does(|okta| okta.add_member(&devs, &ann));
    let events = world.okta_does(|okta| okta.remove_member(&ops, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    // The name is a failure of the group alone.
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
    assert_eq!(
        (world.team("Ops").as_str(), world.team("Devs").as_str()),
        ("", "ann")
    );
}

#[tokio::test]
async fn a_former_member_who_became_a_maintainer_stays_one() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.remove_member(&devs, &ann)).await;
    let (team, account) = (world.team_id("Devs"), world.account_id("ann"));
    let made = world.anypoint().add_member(&team, &account, "maintainer");
    made.unwrap();
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let kind = world.anypoint().teams[&team].members[&account]
        .membership_type
        .clone();
    assert_eq!(kind, "maintainer");
}

#[tokio::test]
async fn a_maintainer_stays_one_when_a_user_event_adopts_the_team() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let account = world.account_id("ann");
    let team = world.anypoint().add_team("Devs", None).unwrap();
    let made = world.anypoint().add_member(&team, &account, "maintainer");
    made.unwrap();
    let group = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &group));
    world.when(|okta| okta.add_member(&group, &ann)).await;
    let bob = world.assigned_user("bob").await;
    world.when(|okta| okta.add_member(&group, &bob)).await;
    assert_eq!(world.team("Devs"), "ann bob");
    let kind = world.anypoint().teams[&team].members[&account]
        .membership_type
        .clone();
    assert_eq!(kind, "maintainer");
}

/// The membership ended and is wanted again, and the read in between shows old data.
#[tokio::test]
async fn a_membership_that_just_ended_is_written_again() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let path = format!("/users/{}/teams", world.account_id("ann"));
    let stale = Fault::new(&path, FaultKind::StaleRead).skipping(1).once();
    let stale = world.anypoint.traffic().inject(stale);
    world.when(|okta| okta.remove_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "");
    // She keeps her own assignment.
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.anypoint.traffic().fired(stale), 1);
    assert_eq!(world.team("Devs"), "ann");
}

#[tokio::test]
async fn a_team_with_a_refused_name_still_follows_its_groups_members() {
    let world = World::with(Policy {
        team_names: TeamNamePolicy::Strict,
        ..Policy::default()
    })
    .await;
    let devs = world.pushed_group("Devs").await;
    let (ann, bob) = (
        world.assigned_user("ann").await,
        world.assigned_user("bob").await,
    );
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.okta_does(|okta| okta.remove_member(&devs, &ann));
    world.okta_does(|okta| okta.add_member(&devs, &bob));
    let events = world.okta_does(|okta| okta.rename_group(&devs, "R&D"));
    assert_eq!(world.deliver(&events).await, 204);
    let text = refusal(&world, &events[0]).await;
    assert!(text.contains("TEAM_NAME_POLICY"), "{text}");
    assert_eq!(world.team("Devs"), "bob");
}

/// Two runs of one user, with different usernames. Both look before either of them writes.
#[tokio::test]
async fn concurrent_runs_with_two_usernames_leave_one_enabled_account() {
    let world = World::new().await;
    let ann = world.user("ann");
    let slow = world.held(Method::POST, "/users", Moment::BeforeEffect);
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let later = async {
        slow.reached().await;
        tokio::join!(world.rename(&ann, "ann_new"), goes_on(&slow));
    };
    let (first, ()) = tokio::join!(world.deliver(&assigned), later);
    assert_eq!(first, 204);
    world.look_again(&ann).await;
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.account("ann"), "ann Example - disabled");
}

/// The group's team was deleted by hand, and its name is taken. A member may not have the new username. The group's run
/// asks for the member, and the member's run for the group: that ends.
#[tokio::test]
async fn a_refused_group_and_a_refused_member_do_not_ask_for_each_other_for_ever() {
    let world = World::with(Policy {
        adopt: Adopt::Never,
        ..Policy::default()
    })
    .await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    {
        let team = world.team_id("Devs");
        let mut anypoint = world.anypoint();
        anypoint.delete_team(&team).unwrap();
        let other = anypoint.add_team("Other", None).unwrap();
        anypoint.add_team("Devs", Some(&other)).unwrap();
        anypoint
            .add_user("ann_new", "Ann", "Other", "other@acme.example")
            .unwrap();
    }
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    world.okta_does(|okta| okta.rename_group(&devs, "Other Devs"));
    let renamed = world.okta_does(|okta| okta.rename_group(&devs, "Devs"));
    for events in [vec![world.hint(&ann)], renamed] {
        assert_eq!(world.deliver(&events).await, 204);
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
    }
}
