//! Usernames in a reconcile: those that are refused, that moved between people, and that an intent names.

use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::provision::{Adopt, RemovalLimit, UsernamePolicy};
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::store::Origin;

use super::{APP, Stage};

#[tokio::test]
async fn a_user_that_cannot_be_planned_is_a_problem_but_stops_nobody_else() {
    let stage = Stage::new().await;
    let (bad, theirs, good) = (
        stage.user("bad"),
        stage.assigned("theirs"),
        stage.assigned("good"),
    );
    {
        let mut world = stage.okta.world();
        world
            .assign_with_username(APP, &bad, "bad@acme.example")
            .unwrap();
    }
    stage
        .anypoint
        .world()
        .add_user("theirs", "T", "H", "someone@other.example")
        .unwrap();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    let subjects: Vec<String> = summary
        .problems
        .iter()
        .map(|problem| problem.subject.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(subjects, [format!("user#{bad}"), format!("user#{theirs}")]);
    assert!(summary.problems.iter().all(|p| p.class == Class::Permanent));
    let text = serde_json::to_string(&summary).unwrap();
    assert!(!text.contains("acme.example") && !text.contains("other.example"));
    assert!(stage.link(&good).await.is_some());
    assert!(stage.link(&theirs).await.is_none());

    let again = stage.run(Task::Reconcile).await;
    assert_eq!(again.differences, []);
    assert_eq!(again.problems.len(), 2);
}

#[tokio::test]
async fn an_orphaned_account_is_found_by_its_intent() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage
        .anypoint
        .world()
        .add_user("ann", "ann", "Example", "typo@acme.example")
        .unwrap();
    let refused = stage.run(Task::Reconcile).await;
    assert_eq!(refused.problems.len(), 1);
    let id = OktaUserId::parse(&ann).unwrap();
    crate::world::intend_new(&stage.table, id.as_str(), "ann", "typo@acme.example").await;
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems, []);
    assert_eq!(stage.link(&ann).await.unwrap().origin, Origin::Created);
}

/// Dan gets the name of Cat, whom the brake holds: no limit of the reconcile counted Cat's account.
#[tokio::test]
async fn the_account_of_somebody_held_is_not_adopted_past_the_brake() {
    let mut stage = Stage::new().await;
    stage.policy.removals = RemovalLimit::Count(0);
    stage.policy.adopt = Adopt::Username;
    let (cat, dan) = (stage.assigned("cat"), stage.assigned("dan"));
    stage.settle().await;
    stage.run(Task::CatchUp).await;
    stage.okta.world().unassign(APP, &cat).unwrap();
    stage.run(Task::CatchUp).await;
    let mut okta = stage.okta.world();
    okta.set_app_username(APP, &dan, "cat").unwrap();
    drop(okta);
    let recorder = stage.record();
    stage.run(Task::Reconcile).await;
    let of_dan: Vec<_> = recorder.take();
    let of_dan: Vec<_> = of_dan.iter().map(|change| &change.planned).collect();
    assert_eq!(of_dan, [&[format!("owner_gone:{cat}")]]);
}

#[tokio::test]
async fn a_changed_app_username_counts_against_the_limit() {
    let mut stage = Stage::new().await;
    stage.policy.usernames = UsernamePolicy::Sanitize;
    let ann = stage.assigned("ann");
    stage.settle().await;
    stage
        .okta
        .world()
        .set_app_username(APP, &ann, "ann.lee")
        .unwrap();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.count("deactivations"), 1);
    assert!(!stage.is_enabled("ann") && stage.is_enabled("ann_lee"));
    stage.finds_nothing().await;
}

/// A reconcile plans like a look by an event: a name that Okta gave to another person moves with its account.
#[tokio::test]
async fn a_reconcile_settles_names_that_moved_between_people() {
    let mut stage = Stage::new().await;
    stage.policy.adopt = Adopt::Username;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    let (cat, dan) = (stage.assigned("cat"), stage.assigned("dan"));
    stage.settle().await;
    let accounts = ["ann", "ben", "cat"].map(|name| stage.account_id(name));
    {
        // Ann and Ben swap names. Dan gets the name of Cat, who is no longer assigned.
        let mut okta = stage.okta.world();
        okta.set_app_username(APP, &ann, "ben").unwrap();
        okta.set_app_username(APP, &ben, "ann").unwrap();
        okta.unassign(APP, &cat).unwrap();
        okta.set_app_username(APP, &dan, "cat").unwrap();
    }
    let recorder = stage.record();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems, []);
    let of_dan = recorder.take();
    let of_dan = of_dan
        .iter()
        .find(|change| change.subject.to_string() == format!("user#{dan}"));
    // Okta does not show Cat. The change carries this finding for its second look.
    let planned = [format!("owner_gone:{cat}"), "counted_by_limit".to_owned()];
    assert_eq!(of_dan.unwrap().planned, planned);
    stage.recorder = None;
    // Two runs that need each other's account take more than one round.
    for _ in 0..3 {
        stage.run(Task::Reconcile).await;
    }
    stage.finds_nothing().await;
    for (user, account) in [&ben, &ann, &dan].into_iter().zip(accounts) {
        let user = OktaUserId::parse(user.as_str()).unwrap();
        let link = stage.table.store.user_link(&user).await.unwrap().unwrap();
        assert_eq!(link.anypoint_id.as_str(), account);
    }
}

#[tokio::test]
async fn an_owner_who_still_has_the_name_keeps_it_in_a_reconcile() {
    let mut stage = Stage::new().await;
    stage.policy.adopt = Adopt::Username;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    stage.settle().await;
    {
        let mut okta = stage.okta.world();
        okta.set_app_username(APP, &ann, "ben").unwrap();
        okta.suspend(&ben).unwrap();
    }
    let summary = stage.run(Task::Reconcile).await;
    let [problem] = &summary.problems[..] else {
        panic!("{:?}", summary.problems)
    };
    assert!(problem.text.contains(&ben), "{}", problem.text);
    let id = OktaUserId::parse(ben.as_str()).unwrap();
    assert!(stage.table.store.user_link(&id).await.unwrap().is_some());
}

/// Okta compares app usernames by case, Anypoint does not. Nothing says whose the account is, so nobody gets it.
#[tokio::test]
async fn an_app_username_of_two_assigned_users_gives_neither_an_account() {
    let mut stage = Stage::new().await;
    let ann = stage.assigned("ann");
    let ben = stage.user("ben");
    let mut okta = stage.okta.world();
    okta.assign_with_username(APP, &ben, "ANN").unwrap();
    drop(okta);
    let recorder = stage.record();
    for mode in [Mode::Report, Mode::Apply] {
        let summary = stage.try_run(Task::Reconcile, Some(mode)).await.unwrap();
        assert_eq!(summary.count("differing_users"), 0);
        let problems: Vec<String> = summary.problems.iter().map(|p| p.text.clone()).collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        for (problem, other) in problems.iter().zip([&ben, &ann]) {
            assert!(problem.contains(other.as_str()), "{problems:?}");
            assert!(problem.contains("Give all but one of them another app username"));
        }
        assert!(recorder.subjects().is_empty());
    }
    stage.recorder = None;
    // The opposite: when the names differ, each user gets an account.
    let mut okta = stage.okta.world();
    okta.set_app_username(APP, &ben, "ben").unwrap();
    drop(okta);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(
        (summary.count("differing_users"), summary.problems.len()),
        (2, 0)
    );
    stage.finds_nothing().await;
    // The user who has the account keeps it, and the other keeps the old one.
    let mut okta = stage.okta.world();
    okta.set_app_username(APP, &ben, "ANN").unwrap();
    drop(okta);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.problems.len(), 1);
    assert!(summary.problems[0].text.contains(ann.as_str()));
    assert!(stage.is_enabled("ann") && stage.is_enabled("ben"));
}

#[tokio::test]
async fn an_owner_whose_username_is_missing_is_reported_as_that() {
    let stage = Stage::new().await;
    let (ann, bob) = (stage.assigned("ann"), stage.assigned("bob"));
    stage.settle().await;
    let mut okta = stage.okta.world();
    okta.set_app_username(APP, &ann, "bob").unwrap();
    drop(okta);
    let lacks = Fault::removed("/api/v1/apps/*/users", Some(&bob), "/credentials/userName");
    stage.okta.traffic().inject(lacks);
    let summary = stage.try_run(Task::Reconcile, Some(Mode::Report)).await;
    let problems = summary.unwrap().problems;
    let subject = format!("user#{ann}");
    let is_of_ann = |subject_of: &Option<Subject>| {
        subject_of
            .as_ref()
            .is_some_and(|of| of.to_string() == subject)
    };
    let of_ann = problems
        .iter()
        .find(|problem| is_of_ann(&problem.subject))
        .unwrap();
    assert!(
        of_ann.text.contains("came without a username"),
        "{of_ann:?}"
    );
    assert_eq!(of_ann.class, Class::Retryable);
}
