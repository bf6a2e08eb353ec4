//! A reconcile finds drift of every kind, repairs it once, and does not find it again.

use std::time::Duration;

use okta_anypoint::failure::Class;
use okta_anypoint::ids::OktaUserId;
use okta_anypoint::ledger::{Conclusion, Leased, Ledger};
use okta_anypoint::provision::{Adopt, UsernamePolicy};
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
use okta_anypoint::store::Origin;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{APP, Stage, actions};
use crate::servers;

#[tokio::test]
async fn a_first_reconcile_builds_everything_and_a_second_finds_nothing() {
    let stage = Stage::with_pages(Some(2)).await;
    let (ann, ben, cat) = (
        stage.assigned("ann"),
        stage.assigned("ben"),
        stage.assigned("cat"),
    );
    stage.pushed_group("Devs", &[&ann, &ben]);
    stage.pushed_group("Ops", &[&cat]);
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.outcome, RunOutcome::Completed);
    assert_eq!(summary.count("differing_users"), 3);
    assert_eq!(stage.members("Devs"), ["ann", "ben"]);
    assert_eq!(stage.members("Ops"), ["cat"]);
    stage.finds_nothing().await;
}

#[tokio::test]
async fn drift_of_every_kind_is_repaired_once() {
    let mut stage = Stage::new().await;
    let (ann, ben, cat) = (
        stage.assigned("ann"),
        stage.assigned("ben"),
        stage.assigned("cat"),
    );
    let devs = stage.pushed_group("Devs", &[&ann, &ben]);
    stage.settle().await;
    {
        let team = stage.team_id("Devs");
        let (ann, ben, cat) = (
            stage.account_id("ann"),
            stage.account_id("ben"),
            stage.account_id("cat"),
        );
        let mut world = stage.anypoint.world();
        world.disable(&ben).unwrap();
        world.rename_team(&team, "Something else").unwrap();
        world.add_member(&team, &cat, "member").unwrap();
        world.remove_member(&team, &ann).unwrap();
        world
            .edit_user(&ann, |user| user.first_name = "Changed".to_owned())
            .unwrap();
    }
    let recorder = stage.record();
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(
        recorder.subjects(),
        [
            format!("group#{devs}"),
            format!("user#{ann}"),
            format!("user#{ben}")
        ],
        "the extra member is the group's matter alone"
    );
    let group = actions(&summary, &format!("group#{devs}"));
    assert_eq!(group, ["rename_team", "remove_members", "add_members"]);
    assert_eq!(
        actions(&summary, &format!("user#{ann}")),
        ["update_account", "join_team"]
    );
    assert_eq!(
        actions(&summary, &format!("user#{ben}")),
        ["enable_account"]
    );
    assert_eq!(summary.count("deactivations"), 1);
    assert!(
        stage.writes().is_empty(),
        "a reconcile itself writes nothing"
    );

    stage.recorder = None;
    stage.run(Task::Reconcile).await;
    assert_eq!(stage.members("Devs"), ["ann", "ben"]);
    assert!(stage.is_enabled("ben") && stage.is_enabled("cat"));
    let first_name = {
        let world = stage.anypoint.world();
        world.user_by_username("ann").unwrap().first_name.clone()
    };
    assert_eq!(first_name, "ann");
    stage.finds_nothing().await;
    let _ = cat;
}

#[tokio::test]
async fn report_mode_says_the_same_and_changes_nothing() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage.pushed_group("Devs", &[&ann]);
    let plan = stage
        .try_run(Task::Reconcile, Some(Mode::Report))
        .await
        .unwrap();
    assert!(stage.writes().is_empty());
    assert_eq!(plan.count("queued"), 0);
    let done = stage.run(Task::Reconcile).await;
    assert_eq!(plan.differences, done.differences);
    assert!(!done.differences.is_empty());
    stage.finds_nothing().await;
}

#[tokio::test]
async fn a_user_who_left_okta_is_disabled_and_stays_linked() {
    let stage = Stage::new().await;
    let people: Vec<String> = ["ann", "ben", "cat", "dan", "eve"]
        .iter()
        .map(|name| stage.assigned(name))
        .collect();
    stage.pushed_group("Devs", &[&people[4]]);
    stage.settle().await;
    {
        let mut world = stage.okta.world();
        world.delete_user(&people[0]).unwrap();
        world.unassign(APP, &people[1]).unwrap();
        world.deactivate(&people[2]).unwrap();
        world.suspend(&people[3]).unwrap();
    }
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.count("deactivations"), 4);
    for (name, id) in ["ann", "ben", "cat", "dan"].iter().zip(&people) {
        assert!(!stage.is_enabled(name), "{name}");
        assert!(stage.link(id).await.is_some(), "{name}");
    }
    assert!(stage.is_enabled("eve"));
    stage.finds_nothing().await;
    let again = stage.run(Task::Reconcile).await;
    assert_eq!(
        again.count("deactivations"),
        0,
        "a removed member is not counted again"
    );
}

#[tokio::test]
async fn unlinked_accounts_and_teams_are_listed_and_left_alone() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    stage.pushed_group("Devs", &[&ann]);
    let (guest, team) = {
        let mut world = stage.anypoint.world();
        let guest = world
            .add_user("guest", "G", "Uest", "g@other.example")
            .unwrap();
        let team = world.add_team("Theirs", None).unwrap();
        world.add_member(&team, &guest, "member").unwrap();
        (guest, team)
    };
    stage.settle().await;
    {
        let devs = stage.team_id("Devs");
        let ann = stage.account_id("ann");
        let mut world = stage.anypoint.world();
        world.add_member(&devs, &guest, "member").unwrap();
        world.add_member(&team, &ann, "member").unwrap();
    }
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.differences, []);
    let ids: Vec<&str> = summary
        .unmanaged_accounts
        .iter()
        .map(|id| id.as_str())
        .collect();
    assert_eq!(ids, [guest.as_str()]);
    let ids: Vec<&str> = summary
        .unmanaged_teams
        .iter()
        .map(|id| id.as_str())
        .collect();
    assert_eq!(ids, [team.as_str()]);
    assert_eq!(stage.members("Devs"), ["ann", "guest"]);
    assert!(stage.writes().is_empty());
}

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

#[tokio::test]
async fn users_missing_from_the_list_are_read_one_by_one() {
    let stage = Stage::new().await;
    let ann = stage.assigned("ann");
    // Okta may leave out `_embedded`, so the whole list comes without it.
    let bare = json!([{"id": ann, "status": "ACTIVE", "credentials": {"userName": "ann"}}]);
    stage.okta.traffic().inject(
        okta_anypoint::simulator::traffic::Fault::status(
            &format!("/apps/{APP}/users"),
            200,
            &bare.to_string(),
        )
        .once(),
    );
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(
        actions(&summary, &format!("user#{ann}"))[0],
        "create_account"
    );
    assert!(stage.is_enabled("ann"));
    stage.finds_nothing().await;
}

#[tokio::test]
async fn phone_numbers_do_not_count_as_a_difference() {
    let stage = Stage::new().await;
    let id = {
        let mut world = stage.okta.world();
        let email = "ann@acme.example";
        let id = world
            .create_user(email, "Ann", "Example", email, Some("555-0100"))
            .unwrap()
            .id;
        world.assign_with_username(APP, &id, "ann").unwrap();
        id
    };
    stage.settle().await;
    stage.finds_nothing().await;
    assert!(stage.link(&id).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconcile_works_on_dynamodb() {
    let (client, table) = servers::table().await;
    let clock = std::sync::Arc::new(super::MovedClock::default());
    let store = std::sync::Arc::new(okta_anypoint::store::DynamoDbStore::new(
        client.clone(),
        &table,
        clock.clone(),
    ));
    let ledger = std::sync::Arc::new(okta_anypoint::ledger::DynamoDbLedger::new(
        client,
        &table,
        30,
        clock.clone(),
    ));
    let table = okta_anypoint::wiring::Table {
        ledger,
        documents: store.clone(),
        store,
    };
    let stage = Stage::on(table, clock, None).await;
    let (ann, ben) = (stage.assigned("ann"), stage.assigned("ben"));
    stage.pushed_group("Devs", &[&ann, &ben]);
    stage.run(Task::CatchUp).await;
    assert_eq!(stage.members("Devs"), ["ann", "ben"]);
    stage.finds_nothing().await;
    stage.okta.world().unassign(APP, &ben).ok();
    stage.okta.world().deactivate(&ben).unwrap();
    stage.run(Task::Reconcile).await;
    assert!(!stage.is_enabled("ben"));
    assert_eq!(stage.members("Devs"), ["ann"]);
    stage.finds_nothing().await;
    let report = stage
        .table
        .documents
        .document("report#reconcile")
        .await
        .unwrap();
    assert!(report.unwrap().json.contains("\"outcome\":\"completed\""));
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
    assert_eq!(of_dan.unwrap().planned, [format!("owner_gone:{cat}")]);
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

/// The change carries a missing answer only if no other run looked at the user since the reconcile began to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_during_a_reconcile_overrides_what_the_reconcile_did_not_see() {
    let mut stage = Stage::new().await;
    let (ann, _) = (stage.assigned("ann"), stage.assigned("ben"));
    stage.settle().await;
    stage.okta.world().unassign(APP, &ann).unwrap();
    let recorder = stage.record();
    let planned = async || {
        stage.run(Task::Reconcile).await;
        let changes = recorder.take();
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes[0].planned.clone()
    };
    assert_eq!(planned().await, ["not_assigned"]);

    let (ledger, clock) = (stage.table.ledger.clone(), stage.clock.clone());
    let subject = format!("user#{ann}");
    stage.okta.traffic().on_request(move |request| {
        if request.path.ends_with("/groups") {
            clock.advance(Duration::from_secs(1));
            block_in_place(|| Handle::current().block_on(look_at(&*ledger, &subject)));
        }
    });
    assert_eq!(planned().await, ["said_by_okta"]);
}

async fn look_at(ledger: &dyn Ledger, subject: &str) {
    let leased = ledger.lease(subject, Duration::from_secs(10)).await;
    let Ok(Leased::Ours(lease)) = leased else {
        return;
    };
    let concluded = ledger.conclude(lease, Conclusion::default()).await;
    concluded.unwrap();
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
