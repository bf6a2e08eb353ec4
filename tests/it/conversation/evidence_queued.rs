//! Contract §4, "What counts as known", behind a queue: a doubtful change goes back for a second look.

use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Reason, Status};
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal};
use okta_anypoint::worker::Verdict;

use super::evidence::{APP_GROUP, APP_USER, USER, denied, lie, truth};
use super::queued::{CONFIRM, Queued, SLACK};
use crate::world::APP;

#[tokio::test]
async fn an_unassignment_without_an_event_waits_for_its_second_look() {
    let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
    queued.does(|okta| okta.unassign(APP, &ann)).clear();
    queued.does(|okta| {
        let devs = okta.group_by_name("Devs").unwrap().id.clone();
        okta.unassign_group(APP, &devs)
    });
    let hint = queued.hint(&ann);
    queued.waits(&hint).await;
    let record = queued.record(&hint[0]).await;
    assert_eq!(record.status, Status::Waiting);
    assert!(record.waits_for.unwrap().contains("app assignment"));
    queued.has_everything();

    // Before it is due, the worker gives it back without a look.
    queued.pass(CONFIRM / 2);
    queued.world.forget_traffic();
    queued.waits(&hint).await;
    assert_eq!(queued.world.calls(), Vec::<String>::new());
    assert_eq!(queued.record(&hint[0]).await.attempts, record.attempts);

    queued.pass(CONFIRM / 2);
    queued.settles(&hint).await;
    assert_eq!(queued.record(&hint[0]).await.status, Status::Done);
    queued.has_nothing();
}

#[tokio::test]
async fn a_contrary_look_restarts_the_wait_for_a_second_look() {
    let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
    lie(&queued.world, denied(APP_USER, &ann));
    let hint = queued.hint(&ann);
    queued.waits(&hint).await;
    truth(&queued.world);
    queued.pass(CONFIRM);
    queued.world.forget_traffic();
    queued.settles(&hint).await;
    assert_eq!(queued.world.writes().len(), 0);
    // Missing again: the first time no longer counts.
    queued.pass(CONFIRM);
    lie(&queued.world, denied(APP_USER, &ann));
    queued.waits(&queued.hint(&ann)).await;
    queued.has_everything();
}

#[tokio::test]
async fn a_first_look_of_more_than_an_hour_ago_does_not_count() {
    for (pause, is_known) in [(3_599, true), (3_601, false)] {
        let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
        lie(&queued.world, denied(APP_USER, &ann));
        let hint = queued.hint(&ann);
        queued.waits(&hint).await;
        queued.pass(Duration::from_secs(pause));
        if is_known {
            queued.settles(&hint).await;
            queued.has_nothing();
        } else {
            queued.waits(&hint).await;
            queued.has_everything();
        }
    }
}

#[tokio::test]
async fn a_group_that_left_the_selection_without_an_event_waits() {
    type Change = fn(&mut OktaWorld, &str) -> Result<Vec<LogEvent>, Refusal>;
    let ends: [Change; 2] = [
        |okta, devs| okta.unassign_group(APP, devs),
        |okta, devs| okta.delete_group(devs),
    ];
    for end in ends {
        let (queued, devs, _) = Queued::devs_with_ann(Policy::default()).await;
        queued.does(|okta| end(okta, &devs));
        let hint = queued.group_event("group.lifecycle.create", &devs);
        queued.pass(CONFIRM);
        queued.waits(&hint).await;
        queued.has_team();
        queued.pass(CONFIRM);
        queued.settles(&hint).await;
        assert_eq!(queued.world.team("Devs"), "");
    }
}

#[tokio::test]
async fn a_finding_of_a_reconcile_is_believed_at_the_next_look() {
    type Change = fn(&mut OktaWorld, &str) -> Result<Vec<LogEvent>, Refusal>;
    let ends: [(&str, Change); 2] = [
        ("deactivated, and denied", |okta, ann| {
            okta.unassign(APP, ann)
        }),
        ("deleted", |okta, ann| okta.delete_user(ann)),
    ];
    for (name, end) in ends {
        let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
        queued.does(|okta| okta.remove_member(&devs, &ann));
        queued.does(|okta| end(okta, &ann));
        let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
        let found = okta_anypoint::event::Change {
            planned: vec!["not_assigned".to_owned()],
            ..okta_anypoint::event::Change::found(subject, queued.clock.now_ms())
        };
        let changes = [found];
        let verdicts = queued.work(&changes, Reason::Delivery).await;
        assert!(
            matches!(verdicts[0], Verdict::Wait { after } if after <= CONFIRM),
            "{name}"
        );
        queued.has_everything();
        // Another run within the hour did not see it either, so there is no second pause.
        queued.pass(CONFIRM);
        let verdicts = queued.work(&changes, Reason::Delivery).await;
        assert_eq!(verdicts, [Verdict::Settled], "{name}");
        queued.has_nothing();
    }
}

/// A change that was queued for long enough needs no pause, but only for its own finding.
#[tokio::test]
async fn a_reconcile_counts_as_the_first_look_for_its_own_findings_only() {
    for (planned, is_known) in [("not_assigned", true), ("not_in_group:00gOTHER", false)] {
        let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
        queued.does(|okta| okta.remove_member(&devs, &ann));
        queued.does(|okta| okta.delete_user(&ann));
        let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
        let found = okta_anypoint::event::Change {
            planned: vec![planned.to_owned()],
            ..okta_anypoint::event::Change::found(subject, queued.clock.now_ms())
        };
        queued.pass(CONFIRM);
        let verdicts = queued.work(&[found], Reason::Delivery).await;
        assert_eq!(
            verdicts[0] == Verdict::Settled,
            is_known,
            "{planned}: {verdicts:?}"
        );
    }
}

/// A look between the reconcile and the next look saw the user, so the next one counts as the first again.
#[tokio::test]
async fn a_contrary_look_discards_the_finding_of_a_reconcile() {
    let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
    let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
    let found = || okta_anypoint::event::Change {
        planned: vec!["not_assigned".to_owned()],
        ..okta_anypoint::event::Change::found(subject.clone(), queued.clock.now_ms())
    };
    let earlier = found();
    queued.pass(SLACK);
    queued.settles(&queued.hint(&ann)).await;
    queued.pass(CONFIRM);
    lie(&queued.world, denied(APP_USER, &ann));
    let changes = [earlier];
    let verdicts = queued.work(&changes, Reason::Delivery).await;
    assert!(matches!(verdicts[0], Verdict::Wait { .. }), "{verdicts:?}");
    queued.has_everything();
    // A reconcile after the contrary look counts, even if an earlier one found the same.
    truth(&queued.world);
    queued.pass(CONFIRM);
    queued.settles(&queued.hint(&ann)).await;
    queued.pass(SLACK);
    let later = [changes[0].clone(), found()];
    queued.pass(CONFIRM);
    lie(&queued.world, denied(APP_USER, &ann));
    let verdicts = queued.work(&later, Reason::Delivery).await;
    assert_eq!(verdicts, [Verdict::Settled; 2]);
    assert_eq!(queued.world.account("ann"), "ann Example - disabled");
}

#[tokio::test]
async fn members_missing_at_a_reconcile_leave_at_the_next_look() {
    let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
    queued.does(|okta| okta.remove_member(&devs, &ann));
    let subject = Subject::Group(OktaGroupId::parse(&devs).unwrap());
    let found = okta_anypoint::event::Change {
        planned: vec![format!("not_member:{ann}")],
        ..okta_anypoint::event::Change::found(subject, queued.clock.now_ms())
    };
    let changes = [found];
    assert!(matches!(
        queued.work(&changes, Reason::Delivery).await[0],
        Verdict::Wait { .. }
    ));
    queued.has_team();
    queued.pass(CONFIRM);
    assert_eq!(
        queued.work(&changes, Reason::Delivery).await,
        [Verdict::Settled]
    );
    assert_eq!(queued.world.team("Devs"), "");
}

/// The pause before the next try grows with failures. A wait does not count, and a success resets the count.
#[tokio::test]
async fn only_consecutive_failures_lengthen_the_pause() {
    let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
    let broken = || {
        let kind = FaultKind::Status {
            code: 400,
            headers: Vec::new(),
            body: r#"{"errorCode":"E0000112"}"#.to_owned(),
        };
        Fault::new(USER, kind).about(&ann)
    };
    let hint = queued.hint(&ann);
    lie(&queued.world, denied(APP_USER, &ann));
    queued.waits(&hint).await;
    queued.pass(CONFIRM);
    truth(&queued.world);
    lie(&queued.world, broken());
    for failures in [1, 2] {
        let verdicts = queued.give(&hint).await;
        let expected = Verdict::Retry {
            after: None,
            failures: Some(failures),
        };
        assert_eq!(verdicts, [expected]);
    }
    truth(&queued.world);
    queued.settles(&hint).await;
    lie(&queued.world, broken());
    let verdicts = queued.give(&queued.hint(&ann)).await;
    assert!(
        matches!(
            verdicts[0],
            Verdict::Retry {
                failures: Some(1),
                ..
            }
        ),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn more_leavers_than_one_batch_leave_in_one_run() {
    let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
    let mut users = vec![ann];
    for n in 0..103 {
        let user = queued.world.user(&format!("user_{n}"));
        queued.does(|okta| okta.add_member(&devs, &user));
        users.push(user);
    }
    let hint = queued.group_event("group.application_assignment.update", &devs);
    queued.settles(&hint).await;
    assert_eq!(queued.world.team("Devs").split(' ').count(), 104);
    for user in &users {
        queued.does(|okta| okta.remove_member(&devs, user));
    }
    let hint = queued.group_event("group.application_assignment.update", &devs);
    queued.waits(&hint).await;
    assert_eq!(queued.world.team("Devs").split(' ').count(), 104);
    queued.pass(CONFIRM);
    queued.settles(&hint).await;
    assert_eq!(queued.world.team("Devs"), "");
}

/// The group whose team has the wanted name may still be pushed, so the first look does not take its team.
#[tokio::test]
async fn a_team_is_adopted_when_it_is_known_that_its_group_is_no_longer_pushed() {
    for is_true in [true, false] {
        let (queued, old, ann) = Queued::devs_with_ann(Policy::default()).await;
        if is_true {
            queued.does(|okta| okta.unassign_group(APP, &old));
        } else {
            lie(&queued.world, denied(APP_GROUP, &old));
        }
        let new = queued.world.okta.world().create_group("devs").unwrap().id;
        queued.does(|okta| okta.add_member(&new, &ann));
        let mut events = queued.does(|okta| okta.assign_group(APP, &new));
        events.retain(|event| event.event_type.starts_with("group."));
        queued.waits(&events).await;
        assert!(queued.world.team_link(&old).await.is_some());
        queued.has_team();
        truth(&queued.world);
        queued.pass(CONFIRM);
        queued.settles(&events).await;
        let links = (
            queued.world.team_link(&old).await,
            queued.world.team_link(&new).await,
        );
        let record = queued.record(&events[0]).await;
        if is_true {
            assert_eq!(record.status, Status::Done);
            assert!(links.0.is_none() && links.1.is_some());
            assert_eq!(queued.world.team("devs"), "ann");
        } else {
            assert_eq!(record.error_code.as_deref(), Some("team_name_taken"));
            assert!(links.0.is_some() && links.1.is_none());
            queued.has_team();
        }
    }
}

/// The new app username is refused for good, and another part of the look is in doubt. The name of the team is still
/// that of a group that Okta does not show any more, so that the new group's own look has to decide.
#[tokio::test]
async fn a_refused_look_that_waits_leads_to_the_groups_it_found() {
    let (queued, old, ann) = Queued::devs_with_ann(Policy::default()).await;
    let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
    let mut events = queued.does(|okta| okta.assign_group(APP, &ops));
    events.extend(queued.does(|okta| okta.add_member(&ops, &ann)));
    queued.settles(&events).await;
    queued.pass(Duration::from_secs(600));
    queued.does(|okta| okta.remove_member(&ops, &ann));
    queued.does(|okta| okta.unassign_group(APP, &old));
    let new = queued.world.okta.world().create_group("devs").unwrap().id;
    queued.does(|okta| okta.assign_group(APP, &new));
    queued.does(|okta| okta.add_member(&new, &ann));
    queued.does(|okta| okta.set_app_username(APP, &ann, "no spaces"));
    let (queued, found) = queued.recording();
    let hint = queued.hint(&ann);
    queued.waits(&hint).await;
    assert_eq!(found.subjects(), [format!("group#{new}")]);
}

/// One look did not show the assignment, so the account waits. That the user left the group is known by itself.
#[tokio::test]
async fn who_left_a_group_leaves_its_team_while_the_account_waits() {
    for is_announced in [true, false] {
        let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
        queued.does(|okta| okta.unassign(APP, &ann));
        let mut events = queued.does(|okta| okta.remove_member(&devs, &ann));
        events.retain(|event| event.event_type == "group.user_membership.remove");
        if !is_announced {
            events = queued.hint(&ann);
        }
        queued.waits(&events).await;
        let team = if is_announced { "" } else { "ann" };
        assert_eq!(queued.world.team("Devs"), team);
        assert_eq!(queued.world.account("ann"), "ann Example - enabled");
        queued.pass(CONFIRM);
        queued.settles(&events).await;
        queued.has_nothing();
    }
}

/// The team cannot have the group's new name, and a member is missing for the first time. The record fails after the second
/// look.
#[tokio::test]
async fn a_refused_name_costs_a_group_no_second_look() {
    let (queued, devs, ann) = Queued::devs_with_ann(Policy::default()).await;
    queued.world.anypoint().add_team("Ops", None).unwrap();
    let renamed = queued.does(|okta| okta.rename_group(&devs, "Ops"));
    queued.does(|okta| okta.remove_member(&devs, &ann));
    queued.waits(&renamed).await;
    assert_eq!(queued.record(&renamed[0]).await.status, Status::Waiting);
    queued.has_team();
    queued.pass(CONFIRM);
    queued.settles(&renamed).await;
    assert_eq!(queued.world.team("Devs"), "");
    let record = queued.record(&renamed[0]).await;
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.error_class, Some(Class::Permanent), "{record:?}");
}
