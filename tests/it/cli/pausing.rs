//! Both pauses, by the setting and by the command: each command says which pause is on and how to end it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Desk, Ran};
use crate::tenant::eventually;

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

/// Nothing is tried for those whose turn comes after the pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_paused_on_its_way_says_so() {
    let desk = Desk::new().await;
    // More than a command works on at once.
    let people: Vec<String> = (0..20)
        .map(|n| desk.assigned(&format!("person{n}"), &format!("person_{n}")))
        .collect();
    desk.anypoint
        .traffic()
        .set_latency(Duration::from_millis(300));
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let push = [&["push", "--json"][..], &names].concat();
    let pausing = async {
        let has_begun = || !desk.anypoint.world().users.is_empty();
        eventually("the push has begun", has_begun).await;
        desk.on_file(&["pause"]).await.expect(0);
    };
    let (pushed, ()) = tokio::join!(desk.on_file(&push), pausing);
    let pushed = pushed.expect(1).json();
    let results = pushed["results"].as_array().unwrap();
    let (done, open): (Vec<&Value>, Vec<&Value>) = results
        .iter()
        .partition(|result| result["status"] == "done");
    assert!(!done.is_empty() && !open.is_empty(), "{results:?}");
    let resume = format!("okta-anypoint resume --data {}", desk.data.display());
    for result in open {
        assert_eq!(result["status"], Value::Null);
        let error = result["error"].as_str().unwrap();
        assert!(error.contains("changes are paused"), "{error}");
        assert!(error.contains("nothing was tried"), "{error}");
        assert!(error.contains(&resume), "{error}");
    }
}
