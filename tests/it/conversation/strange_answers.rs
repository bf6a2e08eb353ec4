//! One strange answer of Anypoint does not extend or end anybody's access, and changes no role.
//!
//! Each case is a change in Okta, its delivery during one strange answer, and Okta's retry. The retry has nothing to do
//! if the first delivery did everything.

use std::time::Duration;

use http::Method;
use okta_anypoint::ids::{OktaGroupId, Subject};
use okta_anypoint::ledger::{Conclusion, Filter, Memo, Status};
use okta_anypoint::provision::{Policy, RemovalLimit, SuspendedUsers, TeamRemoval};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::okta::{OktaWorld, Refusal};
use okta_anypoint::simulator::traffic::{Absence, Fault};
use okta_anypoint::worker::Verdict;
use rstest::rstest;
use serde_json::json;

use super::groups::devs_with_ann;
use crate::world::{APP, World, lease, look_at, worker};

const ACCOUNT: &str = "/accounts/api/organizations/*/users/*";
const TEAMS_OF_ACCOUNT: &str = "/accounts/api/organizations/*/users/*/teams";
const TEAM: &str = "/accounts/api/organizations/*/teams/*";
const TEAMS: &str = "/accounts/api/organizations/*/teams";
const APP_GROUPS: &str = "/api/v1/apps/*/groups";
const USER: &str = "/api/v1/users/*";
const EXTERNAL: &str = "/is_assigned_via_external_groups";
const APP_USER: &str = "/api/v1/apps/*/users/*";
const MEMBERS: &str = "/accounts/api/organizations/*/teams/*/members";

/// Ann is in group and team "Devs".
struct Stage {
    world: World,
    devs: String,
    ann: String,
    team: String,
    account: String,
}

impl Stage {
    async fn new(policy: Policy) -> Self {
        let (world, devs, ann) = devs_with_ann(policy).await;
        let (team, account) = (world.team_id("Devs"), world.account_id("ann"));
        // A minute later, because fresh writes are remembered for a minute.
        let ledger = &*world.table.ledger;
        let lease = lease(ledger, &ann, Duration::from_secs(60)).await;
        let forgotten = Conclusion {
            memo: Memo::Write(None),
            ..Conclusion::default()
        };
        ledger.conclude(lease, forgotten).await.unwrap();
        Self {
            world,
            devs,
            ann,
            team,
            account,
        }
    }

    fn gone(&self, path: &str) -> Fault {
        Fault::not_found(path, Absence::Service).on(Method::GET)
    }

    /// Delivers the change under the fault, and once more without it.
    async fn play(
        &self,
        fault: Fault,
        change: impl FnOnce(&mut OktaWorld) -> Result<Vec<LogEvent>, Refusal>,
    ) {
        let mut events = self.world.okta_does(change);
        if events.is_empty()
            || events
                .iter()
                .all(|e| e.event_type.contains("change_username"))
        {
            events = vec![self.world.hint(&self.ann)];
        }
        let set = self.world.anypoint.traffic().inject(fault.once());
        let first = self.world.deliver(&events).await;
        assert_eq!(self.world.anypoint.traffic().fired(set), 1, "not told");
        assert!(first == 204 || first == 503, "{first}");
        assert_eq!(self.world.deliver(&events).await, 204);
    }

    /// The same with one strange answer of Okta.
    async fn play_okta(&self, fault: Fault, events: &[LogEvent]) {
        let set = self
            .world
            .okta
            .traffic()
            .inject(fault.on(Method::GET).once());
        let first = self.world.deliver(events).await;
        assert_eq!(self.world.okta.traffic().fired(set), 1, "not told");
        assert!(first == 204 || first == 503, "{first}");
        assert_eq!(self.world.deliver(events).await, 204);
    }

    fn role(&self) -> Option<String> {
        let anypoint = self.world.anypoint();
        let members = &anypoint.teams.get(&self.team)?.members;
        Some(members.get(&self.account)?.membership_type.clone())
    }
}

#[tokio::test]
async fn an_account_that_answers_404_but_has_teams_exists() {
    let suspended = Stage::new(Policy::default()).await;
    let (lie, ann) = (suspended.gone(ACCOUNT), suspended.ann.clone());
    suspended.play(lie, |okta| okta.suspend(&ann)).await;
    assert_eq!(suspended.world.account("ann"), "ann Example - disabled");
    assert_eq!(suspended.role(), None);

    let renamed = Stage::new(Policy::default()).await;
    let (lie, ann) = (renamed.gone(ACCOUNT), renamed.ann.clone());
    renamed
        .play(lie, |okta| okta.set_app_username(APP, &ann, "ann_new"))
        .await;
    assert_eq!(renamed.world.account("ann"), "ann Example - disabled");
    assert_eq!(renamed.world.account("ann_new"), "ann Example - enabled");
    assert_eq!(renamed.world.team("Devs"), "ann_new");
}

#[rstest]
#[case::none(|stage: &Stage| Fault::removed(ACCOUNT, Some(&stage.account), "/username"))]
#[case::empty(|stage: &Stage| Fault::changed(ACCOUNT, Some(&stage.account), "/username", json!("")))]
#[case::another(|stage: &Stage| Fault::changed(ACCOUNT, Some(&stage.account), "/username", json!("stranger")))]
#[tokio::test]
async fn an_account_never_replaces_itself(#[case] lie: fn(&Stage) -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let lie = lie(&stage).on(Method::GET);
    stage.play(lie, |_| Ok(Vec::new())).await;
    assert_eq!(stage.world.account("ann"), "ann Example - enabled");
    assert_eq!(stage.role().as_deref(), Some("member"));
}

#[tokio::test]
async fn a_lasting_wrong_username_is_a_contradiction() {
    let stage = Stage::new(Policy::default()).await;
    for path in [ACCOUNT, "/accounts/api/organizations/*/users"] {
        let lie = Fault::changed(path, Some(&stage.account), "/username", json!("stranger"));
        stage.world.anypoint.traffic().inject(lie.on(Method::GET));
    }
    let event = stage.world.hint(&stage.ann);
    let event = std::slice::from_ref(&event);
    for _ in 0..2 {
        assert_eq!(stage.world.deliver(event).await, 503);
    }
    let record = stage.world.record(&event[0]).await;
    assert_eq!(record.error_code.as_deref(), Some("contradiction"));
    assert_eq!(stage.world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn an_existing_team_gets_its_members() {
    let stage = Stage::new(Policy::default()).await;
    let (lie, devs) = (stage.gone(MEMBERS), stage.devs.clone());
    stage.play(lie, |okta| okta.delete_group(&devs)).await;
    assert_eq!(stage.role(), None);
}

#[rstest]
#[case::no_team_at_all(|_: &Stage| Fault::empty_list(TEAMS_OF_ACCOUNT))]
#[case::not_this_team(|stage: &Stage| Fault::lacking(TEAMS_OF_ACCOUNT, &[&stage.team]))]
#[case::gone(|stage: &Stage| stage.gone(TEAMS_OF_ACCOUNT))]
#[case::of_no_type(|stage: &Stage| Fault::removed(TEAMS_OF_ACCOUNT, Some(&stage.team), "/membership_type"))]
#[case::of_another_type(|stage: &Stage| Fault::changed(TEAMS_OF_ACCOUNT, Some(&stage.team), "/membership_type", json!("x")))]
#[tokio::test]
async fn a_user_who_left_the_group_leaves_the_team(#[case] lie: fn(&Stage) -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let (devs, ann) = (stage.devs.clone(), stage.ann.clone());
    stage
        .play(lie(&stage), |okta| okta.remove_member(&devs, &ann))
        .await;
    assert_eq!(stage.role(), None);
}

#[tokio::test]
async fn a_suspended_user_leaves_a_team_despite_an_unreadable_membership() {
    let stage = Stage::new(Policy::default()).await;
    let lie = Fault::removed(TEAMS_OF_ACCOUNT, Some(&stage.team), "/membership_type");
    let ann = stage.ann.clone();
    stage.play(lie, |okta| okta.suspend(&ann)).await;
    assert_eq!(stage.world.account("ann"), "ann Example - disabled");
    assert_eq!(stage.role(), None);
}

/// The same in a look at the group: it does the rest, and is retried.
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

#[rstest]
#[case::empty(|_: &Stage| Fault::empty_list(APP_GROUPS))]
#[case::lacks_one(|stage: &Stage| Fault::lacking(APP_GROUPS, &[&stage.devs]))]
#[case::without_id(|stage: &Stage| Fault::removed(APP_GROUPS, Some(&stage.devs), "/id"))]
#[tokio::test]
async fn a_user_joins_the_team_of_a_group_missing_from_one_selection_read(
    #[case] lie: fn(&Stage) -> Fault,
    #[values("announced", "linked")] known: &str,
) {
    let stage = Stage::new(Policy::default()).await;
    let ben = stage.world.assigned_user("ben").await;
    let mut events = stage
        .world
        .okta_does(|okta| okta.add_member(&stage.devs, &ben));
    if known == "linked" {
        events = vec![stage.world.hint(&ben)];
    }
    stage.play_okta(lie(&stage), &events).await;
    assert_eq!(stage.world.team("Devs"), "ann ben");
}

/// The opposite: nobody joins the linked team of a group that left the selection.
#[tokio::test]
async fn a_user_who_joins_an_unpushed_group_joins_no_team() {
    let stage = Stage::new(Policy::default()).await;
    let (devs, ben) = (stage.devs.clone(), stage.world.assigned_user("ben").await);
    stage
        .world
        .when(|okta| okta.unassign_group(APP, &devs))
        .await;
    stage.world.when(|okta| okta.add_member(&devs, &ben)).await;
    assert_eq!(stage.world.team("Devs"), "");
}

#[rstest]
#[case::none(|| Fault::removed(USER, None, "/profile"))]
#[case::null(|| Fault::changed(USER, None, "/profile", json!(null)))]
#[tokio::test]
async fn a_user_without_a_profile_is_read_again(#[case] lie: fn() -> Fault) {
    let stage = Stage::new(Policy::default()).await;
    let changed = [("firstName", json!("Anna"))];
    let events = stage
        .world
        .okta_does(|okta| okta.update_profile(&stage.ann, &changed));
    stage.play_okta(lie(), &events).await;
    assert_eq!(stage.world.account("ann"), "Anna Example - enabled");
}

#[rstest]
#[case::not_found(404)]
#[case::conflict(409)]
#[tokio::test]
async fn a_false_not_a_member_answer_does_not_stop_the_removal(#[case] status: u16) {
    let stage = Stage::new(Policy::default()).await;
    let refused = Fault::status("/members", status, r#"{"message":"no such member"}"#);
    let (devs, ann) = (stage.devs.clone(), stage.ann.clone());
    stage
        .play(refused.on(Method::DELETE), |okta| {
            okta.remove_member(&devs, &ann)
        })
        .await;
    assert_eq!(stage.role(), None);
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

/// Under `SUSPENDED_USERS=keep` a suspension and one 404 together take nothing away.
#[tokio::test]
async fn a_suspension_announces_the_end_of_an_account_only_by_setting() {
    for (suspended, state) in [
        (SuspendedUsers::Deactivate, "ann Example - disabled"),
        (SuspendedUsers::Keep, "ann Example - enabled"),
    ] {
        let stage = Stage::new(Policy {
            suspended,
            ..Policy::default()
        })
        .await;
        let events = stage.world.okta_does(|okta| okta.suspend(&stage.ann));
        stage.play_okta(stage.gone(APP_USER), &events).await;
        assert_eq!(stage.world.account("ann"), state);
    }
}

/// Before: the account of an ended assignment was enabled.
#[tokio::test]
async fn an_app_user_without_a_status_gives_no_access() {
    let stage = Stage::new(Policy::default()).await;
    let okta = stage.world.okta.traffic();
    okta.inject(Fault::changed(APP_USER, None, "/status", json!("INACTIVE")).on(Method::GET));
    assert_eq!(
        stage.world.deliver(&[stage.world.hint(&stage.ann)]).await,
        204
    );
    assert_eq!(stage.world.account("ann"), "ann Example - disabled");
    okta.inject(
        Fault::removed(APP_USER, None, "/status")
            .on(Method::GET)
            .once(),
    );
    let hint = [stage.world.hint(&stage.ann)];
    assert_eq!(stage.world.deliver(&hint).await, 503);
    assert_eq!(stage.world.account("ann"), "ann Example - disabled");
}

#[rstest]
#[case::of_account(|stage: &Stage| Fault::removed(TEAMS_OF_ACCOUNT, Some(&stage.team), EXTERNAL))]
#[case::of_team(|stage: &Stage| Fault::removed(MEMBERS, Some(&stage.account), EXTERNAL))]
#[tokio::test]
async fn a_membership_that_may_be_of_an_external_group_is_not_ended(
    #[case] lie: fn(&Stage) -> Fault,
) {
    let stage = Stage::new(Policy::default()).await;
    if let Some(team) = stage.world.anypoint().teams.get_mut(&stage.team)
        && let Some(member) = team.members.get_mut(&stage.account)
    {
        member.external = true;
    }
    let left = stage
        .world
        .okta_does(|okta| okta.remove_member(&stage.devs, &stage.ann));
    let lie = lie(&stage).on(Method::GET);
    let events = if lie.path_contains == MEMBERS {
        stage
            .world
            .okta_does(|okta| okta.rename_group(&stage.devs, "Ops"))
    } else {
        left
    };
    stage.world.anypoint.traffic().inject(lie);
    stage.world.deliver(&events).await;
    assert_eq!(stage.role().as_deref(), Some("member"));
}
