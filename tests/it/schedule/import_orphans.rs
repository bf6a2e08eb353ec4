//! An account that a dead run made for a user is left to the user's own look, and no import links it.

use std::time::Duration;

use okta_anypoint::ids::{AccountId, OktaUserId};
use okta_anypoint::ledger::Conclusion;
use okta_anypoint::schedule::{Summary, Task};
use okta_anypoint::settings::ImportMode;
use okta_anypoint::store::{Origin, ResetMail, UserLink};
use rstest::rstest;

use super::Stage;
use super::import::stage as stage_of;

/// Leaves what a worker leaves that dies after it created ann's account.
async fn leave_orphan(stage: &Stage, ann: &str) -> String {
    crate::world::intend_new(&stage.table, ann, "ann", "ann@acme.example").await;
    stage.native("ann")
}

fn is_left_to_the_look(summary: &Summary, account: &str) {
    assert_eq!(summary.count("linked"), 0);
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems);
    };
    assert_eq!(problem.account.as_ref().unwrap().as_str(), account);
    assert!(problem.text.contains("own look"), "{}", problem.text);
}

#[rstest]
#[tokio::test]
async fn an_account_that_a_dead_run_created_is_linked_as_created_and_mailed(
    #[values(ImportMode::Link, ImportMode::Create)] mode: ImportMode,
) {
    let stage = stage_of(mode).await;
    let ann = stage.assigned("ann");
    let account = leave_orphan(&stage, &ann).await;
    let summary = stage.run(Task::Import).await;
    is_left_to_the_look(&summary, &account);
    // Without a queue the look is done at once.
    let link = stage.link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), account);
    assert_eq!(link.origin, Origin::Created);
    assert_eq!(stage.anypoint.world().mails.len(), 1);
    assert_eq!(stage.run(Task::Import).await.problems, []);
}

#[tokio::test]
async fn a_user_who_lost_the_app_is_not_assigned_again_for_an_orphaned_account() {
    let mut stage = stage_of(ImportMode::Create).await;
    let queue = stage.record();
    let ann = stage.user("ann");
    let account = leave_orphan(&stage, &ann).await;
    let summary = stage.run(Task::Import).await;
    is_left_to_the_look(&summary, &account);
    assert_eq!(stage.writes(), Vec::<String>::new());
    assert_eq!(stage.link(&ann).await, None);
    assert_eq!(queue.subjects(), [format!("user#{ann}")]);
}

#[tokio::test]
async fn a_former_account_that_a_dead_run_enabled_is_left_to_the_look() {
    let stage = stage_of(ImportMode::Link).await;
    let ann = stage.assigned("ann");
    let account = stage.native("ann");
    let other = stage.native("other");
    for (account, username) in [(&account, "ann"), (&other, "other")] {
        let link = UserLink {
            anypoint_id: AccountId::parse(account).unwrap(),
            username: username.to_owned(),
            origin: Origin::Adopted,
            agreed: None,
            reset_mail: ResetMail::default(),
        };
        crate::world::link(&stage.table, &ann, &link).await;
    }
    let lease = crate::world::lease(&*stage.table.ledger, &ann, Duration::from_secs(60)).await;
    let user = OktaUserId::parse(&*ann).unwrap();
    stage.table.store.unlink_user(&lease, &user).await.unwrap();
    let conclusion = Conclusion::default();
    stage
        .table
        .ledger
        .conclude(lease, conclusion)
        .await
        .unwrap();
    stage.anypoint.world().disable(&other).unwrap();
    crate::world::intend(&stage.table, &ann, "ann", None).await;
    let summary = stage.run(Task::Import).await;
    is_left_to_the_look(&summary, &account);
    assert_eq!(stage.link(&ann).await.unwrap().origin, Origin::Adopted);
}

/// The memory of ann names another account, so hers is paired as ever.
#[tokio::test]
async fn an_intent_for_another_account_stops_no_import() {
    let stage = stage_of(ImportMode::Link).await;
    let ann = stage.assigned("ann");
    crate::world::intend_new(&stage.table, &ann, "ann", "other@acme.example").await;
    stage.native("ann");
    let summary = stage.run(Task::Import).await;
    assert_eq!((summary.count("linked"), summary.problems), (1, Vec::new()));
    assert_eq!(stage.link(&ann).await.unwrap().origin, Origin::Imported);
}
