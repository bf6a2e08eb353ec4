//! Contract §4, "What counts as known", without a queue: the second look is a second read in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Reason, Record, Status};
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::fault::{Absence, Fault};
use okta_anypoint::simulator::okta::{EVERYONE, LogEvent};
use okta_anypoint::worker::Verdict;

use super::groups::devs_with_ann;
use crate::world::{APP, World, look_at, look_at_group, worker};

pub const USER: &str = "/api/v1/users/*";
pub const APP_USER: &str = "/api/v1/apps/*/users/*";
pub const APP_USERS: &str = "/api/v1/apps/*/users";
pub const GROUPS_OF_USER: &str = "/api/v1/users/*/groups";
pub const GROUP: &str = "/api/v1/groups/*";
pub const MEMBERS: &str = "/api/v1/groups/*/users";
pub const APP_GROUP: &str = "/api/v1/apps/*/groups/*";
pub const APP_GROUPS: &str = "/api/v1/apps/*/groups";

/// Okta answers with its own 404 for an object that exists.
pub fn denied(path: &str, id: &str) -> Fault {
    Fault::not_found(path, Absence::Service).about(id)
}

pub fn lie(world: &World, fault: Fault) {
    world.okta.traffic().inject(fault);
}

pub fn truth(world: &World) {
    world.okta.traffic().remove_all_faults();
}

fn group(id: &str) -> Subject {
    Subject::Group(OktaGroupId::parse(id).unwrap())
}

/// `people` in a pushed group "Devs", each with an account.
async fn devs_with(world: &World, people: usize) -> (String, Vec<String>) {
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let users: Vec<String> = (0..people)
        .map(|n| world.user(&format!("user_{n}")))
        .collect();
    for user in &users {
        world.okta_does(|okta| okta.assign(APP, user));
        world.okta_does(|okta| okta.add_member(&devs, user));
    }
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    look_at_group(&worker(&world.ports), &devs).await;
    assert_eq!(in_team(world), people);
    (devs, users)
}

fn in_team(world: &World) -> usize {
    let team = world.team("Devs");
    team.split(' ').filter(|name| !name.is_empty()).count()
}

/// Checks that the event failed because two answers contradict each other.
async fn contradicted(world: &World, event: &LogEvent) -> Record {
    let record = world.record(event).await;
    assert_eq!(record.error_code.as_deref(), Some("contradiction"));
    assert_eq!(record.status, Status::Failed);
    record
}

async fn ann_has_everything(world: &World) {
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.team("Devs"), "ann");
}

#[tokio::test]
async fn one_strange_answer_about_a_user_takes_nobodys_access() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let lies = [
        (denied(USER, &ann).once(), 503),
        (denied(APP_USER, &ann).once(), 204),
        (denied(GROUPS_OF_USER, &ann).once(), 503),
        (Fault::lacking(GROUPS_OF_USER, &[&devs]).once(), 204),
        (Fault::empty_list(GROUPS_OF_USER).once(), 503),
        (Fault::lacking(GROUPS_OF_USER, &[EVERYONE]).once(), 503),
        (Fault::empty_list(APP_GROUPS).once(), 204),
        (Fault::gone(&ann).times(3), 204),
    ];
    for (number, (fault, status)) in lies.into_iter().enumerate() {
        lie(&world, fault);
        world.forget_traffic();
        let hint = [world.hint(&ann)];
        assert_eq!(world.deliver(&hint).await, status, "lie {number}");
        assert_eq!(world.writes().len(), 0, "lie {number}");
        ann_has_everything(&world).await;
        truth(&world);
        assert_eq!(world.deliver(&hint).await, 204, "lie {number}");
    }
}

#[tokio::test]
async fn one_strange_answer_about_a_group_empties_no_team() {
    let (world, devs, _) = devs_with_ann(Policy::default()).await;
    let looks = worker(&world.ports);
    let lies = [
        denied(GROUP, &devs),
        denied(APP_GROUP, &devs),
        denied(MEMBERS, &devs),
        Fault::empty_list(MEMBERS),
        Fault::gone(&devs),
    ];
    for (number, fault) in lies.into_iter().enumerate() {
        lie(&world, fault.once());
        world.forget_traffic();
        look_at(&looks, group(&devs)).await;
        assert_eq!(world.writes().len(), 0, "lie {number}");
        ann_has_everything(&world).await;
        truth(&world);
        look_at_group(&looks, &devs).await;
    }
}

#[tokio::test]
async fn an_unassignment_without_an_event_is_believed_at_the_second_read() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    world.okta_does(|okta| okta.remove_member(&devs, &ann));
    let began = Instant::now();
    world.look_again(&ann).await;
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(world.team("Devs"), "");

    world.okta_does(|okta| okta.unassign(APP, &ann));
    let began = Instant::now();
    world.look_again(&ann).await;
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(world.account("ann"), "ann Example - disabled");
}

#[tokio::test]
async fn a_deletion_without_an_event_is_believed_at_the_second_read() {
    let (world, _, ann) = devs_with_ann(Policy::default()).await;
    world.okta_does(|okta| okta.delete_user(&ann));
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.team("Devs"), "");
}

#[tokio::test]
async fn an_emptied_group_empties_its_team_by_itself() {
    let world = World::new().await;
    let (devs, users) = devs_with(&world, 22).await;
    for user in &users[2..] {
        world.okta_does(|okta| okta.remove_member(&devs, user));
    }
    look_at_group(&worker(&world.ports), &devs).await;
    assert_eq!(in_team(&world), 2);
    for user in &users[..2] {
        world.okta_does(|okta| okta.remove_member(&devs, user));
    }
    look_at_group(&worker(&world.ports), &devs).await;
    assert_eq!(in_team(&world), 0);
}

#[tokio::test]
async fn an_unassigned_group_empties_its_team_without_an_event() {
    let (world, devs, _) = devs_with_ann(Policy::default()).await;
    world.okta_does(|okta| okta.unassign_group(APP, &devs));
    look_at_group(&worker(&world.ports), &devs).await;
    assert_eq!(world.team("Devs"), "");
}

/// The admin role lost a right, so every list of groups is empty until somebody notices.
#[tokio::test]
async fn a_group_list_without_the_built_in_group_removes_nobody_from_a_team() {
    for fault in [
        Fault::empty_list(GROUPS_OF_USER),
        Fault::lacking(GROUPS_OF_USER, &[EVERYONE]),
    ] {
        let (world, devs, ann) = devs_with_ann(Policy::default()).await;
        let lists = matches!(&fault, f if *f == Fault::lacking(GROUPS_OF_USER, &[EVERYONE]));
        let ops = world.pushed_group("Ops").await;
        lie(&world, fault);
        world.okta_does(|okta| okta.add_member(&ops, &ann));
        let name = [("lastName", "Other".into())];
        let events = world.okta_does(|okta| okta.update_profile(&ann, &name));
        assert_eq!(world.deliver(&events).await, 503);
        contradicted(&world, &events[0]).await;
        assert_eq!(
            world.account("ann"),
            "ann Other - enabled",
            "account changes continue"
        );
        assert_eq!(
            world.team("Ops"),
            if lists { "ann" } else { "" },
            "joins continue"
        );
        assert_eq!(world.team("Devs"), "ann");
        truth(&world);
        world.okta_does(|okta| okta.remove_member(&devs, &ann));
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team("Ops"), "ann");
        assert_eq!(world.team("Devs"), "", "a complete list counts");
    }
}

/// The list endangers nobody, but it hides a join, so the event must not end as done.
#[tokio::test]
async fn a_group_list_without_the_built_in_group_does_not_end_a_users_event() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    lie(&world, Fault::empty_list(GROUPS_OF_USER));
    world.okta_does(|okta| okta.add_member(&devs, &ann));
    let hint = [world.hint(&ann)];
    assert_eq!(world.deliver(&hint).await, 503);
    contradicted(&world, &hint[0]).await;
    truth(&world);
    assert_eq!(world.deliver(&hint).await, 204);
    ann_has_everything(&world).await;
}

/// An announced leave does not need a complete list.
#[tokio::test]
async fn an_announced_leave_needs_no_complete_group_list() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    lie(&world, Fault::lacking(GROUPS_OF_USER, &[EVERYONE]));
    let events = world.okta_does(|okta| okta.remove_member(&devs, &ann));
    world.deliver(&events).await;
    assert_eq!(world.team("Devs"), "");
}

#[tokio::test]
async fn contradicting_answers_about_a_user_change_nothing() {
    let (world, _, ann) = devs_with_ann(Policy::default()).await;
    let gone = || denied(USER, &ann);
    let lies = [
        vec![gone()],
        vec![denied(GROUPS_OF_USER, &ann)],
        vec![gone(), denied(APP_USER, &ann)],
    ];
    for (number, faults) in lies.into_iter().enumerate() {
        for fault in faults {
            lie(&world, fault);
        }
        world.forget_traffic();
        let hint = [world.hint(&ann)];
        assert_eq!(world.deliver(&hint).await, 503, "lie {number}");
        contradicted(&world, &hint[0]).await;
        assert_eq!(world.writes().len(), 0);
        ann_has_everything(&world).await;
        truth(&world);
        assert_eq!(world.deliver(&hint).await, 204, "lie {number}");
    }
    // If an event announced the removal, the announcement counts.
    lie(&world, denied(USER, &ann));
    let mut events = world.okta_does(|okta| okta.deactivate(&ann));
    events.retain(|event| event.event_type == "user.lifecycle.deactivate");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - disabled");
}

#[tokio::test]
async fn a_member_list_that_contradicts_a_users_own_groups_is_not_believed() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let looks = worker(&world.ports);
    let lacks = || Fault::lacking(MEMBERS, &[&ann]);
    let lies = [
        vec![lacks()],
        // The second source is wrong, too.
        vec![lacks(), Fault::empty_list(GROUPS_OF_USER)],
        vec![lacks(), denied(GROUPS_OF_USER, &ann)],
    ];
    for (number, faults) in lies.into_iter().enumerate() {
        for fault in faults {
            lie(&world, fault);
        }
        let verdict = look_at(&looks, group(&devs)).await;
        assert!(
            matches!(verdict, Verdict::Retry { .. }),
            "lie {number}: {verdict:?}"
        );
        ann_has_everything(&world).await;
        truth(&world);
    }
    world.okta_does(|okta| okta.remove_member(&devs, &ann));
    look_at_group(&looks, &devs).await;
    assert_eq!(world.team("Devs"), "");
}

#[tokio::test]
async fn an_app_user_list_that_contradicts_an_app_user_is_not_believed() {
    let world = World::new().await;
    let (devs, users) = devs_with(&world, 22).await;
    let looks = worker(&world.ports);
    lie(&world, Fault::lacking(APP_USERS, &[&users[3]]));
    let verdict = look_at(&looks, group(&devs)).await;
    assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
    assert_eq!(in_team(&world), 22);
    truth(&world);
    // A user who is really unassigned leaves.
    world.okta_does(|okta| okta.unassign_group(APP, &devs));
    let mut ports = world.ports.clone();
    let all = Policy {
        groups: GroupSelection::All,
        ..Policy::default()
    };
    ports.policy = Arc::new(all);
    world.okta_does(|okta| okta.unassign(APP, &users[3]));
    look_at_group(&worker(&ports), &devs).await;
    assert_eq!(in_team(&world), 21);
}

#[tokio::test]
async fn a_group_that_is_listed_but_not_found_keeps_its_team() {
    for (policy, fault) in [
        (Policy::default(), GROUP),
        (
            Policy {
                groups: GroupSelection::All,
                ..Policy::default()
            },
            GROUP,
        ),
    ] {
        let (world, devs, _) = devs_with_ann(policy).await;
        let looks = worker(&world.ports);
        lie(&world, denied(fault, &devs));
        let verdict = look_at(&looks, group(&devs)).await;
        assert!(matches!(verdict, Verdict::Retry { .. }), "{verdict:?}");
        ann_has_everything(&world).await;
        truth(&world);
        // An announced deletion counts, whatever the other answers are.
        world.when(|okta| okta.delete_group(&devs)).await;
        assert_eq!(world.team("Devs"), "");
    }
}

#[tokio::test]
async fn a_different_selection_read_removes_nobody_from_a_team() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    lie(&world, Fault::lacking(APP_GROUPS, &[&devs]));
    world.look_again(&ann).await;
    ann_has_everything(&world).await;
    let none = GroupSelection::Ids(Vec::new());
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        groups: none,
        ..Policy::default()
    });
    let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
    assert_eq!(look_at(&worker(&ports), subject).await, Verdict::Settled);
    ann_has_everything(&world).await;
    // Only a look at the group may decide that.
    look_at_group(&worker(&ports), &devs).await;
    assert_eq!(world.team("Devs"), "");
}

/// Two doubts at once: a membership that ended without an event, and an announced one that does not show yet.
/// Confirming the first must not settle the second.
#[tokio::test]
async fn a_late_membership_is_read_again_beside_one_that_ended() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    let ops = world.pushed_group("Ops").await;
    world.okta_does(|okta| okta.remove_member(&devs, &ann));
    lie(&world, Fault::lacking(GROUPS_OF_USER, &[&ops]).once());
    world.when(|okta| okta.add_member(&ops, &ann)).await;
    assert_eq!(
        (world.team("Ops"), world.team("Devs")),
        ("ann".into(), String::new())
    );
}

#[tokio::test]
async fn a_late_answer_is_read_again_in_the_same_run() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    lie(&world, denied(APP_USER, &ann).once());
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    lie(&world, Fault::lacking(GROUPS_OF_USER, &[&devs]).once());
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    ann_has_everything(&world).await;
}

/// Okta shows a new user or group a moment after their events.
#[tokio::test]
async fn a_user_or_group_that_does_not_show_yet_is_read_again_in_the_same_run() {
    let world = World::new().await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let mut assigned = world.okta_does(|okta| okta.assign_group(APP, &devs));
    assigned.retain(|event| event.event_type.starts_with("group.application"));
    for path in [GROUP, APP_GROUP] {
        lie(&world, denied(path, &devs).once());
    }
    assert_eq!(world.deliver(&assigned).await, 204);
    assert_eq!(world.team("Devs"), "");
    truth(&world);
    let ann = world.user("ann");
    for path in [USER, APP_USER, GROUPS_OF_USER] {
        lie(&world, denied(path, &ann).once());
    }
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    truth(&world);
    lie(&world, Fault::lacking(GROUPS_OF_USER, &[&devs]).once());
    lie(&world, Fault::lacking(APP_GROUPS, &[&devs]).once());
    lie(&world, denied(GROUP, &devs).once());
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    ann_has_everything(&world).await;
}

/// Without time for the second read, the event waits and the answer asks Okta to retry.
#[tokio::test]
async fn without_time_for_a_second_read_the_event_waits() {
    let (world, devs, ann) = devs_with_ann(Policy::default()).await;
    world.okta_does(|okta| okta.unassign_group(APP, &devs));
    world.okta_does(|okta| okta.unassign(APP, &ann));
    let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
    let change = Change::found(subject, SystemClock.now_ms());
    let work = async |time| {
        let deadline = Deadline::within(Duration::from_millis(time));
        let looks = worker(&world.ports);
        looks
            .run(std::slice::from_ref(&change), Reason::Delivery, deadline)
            .await[0]
    };
    let Verdict::Wait { after } = work(1_250).await else {
        panic!("it waits")
    };
    assert!(after <= Duration::from_secs(15) && after > Duration::from_secs(10));
    ann_has_everything(&world).await;
}
