//! `okta-anypoint pause` while a run is at work: the run begins nothing more, and the next one does the rest.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock as _, SystemClock};
use okta_anypoint::provision::pause_changes;
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{RunOutcome, Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::worker::{InlineQueue, Pace, Worker};
use rstest::rstest;

use super::{Stage, long};
use crate::tenant::eventually;

/// The people of a test: several times as many as a run works on at once.
const PEOPLE: usize = 40;

/// The queue of a command on `serve`'s file.
fn by_hand(stage: &Stage) -> Arc<dyn Queue> {
    let worker = Worker::new(stage.ports(), None, stage.metrics.clone(), Pace::BY_HAND);
    Arc::new(InlineQueue::new(Arc::new(worker), Duration::from_secs(300)))
}

/// Runs a task, and pauses changes as soon as `has_begun`.
async fn pause_while_running(stage: &Stage, task: Task, has_begun: impl Fn() -> bool) -> Summary {
    let scheduler = stage.scheduler_on(by_hand(stage));
    let pausing = async {
        eventually("the run has begun", has_begun).await;
        let since = Some(SystemClock.now_ms());
        pause_changes(&*stage.table.documents, since).await.unwrap();
    };
    let (summary, ()) = tokio::join!(scheduler.run(task, None, long()), pausing);
    let summary = summary.unwrap();
    assert_eq!(summary.outcome, RunOutcome::Skipped, "{summary:?}");
    let message = summary.message.as_deref().unwrap();
    assert!(message.contains("changes are paused (okta-anypoint pause)"));
    assert_eq!(summary.problems, [], "a pause is nobody's problem");
    summary
}

/// Nothing is lost: after `resume` the next run does the rest.
async fn resume(stage: &Stage, task: Task) {
    let resumed = pause_changes(&*stage.table.documents, None);
    resumed.await.unwrap();
    let scheduler = stage.scheduler_on(by_hand(stage));
    let summary = scheduler.run(task, None, long()).await.unwrap();
    assert_eq!(summary.outcome, RunOutcome::Completed);
}

#[rstest]
#[case(Task::Reconcile)]
#[case(Task::CatchUp)]
#[tokio::test]
async fn a_pause_lets_inline_work_begin_no_further_subject(#[case] task: Task) {
    let stage = Stage::new().await;
    for n in 0..PEOPLE {
        stage.assigned(&format!("person{n}"));
    }
    let accounts = || stage.anypoint.world().users.len();
    pause_while_running(&stage, task, || accounts() > 0).await;
    // Each of those at work may end, and the pause is read a little later.
    assert!((1..PEOPLE / 2).contains(&accounts()), "{}", accounts());
    resume(&stage, task).await;
    assert_eq!(accounts(), PEOPLE);
}

#[tokio::test]
async fn a_pause_lets_an_import_begin_no_further_account() {
    let mut stage = Stage::new().await;
    stage.import_mode(ImportMode::Create);
    for n in 0..PEOPLE {
        stage.native(&format!("person{n}"));
    }
    let people = || stage.okta.world().users.len();
    let summary = pause_while_running(&stage, Task::Import, || people() > 0).await;
    assert!((1..PEOPLE / 2).contains(&people()), "{}", people());
    assert_eq!(
        summary.count("linked"),
        people(),
        "what was begun is finished"
    );
    resume(&stage, Task::Import).await;
    assert_eq!(people(), PEOPLE);
}
