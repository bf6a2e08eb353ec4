//! Looks at a group: nobody loses a team by mistake, and refusals are reported as refusals.

use std::time::Duration;

use http::Method;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Class;
use okta_anypoint::ids::{OktaAppId, OktaGroupId, Subject};
use okta_anypoint::insight::Explanation;
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{Announced, GroupSelection, Policy, Provisioner, TeamRemoval};
use okta_anypoint::simulator::traffic::{Fault, FaultKind};

use crate::world::{APP, World};

/// A pushed group "Devs" with one member, ann, who has an account; gives the ids of the group, the
/// user and the team.
async fn devs_with_ann(policy: Policy) -> (World, [String; 3]) {
    let world = World::with(policy).await;
    let devs = world.pushed_group("Devs").await;
    world.when(|okta| okta.rename_group(&devs, "Devs")).await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    assert_eq!(world.team("Devs"), "ann");
    let team = world.team_id("Devs");
    (world, [devs, ann, team])
}

/// With a wrong `OKTA_APP_ID` no group is assigned to the app, and no member.
#[tokio::test]
async fn a_wrong_app_id_empties_no_team() {
    for groups in [GroupSelection::Assigned, GroupSelection::All] {
        let policy = Policy {
            groups,
            ..Policy::default()
        };
        let (world, [devs, ..]) = devs_with_ann(policy).await;
        let mut ports = world.ports.clone();
        ports.app = OktaAppId::parse("0oaWRONG").unwrap();
        let group = OktaGroupId::parse(&devs).unwrap();
        let deadline = Deadline::within(Duration::from_secs(10));
        let subject = Subject::Group(group);
        let provisioner = Provisioner::new(ports);
        let forecast = provisioner.forecast(&subject, Announced::everything(), deadline);
        let failure = forecast.await.unwrap_err().to_string();
        assert!(failure.contains("OKTA_APP_ID"), "{failure}");
    }
}

/// A username change removes the former account from its teams. If an administrator enables one, the program leaves it
/// alone.
#[tokio::test]
async fn a_disabled_former_account_leaves_the_team_but_an_enabled_one_stays() {
    let (world, [devs, ann, team]) = devs_with_ann(Policy::default()).await;
    let former = world.account_id("ann");
    world.rename(&ann, "ann_new").await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    for (is_open, name, members) in [
        (false, "Closed", "ann_new"),
        (true, "Opened", "ann ann_new"),
    ] {
        {
            let mut anypoint = world.anypoint();
            anypoint.add_member(&team, &former, "member").unwrap();
            let set = |account: &mut okta_anypoint::simulator::anypoint::AnypointUser| {
                account.enabled = is_open;
            };
            anypoint.edit_user(&former, set).unwrap();
        }
        world.when(|okta| okta.rename_group(&devs, name)).await;
        assert_eq!(world.team(name), members);
    }
}

/// Okta reports a changed username only in the System Log. A look at a group of the user finds it.
#[tokio::test]
async fn a_look_at_the_group_finds_a_changed_username_of_a_member() {
    let (world, [devs, ann, _]) = devs_with_ann(Policy::default()).await;
    world.okta_does(|okta| okta.set_app_username(APP, &ann, "ann_new"));
    world.when(|okta| okta.rename_group(&devs, "Ops")).await;
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.team("Ops"), "ann_new");
}

/// A team that is emptied because it cannot be deleted keeps the members that the program does not own.
#[tokio::test]
async fn a_team_that_cannot_be_deleted_keeps_other_members_and_maintainers() {
    let policy = Policy {
        team_removal: TeamRemoval::Delete,
        ..Policy::default()
    };
    let (world, [devs, _, team]) = devs_with_ann(policy).await;
    let boss = world.assigned_user("boss").await;
    world.okta_does(|okta| okta.add_member(&devs, &boss));
    {
        let boss = world.account_id("boss");
        let mut anypoint = world.anypoint();
        let bob = anypoint.add_user("bob", "Bob", "Hand", "bob@acme.example");
        anypoint.add_member(&team, &bob.unwrap(), "member").unwrap();
        anypoint.add_member(&team, &boss, "maintainer").unwrap();
        anypoint.add_team("Child", Some(&team)).unwrap();
    }
    world.when(|okta| okta.delete_group(&devs)).await;
    assert_eq!(world.team("Devs"), "bob boss");
}

/// Links show operators the current name of the team, even after a rename by hand.
#[tokio::test]
async fn a_link_records_the_new_name_of_a_team_renamed_by_hand() {
    let (world, [devs, _, team]) = devs_with_ann(Policy::default()).await;
    world.anypoint().rename_team(&team, "Ops").unwrap();
    let renaming = format!("/teams/{team}");
    let refused = Fault::status(&renaming, 403, "{}").on(Method::PATCH);
    let refused = world.anypoint.traffic().inject(refused);
    world.when(|okta| okta.rename_group(&devs, "Ops")).await;
    assert_eq!(world.anypoint.traffic().fired(refused), 0);
    assert_eq!(world.team_link(&devs).await.unwrap().team_name, "Ops");
}

/// The worker tries a refused write once more, and reports it as a refusal.
#[tokio::test]
async fn a_refused_team_write_is_reported_as_a_refusal() {
    for of_members in [false, true] {
        let (world, [devs, ann, team]) = devs_with_ann(Policy::default()).await;
        let path = if of_members {
            let account = world.account_id("ann");
            let mut anypoint = world.anypoint();
            anypoint.remove_member(&team, &account).unwrap();
            "/members".to_owned()
        } else {
            format!("/teams/{team}")
        };
        let refused = Fault::status(&path, 403, "{}").on(Method::PATCH);
        let refused = world.anypoint.traffic().inject(refused);
        // The second look at the same name writes only members.
        let name = if of_members { "Devs" } else { "Ops" };
        world.okta_does(|okta| okta.rename_group(&devs, "Other"));
        let events = world.okta_does(|okta| okta.rename_group(&devs, name));
        assert_eq!(world.deliver(&events).await, 503);
        let record = world.record(&events[0]).await;
        assert_eq!(
            (record.status, record.error_class),
            (Status::Failed, Some(Class::Retryable))
        );
        let error = record.error.unwrap();
        assert!(error.contains("403") && error.contains("scopes"), "{error}");
        assert_eq!(world.anypoint.traffic().fired(refused), 2, "{error}");
        assert!(world.user_link(&ann).await.is_some());
    }
}

#[tokio::test]
async fn a_refused_team_create_is_reported_as_a_refusal() {
    let world = World::new().await;
    let refused = Fault::status("/teams", 403, "{}").on(Method::POST);
    let refused = world.anypoint.traffic().inject(refused);
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    let events = world.okta_does(|okta| okta.assign_group(APP, &devs));
    assert_eq!(world.deliver(&events).await, 503);
    let error = world.record(&events[0]).await.error.unwrap();
    assert!(error.contains("403") && error.contains("scopes"), "{error}");
    assert_eq!(world.anypoint.traffic().fired(refused), 2, "{error}");
}

/// Members wait for a retryable failure. A permanently refused name does not stop them.
#[tokio::test]
async fn members_wait_while_the_rename_of_the_team_is_retried() {
    let (world, [devs, ann, team]) = devs_with_ann(Policy::default()).await;
    let account = world.account_id("ann");
    world.anypoint().remove_member(&team, &account).unwrap();
    let busy = FaultKind::Status {
        code: 429,
        headers: vec![("retry-after".to_owned(), "120".to_owned())],
        body: String::new(),
    };
    let busy = Fault::new(&format!("/teams/{team}"), busy).on(Method::PATCH);
    world.anypoint.traffic().inject(busy.once());
    let events = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
    assert_eq!(world.deliver(&events).await, 503);
    assert_eq!(world.team("Devs"), "", "not before the pause ends");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Ops"), "ann");
    assert!(world.user_link(&ann).await.is_some());
}

/// A team that does not exist yet has no id, and a dry run must not name another team for it.
#[tokio::test]
async fn a_dry_run_of_a_group_without_a_team_names_no_other_team() {
    let world = World::with(Policy::default()).await;
    let ann = world.assigned_user("ann").await;
    let devs = world.okta.world().create_group("Devs").unwrap().id;
    world.okta_does(|okta| okta.assign_group(APP, &devs));
    world.okta_does(|okta| okta.add_member(&devs, &ann));
    let subject = Subject::Group(OktaGroupId::parse(&devs).unwrap());
    let deadline = Deadline::within(Duration::from_secs(10));
    let provisioner = Provisioner::new(world.ports.clone());
    let forecast = provisioner.forecast(&subject, Announced::everything(), deadline);
    let steps: Vec<String> = forecast
        .await
        .unwrap()
        .steps
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(steps, ["create_team", "add_members"]);
    let ports = &world.ports;
    let explained = Explanation::of(ports, subject, deadline).await.unwrap();
    assert!(explained.link.is_null(), "{}", explained.link);
}
