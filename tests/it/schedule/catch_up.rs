//! The System Log is read to its end, nothing is missed, nothing is done twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::schedule::{Mode, Outcome, Task};
use okta_anypoint::simulator::traffic::Fault;
use serde_json::{Value, json};

use super::{APP, Stage};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn cursor(stage: &Stage) -> Option<Value> {
    let found = stage
        .table
        .documents
        .document("cursor#catch_up")
        .await
        .unwrap()?;
    Some(serde_json::from_str(&found.json).unwrap())
}

#[tokio::test]
async fn what_no_delivery_brought_is_done() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage.pushed_group("Devs", &[&ann]);
    let summary = stage.run(Task::CatchUp).await;
    assert_eq!(summary.outcome, Outcome::Completed);
    assert_eq!(stage.members("Devs"), ["ann"]);

    // Types that no hook can deliver.
    stage
        .okta
        .world()
        .set_app_username(APP, &ann, "ann_lee")
        .unwrap();
    stage.run(Task::CatchUp).await;
    assert!(stage.is_enabled("ann_lee") && !stage.is_enabled("ann"));
}

#[tokio::test]
async fn a_restored_assignment_is_seen() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    {
        let mut world = stage.okta.world();
        world.apps.get_mut(APP).unwrap().stored_credentials = true;
        world.deactivate(&ann).unwrap();
    }
    stage.run(Task::CatchUp).await;
    let restored = {
        let mut world = stage.okta.world();
        world.activate(&ann).unwrap()
    };
    let types: Vec<&str> = restored.iter().map(|e| e.event_type.as_str()).collect();
    assert!(types.contains(&"application.user_membership.restore"));
    stage.run(Task::CatchUp).await;
    assert!(stage.is_enabled("ann"));
}

#[tokio::test]
async fn events_that_are_done_are_not_done_again() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    stage.run(Task::CatchUp).await;
    stage.forget_traffic();
    let again = stage.run(Task::CatchUp).await;
    assert!(again.count("queued") > 0, "the overlap is read again");
    assert_eq!(
        stage.okta.traffic().log().len(),
        stage.okta.traffic().count(&http::Method::GET, "/logs"),
        "nothing but the log is read at Okta"
    );
    assert!(stage.anypoint.traffic().log().is_empty());
}

#[tokio::test]
async fn the_first_run_looks_back_one_day_and_no_further() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let old = stage.assigned("old");
    {
        let day_ms = i64::try_from(DAY.as_millis()).unwrap();
        let mut world = stage.okta.world();
        for event in &mut world.log {
            event.published_ms -= day_ms + 60_000;
        }
    }
    let new = stage.assigned("new");
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{new}")]);
    let _ = old;
}

#[tokio::test]
async fn a_lost_or_unreadable_cursor_is_a_first_run() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let ann = stage.assigned("ann");
    stage
        .table
        .documents
        .put_document("cursor#catch_up", "{]", 0)
        .await
        .unwrap();
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
    let since = &stage.okta.traffic().log()[0].query[0];
    let since: jiff::Timestamp = since.1.parse().unwrap();
    let age_ms = stage.clock.now_ms() - since.as_millisecond();
    let day_ms = i64::try_from(DAY.as_millis()).unwrap();
    assert!((day_ms..day_ms + 60_000).contains(&age_ms), "{age_ms}");
}

#[tokio::test]
async fn a_stored_place_that_okta_or_another_org_does_not_know_begins_the_pass_again() {
    for next in [
        "http://elsewhere.example/api/v1/logs?after=1".to_owned(),
        "not a link".to_owned(),
        String::new(),
    ] {
        let mut stage = Stage::new().await;
        let recorder = stage.record();
        let ann = stage.assigned("ann");
        let next = match next.is_empty() {
            true => format!("{}/api/v1/logs?after=nonsense", stage.okta.base_url()),
            false => next,
        };
        let newest_ms = stage.clock.now_ms();
        let cursor = json!({"newest_ms": newest_ms, "next": next}).to_string();
        stage
            .table
            .documents
            .put_document("cursor#catch_up", &cursor, 0)
            .await
            .unwrap();
        stage.run(Task::CatchUp).await;
        assert_eq!(recorder.subjects(), [format!("user#{ann}")], "{next}");
        // Only its own server is asked, once, about a place that it does not know.
        let is_asked = next.starts_with(stage.okta.base_url());
        let refused = "GET /api/v1/logs: 400 E0000029: Invalid paging request.";
        let unexpected = if is_asked { &[refused][..] } else { &[] };
        assert_eq!(stage.take_unexpected(), unexpected);
    }
}

#[tokio::test]
async fn late_entries_are_within_the_overlap() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let (late, next) = {
        let mut world = stage.okta.world();
        world.hold_log();
        drop(world);
        let late = stage.assigned("late");
        let mut world = stage.okta.world();
        // Younger events become visible first.
        let held = std::mem::take(&mut world.held);
        world.release_log();
        drop(world);
        let next = stage.assigned("next");
        let mut world = stage.okta.world();
        for event in &mut world.log {
            event.published_ms += 200_000;
        }
        world.held = held;
        (late, next)
    };
    // The younger ones are four minutes ahead; the clocks follow.
    stage.clock.advance(Duration::from_secs(240));
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{next}")]);
    assert_eq!(
        cursor(&stage).await.unwrap()["next"],
        Value::Null,
        "the pass was finished"
    );
    stage.okta.world().release_log();
    stage.run(Task::CatchUp).await;
    assert!(recorder.subjects().contains(&format!("user#{late}")));
}

#[tokio::test]
async fn a_page_in_the_middle_that_fails_does_not_move_the_cursor_past_it() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let people: Vec<String> = ["ann", "ben", "cat", "dan"]
        .iter()
        .map(|name| format!("user#{}", stage.assigned(name)))
        .collect();
    // The events are older than the run, so that it reads to the end.
    stage.clock.advance(Duration::from_secs(60));
    let traffic = stage.okta.traffic();
    traffic.inject(Fault::status("/logs", 403, "{}").skipping(2).times(2));
    assert!(stage.try_run(Task::CatchUp, None).await.is_err());
    let first = recorder.take();
    assert_eq!(first.len(), 4, "two pages of two");
    assert!(cursor(&stage).await.unwrap()["next"].is_string());

    stage.run(Task::CatchUp).await;
    let rest = recorder.take();
    assert!(
        rest.iter().all(|c| first.iter().all(|f| f.uuid != c.uuid)),
        "it goes on where it stopped"
    );
    let mut seen: Vec<String> = first
        .iter()
        .chain(&rest)
        .map(|change| change.subject.to_string())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, people);
    assert_eq!(cursor(&stage).await.unwrap()["next"], Value::Null);
}

#[tokio::test]
async fn a_page_that_cannot_be_queued_does_not_move_the_cursor() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let ann = stage.assigned("ann");
    recorder.refuses.store(true, Ordering::SeqCst);
    let failure = stage.try_run(Task::CatchUp, None).await.unwrap_err();
    assert!(failure.is_retryable());
    assert_eq!(cursor(&stage).await, None);
    recorder.refuses.store(false, Ordering::SeqCst);
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
}

#[tokio::test]
async fn without_a_queue_an_open_event_is_kept_and_holds_up_nobody() {
    let stage = Stage::new().await;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    // Ann cannot be read now; ben is done all the same.
    stage.okta.traffic().inject(Fault::status(
        &format!("/users/{ann}/groups"),
        409,
        r#"{"errorCode":"E0000112"}"#,
    ));
    let scheduler = stage.scheduler();
    let result = scheduler
        .run(
            Task::CatchUp,
            None,
            Deadline::within(Duration::from_secs(60)),
        )
        .await;
    let summary = result.unwrap();
    assert!(summary.count("open") > 0, "{summary:?}");
    let kept = cursor(&stage).await.unwrap();
    let open = kept["open"].as_array().unwrap();
    assert!(
        open.iter()
            .all(|change| change["subject"] == format!("user#{ann}"))
    );
    assert!(stage.link(&ben).await.is_some());
    assert!(stage.link(&ann).await.is_none());
    stage.okta.traffic().remove_all_faults();
    stage.run(Task::CatchUp).await;
    assert!(stage.is_enabled("ann"));
}

#[tokio::test]
async fn a_long_log_is_continued_by_the_next_run() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let people: Vec<String> = (0..6)
        .map(|n| format!("user#{}", stage.assigned(&format!("user{n}"))))
        .collect();
    stage.clock.advance(Duration::from_secs(60));
    stage.okta.traffic().set_latency(Duration::from_millis(400));
    let mut outcomes = Vec::new();
    let mut sent = Vec::new();
    while outcomes.last() != Some(&Outcome::Completed) && outcomes.len() < 20 {
        // Two seconds to wrap up, eight that a page wants, and one to read.
        let time = Deadline::within(Duration::from_millis(10_800));
        let summary = stage.scheduler().run(Task::CatchUp, None, time).await;
        outcomes.push(summary.unwrap().outcome);
        sent.extend(recorder.take());
    }
    assert!(outcomes.len() > 2, "{outcomes:?}");
    let mut uuids: Vec<&str> = sent.iter().map(|change| change.uuid.as_str()).collect();
    let all = uuids.len();
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), all, "nothing was sent twice");
    let mut subjects: Vec<String> = sent.iter().map(|c| c.subject.to_string()).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects, people);
}

#[tokio::test]
async fn a_quiet_log_does_not_leave_the_cursor_behind() {
    let mut stage = Stage::new().await;
    stage.record();
    stage.run(Task::CatchUp).await;
    let lag_ms =
        stage.clock.now_ms() - cursor(&stage).await.unwrap()["newest_ms"].as_i64().unwrap();
    assert!((3_600_000..3_660_000).contains(&lag_ms), "{lag_ms}");
}

#[tokio::test]
async fn a_report_reads_and_moves_nothing() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    let report = stage
        .try_run(Task::CatchUp, Some(Mode::Report))
        .await
        .unwrap();
    assert!(report.count("would_queue") > 0);
    assert_eq!(cursor(&stage).await, None);
    assert!(stage.writes().is_empty());
}

#[tokio::test]
async fn events_of_other_apps_are_ignored() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    {
        let mut world = stage.okta.world();
        world.add_app("0oaOTHER", "Other");
        world.log.clear();
    }
    let ann = stage.user("ann");
    stage.okta.world().log.clear();
    stage.okta.world().assign("0oaOTHER", &ann).unwrap();
    let summary = stage.run(Task::CatchUp).await;
    assert_eq!((summary.count("events"), summary.count("ignored")), (1, 1));
    assert!(recorder.take().is_empty());
}
