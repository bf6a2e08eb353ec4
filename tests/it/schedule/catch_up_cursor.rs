//! Where a catch-up goes on: the stored cursor moves behind all that was read, and never past what was not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::schedule::{RunOutcome, Task};
use okta_anypoint::simulator::traffic::Fault;
use serde_json::{Value, json};

use super::Stage;
use super::catch_up::{DAY, HOUR_MS, cursor, newest_ms};

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
async fn an_unknown_stored_cursor_restarts_the_pass() {
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
        // The client asks only its own server, once, about an unknown cursor.
        let is_asked = next.starts_with(stage.okta.base_url());
        let refused = "GET /api/v1/logs: 400 E0000029: Invalid paging request.";
        let unexpected = if is_asked { &[refused][..] } else { &[] };
        assert_eq!(stage.take_unexpected(), unexpected);
    }
}

#[tokio::test]
async fn the_overlap_covers_late_entries() {
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
    // The younger ones are four minutes ahead. The clocks follow.
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
async fn the_cursor_does_not_pass_a_failed_page() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let people: Vec<String> = ["ann", "ben", "cat", "dan"]
        .iter()
        .map(|name| format!("user#{}", stage.assigned(name)))
        .collect();
    // The events are older than the run, so it reads to the end.
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
async fn the_cursor_does_not_pass_a_page_that_could_not_be_queued() {
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
async fn the_next_run_continues_a_long_log() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let people: Vec<String> = (0..6)
        .map(|n| format!("user#{}", stage.assigned(&format!("user{n}"))))
        .collect();
    stage.clock.advance(Duration::from_secs(60));
    stage.okta.traffic().set_latency(Duration::from_millis(400));
    let mut outcomes = Vec::new();
    let mut sent = Vec::new();
    while outcomes.last() != Some(&RunOutcome::Completed) && outcomes.len() < 20 {
        // Two seconds to finish, eight for a page, and one to read.
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
async fn the_cursor_follows_the_clock_through_a_quiet_log() {
    let mut stage = Stage::new().await;
    stage.record();
    // One empty page may be wrong.
    stage.run(Task::CatchUp).await;
    let lag_ms = stage.clock.now_ms() - newest_ms(&stage).await;
    assert!(lag_ms > 23 * HOUR_MS, "{lag_ms}");
    stage.run(Task::CatchUp).await;
    let lag_ms = stage.clock.now_ms() - newest_ms(&stage).await;
    assert!((HOUR_MS..HOUR_MS + 60_000).contains(&lag_ms), "{lag_ms}");
}
