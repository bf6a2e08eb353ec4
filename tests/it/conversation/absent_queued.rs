//! What Okta does not show at all yet: announcements about a user or group that is answered 404.

use okta_anypoint::ids::OktaGroupId;
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::LogEvent;

use super::evidence::{
    APP_GROUP, APP_GROUPS, APP_USER, GROUP, GROUPS_OF_USER, MEMBERS, USER, denied, lie, truth,
};
use super::queued::{CONFIRM, Queued, SLACK};
use crate::world::{APP, World};

/// Okta shows nothing of the user or the group that an event is about, as for the first second after its creation.
fn hide(world: &World, id: &str) {
    for path in [USER, APP_USER, GROUPS_OF_USER, GROUP, APP_GROUP, MEMBERS] {
        lie(world, denied(path, id));
    }
    for path in [GROUPS_OF_USER, APP_GROUPS] {
        lie(world, Fault::lacking(path, &[id]));
    }
}

/// Events that announce access, and the user or group that Okta does not show yet.
async fn announces_access(
    case: &str,
    queued: &Queued,
    devs: &str,
    ann: &str,
) -> (Vec<LogEvent>, String) {
    let of_type = |mut events: Vec<LogEvent>, event_type: &str| {
        events.retain(|event| event.event_type == event_type);
        assert_eq!(events.len(), 1, "{case}");
        events
    };
    let (assigned, joined) = (
        "application.user_membership.add",
        "group.user_membership.add",
    );
    let group_assigned = "group.application_assignment.add";
    match case {
        "assigned" => {
            let bob = queued.world.user("bob");
            let events = queued.does(|okta| okta.assign(APP, &bob));
            (of_type(events, assigned), bob)
        }
        "assigned again" => {
            let mut ended = queued.does(|okta| okta.unassign(APP, ann));
            ended.extend(queued.does(|okta| okta.remove_member(devs, ann)));
            queued.settles(&ended).await;
            queued.has_nothing();
            let events = queued.does(|okta| okta.assign(APP, ann));
            (of_type(events, assigned), ann.to_owned())
        }
        "unsuspended" => {
            let suspended = queued.does(|okta| okta.suspend(ann));
            queued.settles(&suspended).await;
            queued.has_nothing();
            let events = queued.does(|okta| okta.unsuspend(ann));
            (events, ann.to_owned())
        }
        "joined" => {
            let bob = queued.world.user("bob");
            queued.does(|okta| okta.assign(APP, &bob));
            let events = queued.does(|okta| okta.add_member(devs, &bob));
            (of_type(events, joined), bob)
        }
        "joined a new group" => {
            let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
            queued.does(|okta| okta.assign_group(APP, &ops));
            let events = queued.does(|okta| okta.add_member(&ops, ann));
            (of_type(events, joined), ops)
        }
        "group assigned" => {
            let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
            let events = queued.does(|okta| okta.assign_group(APP, &ops));
            (of_type(events, group_assigned), ops)
        }
        "group assigned again" => {
            let ended = queued.does(|okta| okta.unassign_group(APP, devs));
            let ended = of_type(ended, "group.application_assignment.remove");
            queued.settles(&ended).await;
            assert_eq!(queued.world.team("Devs"), "");
            let events = queued.does(|okta| okta.assign_group(APP, devs));
            (of_type(events, group_assigned), devs.to_owned())
        }
        other => panic!("{other}"),
    }
}

/// The user or group itself does not show yet, not only what was announced of it.
#[tokio::test]
async fn an_announcement_about_what_does_not_show_at_all_yet_gets_another_look() {
    for (case, team, members, bob) in [
        ("assigned", "Devs", "ann", "bob Example - enabled"),
        ("assigned again", "Devs", "", "none"),
        ("unsuspended", "Devs", "ann", "none"),
        ("joined", "Devs", "ann bob", "bob Example - enabled"),
        ("joined a new group", "Ops", "ann", "none"),
        ("group assigned", "Ops", "", "none"),
        ("group assigned again", "Devs", "ann", "none"),
    ] {
        for is_old in [false, true] {
            println!("{case}, old: {is_old}");
            let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
            let (events, hidden) = announces_access(case, &queued, &devs, &ann).await;
            hide(&queued.world, &hidden);
            queued.world.forget_traffic();
            if is_old {
                queued.pass(CONFIRM + SLACK);
                queued.settles(&events).await;
                assert_eq!(queued.world.writes().len(), 0, "{case}");
                continue;
            }
            queued.waits(&events).await;
            assert_eq!(queued.world.writes().len(), 0, "{case}");
            truth(&queued.world);
            queued.pass(CONFIRM);
            queued.settles(&events).await;
            assert_eq!(
                queued.world.account("ann"),
                "ann Example - enabled",
                "{case}"
            );
            assert_eq!(queued.world.team(team), members, "{case}");
            assert_eq!(queued.world.account("bob"), bob, "{case}");
        }
    }
}

/// What does not show at all is gone, so an announced end shows.
#[tokio::test]
async fn an_announced_end_of_what_does_not_show_is_applied_at_its_first_look() {
    for event_type in [
        "application.user_membership.remove",
        "user.lifecycle.suspend",
        "user.lifecycle.deactivate",
        "user.lifecycle.delete.initiated",
    ] {
        let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
        hide(&queued.world, &ann);
        let event = queued.user_event(event_type, &ann, &devs);
        queued.settles(&[event]).await;
        queued.has_nothing();
    }
    let (queued, devs, _) = Queued::devs_with_ann(Policy::default()).await;
    let bob = queued.world.user("bob");
    hide(&queued.world, &bob);
    let left = queued.user_event("group.user_membership.remove", &bob, &devs);
    queued.settles(&[left]).await;
    for event_type in [
        "group.lifecycle.delete",
        "group.application_assignment.remove",
    ] {
        let (queued, devs, _) = Queued::devs_with_ann(Policy::default()).await;
        hide(&queued.world, &devs);
        queued.settles(&queued.group_event(event_type, &devs)).await;
        assert_eq!(queued.world.team("Devs"), "", "{event_type}");
    }
    // Assigned and joined before.
    let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
    let events = [
        "application.user_membership.add",
        "group.user_membership.add",
        "user.lifecycle.unsuspend",
        "user.lifecycle.deactivate",
    ];
    let events = events.map(|event_type| queued.user_event(event_type, &ann, &devs));
    queued.does(|okta| okta.delete_user(&ann));
    queued.settles(&events).await;
    queued.has_nothing();
}

/// The group does not become a team, so nothing follows from the membership.
#[tokio::test]
async fn who_joined_a_group_that_is_not_pushed_is_not_waited_for() {
    let others = GroupSelection::Ids(vec![OktaGroupId::parse("00gOther").unwrap()]);
    for (groups, is_shown, calls) in [
        // The app's list may lack the group, so its assignment is read as well.
        (GroupSelection::Assigned, true, 7),
        // The group itself is read as well, because it may be new.
        (GroupSelection::Assigned, false, 7),
        (GroupSelection::Named("Dev*".to_owned()), true, 5),
        (others.clone(), true, 5),
        (others, false, 5),
        (GroupSelection::None, false, 4),
    ] {
        let (mut queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
        let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
        let case = format!("{groups:?}, {is_shown}");
        queued.selects(groups);
        let joined = queued.does(|okta| okta.add_member(&ops, &ann));
        if !is_shown {
            lie(&queued.world, Fault::lacking(GROUPS_OF_USER, &[&ops]));
        }
        queued.world.forget_traffic();
        queued.settles(&joined).await;
        let made = queued.world.calls();
        assert_eq!(made.len(), calls, "{case}: {made:#?}");
    }
}
