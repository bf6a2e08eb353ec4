//! A reconcile with a part that has to wait: one change fails, or the brake holds somebody.

use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{GroupSelection, RemovalLimit};
use okta_anypoint::schedule::{RunOutcome, Task};
use okta_anypoint::settings::DeactivationLimit;
use okta_anypoint::simulator::traffic::Fault;

use super::{APP, Stage};

#[tokio::test]
async fn a_failed_change_does_not_stop_the_reconcile() {
    let stage = Stage::new().await;
    let ada = stage.assigned("ada");
    let bob = stage.assigned("bob");
    let looks = Fault::status(&format!("/users/{bob}"), 500, "{}");
    let fault = stage.okta.traffic().inject(looks);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert!(stage.link(&ada).await.is_some());
    assert_eq!((summary.count("queued"), summary.count("open")), (1, 1));
    let problem = &summary.problems[0];
    assert_eq!(
        problem.subject.as_ref().unwrap().to_string(),
        format!("user#{bob}")
    );

    // The next one finds it again.
    stage.okta.traffic().remove_fault(fault);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(
        (summary.outcome, summary.problems.len()),
        (RunOutcome::Completed, 0)
    );
    assert!(stage.link(&bob).await.is_some());
}

#[tokio::test]
async fn a_person_held_by_the_brake_is_neither_planned_nor_counted() {
    let mut stage = Stage::new().await;
    stage.policy.removals = RemovalLimit::Count(0);
    stage.policy.groups = GroupSelection::All;
    let ada = stage.assigned("ada");
    stage.assigned("bob");
    {
        let mut okta = stage.okta.world();
        let group = okta.create_group("Devs").unwrap().id;
        okta.add_member(&group, &ada).unwrap();
    }
    stage.settle().await;
    stage.run(Task::CatchUp).await;
    stage.okta.world().unassign(APP, &ada).unwrap();
    stage.run(Task::CatchUp).await;
    let held = Filter::with_status(Status::Held);
    assert_eq!(stage.table.ledger.records(&held).await.unwrap().len(), 1);
    stage.settings.limit = DeactivationLimit::Count(0);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(
        summary.outcome,
        RunOutcome::Completed,
        "{:?}",
        summary.message
    );
    assert_eq!(summary.differences, []);
    assert_eq!(stage.members("Devs").len(), 1);
}
