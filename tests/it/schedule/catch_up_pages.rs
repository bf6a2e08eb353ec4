//! Pages of the System Log that are empty, repeated, unreadable or too large: no event is missed.

use std::sync::atomic::Ordering;

use okta_anypoint::clock::Clock;
use okta_anypoint::failure::Cause;
use okta_anypoint::schedule::{RunOutcome, Task};
use okta_anypoint::simulator::fault::FaultKind;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::{Value, json};

use super::Stage;
use super::catch_up::{HOUR_MS, cursor, newest_ms, publish_at};

/// The number of reads of the System Log.
fn reads(stage: &Stage) -> usize {
    stage.okta.traffic().count(&http::Method::GET, "/logs")
}

/// The first page is empty, or the second one, and Okta has more.
#[tokio::test]
async fn one_empty_page_loses_no_event() {
    for before in [0, 1] {
        let mut stage = Stage::with_pages(Some(1)).await;
        let recorder = stage.record();
        // Five hours ago a run read everything.
        stage.clock.0.fetch_sub(5 * HOUR_MS, Ordering::SeqCst);
        let ann = stage.assigned("ann");
        publish_at(&stage, 0, -6 * HOUR_MS);
        stage.run(Task::CatchUp).await;
        assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
        stage.clock.0.fetch_add(5 * HOUR_MS, Ordering::SeqCst);

        let from = stage.okta.world().log.len();
        let ben = stage.assigned("ben");
        publish_at(&stage, from, -2 * HOUR_MS);
        stage
            .okta
            .traffic()
            .inject(Fault::empty_list("/logs").skipping(before).once());
        let summary = stage.run(Task::CatchUp).await;
        assert_eq!(summary.outcome, RunOutcome::Completed);
        assert!(!recorder.subjects().contains(&format!("user#{ben}")));

        stage.run(Task::CatchUp).await;
        let found = recorder.subjects();
        assert!(
            found.contains(&format!("user#{ben}")),
            "{before}: {found:?}"
        );
    }
}

/// Two empty pages confirm each other only at the same place.
#[tokio::test]
async fn empty_pages_at_different_places_lose_no_event() {
    let mut stage = Stage::with_pages(Some(1)).await;
    let recorder = stage.record();
    stage.clock.0.fetch_sub(5 * HOUR_MS, Ordering::SeqCst);
    stage.assigned("ann");
    publish_at(&stage, 0, -6 * HOUR_MS);
    stage.run(Task::CatchUp).await;
    let of_ann = u32::try_from(reads(&stage) - 1).unwrap();
    stage.clock.0.fetch_add(5 * HOUR_MS, Ordering::SeqCst);
    let mut people = Vec::new();
    for (name, hours) in [("ben", 3), ("cid", 2)] {
        let from = stage.okta.world().log.len();
        people.push(format!("user#{}", stage.assigned(name)));
        publish_at(&stage, from, -hours * HOUR_MS);
    }
    recorder.take();
    for read_before in [0, of_ann + 1] {
        let fault = Fault::empty_list("/logs").skipping(read_before).once();
        stage.okta.traffic().inject(fault);
        stage.run(Task::CatchUp).await;
        assert!(!recorder.subjects().contains(&people[1]), "{read_before}");
    }
    assert!(newest_ms(&stage).await < stage.clock.now_ms() - 2 * HOUR_MS);
    stage.run(Task::CatchUp).await;
    assert!(recorder.subjects().contains(&people[1]));
}

/// An answer with this event and a link to the page `after`.
fn page(stage: &Stage, event: &Value, after: &str) -> Fault {
    let next = format!("{}/api/v1/logs?after={after}", stage.okta.base_url());
    let link = ("link".to_owned(), format!("<{next}>; rel=\"next\""));
    let kind = FaultKind::Status {
        code: 200,
        headers: vec![link],
        body: json!([event]).to_string(),
    };
    Fault::new("/logs", kind).once()
}

/// Repeated pages, repeated links, or both.
#[tokio::test]
async fn a_repeated_page_or_link_ends_the_run_and_the_pass() {
    for (pages, links, reads_at_most) in [(2, 2, 3), (20, 2, 3), (1, 20, 2)] {
        let mut stage = Stage::new().await;
        let recorder = stage.record();
        let ann = stage.assigned("ann");
        // Older than the run, so it reads to the end.
        publish_at(&stage, 0, -60_000);
        let event = stage.okta.world().log.last().unwrap().to_json();
        for n in 0..20 {
            let mut event = event.clone();
            event["uuid"] = json!(format!("0000-{}", n % pages));
            let next = format!("page-{}", n % links);
            stage.okta.traffic().inject(page(&stage, &event, &next));
        }
        let failure = stage.try_run(Task::CatchUp, None).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Unreadable, "{failure}");
        assert!(failure.is_retryable());
        assert_eq!(reads(&stage), reads_at_most, "{pages} {links}");
        let stored = cursor(&stage).await.unwrap();
        assert_eq!(stored["next"], Value::Null, "{stored}");

        // The next run begins a new pass.
        recorder.take();
        stage.okta.traffic().remove_all_faults();
        stage.run(Task::CatchUp).await;
        assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
        assert_eq!(stage.okta.traffic().unexpected(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn log_entries_without_a_readable_id_are_reported() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let ann = stage.assigned("ann");
    publish_at(&stage, 0, -60_000);
    let good = stage.okta.world().log.last().unwrap().to_json();
    let with = |uuid: Value| {
        let mut event = good.clone();
        event["uuid"] = uuid;
        event
    };
    let mut no_user = with(json!("0000-no-user"));
    let targets = no_user["target"].as_array_mut().unwrap();
    targets.retain(|target| target["type"] == "AppInstance");
    let entries = json!([null, {"x": 1}, with(json!(5)), with(json!("a b")), no_user, good]);
    let whole = Fault::status("/logs", 200, &entries.to_string());
    stage.okta.traffic().inject(whole);
    let summary = stage.try_run(Task::CatchUp, None).await.unwrap();
    let problems: Vec<String> = summary
        .problems
        .iter()
        .map(|problem| format!("{problem:?}"))
        .collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("0000-no-user"), "{problems:?}");
    assert!(problems[1].contains("4 event(s)"), "{problems:?}");
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
}

#[tokio::test]
async fn a_log_that_fails_with_large_pages_is_read_in_small_ones() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let ann = stage.assigned("ann");
    let fault = Fault::new("/logs", FaultKind::PagesAbove(100));
    stage.okta.traffic().inject(fault);
    let summary = stage.run(Task::CatchUp).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
}
