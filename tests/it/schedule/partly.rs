//! A reconcile that works inline, and one of whose changes fails.

use okta_anypoint::schedule::{Outcome, Task};
use okta_anypoint::simulator::traffic::Fault;

use super::Stage;

#[tokio::test]
async fn a_change_that_fails_is_its_own_problem_and_stops_no_reconcile() {
    let stage = Stage::new().await;
    let ada = stage.assigned("ada");
    let bob = stage.assigned("bob");
    let looks = Fault::status(&format!("/users/{bob}"), 500, "{}");
    let fault = stage.okta.traffic().inject(looks);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, Outcome::Completed);
    assert!(stage.link(&ada).await.is_some());
    assert_eq!(summary.count("open"), 1);
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
        (Outcome::Completed, 0)
    );
    assert!(stage.link(&bob).await.is_some());
}
