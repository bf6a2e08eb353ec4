//! The audit trail: every change of an account or a team has an entry, and so has a run that was cut off.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::{AuditEntry, Leased};
use okta_anypoint::provision::{Changes, Policy};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::worker::Pace;

use super::conflicts::leave_orphan;
use crate::world::{APP, World, look_at, worker};

pub(super) async fn history(world: &World, subject: &str) -> Vec<AuditEntry> {
    world.table.ledger.history(subject, 0).await.unwrap()
}

fn actions(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.action).collect()
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
    assert_eq!(why[0], "the account is the user's, and no link leads to it");
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
