//! What waits for a person: failures by cause, and what the doctor says about them and the last runs.

use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use serde_json::{Value, json};

use super::doctor::{failed, with_good_hook};
use super::{APP, Desk};

/// Three users with refused names. Returns the uuids of their failures.
async fn with_failures(desk: &Desk) -> Vec<String> {
    let users = ["lin", "bob", "kim"].map(|name| desk.assigned(name, &format!("{name} x")));
    let mut push = vec!["push", "--json"];
    push.extend(users.iter().map(String::as_str));
    let pushed = desk.on_file(&push).await.expect(1).json();
    let results = pushed["results"].as_array().unwrap().clone();
    let uuid = |result: &Value| result["uuid"].as_str().unwrap().to_owned();
    results.iter().map(uuid).collect()
}

#[tokio::test]
async fn equal_failures_are_grouped_and_replayed_together() {
    let desk = Desk::new().await;
    let uuids = with_failures(&desk).await;
    let file = desk.data.display();
    let ran = desk.on_file(&["events", "--failed"]).await.expect(0);
    let ran = ran.says(&format!(
        "okta-anypoint replay --failed --cause username_invalid --data {file}"
    ));
    assert_eq!(ran.out.matches("What to do:").count(), 1, "{}", ran.out);
    for uuid in &uuids {
        assert!(ran.out.contains(uuid), "{}", ran.out);
    }
    for line in ran.out.lines().filter(|line| line.contains("user#")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    desk.on_file(&["events", "--failed", "--limit", "1"])
        .await
        .expect(0)
        .says("1 of 3: --limit 3 shows all");
    let wide = desk.on_file(&["events", "--failed", "--wide"]).await;
    assert_eq!(wide.out.matches("What to do:").count(), 3, "{}", wide.out);

    let told = desk.on_file(&["events", "--failed", "--json"]).await;
    let told = told.expect(0).json();
    assert_eq!(told["events"].as_array().unwrap().len(), 3);
    let groups = told["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["cause"], "username_invalid");
    assert_eq!(groups[0]["error_class"], "permanent");
    assert_eq!(groups[0]["count"], 3);
    assert_eq!(groups[0]["subjects"].as_array().unwrap().len(), 3);
    assert!(groups[0]["advice"].is_string());
    let all = desk.on_file(&["events", "--json"]).await.expect(0).json();
    assert_eq!(all.get("groups"), None);
}

#[tokio::test]
async fn events_are_written_as_comma_separated_values_with_names() {
    let desk = Desk::new().await;
    let user = desk.assigned("kay", "kay_example");
    desk.on_file(&["push", &user]).await.expect(0);
    with_failures(&desk).await;
    let ran = desk.on_file(&["events", "--output", "csv"]).await.expect(0);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!(rows.len(), 5, "{}", ran.out);
    assert!(rows[0].starts_with("changed,state,error_class,error_code,"));
    let named = format!(",user#{user},kay_example,");
    assert!(ran.out.contains(&named), "{}", ran.out);
    assert!(rows[1].contains(",failed,permanent,username_invalid,"));
    desk.on_file(&["events", "--output", "csv", "--json"])
        .await
        .expect(2);
    desk.on_file(&["events", "--wide"])
        .await
        .expect(0)
        .says("kay_example");
}

#[tokio::test]
async fn the_doctor_counts_open_failures_and_held_changes_without_a_write() {
    let mut desk = Desk::new().await;
    with_good_hook(&desk);
    let limit = ("MAX_REMOVALS_PER_HOUR".to_owned(), "0".to_owned());
    desk.environment.extend([limit]);
    desk.on_file(&["doctor"])
        .await
        .expect(0)
        .says("open failures: none")
        .says("held changes: none")
        .says("last reconcile: it has not run yet");

    let user = desk.assigned("ada", "ada_example");
    desk.on_file(&["push", &user]).await.expect(0);
    desk.okta.world().unassign(APP, &user).unwrap();
    desk.on_file(&["push", &user]).await.expect(1);
    let uuids = with_failures(&desk).await;
    desk.wrote();
    let before = std::fs::read(&desk.data).unwrap();
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
    let found = failed(&ran);
    let open = found["work/open failures"]["found"].as_str().unwrap();
    assert_eq!(open, "3 users and groups: username_invalid (3)");
    let held = found["work/held changes"]["found"].as_str().unwrap();
    assert_eq!(held, "the brake holds 1 user or group");
    assert!(!desk.wrote());
    assert_eq!(std::fs::read(&desk.data).unwrap(), before);

    // A settled failure is not open.
    let mut dismiss = vec!["dismiss"];
    dismiss.extend(uuids.iter().map(String::as_str));
    desk.on_file(&dismiss).await.expect(0);
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
    assert!(!failed(&ran).contains_key("work/open failures"));
}

#[tokio::test]
async fn the_doctor_checks_the_last_run_of_each_task() {
    let desk = Desk::new().await;
    with_good_hook(&desk);
    let user = desk.assigned("ada", "ada_example");
    desk.pushed_group("Engineers", &user);
    desk.on_file(&["reconcile", "--yes"]).await.expect(0);
    desk.on_file(&["doctor"])
        .await
        .expect(0)
        .says("last reconcile: ended ");
    let team = desk.team_id("Engineers");
    {
        let mut anypoint = desk.anypoint.world();
        let up = anypoint.add_team("Up", None).unwrap();
        anypoint.move_team(&team, &up).unwrap();
    }
    desk.on_file(&["reconcile", "--yes"]).await;
    desk.on_file(&["doctor"])
        .await
        .expect(0)
        .says("it left 1 problem to a person")
        .says(&format!("team {team}"));

    // Backdate the report, as if the schedule had not run for a while.
    let file = rusqlite::Connection::open(&desk.data).unwrap();
    let began = |task: &str, at: &str, outcome: &str| {
        let report = json!({
            "task": task, "mode": "apply", "outcome": outcome, "started_at": at, "took_ms": 1500,
            "message": "the limit", "counts": {}, "differences": [], "problems": [],
            "unmanaged_accounts": [], "unmanaged_teams": [],
        });
        let sql = "INSERT OR REPLACE INTO documents (name, json, version) VALUES (?1, ?2, 9)";
        let name = format!("report#{task}");
        file.execute(sql, (name, report.to_string())).unwrap();
    };
    began("catch_up", "2026-03-02T09:00:00Z", "completed");
    began("reconcile", "2026-03-02T09:00:00Z", "stopped");
    began("import", "2026-03-02T09:00:00Z", "completed");
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
    let found = failed(&ran);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["work/last catch-up", "work/last reconcile"]);
    let late = found["work/last catch-up"]["found"].as_str().unwrap();
    assert_eq!(late, "ended 2026-03-02T09:00:01Z; the next one is overdue");
    let stopped = found["work/last reconcile"]["found"].as_str().unwrap();
    assert_eq!(stopped, "stopped 2026-03-02T09:00:01Z: the limit");
    let fix = |ran: &super::Ran, check: &str| {
        let found = failed(ran);
        found[check]["fix"].as_str().unwrap().to_owned()
    };
    let option = format!("--data {}`", desk.data.display());
    let (late, stopped) = ("work/last catch-up", "work/last reconcile");
    let command = |name: &str| format!("run `okta-anypoint {name} {option}");
    assert!(fix(&ran, late).contains(&command("catch-up")));
    assert!(fix(&ran, stopped).contains(&command("reconcile")));
    // A task refuses to work while changes are paused.
    desk.on_file(&["pause"]).await.expect(0);
    let ran = desk.on_file(&["doctor", "--json"]).await.expect(1);
    for check in [late, stopped] {
        let fix = fix(&ran, check);
        assert!(fix.contains("when changes are resumed, run"), "{fix}");
    }
    // So also where a setting is missing.
    let doctor = ["doctor", "--json", "--data", desk.data.to_str().unwrap()];
    let ran = desk.run_with(&[("OKTA_APP_ID", "")], &doctor).await;
    let fix = fix(&ran, late);
    assert!(fix.contains("when changes are resumed, run"), "{fix}");
    desk.on_file(&["resume"]).await.expect(0);

    // A run that a pause or its time cut has left something to the next one.
    let now = rfc3339(SystemClock.now_ms());
    for (outcome, said) in [
        ("skipped", "because changes were paused"),
        ("continues", "because its time was up"),
    ] {
        began("reconcile", &now, outcome);
        let doctor = desk.on_file(&["doctor"]).await;
        doctor.says("before all was done").says(said);
    }

    // A report of the import names what an import could not do.
    let report = json!({
        "task": "import", "mode": "apply", "outcome": "completed", "took_ms": 1500,
        "started_at": "2026-03-02T09:00:00Z", "counts": {}, "differences": [],
        "problems": [{"subject": "user#00u1", "class": "permanent", "text": "not paired"}],
        "unmanaged_accounts": [], "unmanaged_teams": [],
    });
    let sql = "UPDATE documents SET json = ?1 WHERE name = 'report#import'";
    file.execute(sql, [report.to_string()]).unwrap();
    let doctor = desk.on_file(&["doctor"]).await.expect(1);
    doctor.says(&format!("okta-anypoint import --report {option}"));
    drop(user);
}
