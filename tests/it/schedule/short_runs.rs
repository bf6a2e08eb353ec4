//! Runs without enough time: their changes stay, and the next runs do the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::{Failure, Side};
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::Status;
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{Mode, RunOutcome, Task};

use super::{Stage, long};

/// The time that a run reserves for its end, and the minimum for a portion.
const KEPT_FREE: Duration = Duration::from_secs(9);

#[tokio::test]
async fn without_a_queue_later_runs_finish_a_large_reconcile() {
    let stage = Stage::new().await;
    let people: Vec<String> = (0..150)
        .map(|n| stage.assigned(&format!("person{n}")))
        .collect();
    let all: Vec<&str> = people.iter().map(String::as_str).collect();
    for n in 0..20 {
        stage.pushed_group(&format!("Team {n}"), &all[n * 5..n * 5 + 10]);
    }
    let latency = Duration::from_millis(60);
    stage.okta.traffic().set_latency(latency);
    stage.anypoint.traffic().set_latency(latency);
    // Even a slow machine can read both sides completely.
    let begun = Instant::now();
    let plan = stage.try_run(Task::Reconcile, Some(Mode::Report)).await;
    let time = KEPT_FREE + Duration::from_secs(1) + begun.elapsed() * 3;
    assert_eq!(plan.unwrap().differences.len(), 170);

    let mut left = vec![170];
    loop {
        let scheduler = stage.scheduler();
        let run = scheduler.run(Task::Reconcile, None, Deadline::within(time));
        let summary = run.await.unwrap();
        if summary.outcome == RunOutcome::Completed {
            break;
        }
        assert_eq!(summary.outcome, RunOutcome::Continues);
        left.push(summary.differences.len());
        assert!(left.len() < 20, "it does not end: {left:?}");
    }
    assert!(left.len() > 1, "one run was enough");
    assert!(
        left.is_sorted_by(|before, after| before >= after),
        "{left:?}"
    );
    assert_eq!(stage.anypoint.world().users.len(), 150, "no duplicates");
    stage.okta.traffic().set_latency(Duration::ZERO);
    stage.anypoint.traffic().set_latency(Duration::ZERO);
    stage.finds_nothing().await;
    assert_eq!(stage.members("Team 19").len(), 10);
}

/// The claim of an inline change ends with the caller's time, not with that of the queue.
#[tokio::test]
async fn inline_work_ends_within_the_callers_time() {
    let stage = Stage::new().await;
    let ann = OktaUserId::parse(stage.assigned("ann")).unwrap();
    // Within the queue's own time this would succeed.
    stage.okta.traffic().set_latency(Duration::from_secs(4));
    let change = Change::found(Subject::User(ann), 0);
    let time = Deadline::within(Duration::from_secs(2));
    let sent = stage
        .inline()
        .send_by(std::slice::from_ref(&change), time)
        .await;
    assert!(sent.unwrap_err().is_retryable());
    let recorded = stage
        .table
        .ledger
        .record(change.uuid.as_str())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(recorded.status, Status::Failed);
    stage.okta.traffic().set_latency(Duration::ZERO);
    stage.inline().send(&[change]).await.unwrap();
    assert!(stage.is_enabled("ann"));
}

/// Inline work in which every portion has a failing user.
#[derive(Default)]
struct Troubled(AtomicUsize);

#[async_trait]
impl Queue for Troubled {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        self.0.fetch_add(changes.len(), Ordering::SeqCst);
        let what = "1 of them has to be sent again";
        Err(Failure::retryable(Side::Program, what))
    }
}

#[tokio::test]
async fn without_a_queue_failing_subjects_do_not_block_later_portions() {
    let stage = Stage::new().await;
    for n in 0..401 {
        stage.assigned(&format!("person{n}"));
    }
    let troubled = Arc::new(Troubled::default());
    let scheduler = stage.scheduler_on(troubled.clone());
    let summary = scheduler.run(Task::Reconcile, None, long()).await.unwrap();
    assert_eq!((summary.count("queued"), summary.count("open")), (0, 401));
    assert_eq!(troubled.0.load(Ordering::SeqCst), 401);
}
