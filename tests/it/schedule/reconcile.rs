//! A reconcile finds drift of every kind, repairs it once, and does not find it again.

use std::time::Duration;

use okta_anypoint::ledger::{Conclusion, Leased, Ledger};
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
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
    assert_eq!(planned().await, ["not_assigned", "counted_by_limit"]);

    let (ledger, clock) = (stage.table.ledger.clone(), stage.clock.clone());
    let subject = format!("user#{ann}");
    stage.okta.traffic().on_request(move |request| {
        if request.path.ends_with("/groups") {
            clock.advance(Duration::from_secs(1));
            block_in_place(|| Handle::current().block_on(look_at(&*ledger, &subject)));
        }
    });
    assert_eq!(planned().await, ["counted_by_limit"]);
}

async fn look_at(ledger: &dyn Ledger, subject: &str) {
    let leased = ledger.lease(subject, Duration::from_secs(10)).await;
    let Ok(Leased::Ours(lease)) = leased else {
        return;
    };
    let concluded = ledger.conclude(lease, Conclusion::default()).await;
    concluded.unwrap();
}
