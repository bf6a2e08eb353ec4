//! Contract §4, "What counts as known", behind a queue: a doubtful change goes back for a second look. Time passes
//! here only when a test advances the clock.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::{Change, read_delivery};
use okta_anypoint::ids::{OktaGroupId, OktaUserId, Subject};
use okta_anypoint::ledger::{Reason, Record, Status};
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::simulator::okta::{LogEvent, OktaWorld, Refusal, Target};
use okta_anypoint::sqlite::Database;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Verdict, Worker};

use super::evidence::{
    APP_GROUP, APP_GROUPS, APP_USER, GROUP, GROUPS_OF_USER, MEMBERS, USER, denied, lie, truth,
};
use crate::schedule::MovedClock;
use crate::world::{APP, World, embedded};

const CONFIRM: Duration = Duration::from_secs(15);
/// The clock of a world runs a little ahead when much happens at once.
const SLACK: Duration = Duration::from_secs(1);

struct Queued {
    world: World,
    clock: Arc<MovedClock>,
    worker: Worker,
}

impl Queued {
    /// A pushed group "Devs" with one member, ann, who has an account.
    async fn devs_with_ann(policy: Policy) -> (Self, String, String) {
        let clock = Arc::new(MovedClock::default());
        let shared: Arc<dyn Clock> = clock.clone();
        let table = embedded(Database::in_memory().unwrap(), &shared);
        let time = Duration::from_secs(20);
        let mut world = World::on(table, policy, Pace::INLINE, time).await;
        world.ports.clock = shared;
        let metrics = Arc::new(Metrics::new("test"));
        let worker = Worker::new(world.ports.clone(), None, metrics, Pace::QUEUED);
        let queued = Self {
            world,
            clock,
            worker,
        };
        let devs = queued.world.okta.world().create_group("Devs").unwrap().id;
        let ann = queued.world.user("ann");
        let mut events = queued.does(|okta| okta.assign_group(APP, &devs));
        events.extend(queued.does(|okta| okta.assign(APP, &ann)));
        events.extend(queued.does(|okta| okta.add_member(&devs, &ann)));
        queued.settles(&events).await;
        queued.has_everything();
        // The memory of fresh writes has expired.
        queued.pass(Duration::from_secs(600));
        (queued, devs, ann)
    }

    /// Restarts the worker with other groups to push.
    fn selects(&mut self, groups: GroupSelection) {
        Arc::make_mut(&mut self.world.ports.policy).groups = groups;
        let metrics = Arc::new(Metrics::new("test"));
        self.worker = Worker::new(self.world.ports.clone(), None, metrics, Pace::QUEUED);
    }

    fn does(
        &self,
        change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
    ) -> Vec<LogEvent> {
        self.world.okta_does(change)
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.world.okta.world().clock.advance(time);
    }

    async fn work(&self, changes: &[Change], reason: Reason) -> Vec<Verdict> {
        let deadline = Deadline::within(Duration::from_secs(60));
        self.worker.run(changes, reason, deadline).await
    }

    async fn give(&self, events: &[LogEvent]) -> Vec<Verdict> {
        let body = self.world.okta.world().delivery(events).to_string();
        let read = read_delivery(
            body.as_bytes(),
            &self.world.ports.app,
            &rfc3339(self.clock.now_ms()),
        );
        self.work(&read.unwrap().changes, Reason::Delivery).await
    }

    /// Checks that all events are done at once.
    async fn settles(&self, events: &[LogEvent]) {
        let verdicts = self.give(events).await;
        assert!(
            verdicts.iter().all(|v| *v == Verdict::Settled),
            "{verdicts:?}"
        );
    }

    /// Checks that all events go back for a second look. Returns when they are due.
    async fn waits(&self, events: &[LogEvent]) -> Duration {
        let verdicts = self.give(events).await;
        let Some(Verdict::Wait { after }) = verdicts.first() else {
            panic!("{verdicts:?}")
        };
        assert!(
            verdicts.iter().all(|v| v == verdicts.first().unwrap()),
            "{verdicts:?}"
        );
        assert!(*after <= CONFIRM, "{after:?}");
        *after
    }

    async fn record(&self, event: &LogEvent) -> Record {
        self.world.record(event).await
    }

    fn hint(&self, ann: &str) -> Vec<LogEvent> {
        vec![self.world.hint(ann)]
    }

    /// A false event of this type about the group.
    fn group_event(&self, event_type: &str, group: &str) -> Vec<LogEvent> {
        let target = |id: &str, kind: &str| Target {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        };
        let targets = vec![target(group, "UserGroup"), target(APP, "AppInstance")];
        let event = self
            .world
            .okta
            .world()
            .write_event(event_type, targets, &[]);
        vec![event]
    }

    /// A false event of this type about the user, the app and the group.
    fn user_event(&self, event_type: &str, ann: &str, devs: &str) -> LogEvent {
        let target = |id: &str, kind: &str| Target {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        };
        let targets = vec![
            target(ann, "User"),
            target(APP, "AppInstance"),
            target(devs, "UserGroup"),
        ];
        let mut okta = self.world.okta.world();
        okta.write_event(event_type, targets, &[])
    }

    fn has_everything(&self) {
        assert_eq!(self.world.account("ann"), "ann Example - enabled");
        assert_eq!(self.world.team("Devs"), "ann");
    }

    fn has_nothing(&self) {
        assert_eq!(self.world.account("ann"), "ann Example - disabled");
        assert_eq!(self.world.team("Devs"), "");
    }
}

async fn start() -> (Queued, String, String) {
    Queued::devs_with_ann(Policy::default()).await
}

#[tokio::test]
async fn an_unassignment_without_an_event_waits_for_its_second_look() {
    let (queued, _, ann) = start().await;
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
    let (queued, _, ann) = start().await;
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
        let (queued, _, ann) = start().await;
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

/// One look did not show the assignment, so the account waits. That the user left the group is known by itself.
#[tokio::test]
async fn who_left_a_group_leaves_its_team_while_the_account_waits() {
    for is_announced in [true, false] {
        let (queued, devs, ann) = start().await;
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
            let (queued, devs, ann) = start().await;
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
        let (queued, devs, ann) = start().await;
        hide(&queued.world, &ann);
        let event = queued.user_event(event_type, &ann, &devs);
        queued.settles(&[event]).await;
        queued.has_nothing();
    }
    let (queued, devs, _) = start().await;
    let bob = queued.world.user("bob");
    hide(&queued.world, &bob);
    let left = queued.user_event("group.user_membership.remove", &bob, &devs);
    queued.settles(&[left]).await;
    for event_type in [
        "group.lifecycle.delete",
        "group.application_assignment.remove",
    ] {
        let (queued, devs, _) = start().await;
        hide(&queued.world, &devs);
        queued.settles(&queued.group_event(event_type, &devs)).await;
        assert_eq!(queued.world.team("Devs"), "", "{event_type}");
    }
    // Assigned and joined before.
    let (queued, devs, ann) = start().await;
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
        let (mut queued, _, ann) = start().await;
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

#[tokio::test]
async fn a_group_that_left_the_selection_without_an_event_waits() {
    type Change = fn(&mut OktaWorld, &str) -> Result<Vec<LogEvent>, Refusal>;
    let ends: [Change; 2] = [
        |okta, devs| okta.unassign_group(APP, devs),
        |okta, devs| okta.delete_group(devs),
    ];
    for end in ends {
        let (queued, devs, _) = start().await;
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

/// The group whose team has the wanted name may still be pushed, so the first look does not take its team.
#[tokio::test]
async fn a_team_is_adopted_when_it_is_known_that_its_group_is_no_longer_pushed() {
    for is_true in [true, false] {
        let (queued, old, ann) = start().await;
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

impl Queued {
    fn has_team(&self) {
        assert_eq!(self.world.team("Devs"), "ann");
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
        let (queued, devs, ann) = start().await;
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
        let (queued, devs, ann) = start().await;
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
    let (queued, _, ann) = start().await;
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
    let (queued, devs, ann) = start().await;
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

#[tokio::test]
async fn a_look_by_an_operator_counts_as_announced() {
    for reason in [Reason::Replay, Reason::Delivery] {
        let (queued, _, ann) = start().await;
        queued.does(|okta| okta.delete_user(&ann));
        let subject = Subject::User(OktaUserId::parse(&ann).unwrap());
        let push = Change::found(subject, SystemClock.now_ms());
        let verdicts = queued.work(&[push], reason).await;
        match reason {
            Reason::Replay | Reason::Approval => {
                assert_eq!(verdicts, [Verdict::Settled]);
                queued.has_nothing();
            }
            Reason::Delivery => assert!(matches!(verdicts[0], Verdict::Wait { .. })),
        }
    }
}

/// The pause before the next try grows with failures. A wait does not count, and a success resets the count.
#[tokio::test]
async fn only_consecutive_failures_lengthen_the_pause() {
    let (queued, _, ann) = start().await;
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
    let (queued, devs, ann) = start().await;
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
