//! What an operator settles: held changes, failures and pauses. And what the audit trail says about it.

use serde_json::{Value, json};

use super::{APP, Desk};

async fn with_brake() -> (Desk, String) {
    let mut desk = Desk::new().await;
    let limit = ("MAX_REMOVALS_PER_HOUR".to_owned(), "0".to_owned());
    desk.environment.extend([limit]);
    let user = desk.assigned("lin", "lin_example");
    let other = desk.assigned("bob", "bob_example");
    desk.on_file(&["push", &user, &other]).await.expect(0);
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user])
        .await
        .expect(1)
        .says("MAX_REMOVALS_PER_HOUR allows 0");
    (desk, user)
}

#[tokio::test]
async fn held_changes_are_listed_and_approved() {
    let (desk, user) = with_brake().await;
    let listed = desk.on_file(&["held", "--json"]).await.expect(0).json();
    assert_eq!(listed["held"][0]["subject"], format!("user#{user}"));
    assert_eq!(listed["held"][0]["status"], "held");
    // A second change of the same user is no second decision.
    desk.on_file(&["push", &user]).await.expect(1);
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["held"], 1);
    desk.on_file(&["status"])
        .await
        .expect(0)
        .says("1 user or group held by the brake");
    desk.on_file(&["held"])
        .await
        .expect(0)
        .says("would do: disable_account:");
    assert!(desk.is_enabled("lin_example"));
    desk.on_file(&["approve"]).await.expect(2);
    desk.on_file(&["approve", "00uNOBODY00000001"])
        .await
        .expect(2)
        .says("the brake does not hold");

    // A reconcile does not touch a held change.
    let planned = desk.on_file(&["plan", "--json"]).await.expect(0).json();
    assert_eq!(planned["differences"], json!([]));

    desk.on_file(&["approve", &user]).await.expect(0);
    assert!(!desk.is_enabled("lin_example"));
    desk.on_file(&["held"])
        .await
        .expect(0)
        .says("the brake holds nothing");
}

/// A second change of the same user is no second decision.
#[tokio::test]
async fn a_dismissal_takes_the_held_user_off_the_list() {
    let (desk, user) = with_brake().await;
    desk.on_file(&["push", &user]).await.expect(1);
    let held = desk.on_file(&["held", "--json"]).await.expect(0).json();
    let uuid = held["held"][0]["id"].as_str().unwrap();
    desk.on_file(&["dismiss", uuid]).await.expect(0);
    let held = desk.on_file(&["held"]).await.expect(0);
    held.says("the brake holds nothing");
}

#[tokio::test]
async fn a_dry_run_settles_neither_held_changes_nor_failures() {
    let (desk, user) = with_brake().await;
    let refused = desk.assigned("kim", "not a username");
    desk.on_file(&["push", &refused]).await.expect(1);
    let open = async || {
        let held = desk.on_file(&["held", "--json"]).await.json()["held"].clone();
        let failed = desk.on_file(&["events", "--failed", "--json"]).await.json();
        (held, failed)
    };
    let before = open().await;
    let uuid = before.0[0]["id"].as_str().unwrap();
    let file = desk.data.to_str().unwrap();
    for command in [
        &["approve", &*user][..],
        &["approve", "--all"],
        &["replay", uuid],
        &["replay", "--failed"],
    ] {
        let command = [command, &["--data", file]].concat();
        let told = desk.run_with(&[("CHANGES", "report")], &command).await;
        told.expect(1)
            .says("CHANGES=report")
            .says("okta-anypoint explain");
        assert_eq!(open().await, before, "{command:?}");
    }
    desk.on_file(&["replay", uuid]).await.expect(1).says("held");
    desk.on_file(&["approve", "--all"]).await.expect(0);
    assert!(!desk.is_enabled("lin_example"));
}

/// The record is as before, so it is not the brake that holds it now.
#[tokio::test]
async fn an_approval_says_that_another_run_has_the_lease() {
    let (desk, user) = with_brake().await;
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let sql = "UPDATE leases SET owner = ?2, lease_until_ms = ?3 WHERE subject = ?1";
    let subject = format!("user#{user}");
    let lease = |owner: Option<&str>, until_ms: Option<i64>| {
        file.execute(sql, (&subject, owner, until_ms)).unwrap()
    };
    let in_a_minute = jiff::Timestamp::now().as_millisecond() + 60_000;
    assert_eq!(lease(Some("another"), Some(in_a_minute)), 1);
    for command in [&["approve", &user][..], &["approve", "--all"]] {
        let told = desk.on_file(command).await.expect(1);
        assert!(!told.out.contains("MAX_REMOVALS"), "{}", told.out);
        told.says("another run has the lease on it, until ");
    }
    // An earlier run waits for its second look. That is not why this one could do nothing.
    let sql = "UPDATE events SET status = 'waiting', waits_for = 'Okta does not show it' WHERE status = 'held'";
    assert_eq!(file.execute(sql, ()).unwrap(), 1);
    let uuid = "SELECT id FROM events WHERE status = 'waiting'";
    let uuid: String = file.query_row(uuid, (), |row| row.get(0)).unwrap();
    let told = desk.on_file(&["replay", &uuid]).await.expect(1);
    assert!(!told.out.contains("second look"), "{}", told.out);
    told.says("another run has the lease on it, until ");
    let sql = "UPDATE events SET status = 'held' WHERE status = 'waiting'";
    assert_eq!(file.execute(sql, ()).unwrap(), 1);
    assert!(desk.is_enabled("lin_example"));
    lease(None, None);
    desk.on_file(&["approve", &user]).await.expect(0);
    assert!(!desk.is_enabled("lin_example"));
}

#[tokio::test]
async fn a_lifted_brake_lets_all_changes_pass() {
    let (desk, user) = with_brake().await;
    desk.on_file(&["approve", "--all", "--for", "1h"])
        .await
        .expect(0)
        .says("the brake is off until");
    assert!(!desk.is_enabled("lin_example"));
    desk.okta.world().assign(APP, &user).unwrap();
    desk.okta
        .world()
        .set_app_username(APP, &user, "lin_example")
        .unwrap();
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(desk.is_enabled("lin_example"));
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(!desk.is_enabled("lin_example"));

    // Each command says that the brake is off and how to end that.
    let end = format!("okta-anypoint approve --end --data {}", desk.data.display());
    for look in ["status", "held", "doctor"] {
        let told = desk.on_file(&[look]).await;
        let told = told.says("off until").says("approve --end");
        assert!(told.out.contains(&end), "{look}: {}", told.out);
    }
    for look in ["status", "held"] {
        let told = desk.on_file(&[look, "--json"]).await.expect(0).json();
        assert!(told["brake_off_until"].is_string(), "{told}");
    }
    desk.on_file(&["approve", "--end", "--all"]).await.expect(2);
    desk.on_file(&["approve", "--end"])
        .await
        .expect(0)
        .says("the brake holds again");
    desk.on_file(&["approve", "--end"])
        .await
        .expect(0)
        .says("the brake was not off");
    desk.on_file(&["approve", "--all"])
        .await
        .expect(0)
        .says("the brake holds nothing");
    for look in ["status", "held", "doctor"] {
        let told = desk.on_file(&[look]).await;
        assert!(!told.out.contains("off until"), "{look}: {}", told.out);
    }
    desk.okta.world().assign(APP, &user).unwrap();
    desk.on_file(&["push", &user]).await;
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user])
        .await
        .expect(1)
        .says("MAX_REMOVALS_PER_HOUR allows 0");
}

#[tokio::test]
async fn the_brake_is_lifted_for_a_second_to_a_day() {
    let (desk, _) = with_brake().await;
    for time in ["0s", "0d", "86401s", "25h", "999d"] {
        let ran = desk.on_file(&["approve", "--all", "--for", time]).await;
        ran.expect(2).says("expected a time from 1s to 24h");
    }
    let held = desk.on_file(&["held", "--json"]).await.expect(0).json();
    assert_eq!(held["held"].as_array().unwrap().len(), 1, "{held}");
    assert_eq!(held["brake_off_until"], json!(null));
    desk.on_file(&["approve", "--all", "--for", "24h"])
        .await
        .expect(0)
        .says("the brake is off until");
}

#[tokio::test]
async fn explain_says_how_to_approve_a_held_change() {
    let (desk, user) = with_brake().await;
    let approve = format!(
        "okta-anypoint approve {user} --data {}",
        desk.data.display()
    );
    let told = desk.on_file(&["explain", &user]).await.expect(0);
    let follows = told.out.split("What would be done").nth(1).unwrap();
    assert!(
        follows.trim_start().starts_with("the brake holds it: "),
        "{follows}"
    );
    told.says("1 person would lose access within an hour, and MAX_REMOVALS_PER_HOUR allows 0")
        .says(&approve);
    let told = desk.on_file(&["explain", &user, "--json"]).await;
    let told = told.expect(0).json();
    let held = told["held"]["planned"][0].as_str().unwrap();
    assert!(held.starts_with("disable_account"), "{held}");

    desk.on_file(&["approve", &user]).await.expect(0);
    let told = desk.on_file(&["explain", &user]).await.expect(0);
    assert!(!told.out.contains("brake"), "{}", told.out);
    let told = desk.on_file(&["explain", &user, "--json"]).await;
    assert_eq!(told.expect(0).json()["held"], Value::Null);
}
