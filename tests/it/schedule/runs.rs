//! One run of a task at a time, its report, its time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use okta_anypoint::deadline::{Deadline, MAX_LEASE};
use okta_anypoint::ledger::Leased;
use okta_anypoint::schedule::{Mode, RunOutcome, Summary, Task};
use okta_anypoint::simulator::traffic::Fault;

use super::{Stage, long};

#[tokio::test]
async fn two_runs_of_one_task_do_not_overlap() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    stage.okta.traffic().set_latency(Duration::from_millis(50));
    let scheduler = stage.scheduler();
    let (first, second) = tokio::join!(
        scheduler.run(Task::Reconcile, None, long()),
        scheduler.run(Task::Reconcile, None, long()),
    );
    let outcomes = [first.unwrap().outcome, second.unwrap().outcome];
    assert!(outcomes.contains(&RunOutcome::Completed) && outcomes.contains(&RunOutcome::Skipped));
    let created = stage.anypoint.traffic().count(&http::Method::GET, "/teams");
    assert!(created > 0);
    // The first run gave its lease back, so the next run is not skipped.
    stage.finds_nothing().await;
}

#[tokio::test]
async fn runs_of_different_tasks_do_not_wait_for_each_other() {
    let stage = Stage::new().await;
    let (one, other) = tokio::join!(
        stage.try_run(Task::Reconcile, None),
        stage.try_run(Task::CatchUp, None)
    );
    assert_eq!(one.unwrap().outcome, RunOutcome::Completed);
    assert_eq!(other.unwrap().outcome, RunOutcome::Completed);
}

#[tokio::test]
async fn the_expired_lease_of_a_dead_run_is_taken_over() {
    let stage = Stage::new().await;
    let dead = stage
        .table
        .ledger
        .lease("task#reconcile", Duration::from_secs(60));
    assert!(matches!(dead.await.unwrap(), Leased::Ours(_)));
    assert_eq!(
        stage.run(Task::Reconcile).await.outcome,
        RunOutcome::Skipped
    );
    assert!(stage.okta.traffic().log().is_empty());
    stage.clock.advance(Duration::from_secs(61));
    assert_eq!(
        stage.run(Task::Reconcile).await.outcome,
        RunOutcome::Completed
    );
}

/// A run died, and the clock was set back by a day. The next run waits for one lease, not for a day.
#[tokio::test]
async fn a_clock_set_back_lets_no_dead_lease_hold_a_task() {
    for task in [Task::CatchUp, Task::Reconcile] {
        let stage = Stage::new().await;
        stage.clock.advance(Duration::from_secs(24 * 60 * 60));
        let subject = format!("task#{}", task.as_str());
        let dead = stage.table.ledger.lease(&subject, MAX_LEASE);
        assert!(matches!(dead.await.unwrap(), Leased::Ours(_)));
        stage.clock.set_back(Duration::from_secs(24 * 60 * 60));
        assert_eq!(stage.run(task).await.outcome, RunOutcome::Skipped);
        stage.clock.advance(MAX_LEASE + Duration::from_secs(1));
        assert_eq!(stage.run(task).await.outcome, RunOutcome::Completed);
    }
}

#[tokio::test]
async fn a_failed_run_gives_its_lease_back_and_leaves_a_report() {
    let stage = Stage::new().await;
    stage
        .okta
        .traffic()
        .inject(Fault::status("/apps/", 403, "{}"));
    assert!(stage.try_run(Task::Reconcile, None).await.is_err());
    stage.okta.traffic().remove_all_faults();
    let kept = stage
        .table
        .documents
        .document("report#reconcile")
        .await
        .unwrap();
    let kept: Summary = serde_json::from_str(&kept.unwrap().json).unwrap();
    assert_eq!(kept.outcome, RunOutcome::Stopped);
    assert!(kept.message.unwrap().contains("403"));
    let done = stage.run(Task::Reconcile).await;
    assert_eq!(done.outcome, RunOutcome::Completed);
    let kept = stage
        .table
        .documents
        .document("report#reconcile")
        .await
        .unwrap();
    let kept: Summary = serde_json::from_str(&kept.unwrap().json).unwrap();
    assert_eq!(kept, done);
    let lines = stage.metrics.take_lines(0).join("\n");
    assert!(lines.contains("\"RunCompleted\":1") && lines.contains("\"RunStopped\":1"));
}

#[tokio::test]
async fn a_run_ends_at_its_deadline() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    stage.okta.traffic().set_latency(Duration::from_secs(5));
    let result = stage
        .scheduler()
        .run(
            Task::Reconcile,
            None,
            Deadline::within(Duration::from_millis(2300)),
        )
        .await;
    assert!(result.unwrap_err().is_retryable());
    assert_eq!(stage.writes(), Vec::<String>::new());
    stage.okta.traffic().set_latency(Duration::ZERO);
    stage.run(Task::Reconcile).await;
    stage.finds_nothing().await;
}

#[tokio::test]
async fn the_invocation_overrides_the_setting() {
    let mut stage = Stage::new().await;
    stage.assigned("ann");
    stage.settings.reconcile = Mode::Report;
    let report = stage.run(Task::Reconcile).await;
    assert_eq!(report.mode, Mode::Report);
    assert!(stage.writes().is_empty());
    let applied = stage
        .try_run(Task::Reconcile, Some(Mode::Apply))
        .await
        .unwrap();
    assert_eq!((applied.mode, applied.count("queued")), (Mode::Apply, 1));
    assert!(stage.is_enabled("ann"));
}

#[tokio::test]
async fn a_run_reports_its_progress() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let scheduler = stage
        .scheduler()
        .with_progress(Arc::new(move |phase, done, total| {
            listener.lock().unwrap().push((phase, done, total));
        }));
    scheduler.run(Task::Reconcile, None, long()).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(
        heard.contains(&("sending changes", 1, Some(1))),
        "{heard:?}"
    );
    assert!(
        heard
            .iter()
            .any(|(phase, ..)| *phase == "reading both sides")
    );
}

#[tokio::test]
async fn a_plan_takes_no_lease_and_keeps_no_report() {
    let stage = Stage::new().await;
    stage.assigned("ann");
    // A running reconcile does not prevent a plan.
    let at_work = stage
        .table
        .ledger
        .lease("task#reconcile", Duration::from_secs(60));
    assert!(matches!(at_work.await.unwrap(), Leased::Ours(_)));
    let plan = stage.scheduler().plan(long()).await.unwrap();
    assert_eq!((plan.mode, plan.differences.len()), (Mode::Report, 1));
    let report = stage.table.documents.document("report#reconcile");
    assert!(report.await.unwrap().is_none());
    assert_eq!(stage.writes(), Vec::<String>::new());
}
