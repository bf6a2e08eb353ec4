//! Contract §4, "What counts as known", behind a queue: what an event announces. Time passes here only when a test
//! advances the clock.

use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};

use super::evidence::{
    APP_GROUP, APP_USER, GROUP, GROUPS_OF_USER, MEMBERS, USER, denied, lie, truth,
};
use super::queued::{CONFIRM, Queued, SLACK, start};
use crate::world::APP;

#[tokio::test]
async fn an_announced_removal_is_applied_at_its_first_look() {
    type Change = fn(&mut OktaWorld, &str, &str) -> Result<Vec<LogEvent>, Refusal>;
    let ends: [(&str, Change); 5] = [
        ("unassigned", |okta, _, ann| {
            let mut events = okta.unassign(APP, ann)?;
            let devs = okta.group_by_name("Devs").unwrap().id.clone();
            events.extend(okta.remove_member(&devs, ann)?);
            Ok(events)
        }),
        ("suspended", |okta, _, ann| okta.suspend(ann)),
        ("deactivated", |okta, _, ann| okta.deactivate(ann)),
        ("deleted", |okta, _, ann| okta.delete_user(ann)),
        ("left", |okta, devs, ann| okta.remove_member(devs, ann)),
    ];
    for (name, end) in ends {
        let (queued, devs, ann) = start().await;
        let events = queued.does(|okta| end(okta, &devs, &ann));
        queued.settles(&events).await;
        assert_eq!(queued.world.team("Devs"), "", "{name}");
        if name != "left" {
            queued.has_nothing();
        }
    }
    let ends: [(&str, Change); 2] = [
        ("unassigned", |okta, devs, _| okta.unassign_group(APP, devs)),
        ("deleted", |okta, devs, _| okta.delete_group(devs)),
    ];
    for (name, end) in ends {
        let (queued, devs, ann) = start().await;
        let events = queued.does(|okta| end(okta, &devs, &ann));
        let of_the_group: Vec<LogEvent> = events
            .into_iter()
            .filter(|event| event.event_type.starts_with("group."))
            .collect();
        queued.settles(&of_the_group).await;
        assert_eq!(queued.world.team("Devs"), "", "{name}");
    }
}

#[tokio::test]
async fn a_waiting_change_does_not_delay_an_announced_one() {
    let (queued, devs, ann) = start().await;
    lie(&queued.world, denied(APP_USER, &ann));
    let hint = queued.hint(&ann);
    queued.waits(&hint).await;
    truth(&queued.world);
    let mut events = queued.does(|okta| okta.deactivate(&ann));
    queued.settles(&events).await;
    queued.has_nothing();
    // Also in the same batch: the waiting change goes back, and the removal is applied.
    queued.does(|okta| okta.activate(&ann));
    queued.does(|okta| okta.assign(APP, &ann));
    queued.does(|okta| okta.add_member(&devs, &ann));
    queued.pass(CONFIRM);
    queued.settles(&queued.hint(&ann)).await;
    queued.has_everything();
    lie(&queued.world, denied(APP_USER, &ann));
    let mut both = queued.hint(&ann);
    queued.waits(&both).await;
    truth(&queued.world);
    events = queued.does(|okta| okta.deactivate(&ann));
    both.extend(events);
    queued.give(&both).await;
    queued.has_nothing();
}

/// The look does not show the announced change yet. It is repeated until the event is older than the wait for a
/// second look.
#[tokio::test]
async fn an_announced_change_that_does_not_show_yet_gets_another_look() {
    let (queued, devs, _) = start().await;
    let world = &queued.world;
    let bob = world.user("bob");
    lie(world, denied(APP_USER, &bob));
    let assigned = queued.does(|okta| okta.assign(APP, &bob));
    queued.waits(&assigned).await;
    assert_eq!(world.account("bob"), "none");
    truth(world);
    queued.pass(CONFIRM);
    queued.settles(&assigned).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");

    lie(world, Fault::lacking(GROUPS_OF_USER, &[&devs]));
    let joined = queued.does(|okta| okta.add_member(&devs, &bob));
    queued.waits(&joined).await;
    truth(world);
    queued.pass(CONFIRM);
    queued.settles(&joined).await;
    assert_eq!(world.team("Devs"), "ann bob");

    lie(world, Fault::new(USER, FaultKind::Frozen).about(&bob));
    let suspended = queued.does(|okta| okta.suspend(&bob));
    queued.waits(&suspended).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");
    truth(world);
    queued.pass(CONFIRM);
    queued.settles(&suspended).await;
    assert_eq!(world.account("bob"), "bob Example - disabled");
}

#[tokio::test]
async fn a_look_is_final_when_the_event_is_old() {
    let (queued, devs, ann) = start().await;
    // Assigned and unassigned again: the second event has not arrived yet.
    let bob = queued.world.user("bob");
    let assigned = queued.does(|okta| okta.assign(APP, &bob));
    queued.does(|okta| okta.unassign(APP, &bob));
    queued.pass(CONFIRM + SLACK);
    queued.settles(&assigned).await;
    assert_eq!(queued.world.account("bob"), "none");
    // Left and joined again.
    let left = queued.does(|okta| okta.remove_member(&devs, &ann));
    queued.does(|okta| okta.add_member(&devs, &ann));
    queued.pass(CONFIRM + SLACK);
    queued.settles(&left).await;
    queued.has_everything();
}

#[tokio::test]
async fn a_group_that_does_not_show_yet_gets_another_look() {
    let (queued, _, _) = start().await;
    let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
    lie(&queued.world, denied(APP_GROUP, &ops));
    let assigned = queued.does(|okta| okta.assign_group(APP, &ops));
    queued.waits(&assigned).await;
    assert_eq!(queued.world.team("Ops"), "none");
    truth(&queued.world);
    queued.pass(CONFIRM);
    queued.settles(&assigned).await;
    assert_eq!(queued.world.team("Ops"), "");
}

#[tokio::test]
async fn of_contrary_events_the_last_published_counts() {
    let (queued, devs, ann) = start().await;
    // Unassigned and assigned again, and the app user shows late. Events may come in any order.
    queued.does(|okta| okta.unassign_group(APP, &devs));
    let mut events = queued.does(|okta| okta.unassign(APP, &ann));
    events.extend(queued.does(|okta| okta.assign(APP, &ann)));
    queued.does(|okta| okta.assign_group(APP, &devs));
    events.retain(|event| event.event_type.starts_with("application."));
    assert_eq!(events.len(), 2);
    events.reverse();
    lie(&queued.world, denied(APP_USER, &ann));
    queued.waits(&events).await;
    queued.has_everything();
    truth(&queued.world);
    queued.pass(CONFIRM);
    queued.settles(&events).await;
    queued.has_everything();

    // In the other order the access ends.
    queued.does(|okta| okta.unassign_group(APP, &devs));
    let mut events = queued.does(|okta| okta.unassign(APP, &ann));
    events.insert(0, again(&events[0], "application.user_membership.add"));
    events[0].published_ms -= 1;
    events.reverse();
    queued.settles(&events).await;
    queued.has_nothing();
}

/// An event that arrives after a contrary one was applied announces nothing, if Okta published it earlier.
#[tokio::test]
async fn a_late_event_does_not_override_a_newer_one() {
    type Lie = fn(&str, &str) -> Fault;
    let no_app_user: Lie = |ann, _| denied(APP_USER, ann);
    let no_group: Lie = |_, devs| Fault::lacking(GROUPS_OF_USER, &[devs]);
    let app = "application.user_membership";
    let cases: [(String, String, Lie); 4] = [
        (format!("{app}.add"), format!("{app}.remove"), no_app_user),
        (
            format!("{app}.add"),
            "user.lifecycle.suspend".into(),
            no_app_user,
        ),
        (
            "user.lifecycle.activate".into(),
            "user.lifecycle.deactivate".into(),
            no_app_user,
        ),
        (
            "group.user_membership.add".into(),
            "group.user_membership.remove".into(),
            no_group,
        ),
    ];
    for (grants, revokes, strange) in &cases {
        for (is_late, after_ms) in [(true, -1), (false, 1)] {
            let (queued, devs, ann) = start().await;
            let granted = queued.user_event(grants, &ann, &devs);
            queued.settles(std::slice::from_ref(&granted)).await;
            queued.pass(CONFIRM * 2);
            let mut revoked = queued.user_event(revokes, &ann, &devs);
            revoked.published_ms = granted.published_ms + after_ms;
            lie(&queued.world, strange(&ann, &devs));
            if is_late {
                queued.waits(&[revoked]).await;
                queued.has_everything();
            } else {
                queued.settles(&[revoked]).await;
                assert_eq!(queued.world.team("Devs"), "", "{revokes}");
            }
        }
    }
    for (is_late, after_ms) in [(true, -1), (false, 1)] {
        let (queued, devs, _) = start().await;
        let granted = queued.group_event("group.application_assignment.add", &devs);
        queued.settles(&granted).await;
        queued.pass(CONFIRM * 2);
        let mut revoked = queued.group_event("group.application_assignment.remove", &devs);
        revoked[0].published_ms = granted[0].published_ms + after_ms;
        lie(&queued.world, denied(APP_GROUP, &devs));
        if is_late {
            queued.waits(&revoked).await;
            queued.has_team();
        } else {
            queued.settles(&revoked).await;
            assert_eq!(queued.world.team("Devs"), "");
        }
    }
}

/// Okta assigns no suspended or deactivated user.
#[tokio::test]
async fn an_assignment_overrides_every_earlier_removal_event() {
    for end in ["user.lifecycle.suspend", "user.lifecycle.deactivate"] {
        for (is_assigned_last, after_ms) in [(true, 2), (false, -1)] {
            let (queued, devs, ann) = start().await;
            let mut events = [
                end,
                "application.user_membership.remove",
                "application.user_membership.add",
            ]
            .map(|event_type| queued.user_event(event_type, &ann, &devs));
            let ended_ms = events[0].published_ms;
            events[1].published_ms = ended_ms + after_ms - 1;
            events[2].published_ms = ended_ms + after_ms;
            queued.pass(CONFIRM * 2);
            lie(&queued.world, denied(APP_USER, &ann));
            if is_assigned_last {
                queued.waits(&events).await;
                queued.has_everything();
            } else {
                queued.settles(&events).await;
                queued.has_nothing();
            }
        }
    }
}

fn again(event: &LogEvent, event_type: &str) -> LogEvent {
    LogEvent {
        uuid: "11111111-2222-4333-8444-555555555555".to_owned(),
        event_type: event_type.to_owned(),
        ..event.clone()
    }
}

/// A rename does not announce an assignment.
#[tokio::test]
async fn an_event_about_something_else_announces_nothing() {
    let (queued, devs, _) = start().await;
    let world = &queued.world;
    lie(world, denied(APP_GROUP, &devs));
    queued
        .waits(&queued.group_event("group.profile.update", &devs))
        .await;
    queued.has_everything();

    let named = Policy {
        groups: GroupSelection::Named("Dev*".to_owned()),
        ..Policy::default()
    };
    let (queued, devs, _) = Queued::devs_with_ann(named).await;
    let world = &queued.world;
    for event_type in [
        "group.profile.update",
        "group.application_assignment.remove",
    ] {
        lie(world, denied(GROUP, &devs));
        lie(world, denied(MEMBERS, &devs));
        let verdicts = queued.give(&queued.group_event(event_type, &devs)).await;
        assert!(verdicts[0].is_retry(), "{event_type}: {verdicts:?}");
        queued.has_everything();
        truth(world);
        queued.pass(CONFIRM * 300);
    }
    // A name that leaves the selection is an announcement.
    let renamed = queued.does(|okta| okta.rename_group(&devs, "Others"));
    queued.settles(&renamed).await;
    assert_eq!(queued.world.team("Devs"), "");
}
