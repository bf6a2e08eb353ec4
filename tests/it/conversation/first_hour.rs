//! The first hour: dry runs, the brake on removals, failures that settle themselves, and the audit trail.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::{AuditEntry, Filter, Leased, Reason, Record, Status};
use okta_anypoint::provision::{
    Changes, ExcludedGroups, ExcludedUsers, Exclusions, Policy, RemovalLimit, brake_off_until,
    dry_runs, lift_brake,
};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::worker::{Pace, Worker};

use super::conflicts::leave_orphan;
use super::evidence::{denied, truth};
use crate::world::{APP, World, look_at, look_at_group, worker};

async fn history(world: &World, subject: &str) -> Vec<AuditEntry> {
    world.table.ledger.history(subject, 0).await.unwrap()
}

fn actions(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.action).collect()
}

async fn held(world: &World) -> Vec<Record> {
    let filter = Filter::with_status(Status::Held);
    world.table.ledger.records(&filter).await.unwrap()
}

async fn with_limit(removals: RemovalLimit) -> World {
    World::with(Policy {
        removals,
        ..Policy::default()
    })
    .await
}

fn unassign(world: &World, user: &str) -> Vec<LogEvent> {
    world.okta_does(|okta| okta.unassign(APP, user))
}

/// Runs an operator's command on the record of an event.
async fn again(world: &World, event: &LogEvent, reason: Reason) {
    let record = world.record(event).await;
    let subject: Subject = record.subject.parse().unwrap();
    let change = Change {
        uuid: record.uuid().parse().unwrap(),
        event_type: record.event_type.clone(),
        ..Change::found(subject, 0)
    };
    let deadline = Deadline::within(Duration::from_secs(20));
    worker(&world.ports).run(&[change], reason, deadline).await;
}

#[tokio::test]
async fn a_dry_run_writes_at_neither_side_and_says_what_it_would_do() {
    let world = World::with(Policy {
        changes: Changes::Report,
        ..Policy::default()
    })
    .await;
    world.forget_traffic();
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 204);
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let assigned = world.okta_does(|okta| okta.assign_group(APP, &devs));
    assert_eq!(world.deliver(&assigned).await, 204);

    assert_eq!(world.writes().len(), 0, "{:?}", world.calls());
    assert_eq!(world.account("ann"), "none");
    let record = world.record(&events[0]).await;
    assert_eq!((record.status, record.dry_run), (Status::Done, Some(true)));
    assert_eq!(record.applied, Some(Vec::new()));
    assert_eq!(
        record.planned.unwrap(),
        ["create_account", "mail_reset", "link"]
    );
    assert_eq!(
        world.record(&assigned[0]).await.planned.unwrap(),
        ["create_team"]
    );
    assert!(dry_runs(&*world.table.documents).await.unwrap().is_some());
    assert_eq!(history(&world, &format!("user#{ann}")).await, []);
}

#[tokio::test]
async fn a_pause_sends_all_changes_back_to_the_queue() {
    let world = World::new().await;
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        changes: Changes::Pause,
        ..Policy::default()
    });
    let ann = world.user("ann");
    world.forget_traffic();
    let subject = Subject::User(OktaUserId::parse(&*ann).unwrap());
    let verdict = look_at(&worker(&ports), subject).await;
    assert!(verdict.is_retry());
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_brake_holds_only_changes_beyond_the_limit() {
    let world = with_limit(RemovalLimit::Count(2)).await;
    let mut users = Vec::new();
    for name in ["ann", "bob", "cid", "dan"] {
        users.push(world.assigned_user(name).await);
    }
    for user in &users[..2] {
        assert_eq!(world.deliver(&unassign(&world, user)).await, 204);
    }
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("bob"), "bob Example - disabled");

    let third = unassign(&world, &users[2]);
    assert_eq!(
        world.deliver(&third).await,
        204,
        "held work is acknowledged"
    );
    assert_eq!(world.account("cid"), "cid Example - enabled");
    let record = world.record(&third[0]).await;
    assert_eq!(record.status, Status::Held);
    let account = world.account_id("cid");
    assert_eq!(
        record.planned.unwrap(),
        [format!("disable_account:{account}")]
    );
    assert!(
        record
            .held_for
            .unwrap()
            .contains("MAX_REMOVALS_PER_HOUR allows 2")
    );

    // A repeated delivery is acknowledged without a look.
    world.forget_traffic();
    assert_eq!(world.deliver(&third).await, 204);
    assert_eq!(world.calls(), Vec::<String>::new());

    // A suspension does not count, and is applied at once.
    world.when(|okta| okta.suspend(&users[3])).await;
    assert_eq!(world.account("dan"), "dan Example - disabled");

    // Nor does the deactivation that follows. It settles the held change.
    world.when(|okta| okta.deactivate(&users[2])).await;
    assert_eq!(world.account("cid"), "cid Example - disabled");
    assert_eq!(held(&world).await.len(), 0);
    assert_eq!(world.record(&third[0]).await.status, Status::Resolved);
}

/// An operator lifted the brake for an hour while the clock was a day ahead. Now the clock is right.
#[tokio::test]
async fn a_brake_lifted_under_a_fast_clock_holds_again() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let world = with_limit(RemovalLimit::Count(0)).await;
    let documents = &*world.table.documents;
    let now_ms = world.ports.clock.now_ms();
    let until = async |at_ms| brake_off_until(documents, at_ms).await.unwrap();

    // A small difference between clocks is allowed.
    let end = lift_brake(documents, now_ms + 60_000, HOUR).await.unwrap();
    assert_eq!(until(now_ms).await, Some(end));
    assert_eq!(until(end).await, None);

    lift_brake(documents, now_ms + DAY_MS, HOUR).await.unwrap();
    assert!(until(now_ms + DAY_MS).await.is_some());
    assert_eq!(until(now_ms).await, None);
    let ann = world.assigned_user("ann").await;
    let left = unassign(&world, &ann);
    assert_eq!(world.deliver(&left).await, 204);
    assert_eq!(world.record(&left[0]).await.status, Status::Held);
    assert_eq!(until(now_ms + DAY_MS).await, None);

    // The entry of an earlier version holds only the end.
    let found = documents.document("brake_lifted").await.unwrap().unwrap();
    let old = format!(r#"{{"until_ms":{}}}"#, now_ms + DAY_MS);
    documents
        .put_document("brake_lifted", &old, found.version)
        .await
        .unwrap();
    assert_eq!(until(now_ms).await, Some(now_ms + DAY_MS));
}

#[tokio::test]
async fn a_reversal_in_okta_or_an_approval_settles_a_held_change() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    let bob = world.assigned_user("bob").await;
    let of_ann = unassign(&world, &ann);
    let of_bob = unassign(&world, &bob);
    for events in [&of_ann, &of_bob] {
        assert_eq!(world.deliver(events).await, 204);
    }
    assert_eq!(held(&world).await.len(), 2);

    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.record(&of_ann[0]).await.status, Status::Resolved);
    assert_eq!(world.account("ann"), "ann Example - enabled");

    // A replay counts like any event. An approval passes.
    again(&world, &of_bob[0], Reason::Replay).await;
    assert_eq!(world.account("bob"), "bob Example - enabled");
    again(&world, &of_bob[0], Reason::Approval).await;
    assert_eq!(world.account("bob"), "bob Example - disabled");
    assert_eq!(world.record(&of_bob[0]).await.status, Status::Done);
    assert_eq!(held(&world).await.len(), 0);
}

#[tokio::test]
async fn the_brake_holds_a_group_that_left_the_selection_but_not_a_member_who_left() {
    let world = with_limit(RemovalLimit::Count(1)).await;
    let devs = world.pushed_group("Devs").await;
    for name in ["ann", "bob", "cid"] {
        let user = world.assigned_user(name).await;
        world.when(|okta| okta.add_member(&devs, &user)).await;
        if name == "cid" {
            world.when(|okta| okta.remove_member(&devs, &user)).await;
        }
    }
    assert_eq!(world.team("Devs"), "ann bob");
    let events = world.okta_does(|okta| okta.unassign_group(APP, &devs));
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "ann bob");
    let held = held(&world).await;
    assert_eq!(
        (held.len(), &*held[0].subject),
        (1, &*format!("group#{devs}"))
    );

    // A deleted group has not left the selection.
    world.when(|okta| okta.delete_group(&devs)).await;
    assert_eq!(world.team("Devs"), "");
}

#[tokio::test]
async fn a_retried_removal_is_counted_once() {
    let world = with_limit(RemovalLimit::Count(1)).await;
    let documents = &world.table.documents;
    let people = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let minute = 60_000;
    for at in [0, 1] {
        let tally = documents
            .count_removals(&people(&["a", "b"]), at)
            .await
            .unwrap();
        assert_eq!(
            (tally.total, tally.newly.len()),
            (2, if at == 0 { 2 } else { 0 })
        );
    }
    let tally = documents.count_removals(&people(&["c"]), 2).await.unwrap();
    assert_eq!((tally.total, &*tally.newly), (3, &["c".to_owned()][..]));
    documents.uncount_removals(&tally.newly, 2).await.unwrap();
    let later = documents.count_removals(&people(&["d"]), 59 * minute).await;
    assert_eq!(later.unwrap().total, 3);
    let much_later = documents.count_removals(&people(&["e"]), 75 * minute).await;
    assert_eq!(much_later.unwrap().total, 2, "d and e");
}

#[tokio::test]
async fn a_later_look_in_sync_settles_older_failures_of_its_subject() {
    let world = World::new().await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.assign(APP, &ann));
    let bad = world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann@acme.example"));
    drop(bad);
    let failed = vec![world.hint(&ann)];
    assert_eq!(world.deliver(&failed).await, 204);
    assert_eq!(world.record(&failed[0]).await.status, Status::Failed);

    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann"));
    let mended = vec![world.hint(&ann)];
    assert_eq!(world.deliver(&mended).await, 204);
    let record = world.record(&failed[0]).await;
    assert_eq!(record.status, Status::Resolved);
    assert_eq!(record.resolved_by.as_deref(), Some(&*mended[0].uuid));
    assert_eq!(record.error_code.as_deref(), Some("username_invalid"));
}

#[tokio::test]
async fn every_change_has_an_entry_that_says_why_and_who_asked() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let events = world.okta_does(|okta| okta.suspend(&ann));
    assert_eq!(world.deliver(&events).await, 204);
    world.look_again(&ann).await;

    let subject = format!("user#{ann}");
    let entries = history(&world, &subject).await;
    assert_eq!(
        actions(&entries),
        ["create_account", "mail_reset", "link", "disable_account"]
    );
    let last = entries.last().unwrap();
    assert_eq!(last.id.as_deref(), Some(&*world.account_id("ann")));
    assert_eq!(last.username.as_deref(), Some("ann"));
    assert_eq!(
        (last.before.as_deref(), last.after.as_deref()),
        (Some("enabled"), Some("disabled"))
    );
    assert_eq!(last.why.as_deref(), Some("the Okta user is suspended"));
    assert_eq!(last.event.as_deref(), Some(&*events[0].uuid));
    assert_eq!(last.event_type.as_deref(), Some("user.lifecycle.suspend"));
    assert!(last.actor.is_some());
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("Example") && !text.contains('@'), "{text}");
    let whole = world.table.ledger.whole_history(0).await.unwrap();
    assert_eq!(whole, entries);
}

/// A run that changes two accounts: each entry says whose account it was, what was there before, and why.
#[tokio::test]
async fn each_entry_of_a_changed_username_is_about_its_own_account() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    leave_orphan(&world, &ann, "ann_left").await;
    world.rename(&ann, "ann_new").await;

    let (account, team) = (|name| world.account_id(name), world.team_id("Devs"));
    let old = account("ann");
    let expected = [
        (
            "disable_account",
            account("ann_left"),
            "ann_left",
            "enabled",
        ),
        (
            "create_account",
            account("ann_new"),
            "ann_new",
            "no account",
        ),
        ("disable_account", old.clone(), "ann", "enabled"),
        ("leave_team", team.clone(), "ann", "member"),
        (
            "link",
            account("ann_new"),
            "ann_new",
            &*format!("linked to {old}"),
        ),
        ("join_team", team, "ann_new", "not a member"),
    ]
    .map(|(action, id, name, before)| format!("{action} {id} {name} {before}"));
    let entries = history(&world, &format!("user#{ann}")).await;
    let of = |entry: &AuditEntry| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (id, name, before) = (&entry.id, &entry.username, &entry.before);
        format!(
            "{} {} {} {}",
            entry.action,
            text(id),
            text(name),
            text(before)
        )
    };
    let last = entries.len() - 7;
    let of_this_run = entries[last..]
        .iter()
        .filter(|entry| entry.action != "mail_reset");
    assert_eq!(of_this_run.clone().map(of).collect::<Vec<_>>(), expected);
    let why: Vec<_> = of_this_run
        .map(|entry| entry.why.as_deref().unwrap())
        .collect();
    assert_eq!(
        why[0],
        "a run that was cut off left the account without a link"
    );
    assert_eq!(why[2..4], ["the app username changed"; 2]);
}

/// One look serves both events. The author of the name change did not end the access.
#[tokio::test]
async fn a_change_is_attributed_to_its_event() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let mut events = vec![world.hint(&ann)];
    events.extend(world.okta_does(|okta| okta.unassign(APP, &ann)));
    assert_eq!(world.deliver(&events).await, 204);
    let entries = history(&world, &format!("user#{ann}")).await;
    let last = entries.last().unwrap();
    assert_eq!(last.action, "disable_account");
    let unassigned = "application.user_membership.remove";
    assert_eq!(last.event_type.as_deref(), Some(unassigned));
    let by_uuid = |uuid: &&LogEvent| Some(&*uuid.uuid) == last.event.as_deref();
    assert_eq!(events.iter().find(by_uuid).unwrap().event_type, unassigned);
}

/// Leaves the expired lease of a cut-off run.
async fn cut_off(world: &World, subject: &str) {
    let lease = world.table.ledger.lease(subject, Duration::from_millis(1));
    assert!(matches!(lease.await.unwrap(), Leased::Ours(_)));
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[tokio::test]
async fn the_history_says_that_the_run_before_was_cut_off() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let subject = format!("user#{ann}");
    let before = history(&world, &subject).await.len();
    cut_off(&world, &subject).await;
    world.look_again(&ann).await;
    let entries = history(&world, &subject).await;
    assert_eq!(actions(&entries[before..]), [AuditEntry::INTERRUPTED]);
}

/// A dry run changes nothing, but it knows that the run before it may have.
#[tokio::test]
async fn a_dry_run_records_that_the_run_before_was_cut_off() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let subject = format!("user#{ann}");
    let before = history(&world, &subject).await.len();
    cut_off(&world, &subject).await;
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        changes: Changes::Report,
        ..Policy::default()
    });
    let user = Subject::User(OktaUserId::parse(ann).unwrap());
    look_at(&worker(&ports), user).await;
    let entries = history(&world, &subject).await;
    assert_eq!(actions(&entries[before..]), [AuditEntry::INTERRUPTED]);
}

/// A user's run takes the lease on a group whose team it needs. A run of that group was cut off before.
#[tokio::test]
async fn a_run_with_a_second_lease_records_that_the_run_before_was_cut_off() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    let subject = format!("group#{devs}");
    cut_off(&world, &subject).await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann");
    let entries = history(&world, &subject).await;
    // The history of the group also has the team that the run created.
    assert_eq!(actions(&entries), [AuditEntry::INTERRUPTED, "create_team"]);
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_has_an_entry() {
    let time = Duration::from_millis(1_200);
    let world = World::with_pace(Policy::default(), Pace::INLINE, time).await;
    let ann = world.assigned_user("ann").await;
    let lost = Fault::new("/users/", FaultKind::DropConnection).on(Method::PUT);
    world.anypoint.traffic().inject(lost.after_effect());
    let events = world.okta_does(|okta| okta.suspend(&ann));
    assert_eq!(world.deliver(&events).await, 503);
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - disabled");
    let entries = history(&world, &format!("user#{ann}")).await;
    let last = entries.last().unwrap();
    assert_eq!(last.action, "disable_account");
    assert_eq!(last.after.as_deref(), Some(AuditEntry::NOT_KNOWN));
}

#[tokio::test]
async fn an_emergency_passes_the_brake_and_keeps_its_reason() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    unassign(&world, &ann);
    let subject = Subject::User(OktaUserId::parse(&*ann).unwrap());
    let change = Change {
        reason: Some("ticket 4711".to_owned()),
        ..Change::found(subject, 0)
    };
    let metrics = Arc::new(okta_anypoint::telemetry::Metrics::new("test"));
    let by_hand = Worker::new(world.ports.clone(), None, metrics, Pace::BY_HAND);
    let deadline = Deadline::within(Duration::from_secs(20));
    by_hand.run(&[change], Reason::Replay, deadline).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    let entries = history(&world, &format!("user#{ann}")).await;
    let last = entries.last().unwrap();
    assert_eq!(last.reason.as_deref(), Some("ticket 4711"));
}

#[tokio::test]
async fn an_unannounced_absence_is_not_held_before_it_is_confirmed() {
    let world = with_limit(RemovalLimit::Count(0)).await;
    let ann = world.assigned_user("ann").await;
    super::evidence::lie(&world, denied(super::evidence::APP_USER, &ann).times(1));
    world.look_again(&ann).await;
    truth(&world);
    assert_eq!(held(&world).await.len(), 0);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn excluded_users_and_groups_are_left_alone() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let devs = world.pushed_group("Devs").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        excluded: Exclusions {
            users: ExcludedUsers {
                ids: [OktaUserId::parse(&*ann).unwrap()].into(),
                logins: vec!["svc-*".to_owned()],
            },
            groups: ExcludedGroups {
                ids: Default::default(),
                names: vec!["Break*".to_owned()],
            },
        },
        ..Policy::default()
    });
    let careful = worker(&ports);
    let service = world.user("svc-deploy");
    let other = world.user("bob");
    let glass = world.okta.world().create_group("Break glass").unwrap().id;
    for user in [&service, &other] {
        world.okta_does(|okta| okta.assign(APP, user));
        world.okta_does(|okta| okta.add_member(&devs, user));
    }
    world.okta_does(|okta| okta.assign_group(APP, &glass));
    world.okta_does(|okta| okta.suspend(&ann));
    world.okta_does(|okta| okta.remove_member(&devs, &ann));

    world.forget_traffic();
    let user = |id: &str| Subject::User(OktaUserId::parse(id).unwrap());
    look_at(&careful, user(&ann)).await;
    assert_eq!(
        world.calls(),
        Vec::<String>::new(),
        "an id is skipped unread"
    );
    look_at(&careful, user(&service)).await;
    look_at_group(&careful, &glass).await;
    assert_eq!(world.writes().len(), 0, "{:?}", world.calls());
    look_at(&careful, user(&other)).await;
    look_at_group(&careful, &devs).await;

    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.account("svc-deploy"), "none");
    assert_eq!(world.team("Break glass"), "none");
    assert_eq!(world.team("Devs"), "ann bob");
}
