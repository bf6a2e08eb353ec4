//! Failures, pauses and exclusions that an operator settles, and what the audit trail says about it.

use serde_json::{Value, json};

use super::Desk;

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
async fn failures_are_replayed_by_cause_or_dismissed() {
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

    // The first reconcile that applies does it.
    desk.on_file(&["reconcile", "--yes"]).await.expect(0);
    assert!(desk.is_enabled("lin_example"));
}

#[tokio::test]
async fn excluded_subjects_are_labelled_and_never_pushed() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let group = desk.pushed_group("Engineers", &user);
    desk.on_file(&["push", &user, &group]).await.expect(0);
    desk.okta.world().suspend(&user).unwrap();
    desk.okta.world().delete_group(&group).unwrap();
    desk.wrote();
    let file = desk.data.to_str().unwrap();
    for (users, groups) in [(&*user, &*group), ("lin@*", "Engin*")] {
        let settings = [("EXCLUDE_USERS", users), ("EXCLUDE_GROUPS", groups)];
        for (subject, said) in [
            (&user, "excluded by EXCLUDE_USERS"),
            (&group, "excluded by EXCLUDE_GROUPS"),
        ] {
            let explain = ["explain", subject, "--data", file];
            let explained = desk.run_with(&settings, &explain).await.expect(0);
            assert!(!explained.out.contains("in sync"), "{}", explained.out);
            let explained = explained.says(said);
            assert!(!explained.out.contains("Given"), "{}", explained.out);
            let asked = desk.okta.traffic().log().len();
            assert!(users != user || asked == 0, "an id is read");
            let explain = ["explain", subject, "--json", "--data", file];
            let explained = desk.run_with(&settings, &explain).await.expect(0).json();
            assert_eq!(explained["excluded"], true);
            assert_ne!(explained["link"], Value::Null);

            let push = ["push", subject, "--data", file];
            desk.run_with(&settings, &push).await.expect(1).says(said);
            let now = ["--now", "--reason", "ticket 4711", "--json"];
            let push = [&push[..], &now[..]].concat();
            let pushed = desk.run_with(&settings, &push).await.expect(1).json();
            assert_eq!(pushed["results"][0]["status"], "excluded");
        }
        assert!(!desk.wrote());
    }
    assert!(desk.is_enabled("lin_example"));

    // The command still works on its other subjects.
    let kim = desk.assigned("kim", "kim_example");
    let push = ["push", &user, &kim, "--json", "--data", file];
    let pushed = desk.run_with(&[("EXCLUDE_USERS", &user)], &push).await;
    assert_eq!(pushed.expect(1).json()["results"][1]["status"], "done");
    assert!(desk.is_enabled("lin_example"));
    desk.on_file(&["push", &user]).await.expect(0);
    assert!(!desk.is_enabled("lin_example"));
}

#[tokio::test]
async fn a_pause_stops_writes_at_anypoint_but_not_links() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    let account = desk.account_id("lin_example");
    desk.wrote();
    let file = desk.data.to_str().unwrap();
    let reset: &[&str] = &["reset-email", &user, "--data", file];
    let link: &[&str] = &["link", &user, &account, "--data", file];
    let unlink: &[&str] = &["unlink", &user, "--data", file];

    for changes in ["report", "pause"] {
        let setting = [("CHANGES", changes)];
        desk.run_with(&setting, reset)
            .await
            .expect(1)
            .says(&format!("CHANGES={changes}"));
        // Links belong to the operator, and neither side changes.
        for command in [unlink, link] {
            desk.run_with(&setting, command).await.expect(0);
        }
    }
    desk.on_file(&["pause"]).await.expect(0);
    let refused = desk.run(reset).await.expect(1);
    refused.says("okta-anypoint resume");
    for command in [unlink, link] {
        desk.run(command).await.expect(0);
    }
    desk.on_file(&["resume"]).await.expect(0);
    assert!(!desk.wrote());
    desk.run(reset).await.expect(0);
    assert!(desk.wrote());
}

#[tokio::test]
async fn operator_commands_are_in_the_history() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let account = {
        let mut world = desk.anypoint.world();
        let made = world.add_user("lin_example", "Given", "Family", "lin@acme.example");
        made.unwrap()
    };
    for command in [
        &["link", &user, &account][..],
        &["link", &user, &account],
        &["reset-email", &user],
        &["unlink", &user],
        &["unlink", &user],
    ] {
        desk.on_file(command).await.expect(0);
    }
    let told = desk.on_file(&["history", &user, "--json"]).await.expect(0);
    let told = told.json()["entries"].clone();
    let entries = told.as_array().unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["action"], &entry["after"]))
        .collect();
    assert_eq!(
        json!(shown),
        json!([
            ["link", "linked"],
            ["mail_reset", null],
            ["unlink", "not linked"]
        ])
    );
    for entry in entries {
        assert_eq!(entry["id"], account);
        assert_eq!(entry["username"], "lin_example");
        assert_eq!(entry["reason"], "operator");
    }
    desk.on_file(&["history", &user])
        .await
        .expect(0)
        .says("(linked -> not linked)");

    // A command after a cut-off run says so.
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let sql = "UPDATE leases SET owner = 'another', lease_until_ms = 1 WHERE subject = ?1";
    let changed = file.execute(sql, [format!("user#{user}")]).unwrap();
    assert_eq!(changed, 1);
    desk.on_file(&["unlink", &user]).await.expect(0);
    desk.on_file(&["history", &user])
        .await
        .expect(0)
        .says("interrupted");
}
