//! Catch-up reads the System Log to its end, misses no event, and applies none twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Cause;
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
use okta_anypoint::simulator::fault::FaultKind;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::{Value, json};

use super::{APP, Stage};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR_MS: i64 = 60 * 60 * 1000;

async fn set_cursor(stage: &Stage, cursor: &Value) {
    let documents = &stage.table.documents;
    let found = documents.document("cursor#catch_up").await.unwrap();
    let version = found.map_or(0, |found| found.version);
    documents
        .put_document("cursor#catch_up", &cursor.to_string(), version)
        .await
        .unwrap();
}

async fn newest_ms(stage: &Stage) -> i64 {
    cursor(stage).await.unwrap()["newest_ms"].as_i64().unwrap()
}

/// The number of reads of the System Log.
fn reads(stage: &Stage) -> usize {
    stage.okta.traffic().count(&http::Method::GET, "/logs")
}

/// Moves the entries after the first `from` by this much.
fn publish_at(stage: &Stage, from: usize, by_ms: i64) {
    for event in &mut stage.okta.world().log[from..] {
        event.published_ms += by_ms;
    }
}

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
async fn undelivered_events_are_applied() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage.pushed_group("Devs", &[&ann]);
    let summary = stage.run(Task::CatchUp).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
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
async fn catch_up_sees_a_restored_assignment() {
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
async fn applied_events_are_not_applied_again() {
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

/// Somebody with the hook's secret can first send a real event's uuid with another subject.
#[tokio::test]
async fn a_forged_event_of_the_same_uuid_hides_no_event() {
    let stage = Stage::new().await;
    let (ben, ann) = (stage.user("ben"), stage.assigned("ann"));
    let uuids: Vec<String> = {
        let okta = stage.okta.world();
        okta.log.iter().map(|event| event.uuid.clone()).collect()
    };
    let forged = uuids.iter().map(|uuid| Change {
        uuid: uuid.parse().unwrap(),
        ..Change::found(format!("user#{ben}").parse().unwrap(), stage.clock.now_ms())
    });
    let forged: Vec<Change> = forged.collect();
    stage.inline().send(&forged).await.unwrap();
    stage.run(Task::CatchUp).await;
    assert!(stage.link(&ann).await.is_some() && stage.is_enabled("ann"));
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
async fn without_a_queue_an_open_event_is_kept_and_blocks_no_other() {
    let stage = Stage::new().await;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    // Ann is unreadable now, and ben is applied anyway.
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
