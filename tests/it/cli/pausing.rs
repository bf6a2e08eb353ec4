//! Both pauses, by the setting and by the command: each command says which pause is on and how to end it.

use serde_json::{Value, json};

use super::{Desk, Ran};

/// A command on the file with `CHANGES=pause` in the environment.
async fn under_pause(desk: &Desk, arguments: &[&str]) -> Ran {
    let file = desk.data.to_str().unwrap();
    let arguments = [arguments, &["--data", file]].concat();
    desk.run_with(&[("CHANGES", "pause")], &arguments).await
}

#[tokio::test]
async fn every_command_names_a_pause_by_the_setting() {
    let desk = Desk::new().await;
    desk.assigned("lin", "lin_example");
    let status = under_pause(&desk, &["status", "--json"]).await;
    let status = status.expect(0).json();
    assert_eq!(
        (
            &status["paused"],
            &status["changes"],
            &status["paused_since"]
        ),
        (&json!(true), &json!("pause"), &Value::Null)
    );
    let status = under_pause(&desk, &["status"]).await.expect(0);
    assert!(!status.out.contains("are applied"), "{}", status.out);
    status
        .says("changes: paused by CHANGES=pause")
        .says("Set CHANGES=apply");
    under_pause(&desk, &["resume"])
        .await
        .expect(1)
        .says("CHANGES=pause still pauses changes")
        .says("Set CHANGES=apply");
    let resumed = under_pause(&desk, &["resume", "--json"]).await;
    assert_eq!(resumed.expect(1).json()["paused"], true);
    under_pause(&desk, &["doctor"])
        .await
        .expect(1)
        .says("FAILED   changes: paused by CHANGES=pause")
        .says("Set CHANGES=apply");
    for task in ["reconcile", "catch-up", "import"] {
        under_pause(&desk, &[task])
            .await
            .expect(1)
            .says("changes are paused (CHANGES=pause)")
            .says("set CHANGES=apply");
    }
    // Commands that only read still work.
    for command in [&["plan"][..], &["import", "--report"]] {
        let ran = under_pause(&desk, command).await;
        assert!(!ran.err.contains("paused"), "{}", ran.err);
    }
    assert!(!desk.wrote());
}

#[tokio::test]
async fn every_command_says_how_to_end_a_pause_by_the_command() {
    let desk = Desk::new().await;
    desk.on_file(&["pause"]).await.expect(0);
    let resume = format!("okta-anypoint resume --data {}", desk.data.display());
    desk.on_file(&["status"])
        .await
        .expect(0)
        .says("paused since")
        .says(&resume);
    desk.on_file(&["doctor"])
        .await
        .expect(1)
        .says("FAILED   changes: paused since")
        .says(&resume);
    for task in ["reconcile", "catch-up", "import"] {
        desk.on_file(&[task])
            .await
            .expect(1)
            .says("changes are paused")
            .says(&resume);
    }
    // Both at once: ending one of them is not enough.
    let refused = under_pause(&desk, &["catch-up"]).await.expect(1);
    refused.says("set CHANGES=apply and run").says(&resume);
    under_pause(&desk, &["status"])
        .await
        .expect(0)
        .says("paused since")
        .says("changes: paused by CHANGES=pause");
    // The text does not mention the brake, because nobody could use it.
    let approve = ["approve", "--all", "--for", "1h"];
    let refused = desk.on_file(&approve).await.expect(1);
    assert!(!refused.out.contains("brake is off"), "{}", refused.out);

    let resumed = desk.on_file(&["resume", "--json"]).await.expect(0).json();
    assert_eq!(resumed["paused"], false);
    desk.on_file(&["status"])
        .await
        .expect(0)
        .says("changes: are applied")
        .says("0 changes are queued");
    let held = desk.on_file(&["held", "--json"]).await.expect(0).json();
    assert_eq!(held["brake_off_until"], Value::Null);
}
