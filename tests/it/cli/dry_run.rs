//! Commands show a dry run (`CHANGES=report`) as one, and say what waits for the first reconcile that applies.

use serde_json::{Value, json};

use super::Desk;

/// Two people in a dry run: one needs changes, the other does not.
async fn planned() -> (Desk, String, String) {
    let desk = Desk::new().await;
    let new = desk.assigned("lin", "lin_example");
    let nobody = desk.user("kim");
    on(&desk, "report", &["push", &new, &nobody])
        .await
        .expect(0);
    assert!(!desk.wrote());
    (desk, new, nobody)
}

/// A command on the file under another `CHANGES`.
async fn on(desk: &Desk, changes: &str, arguments: &[&str]) -> super::Ran {
    let file = desk.data.to_str().unwrap();
    let arguments = [arguments, &["--data", file]].concat();
    desk.run_with(&[("CHANGES", changes)], &arguments).await
}

#[tokio::test]
async fn events_label_dry_runs_and_show_their_plans() {
    let (desk, new, nobody) = planned().await;
    let steps = "create_account, mail_reset, link";
    let listed = desk.on_file(&["events"]).await.expect(0);
    let rows = listed.out.lines().filter(|line| line.contains("dry run"));
    assert_eq!(rows.count(), 2, "{}", listed.out);
    assert!(!listed.out.contains(" done "), "{}", listed.out);
    listed
        .says(&format!("  user#{new} would do: {steps}"))
        .says(&format!("  user#{nobody} would do: nothing"));
    desk.on_file(&["events", "--wide"])
        .await
        .expect(0)
        .says("dry run")
        .says(&format!("would do: {steps}"));

    let csv = desk.on_file(&["events", "--output", "csv"]).await.expect(0);
    let rows: Vec<&str> = csv.out.lines().collect();
    assert!(rows[0].ends_with(",error,dry_run,planned"), "{}", rows[0]);
    assert!(
        csv.out.contains(",true,create_account mail_reset link\n"),
        "{}",
        csv.out
    );

    // The filters keep done records and dry runs apart.
    desk.on_file(&["push", &new]).await.expect(0);
    for (state, subjects) in [("done", vec![&new]), ("dry_run", vec![&new, &nobody])] {
        let told = desk.on_file(&["events", "--status", state, "--json"]).await;
        let told = told.expect(0).json();
        let found = told["events"].as_array().unwrap();
        let mut found: Vec<&str> = found
            .iter()
            .map(|event| event["subject"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        let mut wanted: Vec<String> = subjects.iter().map(|id| format!("user#{id}")).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{state}");
    }
    let csv = desk.on_file(&["events", "--status", "done", "--output", "csv"]);
    assert!(csv.await.expect(0).out.trim_end().ends_with(",,"));
}

#[tokio::test]
async fn dry_runs_are_counted_until_a_reconcile_applies_them() {
    let (desk, new, nobody) = planned().await;
    let both: Vec<String> = {
        let mut both = [&new, &nobody].map(|id| format!("user#{id}"));
        both.sort();
        both.into()
    };
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["planned_only"], json!(both));
    assert_eq!(
        (&status["changes"], &status["paused"]),
        (&json!("apply"), &json!(false))
    );
    desk.on_file(&["status"])
        .await
        .expect(0)
        .says("dry runs: 2 users and groups planned only")
        .says("okta-anypoint reconcile --data");
    desk.on_file(&["doctor"])
        .await
        .expect(1)
        .says("FAILED   dry runs: 2 users and groups planned only")
        .says("Run `okta-anypoint reconcile --data");
    // During the dry run itself that is no problem.
    let doctor = on(&desk, "report", &["doctor"]).await;
    assert!(!doctor.out.contains("FAILED   dry runs"), "{}", doctor.out);
    doctor
        .says("ok       changes: a dry run (CHANGES=report)")
        .says("ok       dry runs: 2 users and groups planned;");
    on(&desk, "report", &["status"])
        .await
        .expect(0)
        .says("changes: a dry run (CHANGES=report)");

    // An applied plan no longer waits.
    desk.on_file(&["push", &new]).await.expect(0);
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["planned_only"], json!([format!("user#{nobody}")]));
    desk.on_file(&["status"])
        .await
        .expect(0)
        .says("dry runs: 1 user or group planned only");

    // A reconcile in report mode applies no plan, and says so.
    let reported = on(&desk, "report", &["reconcile"]).await.expect(0);
    reported.says("nothing to do");
    let doctor = desk.on_file(&["doctor"]).await.expect(1);
    doctor.says("and only reported");
    desk.on_file(&["reconcile"]).await.expect(0);
    let status = desk.on_file(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["planned_only"], json!([]));
    let doctor = desk.on_file(&["doctor"]).await;
    assert!(!doctor.out.contains("dry runs"), "{}", doctor.out);
    doctor.says("ok       changes: are applied");
    assert_eq!(status["brake_off_until"], Value::Null);
}
