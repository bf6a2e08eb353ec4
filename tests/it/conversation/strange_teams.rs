//! One strange answer about a team or its members ends no team and no access, and changes no role. The cases are like
//! those of `strange_answers.rs`.

use http::Method;
use okta_anypoint::ids::{OktaGroupId, Subject};
use okta_anypoint::ledger::{Filter, Status};
use okta_anypoint::provision::{Policy, RemovalLimit, TeamRemoval};
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::worker::Verdict;
use rstest::rstest;
use serde_json::json;

use super::strange_answers::{MEMBERS, Stage, TEAMS_OF_ACCOUNT};
use crate::world::{APP, look_at, worker};

const TEAM: &str = "/accounts/api/organizations/*/teams/*";
const TEAMS: &str = "/accounts/api/organizations/*/teams";

#[tokio::test]
async fn an_existing_team_gets_its_members() {
    let stage = Stage::new(Policy::default()).await;
    let (lie, devs) = (stage.gone(MEMBERS), stage.devs.clone());
    stage.play(lie, |okta| okta.delete_group(&devs)).await;
    assert_eq!(stage.role(), None);
}

/// A look at the group does the rest, and is retried.
#[rstest]
#[case::of_no_type(|stage: &Stage| Fault::removed(MEMBERS, Some(&stage.account), "/membership_type"))]
#[case::of_another_type(|stage: &Stage| Fault::changed(MEMBERS, Some(&stage.account), "/membership_type", json!("x")))]
#[tokio::test]
async fn who_left_the_group_leaves_the_team_once_the_membership_can_be_read(
    #[case] lie: fn(&Stage) -> Fault,
) {
    let stage = Stage::new(Policy::default()).await;
    let Stage {
        world, devs, ann, ..
    } = &stage;
    let [ben, eve] = [
        world.assigned_user("ben").await,
        world.assigned_user("eve").await,
    ];
    world.when(|okta| okta.add_member(devs, &ben)).await;
    world.okta_does(|okta| okta.remove_member(devs, ann));
    world.okta_does(|okta| okta.remove_member(devs, &ben));
    world.okta_does(|okta| okta.add_member(devs, &eve));
    world.anypoint.traffic().inject(lie(&stage));
    let subject = || Subject::Group(OktaGroupId::parse(devs).unwrap());
    let verdict = look_at(&worker(&world.ports), subject()).await;
    assert!(verdict.is_retry(), "{verdict:?}");
    assert_eq!(world.team("Devs"), "ann eve");
    world.anypoint.traffic().remove_all_faults();
    let verdict = look_at(&worker(&world.ports), subject()).await;
    assert_eq!(verdict, Verdict::Settled);
    assert_eq!(world.team("Devs"), "eve");
}

#[tokio::test]
async fn a_false_404_does_not_stop_the_deletion_of_a_team() {
    let stage = Stage::new(Policy {
        team_removal: TeamRemoval::Delete,
        ..Policy::default()
    })
    .await;
    let lie = Fault::status(TEAM, 404, r#"{"message":"no such team"}"#).on(Method::DELETE);
    let devs = stage.devs.clone();
    stage.play(lie, |okta| okta.delete_group(&devs)).await;
    assert!(stage.world.anypoint().team_by_name("Devs").is_none());
}

#[tokio::test]
async fn a_team_missing_from_a_list_is_not_created_again() {
    let stage = Stage::new(Policy::default()).await;
    let lie = Fault::lacking(TEAMS, &[&stage.team]).on(Method::GET);
    let devs = stage.devs.clone();
    stage
        .play(lie, |okta| okta.rename_group(&devs, "Ops"))
        .await;
    assert_eq!(stage.world.team_id("Ops"), stage.team, "renamed in place");
    assert_eq!(stage.role().as_deref(), Some("member"));
}

/// The opposite: a team that is really gone is created again.
#[tokio::test]
async fn a_team_deleted_by_hand_is_created_again() {
    let stage = Stage::new(Policy::default()).await;
    stage.world.anypoint().delete_team(&stage.team).unwrap();
    let devs = stage.devs.clone();
    stage
        .world
        .when(|okta| okta.rename_group(&devs, "Ops"))
        .await;
    assert_eq!(stage.world.team("Ops"), "ann");
}

#[rstest]
#[case::lacks_one(|stage: &Stage| Fault::lacking(MEMBERS, &[&stage.account]))]
#[case::empty(|_: &Stage| Fault::empty_list(MEMBERS))]
#[case::without_id(|stage: &Stage| Fault::removed(MEMBERS, Some(&stage.account), "/id"))]
#[case::id_of_another_type(|stage: &Stage| Fault::changed(MEMBERS, Some(&stage.account), "/id", json!(7)))]
#[case::of_account_empty(|_: &Stage| Fault::empty_list(TEAMS_OF_ACCOUNT))]
#[case::of_account_without_type(|stage: &Stage| Fault::removed(TEAMS_OF_ACCOUNT, Some(&stage.team), "/membership_type"))]
#[case::of_account_lacks_one(|stage: &Stage| Fault::lacking(TEAMS_OF_ACCOUNT, &[&stage.team]))]
#[tokio::test]
async fn one_strange_answer_does_not_demote_a_maintainer(#[case] lie: fn(&Stage) -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let (devs, ben) = (stage.devs.clone(), stage.world.assigned_user("ben").await);
    let joins = stage.world.when(|okta| okta.add_member(&devs, &ben));
    joins.await;
    stage
        .world
        .anypoint()
        .add_member(&stage.team, &stage.account, "maintainer")
        .unwrap();
    let lie = lie(&stage).on(Method::GET);
    if lie.path_contains == MEMBERS {
        stage
            .play(lie, |okta| okta.rename_group(&devs, "Ops"))
            .await;
    } else {
        stage.play(lie, |_| Ok(Vec::new())).await;
    }
    assert_eq!(stage.role().as_deref(), Some("maintainer"));
}

fn deleting() -> Policy {
    Policy {
        team_removal: TeamRemoval::Delete,
        ..Policy::default()
    }
}

/// Deleting a team deletes the teams below it, too, and nobody can undo that.
#[rstest]
#[case::no_ancestors(|child: &str| Fault::removed(TEAMS, Some(child), "/ancestor_team_ids"))]
#[case::of_no_team(|child: &str| Fault::changed(TEAMS, Some(child), "/ancestor_team_ids", json!([])))]
#[case::no_child(|child: &str| Fault::lacking(TEAMS, &[child]))]
#[tokio::test]
async fn a_team_with_a_child_that_one_list_hides_is_not_deleted(#[case] lie: fn(&str) -> Fault) {
    let stage = Stage::new(deleting()).await;
    let child = stage.world.anypoint().add_team("Child", Some(&stage.team));
    let lie = lie(&child.unwrap()).on(Method::GET);
    let devs = stage.devs.clone();
    stage
        .play(lie, |okta| okta.unassign_group(APP, &devs))
        .await;
    assert_eq!(stage.world.team("Child"), "");
    assert_eq!(stage.world.team("Devs"), "");
}

/// A child team that somebody makes between the look and the write.
#[tokio::test]
async fn a_team_that_got_a_child_after_the_look_is_not_deleted() {
    let stage = Stage::new(deleting()).await;
    let child = stage.world.anypoint().add_team("Child", Some(&stage.team));
    let child = child.unwrap();
    // Both readings of the look.
    let lie = Fault::lacking(TEAMS, &[&child]).on(Method::GET).times(2);
    stage.world.anypoint.traffic().inject(lie);
    let devs = stage.devs.clone();
    stage
        .world
        .when(|okta| okta.unassign_group(APP, &devs))
        .await;
    assert_eq!(stage.world.team("Child"), "");
}

#[rstest]
#[tokio::test]
async fn one_empty_list_of_members_does_not_release_the_brake(
    #[values(TeamRemoval::Empty, TeamRemoval::Delete)] team_removal: TeamRemoval,
) {
    let stage = Stage::new(Policy {
        team_removal,
        removals: RemovalLimit::Count(0),
        ..Policy::default()
    })
    .await;
    let (lie, devs) = (Fault::empty_list(MEMBERS), stage.devs.clone());
    stage
        .play(lie, |okta| okta.unassign_group(APP, &devs))
        .await;
    assert_eq!(stage.role().as_deref(), Some("member"));
    let held = Filter::with_status(Status::Held);
    let held = stage.world.table.ledger.records(&held).await.unwrap();
    assert_eq!(held.len(), 1);
}

#[rstest]
#[case::lacks_one(|stage: &Stage| Fault::lacking(MEMBERS, &[&stage.account]))]
#[case::empty(|_: &Stage| Fault::empty_list(MEMBERS))]
#[tokio::test]
async fn members_of_a_group_that_is_not_pushed_leave_despite_one_strange_list(
    #[case] lie: fn(&Stage) -> Fault,
) {
    let stage = Stage::new(Policy::default()).await;
    let (lie, devs) = (lie(&stage), stage.devs.clone());
    stage
        .play(lie, |okta| okta.unassign_group(APP, &devs))
        .await;
    assert_eq!(stage.role(), None);
}

#[tokio::test]
async fn a_listed_team_exists_although_its_own_answers_are_404() {
    let stage = Stage::new(Policy::default()).await;
    let team = stage.gone(TEAM).once();
    stage.world.anypoint.traffic().inject(team);
    let (lie, devs) = (stage.gone(MEMBERS), stage.devs.clone());
    stage
        .play(lie, |okta| okta.unassign_group(APP, &devs))
        .await;
    assert_eq!(stage.role(), None);
}

#[rstest]
#[case::no_ancestors(|other: &str| Fault::removed(TEAMS, Some(other), "/ancestor_team_ids"))]
#[case::of_no_team(|other: &str| Fault::changed(TEAMS, Some(other), "/ancestor_team_ids", json!([])))]
#[tokio::test]
async fn a_strange_entry_is_not_the_root_of_a_new_team(#[case] lie: fn(&str) -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let (other, root) = {
        let mut anypoint = stage.world.anypoint();
        let other = anypoint.add_team("0 Finance", None).unwrap();
        (other, anypoint.root_team_id.clone())
    };
    let ops = stage.world.okta.world().create_group("Ops").unwrap().id;
    let lie = lie(&other).on(Method::GET);
    stage.play(lie, |okta| okta.assign_group(APP, &ops)).await;
    let anypoint = stage.world.anypoint();
    assert_eq!(anypoint.team_by_name("Ops").unwrap().ancestors, [root]);
}

#[rstest]
#[case::no_ancestors(|team: &str| Fault::removed(TEAMS, Some(team), "/ancestor_team_ids"))]
#[case::not_listed(|team: &str| Fault::lacking(TEAMS, &[team]))]
#[tokio::test]
async fn a_team_that_one_list_hides_is_adopted_by_the_retry(#[case] lie: fn(&str) -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let team = stage.world.anypoint().add_team("Ops", None).unwrap();
    let ops = stage.world.okta.world().create_group("Ops").unwrap().id;
    // As often as one run looks.
    let lie = lie(&team).on(Method::GET).times(6);
    stage.world.anypoint.traffic().inject(lie);
    let events = stage.world.okta_does(|okta| okta.assign_group(APP, &ops));
    assert_eq!(stage.world.deliver(&events).await, 503);
    assert_eq!(stage.world.deliver(&events).await, 204);
    let link = stage.world.team_link(&ops).await.unwrap();
    assert_eq!(link.team_id.as_str(), team);
}
