//! The audit trail of a user has every change of an import.

use std::time::Duration;

use http::Method;
use okta_anypoint::ledger::{AuditEntry, Conclusion};
use okta_anypoint::schedule::Task;
use okta_anypoint::settings::ImportMode;
use okta_anypoint::simulator::fault::{Fault, FaultKind, Hold};

use super::import::stage as stage_of;
use super::{APP, Stage};
use crate::tenant::eventually;

pub async fn history(stage: &Stage, user: &str) -> Vec<AuditEntry> {
    let subject = format!("user#{user}");
    stage.table.ledger.history(&subject, 0).await.unwrap()
}

pub fn actions(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.action).collect()
}

fn user(stage: &Stage, login: &str) -> String {
    let world = stage.okta.world();
    world.find_user(login).unwrap().id.clone()
}

#[tokio::test]
async fn every_step_of_an_import_has_an_audit_entry() {
    let stage = stage_of(ImportMode::Create).await;
    let account = stage.native("ann_lee");
    stage.run(Task::Import).await;
    let id = user(&stage, "ann_lee@acme.example");
    let entries = history(&stage, &id).await;
    assert_eq!(
        actions(&entries),
        ["create_okta_user", "assign_app", "link"]
    );
    for (entry, of, after) in [
        (&entries[0], &*id, "staged"),
        (&entries[1], APP, "assigned"),
        (&entries[2], &*account, "linked"),
    ] {
        assert_eq!(entry.id.as_deref(), Some(of));
        assert_eq!(entry.after.as_deref(), Some(after));
        assert_eq!(entry.event_type.as_deref(), Some("import"));
        assert_eq!(entry.username.as_deref(), Some("ann_lee"));
        assert!(entry.why.is_some() && entry.at_ms > 0, "{entry:?}");
    }

    // A name changed in Anypoint.
    {
        let mut world = stage.anypoint.world();
        world
            .edit_user(&account, |user| user.first_name = "Secretname".to_owned())
            .unwrap();
    }
    stage.run(Task::Import).await;
    let entries = history(&stage, &id).await;
    let last = entries.last().unwrap();
    assert_eq!(last.action, "update_okta_names");
    assert_eq!(last.fields, ["first name"]);
    assert_eq!(
        last.why.as_deref(),
        Some("changed in Anypoint since both sides agreed")
    );
    let text = serde_json::to_string(&entries).unwrap();
    for value in ["Secretname", "Example", "acme.example"] {
        assert!(!text.contains(value), "{text}");
    }

    // A run with nothing to do adds no entry.
    let count = entries.len();
    stage.run(Task::Import).await;
    assert_eq!(history(&stage, &id).await.len(), count);
}

#[tokio::test]
async fn a_link_without_other_steps_has_an_audit_entry() {
    let stage = stage_of(ImportMode::Link).await;
    let ann = stage.assigned("ann");
    stage.native("ann");
    stage.run(Task::Import).await;
    let entries = history(&stage, &ann).await;
    assert_eq!(actions(&entries), ["link"]);
    let why = "the app username is the account's username";
    assert_eq!(entries[0].why.as_deref(), Some(why));
}

#[tokio::test]
async fn a_user_whom_another_run_works_on_is_not_changed() {
    let stage = stage_of(ImportMode::Create).await;
    let ann = stage.user("ann");
    stage.native("ann");
    let ledger = &*stage.table.ledger;
    let other = crate::world::lease(ledger, &ann, Duration::from_secs(60)).await;
    let summary = stage.run(Task::Import).await;
    assert!(
        summary.problems[0].text.contains("another run works"),
        "{:?}",
        summary.problems
    );
    assert_eq!(stage.writes(), Vec::<String>::new());
    drop(other);
}

/// Runs an import until `is_done`, then drops it. The next run's clock is past every lease.
async fn cut_off(stage: &Stage, path: &str, is_done: impl Fn() -> bool) {
    let fault = Fault::new(path, FaultKind::Delay(Duration::from_secs(60)));
    let fault = fault.on(Method::POST).once().after_effect();
    stage.okta.traffic().inject(fault);
    tokio::select! {
        _ = stage.run(Task::Import) => panic!("the import was to be cut off"),
        () = eventually("Okta is written to", is_done) => {}
    }
    stage.okta.traffic().remove_all_faults();
    stage.clock.advance(Duration::from_secs(200));
}

/// The next import finds the user assigned, and links.
#[tokio::test]
async fn the_history_says_that_the_import_before_was_cut_off() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    let is_assigned = || !stage.okta.world().apps[APP].users.is_empty();
    cut_off(&stage, &format!("/api/v1/apps/{APP}/users"), is_assigned).await;
    let id = user(&stage, "ann@acme.example");
    assert_eq!(history(&stage, &id).await, []);
    stage.run(Task::Import).await;
    let entries = history(&stage, &id).await;
    assert_eq!(actions(&entries), [AuditEntry::INTERRUPTED, "link"]);
}

/// Before Okta answers there is no user to lease. The memo of the task says which user it was creating.
#[tokio::test]
async fn the_next_import_reports_a_user_created_by_a_cut_off_import() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    let is_created = || !stage.okta.world().users.is_empty();
    cut_off(&stage, "/api/v1/users", is_created).await;
    let id = user(&stage, "ann@acme.example");
    assert_eq!(history(&stage, &id).await, []);
    stage.run(Task::Import).await;
    let entries = history(&stage, &id).await;
    assert_eq!(
        actions(&entries),
        [AuditEntry::INTERRUPTED, "assign_app", "link"]
    );
    assert_eq!(entries[0].after.as_deref(), Some(AuditEntry::NOT_KNOWN));
    assert_eq!(entries[0].username.as_deref(), Some("ann"));

    // It is reported once.
    stage.run(Task::Import).await;
    assert_eq!(history(&stage, &id).await.len(), 3);
}

/// The memo is about a created user. A run that was cut off before the create leaves nothing to report.
#[tokio::test]
async fn the_next_import_reports_no_user_who_was_not_created() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    let fault = Fault::status("/api/v1/users", 501, "{}").on(Method::POST);
    stage.okta.traffic().inject(fault.once());
    assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
    assert!(stage.okta.world().users.is_empty());
    stage.run(Task::Import).await;
    let id = user(&stage, "ann@acme.example");
    assert_eq!(
        actions(&history(&stage, &id).await),
        ["create_okta_user", "assign_app", "link"]
    );
}

/// Okta refuses to create the user, and an administrator does it by hand.
#[tokio::test]
async fn a_refused_creation_is_not_taken_for_one_that_was_cut_off() {
    for code in [400, 403] {
        let stage = stage_of(ImportMode::Create).await;
        stage.native("ann");
        let body = r#"{"errorCode":"E0000001"}"#;
        let fault = Fault::status("/api/v1/users", code, body).on(Method::POST);
        stage.okta.traffic().inject(fault);
        assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
        stage.okta.traffic().remove_all_faults();
        let ann = stage.user("ann");
        stage.run(Task::Import).await;
        let entries = history(&stage, &ann).await;
        assert_eq!(actions(&entries), ["assign_app", "link"], "{code}");
    }
}

#[tokio::test]
async fn the_next_import_records_a_create_that_was_kept_off_the_record() {
    let stage = stage_of(ImportMode::Create).await;
    stage.native("ann");
    let slow = Hold::default();
    let fault = Fault::held("/api/v1/users", &slow).on(Method::POST);
    stage.okta.traffic().inject(fault.after_effect());
    let ledger = &*stage.table.ledger;
    let other = async {
        slow.reached().await;
        let id = user(&stage, "ann@acme.example");
        let lease = crate::world::lease(ledger, &id, Duration::from_secs(60)).await;
        slow.release();
        lease
    };
    let (summary, other) = tokio::join!(stage.run(Task::Import), other);
    assert_eq!(summary.problems.len(), 1, "{:?}", summary.problems);
    ledger.conclude(other, Conclusion::default()).await.unwrap();
    let id = user(&stage, "ann@acme.example");
    assert_eq!(history(&stage, &id).await, []);
    stage.run(Task::Import).await;
    assert_eq!(
        actions(&history(&stage, &id).await),
        [AuditEntry::INTERRUPTED, "assign_app", "link"]
    );
}

#[tokio::test]
async fn a_write_whose_answer_is_missing_may_have_been_done() {
    let stage = stage_of(ImportMode::Create).await;
    let ann = stage.user("ann");
    stage.native("ann");
    let fault = Fault::status("/api/v1/apps/", 501, "{}").on(Method::POST);
    stage.okta.traffic().inject(fault.once().after_effect());
    assert_eq!(stage.run(Task::Import).await.count("refused"), 1);
    let entries = history(&stage, &ann).await;
    assert_eq!(actions(&entries), [AuditEntry::INTERRUPTED]);
    assert!(entries[0].why.as_ref().unwrap().starts_with("assign_app"));
    stage.run(Task::Import).await;
    let entries = history(&stage, &ann).await;
    assert_eq!(actions(&entries), [AuditEntry::INTERRUPTED, "link"]);
}
