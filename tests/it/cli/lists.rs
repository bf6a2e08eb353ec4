//! What lists and texts say: their formats, their limits, and unknown objects.

use super::{APP, Desk, run};

#[tokio::test]
async fn one_option_prints_csv() {
    let mut desk = Desk::new().await;
    let limit = ("MAX_REMOVALS_PER_HOUR".to_owned(), "0".to_owned());
    desk.environment.extend([limit]);
    let user = desk.assigned("lin", "lin_example");
    desk.on_file(&["push", &user]).await.expect(0);
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user]).await.expect(1);
    for (command, head) in [
        ("history", "at,subject,"),
        ("events", "changed,state,"),
        ("held", "since,subject,planned,"),
    ] {
        let short = desk.on_file(&[command, "--csv"]).await.expect(0).out;
        let long = desk
            .on_file(&[command, "--output", "csv"])
            .await
            .expect(0)
            .out;
        assert_eq!(short, long);
        assert!(short.starts_with(head) && short.contains(&user), "{short}");
        desk.on_file(&[command, "--csv", "--json"]).await.expect(2);
        desk.on_file(&[command, "--csv", "--output", "csv"])
            .await
            .expect(2);
    }
    desk.on_file(&["events", "--csv", "--wide"]).await.expect(2);
}

#[tokio::test]
async fn a_history_states_its_period_its_subject_and_the_reasons() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let no_more = "nothing was changed in the last 30 days; --since 90d";
    desk.on_file(&["history", &user])
        .await
        .expect(0)
        .says(no_more);
    desk.on_file(&["history", "--since", "2d"])
        .await
        .expect(0)
        .says("nothing was changed since 20");
    let group = desk.pushed_group("Engineers", &user);
    let adopting = desk.pushed_group("Operators", &user);
    desk.anypoint.world().add_team("operators", None).unwrap();
    desk.on_file(&["push", &group, &adopting, &user])
        .await
        .expect(0);
    desk.on_file(&["history", &user])
        .await
        .expect(0)
        .says(" \"lin_example\"")
        .says("the last 30 days; --since 90d");
    desk.okta.world().remove_member(&group, &user).unwrap();
    desk.on_file(&["push", &group]).await.expect(0);
    desk.on_file(&["history", &group])
        .await
        .expect(0)
        .says(" 1 person\n");
    let told = desk.on_file(&["history", "--json"]).await.expect(0).json();
    assert!(told["since_ms"].is_i64());
    let entries = told["entries"].as_array().unwrap();
    let mut seen = Vec::new();
    for entry in entries {
        let action = entry["action"].as_str().unwrap();
        assert!(entry["why"].is_string(), "{action} has no reason");
        seen.push(action);
    }
    for action in ["create_team", "adopt_team", "rename_team"] {
        assert!(seen.contains(&action), "{seen:?}");
    }
}

/// An unreadable link hides only its own name, because lists need no names.
#[tokio::test]
async fn an_unreadable_link_hides_only_its_own_name() {
    let desk = Desk::new().await;
    let (lin, kim) = (
        desk.assigned("lin", "lin_example"),
        desk.assigned("kim", "kim_example"),
    );
    desk.on_file(&["push", &lin, &kim]).await.expect(0);
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let broken = "UPDATE user_links SET origin = 'nonsense' WHERE okta_user = ?1";
    assert_eq!(file.execute(broken, [&lin]).unwrap(), 1);
    drop(file);
    let told = desk.on_file(&["events", "--wide"]).await.expect(0);
    let told = told.says(&lin).says(&kim).says("kim_example");
    assert!(!told.out.contains("lin_example"), "{}", told.out);
    let told = desk.on_file(&["events", "--csv"]).await.expect(0);
    told.says("kim_example");
}

/// No message brings the change of a command that was killed again.
#[tokio::test]
async fn a_change_that_was_cut_off_is_found_by_the_doctor_and_can_be_dismissed() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin_example");
    let pushed = desk.on_file(&["push", &user, "--json"]).await.expect(0);
    let pushed = pushed.json();
    let uuid = pushed["results"][0]["uuid"].as_str().unwrap();
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let minutes = |minutes: i64| {
        let sql = "UPDATE events SET status = 'in_progress', applied = NULL, \
                   lease_until_ms = (unixepoch() + ?1 * 60) * 1000";
        file.execute(sql, [minutes]).unwrap();
    };
    let found = "changes that were cut off";
    for (since, is_found, dismissed) in [(1, false, 1), (-59, false, 0), (-61, true, 0)] {
        minutes(since);
        let told = desk.on_file(&["doctor"]).await;
        assert_eq!(told.out.contains(found), is_found, "{since}: {}", told.out);
        desk.on_file(&["dismiss", uuid]).await.expect(dismissed);
        let told = desk.on_file(&["doctor"]).await;
        assert!(!told.out.contains(found), "{since}: {}", told.out);
    }
}

#[tokio::test]
async fn unknown_events_cannot_be_dismissed_or_replayed() {
    let desk = Desk::new().await;
    let none = "no event nowhere is recorded";
    for command in ["dismiss", "replay"] {
        desk.on_file(&[command, "nowhere"])
            .await
            .expect(2)
            .says(none);
        let ran = desk
            .on_file(&[command, "nowhere", "--json"])
            .await
            .expect(2);
        assert!(ran.json()["error"].as_str().unwrap().contains(none));
    }
    let user = desk.assigned("lin", "lin_example");
    let pushed = desk
        .on_file(&["push", &user, "--json"])
        .await
        .expect(0)
        .json();
    let uuid = pushed["results"][0]["uuid"].as_str().unwrap();
    let ran = desk
        .on_file(&["dismiss", uuid, uuid, "--json"])
        .await
        .expect(1)
        .json();
    let error = ran["error"].as_str().unwrap();
    assert_eq!(error, format!("{uuid} has not failed and is not held"));

    desk.on_file(&["events", "--failed"])
        .await
        .expect(0)
        .says("no event has failed");
    desk.on_file(&["events", "--failed", "--since", "1h"])
        .await
        .expect(0)
        .says("no such event has failed");
    let failed = ["replay", "--failed"];
    desk.on_file(&failed)
        .await
        .expect(0)
        .says("no event has failed");
    desk.on_file(&[&failed[..], &["--cause", "team_name_taken"]].concat())
        .await
        .expect(0)
        .says("no failed event has the cause team_name_taken");
    desk.on_file(&[&failed[..], &["--cause", "team_name_takn"]].concat())
        .await
        .expect(2)
        .says("not_the_services_404");
}

#[tokio::test]
async fn usage_names_every_alternative() {
    let nothing = Default::default();
    let ways = [
        ("approve", "<USER_OR_GROUP|--count <N>|--all|--end>"),
        ("replay", "<UUID|--failed>"),
    ];
    for (command, ways) in ways {
        run(&nothing, &[command]).await.expect(2).says(ways);
    }
    let desk = Desk::new().await;
    let folder = desk.data.parent().unwrap().to_str().unwrap();
    desk.run(&["events", "--data", folder])
        .await
        .expect(2)
        .says("is a folder");
}

/// A plan is not an event, so there is nothing to replay.
#[tokio::test]
async fn a_plan_does_not_advise_a_replay() {
    let desk = Desk::new().await;
    let user = desk.assigned("lin", "lin@acme.example");
    let kim = desk.assigned("kim", "kim_example");
    desk.on_file(&["push", &kim]).await.expect(0);
    for command in [&["explain", &user][..], &["plan"]] {
        let ran = desk.on_file(command).await.expect(1);
        let ran = ran
            .says("Okta: the app username has characters")
            .says("USERNAME_POLICY=sanitize");
        assert!(!ran.out.contains("replay"), "{}", ran.out);
    }
    desk.on_file(&["push", &user])
        .await
        .expect(1)
        .says("USERNAME_POLICY=sanitize. Then replay the event.");

    desk.okta.world().suspend(&kim).unwrap();
    let planned = desk.on_file(&["plan"]).await.expect(1);
    let row = planned
        .out
        .lines()
        .find(|line| line.contains(&kim))
        .unwrap();
    assert!(
        row.contains("  disable account  ") && !row.contains("disabled"),
        "{row}"
    );
    desk.on_file(&["explain", &kim])
        .await
        .expect(0)
        .says("  disable account ");
}
