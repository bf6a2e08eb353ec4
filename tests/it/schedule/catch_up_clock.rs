//! Catch-up with a clock that is, or was, ahead or behind: no event is missed.

use std::sync::atomic::Ordering;

use okta_anypoint::clock::Clock;
use okta_anypoint::schedule::Task;
use serde_json::{Value, json};

use super::Stage;
use super::catch_up::{DAY, HOUR_MS, newest_ms, publish_at};

async fn set_cursor(stage: &Stage, cursor: &Value) {
    let documents = &stage.table.documents;
    let found = documents.document("cursor#catch_up").await.unwrap();
    let version = found.map_or(0, |found| found.version);
    documents
        .put_document("cursor#catch_up", &cursor.to_string(), version)
        .await
        .unwrap();
}

/// A fast clock moved the cursor into the future. Now the clock is right.
#[tokio::test]
async fn a_cursor_in_the_future_counts_as_lost_and_keeps_open_changes() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let ben = stage.assigned("ben");
    stage.run(Task::CatchUp).await;
    let open = recorder.take().remove(0);
    stage.okta.world().log.clear();
    let ann = stage.assigned("ann");
    publish_at(&stage, 0, -20 * HOUR_MS);
    let next = format!("{}/api/v1/logs?after=nonsense", stage.okta.base_url());
    let ahead = stage.clock.now_ms() + 23 * HOUR_MS;
    let lost = json!({"newest_ms": ahead, "next": next, "quiet_ms": ahead, "open": [open]});
    set_cursor(&stage, &lost).await;
    stage.run(Task::CatchUp).await;
    let mut found = recorder.subjects();
    found.sort();
    let mut people = [format!("user#{ann}"), format!("user#{ben}")];
    people.sort();
    assert_eq!(found, people);
    assert!(newest_ms(&stage).await <= stage.clock.now_ms());
}

#[tokio::test]
async fn a_fast_clock_misses_no_event() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    let ann = stage.assigned("ann");
    stage.run(Task::CatchUp).await;
    let day_ms = i64::try_from(DAY.as_millis()).unwrap();
    stage.clock.0.fetch_add(day_ms, Ordering::SeqCst);
    for _ in 0..3 {
        stage.run(Task::CatchUp).await;
    }
    recorder.take();
    stage.okta.world().log.clear();
    stage.okta.world().suspend(&ann).unwrap();
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
    stage.clock.0.fetch_sub(day_ms, Ordering::SeqCst);
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), [format!("user#{ann}")]);
}

/// It has no cursor, so it has to know what day it is.
#[tokio::test]
async fn a_first_run_by_a_clock_that_is_ahead_reads_the_last_day() {
    for hours in [20, 24, 100] {
        let mut stage = Stage::new().await;
        let recorder = stage.record();
        let ann = stage.assigned("ann");
        publish_at(&stage, 0, -20 * HOUR_MS);
        stage.clock.0.fetch_add(hours * HOUR_MS, Ordering::SeqCst);
        stage.run(Task::CatchUp).await;
        assert_eq!(recorder.subjects(), [format!("user#{ann}")], "{hours}");
        // And it is not blind until the clock is right.
        let ben = stage.assigned("ben");
        stage.run(Task::CatchUp).await;
        assert!(
            recorder.subjects().contains(&format!("user#{ben}")),
            "{hours}"
        );
    }
}

/// By that clock every event is younger than the run.
#[tokio::test]
async fn a_clock_that_is_behind_holds_no_page_back() {
    let mut stage = Stage::with_pages(Some(2)).await;
    let recorder = stage.record();
    let people = |names: &[&str]| -> Vec<String> {
        let assigned = names.iter().map(|name| stage.assigned(name));
        assigned.map(|user| format!("user#{user}")).collect()
    };
    let first = people(&["ann", "ben", "cat", "dan"]);
    publish_at(&stage, 0, -60_000);
    stage.clock.0.fetch_sub(24 * HOUR_MS, Ordering::SeqCst);
    stage.run(Task::CatchUp).await;
    assert_eq!(recorder.subjects(), first);
    let from = stage.okta.world().log.len();
    let second = people(&["eve", "fay"]);
    publish_at(&stage, from, -30_000);
    stage.run(Task::CatchUp).await;
    let found = recorder.subjects();
    assert!(second.iter().all(|one| found.contains(one)), "{found:?}");
    stage.clock.0.fetch_add(24 * HOUR_MS, Ordering::SeqCst);
    let third = people(&["gus"]);
    stage.run(Task::CatchUp).await;
    assert!(recorder.subjects().contains(&third[0]));
}

#[tokio::test]
async fn a_log_entry_in_the_future_does_not_move_the_cursor_beyond_now() {
    let mut stage = Stage::new().await;
    let recorder = stage.record();
    stage.assigned("ann");
    publish_at(&stage, 0, 24 * HOUR_MS);
    stage.run(Task::CatchUp).await;
    assert!(newest_ms(&stage).await <= stage.clock.now_ms());
    recorder.take();
    let ben = stage.assigned("ben");
    stage.run(Task::CatchUp).await;
    assert!(recorder.subjects().contains(&format!("user#{ben}")));
}
