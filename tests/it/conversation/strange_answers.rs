//! One strange answer does not extend or end anybody's access, and changes no role.
//!
//! Each case is a change in Okta, its delivery during one strange answer, and Okta's retry. The retry has nothing to do
//! if the first delivery did everything. Here the answer is about a user or an account. See `strange_teams.rs` for groups
//! and teams.

use std::time::Duration;

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::{Conclusion, Memo};
use okta_anypoint::provision::{Adopt, Policy, SuspendedUsers};
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::okta::{OktaWorld, Refusal};
use okta_anypoint::simulator::traffic::{Absence, Fault};
use rstest::rstest;
use serde_json::json;

use super::conflicts::leave_orphan;
use super::groups::devs_with_ann;
use crate::world::{APP, World, lease};

const ACCOUNT: &str = "/accounts/api/organizations/*/users/*";
pub(super) const TEAMS_OF_ACCOUNT: &str = "/accounts/api/organizations/*/users/*/teams";
const APP_GROUPS: &str = "/api/v1/apps/*/groups";
const USER: &str = "/api/v1/users/*";
const EXTERNAL: &str = "/is_assigned_via_external_groups";
const APP_USER: &str = "/api/v1/apps/*/users/*";
pub(super) const MEMBERS: &str = "/accounts/api/organizations/*/teams/*/members";

/// Ann is in group and team "Devs".
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) devs: String,
    pub(super) ann: String,
    pub(super) team: String,
    pub(super) account: String,
}

impl Stage {
    pub(super) async fn new(policy: Policy) -> Self {
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

    pub(super) fn gone(&self, path: &str) -> Fault {
        Fault::not_found(path, Absence::Service).on(Method::GET)
    }

    /// Delivers the change under the fault, and once more without it.
    pub(super) async fn play(
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

    pub(super) fn role(&self) -> Option<String> {
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

/// Bob gave the name away, and his app user comes once without one. Ann's change comes back, and then gets the account.
#[tokio::test]
async fn an_owner_without_a_username_refuses_nobody_for_good() {
    let world = World::with(Policy {
        adopt: Adopt::Username,
        ..Policy::default()
    })
    .await;
    let bob = world.assigned_user("bob").await;
    let ann = world.user("ann");
    world.okta_does(|okta| okta.set_app_username(APP, &bob, "bob_z"));
    let assigned = world.okta_does(|okta| okta.assign_with_username(APP, &ann, "bob"));
    let bare = Fault::removed(APP_USER, Some(&bob), "/credentials");
    let bare = world.okta.traffic().inject(bare);
    assert_eq!(world.deliver(&assigned).await, 503);
    let record = world.record(&assigned[0]).await;
    assert_eq!(record.error_class, Some(Class::Retryable), "{record:?}");
    world.okta.traffic().remove_fault(bare);
    assert_eq!(world.deliver(&assigned).await, 204);
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.username, "bob");
}

/// A run was cut off before it linked the account, and Okta denies the assignment once. The account stays, and a second
/// look links it.
#[tokio::test]
async fn an_unlinked_account_does_not_end_for_one_absence() {
    for is_gone in [false, true] {
        let world = World::new().await;
        let ann = world.user("ann");
        world.okta_does(|okta| okta.assign(APP, &ann));
        leave_orphan(&world, &ann, "ann").await;
        let absent = Fault::not_found(APP_USER, Absence::Service).about(&ann);
        let absent = match is_gone {
            true => absent.times(u32::MAX),
            false => absent.once(),
        };
        world.okta.traffic().inject(absent);
        world.look_again(&ann).await;
        let state = if is_gone { "disabled" } else { "enabled" };
        assert!(world.account("ann").ends_with(state), "{is_gone}");
        assert_eq!(world.user_link(&ann).await.is_none(), is_gone);
    }
}
