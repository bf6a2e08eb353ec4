//! Contract §4, "What counts as known": what an operator's look announces, and what an incomplete list does not.

use std::time::Duration;

use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::insight::Explanation;
use okta_anypoint::ledger::{Reason, Status};
use okta_anypoint::provision::Policy;
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::EVERYONE;
use okta_anypoint::worker::Verdict;

use super::evidence::{GROUP, GROUPS_OF_USER, denied, lie, truth};
use super::queued::{Queued, start};
use crate::world::APP;

#[tokio::test]
async fn a_look_by_an_operator_counts_as_announced() {
    for reason in [Reason::Replay, Reason::Delivery] {
        let (queued, _, ann) = Queued::devs_with_ann(Policy::default()).await;
        queued.does(|okta| okta.delete_user(&ann));
        let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
        let push = Change::found(subject, SystemClock.now_ms());
        let verdicts = queued.work(&[push], reason).await;
        match reason {
            Reason::Replay | Reason::Approval => {
                assert_eq!(verdicts, [Verdict::Settled]);
                queued.has_nothing();
            }
            Reason::Delivery | Reason::Return => {
                assert!(matches!(verdicts[0], Verdict::Wait { .. }));
            }
        }
    }
}

/// `push` announces what the look finds, but does not choose between two answers.
#[tokio::test]
async fn a_look_by_an_operator_ends_no_group_that_okta_shows_elsewhere() {
    let (queued, devs, _) = start().await;
    lie(&queued.world, denied(GROUP, &devs));
    let group = Subject::Group(OktaGroupId::parse(&devs).unwrap());
    let push = Change::found(group, SystemClock.now_ms());
    let verdicts = queued
        .work(std::slice::from_ref(&push), Reason::Replay)
        .await;
    assert_ne!(verdicts, [Verdict::Settled]);
    queued.has_team();
}

/// The ways in which a list of ann's groups is incomplete and lacks "Devs".
fn incomplete_lists(devs: &str) -> [Vec<Fault>; 3] {
    [
        vec![Fault::empty_list(GROUPS_OF_USER)],
        vec![Fault::lacking(GROUPS_OF_USER, &[EVERYONE, devs])],
        vec![Fault::removed(GROUPS_OF_USER, Some(devs), "/id")],
    ]
}

/// `push` announces what the look finds. An incomplete list finds no absence.
#[tokio::test]
async fn an_operators_look_at_an_incomplete_list_of_groups_takes_nobody_out_of_a_team() {
    let (queued, devs, ann) = start().await;
    let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
    let now = |reason: Option<&str>| Change {
        reason: reason.map(str::to_owned),
        ..Change::found(subject.clone(), SystemClock.now_ms())
    };
    let record = async |change: &Change| {
        let record = queued.world.ports.ledger.record_of(&change.work()).await;
        let record = record.unwrap().unwrap();
        assert_eq!(record.status, Status::Failed);
        assert_eq!(record.error_code.as_deref(), Some("contradiction"));
        let actions = record.applied.unwrap_or_default();
        (record.error.unwrap(), actions.join(" "))
    };
    for faults in incomplete_lists(&devs) {
        for fault in faults {
            lie(&queued.world, fault);
        }
        for reason in [Reason::Replay, Reason::Approval, Reason::Delivery] {
            let push = now(None);
            let verdicts = queued.work(std::slice::from_ref(&push), reason).await;
            assert!(matches!(verdicts[0], Verdict::Retry { .. }), "{verdicts:?}");
            queued.has_everything();
            let (error, applied) = record(&push).await;
            assert!(
                error.contains("everything was done but leaving teams."),
                "{error}"
            );
            assert_eq!(applied, "");
        }
        let ports = &queued.world.ports;
        let deadline = Deadline::within(Duration::from_secs(60));
        let explained = Explanation::of(ports, subject.clone(), deadline).await;
        let explained = explained.unwrap();
        assert!(!explained.is_in_sync());
        let doubt = explained.failure.unwrap().to_string();
        assert!(doubt.contains("the list of the user's groups is incomplete"));

        // An order to pass evidence counts the list, and its record says so.
        let push = now(Some("ticket 4711"));
        queued
            .work(std::slice::from_ref(&push), Reason::Replay)
            .await;
        assert_eq!(queued.world.team("Devs"), "");
        let (error, applied) = record(&push).await;
        assert!(
            error.contains("left the team of every group that it lacks"),
            "{error}"
        );
        assert!(applied.contains("leave_team"), "{applied}");
        truth(&queued.world);
        let verdicts = queued.work(&[now(None)], Reason::Replay).await;
        assert_eq!(verdicts, [Verdict::Settled]);
        queued.has_everything();
    }
    // A complete list counts.
    queued.does(|okta| okta.remove_member(&devs, &ann));
    let verdicts = queued.work(&[now(None)], Reason::Replay).await;
    assert_eq!(verdicts, [Verdict::Settled]);
    assert_eq!(queued.world.team("Devs"), "");
}

/// An event about one group says nothing about the others.
#[tokio::test]
async fn an_announced_leave_under_an_incomplete_list_is_of_its_own_group_only() {
    let (queued, devs, ann) = start().await;
    let ops = queued.world.okta.world().create_group("Ops").unwrap().id;
    let mut events = queued.does(|okta| okta.assign_group(APP, &ops));
    events.extend(queued.does(|okta| okta.add_member(&ops, &ann)));
    queued.settles(&events).await;
    assert_eq!(queued.world.team("Ops"), "ann");
    lie(&queued.world, Fault::empty_list(GROUPS_OF_USER));
    let events = queued.does(|okta| okta.remove_member(&devs, &ann));
    queued.give(&events).await;
    assert_eq!(queued.world.team("Devs"), "");
    assert_eq!(queued.world.team("Ops"), "ann");
    let error = queued.record(&events[0]).await.error.unwrap();
    assert!(
        error.contains("leaving teams that no event said the user left"),
        "{error}"
    );
}
