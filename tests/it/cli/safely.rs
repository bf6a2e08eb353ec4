//! What an operator settles: what the brake held, failures, the pause; and what the audit trail says.

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

fn is_enabled(desk: &Desk) -> bool {
    let world = desk.anypoint.world();
    world.user_by_username("lin_example").unwrap().enabled
}

#[tokio::test]
async fn what_the_brake_holds_is_listed_and_approved() {
    let (desk, user) = with_brake().await;
    let listed = desk.on_file(&["held", "--json"]).await.expect(0).json();
    assert_eq!(listed["held"][0]["subject"], format!("user#{user}"));
    assert_eq!(listed["held"][0]["status"], "held");
    desk.on_file(&["held"])
        .await
        .expect(0)
        .says("would do: disable_account:");
    assert!(is_enabled(&desk));
    desk.on_file(&["approve"]).await.expect(2);
    desk.on_file(&["approve", "00uNOBODY00000001"])
        .await
        .expect(2)
        .says("the brake does not hold");

    // A reconcile leaves it alone.
    let planned = desk.on_file(&["plan", "--json"]).await.expect(0).json();
    assert_eq!(planned["differences"], json!([]));

    desk.on_file(&["approve", &user]).await.expect(0);
    assert!(!is_enabled(&desk));
    desk.on_file(&["held"])
        .await
        .expect(0)
        .says("the brake holds nothing");
}

#[tokio::test]
async fn a_lifted_brake_lets_everything_pass() {
    let (desk, user) = with_brake().await;
    desk.on_file(&["approve", "--all", "--for", "1h"])
        .await
        .expect(0)
        .says("the brake is off until");
    assert!(!is_enabled(&desk));
    desk.okta.world().assign(APP, &user).unwrap();
    desk.okta
        .world()
        .set_app_username(APP, &user, "lin_example")
        .unwrap();
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(is_enabled(&desk));
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(!is_enabled(&desk));
}

#[tokio::test]
async fn the_history_of_a_user_is_shown_in_three_forms() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", "--now", "--reason", "ticket 4711", &user])
        .await
        .expect(0);
    desk.wrote();
    let told = desk.on_file(&["history", &user, "--json"]).await.expect(0);
    let entries = told.json()["entries"].clone();
    let actions: Vec<&Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(actions, ["create_account", "mail_reset", "link"]);
    assert_eq!(entries[0]["reason"], "ticket 4711");
    desk.on_file(&["history"])
        .await
        .expect(0)
        .says("(no account -> enabled)");
    let csv = desk
        .on_file(&["history", "--output", "csv"])
        .await
        .expect(0);
    let rows: Vec<&str> = csv.out.lines().collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].starts_with("at,subject,action,") && rows[1].contains(",create_account,"));
    assert!(!csv.out.contains("acme.example"), "{}", csv.out);
    assert!(!desk.wrote());
}

#[tokio::test]
async fn while_changes_are_paused_commands_refuse_to_work() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["pause"]).await.expect(0);
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert!(status["paused_since"].is_string());
    desk.on_file(&["push", &user])
        .await
        .expect(1)
        .says("changes are paused");
    assert!(!desk.wrote());
    desk.on_file(&["resume"]).await.expect(0);
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["paused_since"], Value::Null);
    desk.on_file(&["push", &user]).await.expect(0);
}

#[tokio::test]
async fn failures_are_done_again_by_cause_or_dismissed() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin@acme.example");
    let pushed = desk
        .on_file(&["push", &user, "--json"])
        .await
        .expect(1)
        .json();
    let uuid = pushed["results"][0]["uuid"].as_str().unwrap().to_owned();
    desk.on_file(&["replay", "--failed", "--cause", "team_name_taken"])
        .await
        .expect(0);
    desk.on_file(&["replay", "--failed", "--cause", "username_invalid"])
        .await
        .expect(1)
        .says("failed");
    desk.on_file(&["dismiss", &uuid])
        .await
        .expect(0)
        .says("dismissed");
    desk.on_file(&["dismiss", &uuid]).await.expect(1);
    let failed = desk
        .on_file(&["events", "--failed", "--json"])
        .await
        .expect(0);
    assert_eq!(failed.json()["events"], json!([]));
    let resolved = desk
        .on_file(&["events", "--status", "resolved", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(resolved["events"][0]["resolved_by"], "operator");
}

#[tokio::test]
async fn a_push_in_a_dry_run_says_what_it_would_do() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let file = desk.data.to_str().unwrap();
    desk.run_with(&[("CHANGES", "report")], &["push", &user, "--data", file])
        .await
        .expect(0)
        .says("would do: create_account, mail_reset, link");
    assert!(!desk.wrote());

    // The first reconcile that applies takes it up.
    desk.on_file(&["reconcile", "--yes"]).await.expect(0);
    assert!(is_enabled(&desk));
}
