//! `MAX_DEACTIVATIONS` as a count and as a share.

use std::time::Duration;

use okta_anypoint::clock::Clock as _;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::Subject;
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{RemovalLimit, TeamRemoval, brake_off_until, lift_brake};
use okta_anypoint::schedule::{Mode, RunOutcome, Task};
use okta_anypoint::settings::DeactivationLimit;
use okta_anypoint::simulator::fault::Fault;
use rstest::rstest;
use serde_json::json;

use super::{APP, Stage, actions};

/// Five linked users. Two have left Okta, one only leaves a team, and one was disabled before and does not count.
async fn three_would_lose() -> Stage {
    let stage = Stage::new().await;
    let people: Vec<String> = ["ann", "ben", "cat", "dan", "eve"]
        .iter()
        .map(|name| stage.assigned(name))
        .collect();
    let devs = stage.pushed_group("Devs", &[&people[0], &people[2], &people[3]]);
    stage.settle().await;
    {
        let dan = stage.account_id("dan");
        stage.anypoint.world().disable(&dan).unwrap();
    }
    let mut world = stage.okta.world();
    for left in [0, 1, 3] {
        world.deactivate(&people[left]).unwrap();
    }
    world.remove_member(&devs, &people[2]).unwrap();
    drop(world);
    stage
}

#[rstest]
#[case(DeactivationLimit::Count(3), true)]
#[case(DeactivationLimit::Count(2), false)]
#[case(DeactivationLimit::Count(0), false)]
#[case(DeactivationLimit::Percent(60.0), true)]
#[case(DeactivationLimit::Percent(59.9), false)]
#[tokio::test]
async fn the_limit_is_exact(#[case] limit: DeactivationLimit, #[case] passes: bool) {
    let mut stage = three_would_lose().await;
    stage.settings.limit = limit;
    let result = stage.try_run(Task::Reconcile, None).await;
    if passes {
        assert_eq!(result.unwrap().count("deactivations"), 3);
        assert!(!stage.is_enabled("ann") && !stage.is_enabled("ben"));
        assert!(stage.is_enabled("cat"));
        assert_eq!(stage.members("Devs"), Vec::<String>::new());
        stage.finds_nothing().await;
    } else {
        let failure = result.unwrap_err();
        assert_eq!(failure.class, Class::Permanent);
        let text = failure.to_string();
        assert!(text.contains("3 of 5 linked users"), "{text}");
        assert!(text.contains("MAX_DEACTIVATIONS=3"), "{text}");
        assert_eq!(stage.writes(), Vec::<String>::new());
        let lines = stage.metrics.take_lines(0).join("\n");
        assert!(lines.contains("\"RunStopped\":1"), "{lines}");
        let kept = stage
            .table
            .documents
            .document("report#reconcile")
            .await
            .unwrap()
            .unwrap();
        assert!(
            kept.json.contains("\"outcome\":\"stopped\"") && kept.json.contains("disable_account")
        );
    }
}

#[tokio::test]
async fn a_report_says_that_the_limit_would_stop_an_apply() {
    let mut stage = three_would_lose().await;
    stage.settings.limit = DeactivationLimit::Count(1);
    let plan = stage
        .try_run(Task::Reconcile, Some(Mode::Report))
        .await
        .unwrap();
    assert_eq!(plan.outcome, RunOutcome::Stopped);
    assert!(plan.message.unwrap().contains("3 of 5"));
    assert!(!plan.differences.is_empty());
}

#[tokio::test]
async fn the_limit_stops_a_reconcile_after_all_groups_are_unassigned() {
    let mut stage = Stage::new().await;
    let people: Vec<String> = ["ann", "ben", "cat"]
        .iter()
        .map(|name| stage.assigned(name))
        .collect();
    let devs = stage.pushed_group("Devs", &[&people[0], &people[1], &people[2]]);
    stage.settle().await;
    stage.okta.world().unassign_group(APP, &devs).unwrap();
    stage.settings.limit = DeactivationLimit::Percent(20.0);
    assert!(stage.try_run(Task::Reconcile, None).await.is_err());
    assert_eq!(stage.members("Devs").len(), 3);
    assert!(stage.writes().is_empty());
}

/// Five people lose their account or their team by one reconcile, which counted them. Nobody is counted a second time.
#[rstest]
#[case::app_users_ended("ended")]
#[case::assignments_missing("unassigned")]
#[case::group_not_selected("group")]
#[tokio::test]
async fn the_brake_lets_pass_what_a_reconcile_counted(#[case] how: &str) {
    let mut stage = Stage::new().await;
    stage.policy.removals = RemovalLimit::Count(2);
    let names = ["ann", "ben", "cat", "dan", "eve"];
    let people = names.map(|name| stage.assigned(name));
    stage.assigned("fay");
    // A group's member is assigned through the group.
    let inside = people.iter().filter(|_| how == "group");
    let inside: Vec<&str> = inside.map(String::as_str).collect();
    let devs = stage.pushed_group("Devs", &inside);
    stage.settle().await;
    if how == "group" {
        stage.okta.world().unassign_group(APP, &devs).unwrap();
    }
    for user in people.iter().filter(|_| how == "unassigned") {
        stage.okta.world().unassign(APP, user).unwrap();
    }
    for user in people.iter().filter(|_| how == "ended") {
        let shows = |path, id| Fault::changed(path, id, "/status", json!("DEPROVISIONED"));
        let one = format!("/api/v1/apps/*/users/{user}");
        let okta = stage.okta.traffic();
        okta.inject(shows("/api/v1/apps/*/users", Some(user.as_str())));
        okta.inject(shows(&one, None));
    }
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.count("deactivations"), 5);
    let held = Filter::with_status(Status::Held);
    assert_eq!(stage.table.ledger.records(&held).await.unwrap().len(), 0);
    assert_eq!(stage.members("Devs"), [""; 0]);
    let enabled = names.iter().filter(|name| stage.is_enabled(name)).count();
    assert_eq!(enabled, if how == "group" { 5 } else { 0 });
}

/// The limit counts somebody who leaves a team, too. But a mark would lift the brake for the whole group.
#[tokio::test]
async fn a_team_that_somebody_leaves_gets_no_mark_for_the_brake() {
    let mut stage = three_would_lose().await;
    let recorder = stage.record();
    stage.run(Task::Reconcile).await;
    let changes = recorder.take();
    let is_marked = |change: &&Change| change.planned.iter().any(|word| word == "counted_by_limit");
    let marked: Vec<_> = changes.iter().filter(is_marked).collect();
    let is_user = |change: &&Change| matches!(change.subject, Subject::User(_));
    assert!(marked.iter().all(is_user), "{marked:?}");
    assert_eq!(marked.len(), 2, "{changes:?}");
    assert!(
        !changes.iter().all(|change| is_user(&change)),
        "{changes:?}"
    );
}

/// A brake lifted under a fast clock would be off again when that time comes.
#[tokio::test]
async fn a_reconcile_restores_a_brake_lifted_under_a_fast_clock() {
    let stage = Stage::new().await;
    let documents = &*stage.table.documents;
    let hour = Duration::from_secs(60 * 60);
    let now_ms = stage.clock.now_ms();
    let end_ms = lift_brake(documents, now_ms, hour).await.unwrap();
    stage.settle().await;
    let until = brake_off_until(documents, now_ms).await.unwrap();
    assert_eq!(until, Some(end_ms));

    let ahead_ms = now_ms + 24 * 60 * 60 * 1000;
    lift_brake(documents, ahead_ms, hour).await.unwrap();
    stage.settle().await;
    assert_eq!(brake_off_until(documents, ahead_ms).await.unwrap(), None);
}

/// One strange list hides who would leave the team of a group that is no longer pushed.
#[rstest]
#[case::of_members(|_: &Stage| Fault::empty_list("/accounts/api/organizations/*/teams/*/members"))]
#[case::of_accounts(|stage: &Stage| {
    let hidden = ["ben", "cat"].map(|name| stage.account_id(name));
    Fault::lacking("/accounts/api/organizations/*/users", &hidden.each_ref().map(String::as_str))
})]
#[tokio::test]
async fn everybody_in_the_team_of_an_unpushed_group_counts(
    #[case] lie: fn(&Stage) -> Fault,
    #[values(TeamRemoval::Empty, TeamRemoval::Delete)] team_removal: TeamRemoval,
) {
    let mut stage = Stage::new().await;
    stage.policy.team_removal = team_removal;
    let people = ["ann", "ben", "cat"].map(|name| stage.assigned(name));
    let devs = stage.pushed_group("Devs", &people.each_ref().map(String::as_str));
    stage.settle().await;
    stage.okta.world().unassign_group(APP, &devs).unwrap();
    stage.settings.limit = DeactivationLimit::Count(1);
    stage.anypoint.traffic().inject(lie(&stage).once());
    let stopped = stage.try_run(Task::Reconcile, None).await.unwrap_err();
    let text = stopped.to_string();
    assert!(text.contains("3 of 3 linked users"), "{text}");
    assert_eq!(stage.writes(), [""; 0]);
}

/// Four linked users in one team, in sync, and a fifth who is new.
async fn four_and_a_new_one() -> (Stage, [String; 4], String) {
    let mut stage = Stage::new().await;
    let people = ["ann", "ben", "cat", "dan"].map(|name| stage.assigned(name));
    let devs = stage.pushed_group("Devs", &people.each_ref().map(String::as_str));
    stage.settle().await;
    stage.settings.limit = DeactivationLimit::Percent(20.0);
    stage.assigned("eve");
    (stage, people, devs)
}

/// The group's plan removes nobody because of such a list, so nobody counts.
#[rstest]
#[case::of_the_group(false)]
#[case::of_the_team(true)]
#[tokio::test]
async fn an_entry_without_an_id_stops_no_reconcile(#[case] of_team: bool) {
    let (stage, people, devs) = four_and_a_new_one().await;
    let (list, hidden) = match of_team {
        true => (
            "/accounts/api/organizations/*/teams/*/members".to_owned(),
            stage.account_id("ben"),
        ),
        false => (format!("/api/v1/groups/{devs}/users"), people[1].clone()),
    };
    let lie = Fault::removed(&list, Some(&hidden), "/id");
    if of_team {
        stage.anypoint.traffic().inject(lie);
        // Cat really left. A list that may lack members takes nobody out.
        let mut okta = stage.okta.world();
        okta.remove_member(&devs, &people[2]).unwrap();
    } else {
        stage.okta.traffic().inject(lie);
        // They have other changes, so their own looks follow.
        for user in &people[..2] {
            let changed = [("firstName", json!("Changed"))];
            let mut okta = stage.okta.world();
            okta.update_profile(user, &changed).unwrap();
        }
    }
    let summary = stage.run(Task::Reconcile).await;
    assert_eq!(summary.count("deactivations"), 0);
    let problems = serde_json::to_string(&summary.problems).unwrap();
    assert!(problems.contains("no readable id"), "{problems}");
    for person in &people {
        let steps = actions(&summary, &format!("user#{person}"));
        let of_teams = steps.iter().filter(|step| step.ends_with("_team"));
        assert_eq!(of_teams.count(), 0, "{steps:?}");
    }
    assert!(stage.is_enabled("eve"));
    assert_eq!(stage.members("Devs"), ["ann", "ben", "cat", "dan"]);
}

/// Only one of the four in the team is linked. A deleted team is lost for all of them.
#[rstest]
#[case::deleted(
    TeamRemoval::Delete,
    DeactivationLimit::Count(3),
    Some("1 of 1 linked users and 3 people without a link")
)]
#[case::deleted_by_share(
    TeamRemoval::Delete,
    DeactivationLimit::Percent(100.0),
    Some("1 of 1 linked users and 3 people without a link")
)]
#[case::deleted_as_allowed(TeamRemoval::Delete, DeactivationLimit::Count(4), None)]
#[case::emptied(TeamRemoval::Empty, DeactivationLimit::Count(1), None)]
#[tokio::test]
async fn people_without_a_link_count_when_their_team_is_deleted(
    #[case] team_removal: TeamRemoval,
    #[case] limit: DeactivationLimit,
    #[case] stopped: Option<&str>,
) {
    let mut stage = Stage::new().await;
    stage.policy.team_removal = team_removal;
    let ann = stage.assigned("ann");
    let devs = stage.pushed_group("Devs", &[&ann]);
    stage.settle().await;
    let team = stage.team_id("Devs");
    for name in ["ben", "cat", "dan"] {
        let account = stage.native(name);
        let mut anypoint = stage.anypoint.world();
        anypoint.add_member(&team, &account, "member").unwrap();
    }
    // Nobody can use a disabled account.
    let disabled = stage.native("eve");
    {
        let mut anypoint = stage.anypoint.world();
        anypoint.add_member(&team, &disabled, "member").unwrap();
        anypoint.disable(&disabled).unwrap();
    }
    stage.okta.world().unassign_group(APP, &devs).unwrap();
    stage.settings.limit = limit;
    let end = stage.try_run(Task::Reconcile, None).await;
    match stopped {
        Some(who) => {
            let text = end.unwrap_err().to_string();
            assert!(text.contains(who), "{text}");
            assert!(text.contains("MAX_DEACTIVATIONS=4"), "{text}");
            assert_eq!(stage.members("Devs").len(), 5);
        }
        None => {
            let lost = usize::from(team_removal == TeamRemoval::Delete) * 3 + 1;
            assert_eq!(end.unwrap().count("deactivations"), lost);
        }
    }
}
