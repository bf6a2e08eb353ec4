//! Catch-up applies every event of the System Log, and none twice.

use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
use okta_anypoint::simulator::traffic::Fault;
use serde_json::Value;

use super::{APP, Stage};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const HOUR_MS: i64 = 60 * 60 * 1000;

pub(super) async fn newest_ms(stage: &Stage) -> i64 {
    cursor(stage).await.unwrap()["newest_ms"].as_i64().unwrap()
}

/// Moves the entries after the first `from` by this much.
pub(super) fn publish_at(stage: &Stage, from: usize, by_ms: i64) {
    for event in &mut stage.okta.world().log[from..] {
        event.published_ms += by_ms;
    }
}

pub(super) async fn cursor(stage: &Stage) -> Option<Value> {
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
    // The next runs read the same entries of the log again, and keep each once.
    for _ in 0..2 {
        stage.run(Task::CatchUp).await;
        let again = cursor(&stage).await.unwrap();
        assert_eq!(again["open"].as_array().unwrap().len(), open.len());
    }
    stage.okta.traffic().remove_all_faults();
    stage.run(Task::CatchUp).await;
    assert!(stage.is_enabled("ann"));
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
