//! The schedule's binary beside the other two: its findings go through the same queue.

use okta_anypoint::simulator::traffic::Fault;
use serde_json::{Value, json};

use super::{APP, LONG, Scene};
use crate::runtime_api::{Failed, Lambda};

async fn run(schedule: &Lambda, event: Value) -> Value {
    schedule.invoke(event, LONG).await.unwrap()
}

fn enabled(scene: &Scene, username: &str) -> Vec<bool> {
    let world = scene.anypoint.world();
    let named = world
        .users
        .values()
        .filter(|user| user.username == username);
    named.map(|user| user.enabled).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_findings_of_the_tasks_go_through_the_queue() {
    let scene = Scene::new().await;
    let (schedule, worker) = (scene.schedule().await, scene.worker().await);
    let (user, lost) = scene.assigned("ann");

    // Okta never delivered it, but the System Log has it.
    let summary = run(&schedule, json!({"task": "catch_up"})).await;
    assert_eq!(summary["outcome"], "completed", "{summary}");
    scene.drain(&worker).await;
    assert_eq!(enabled(&scene, "ann"), [true]);
    assert!(scene.link(&user).await.is_some());
    assert_eq!(scene.record(&lost.uuid).await.attempts, 1);

    // Disabled by hand: a report says so and changes nothing. An apply repairs it.
    let account = scene.link(&user).await.unwrap().anypoint_id;
    scene.anypoint.world().disable(account.as_str()).unwrap();
    let summary = run(&schedule, json!({"task": "reconcile", "mode": "report"})).await;
    assert_eq!(summary["differences"].as_array().unwrap().len(), 1);
    assert_eq!(scene.depth().await, (0, 0));
    let summary = run(&schedule, json!({"task": "reconcile"})).await;
    assert_eq!(summary["counts"]["queued"], 1, "{summary}");
    scene.drain(&worker).await;
    assert_eq!(enabled(&scene, "ann"), [true]);
    let summary = run(&schedule, json!({"task": "reconcile"})).await;
    assert_eq!(summary["differences"], json!([]), "{summary}");

    let summary = run(&schedule, json!({"task": "import"})).await;
    assert_eq!(
        (&summary["outcome"], &summary["mode"]),
        (&json!("completed"), &json!("report"))
    );
    assert_eq!(scene.depth().await, (0, 0));
}

/// Nothing brings a change back, so the second look is a second read in the same run.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_queue_a_reconcile_takes_the_second_look_itself() {
    let scene = Scene::new().await;
    let limit = ("MAX_DEACTIVATIONS", "5".to_owned());
    let schedule = scene.inline_schedule(&[limit]).await;
    let (ann, _) = scene.assigned("ann");
    scene.assigned("bob");
    run(&schedule, json!({"task": "catch_up"})).await;
    assert_eq!(enabled(&scene, "ann"), [true]);
    // Okta's event is lost, and the app user is gone.
    scene.okta.world().unassign(APP, &ann).unwrap();
    let summary = run(&schedule, json!({"task": "reconcile"})).await;
    assert_eq!(summary["problems"], json!([]), "{summary}");
    assert_eq!(enabled(&scene, "ann"), [false]);
    assert_eq!(enabled(&scene, "bob"), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_is_an_error_of_the_function() {
    let scene = Scene::new().await;
    let (schedule, worker) = (scene.schedule().await, scene.worker().await);
    scene.assigned("ann");
    let unreadable = Fault::status("/teams", 403, "planted-body-text").times(u32::MAX);
    let fault = scene.anypoint.traffic().inject(unreadable);
    for (function, event, words, name) in [
        (
            &schedule,
            json!({"task": "reconcile"}),
            "Anypoint",
            "AnypointFailure",
        ),
        (
            &schedule,
            json!({"task": "tidy_up"}),
            "unknown task",
            "SettingsFailure",
        ),
        (&schedule, json!({}), "no task", "SettingsFailure"),
        (
            &worker,
            json!({}),
            "a batch of SQS messages",
            "ProgramFailure",
        ),
    ] {
        let failed = function.invoke(event.clone(), LONG).await.unwrap_err();
        let Failed::Function(error) = failed else {
            panic!("{event}: {failed:?}");
        };
        // The Lambda console shows this as the error's type.
        assert_eq!(error["errorType"], name, "{event}");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(message.contains(words), "{event}: {message}");
        assert!(!message.contains("planted"), "{message}");
    }
    for payload in [
        &b"hello"[..],
        b"",
        b"{",
        b"\"\xff\"",
        br#"{"task":"\ud800"}"#,
    ] {
        for function in [&schedule, &worker] {
            let failed = function.invoke_with(payload.to_vec(), LONG).await;
            let Err(Failed::Function(error)) = failed else {
                panic!("{payload:?}: {failed:?}");
            };
            assert_eq!(error["errorType"], "ProgramFailure", "{payload:?}");
            let message = error["errorMessage"].as_str().unwrap();
            assert!(message.contains("invoke it with"), "{payload:?}: {message}");
        }
    }
    assert_eq!(scene.depth().await, (0, 0));

    // The next run starts from the beginning.
    scene.anypoint.traffic().remove_fault(fault);
    run(&schedule, json!({"task": "reconcile"})).await;
    scene.drain(&worker).await;
    assert_eq!(enabled(&scene, "ann"), [true]);
}
