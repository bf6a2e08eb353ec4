//! A 404 means an absence only when the service itself sent it.

use http::Method;
use okta_anypoint::anypoint::MemberChange;
use okta_anypoint::failure::{Cause, Class, Failure};
use okta_anypoint::ids::{AccountId, OktaUserId, TeamId};
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{GroupSelection, Policy};
use okta_anypoint::simulator::okta::Target;
use okta_anypoint::simulator::traffic::Fault;
use rstest::rstest;

use super::GATEWAYS_404;
use crate::world::{APP, World, soon};

/// Before, each of these disabled the account, and the event counted as done. With `all` and `none`, no list of the app's
/// groups is read that would fail as well.
#[rstest]
#[case::assigned(GroupSelection::Assigned)]
#[case::all(GroupSelection::All)]
#[case::none(GroupSelection::None)]
#[tokio::test]
async fn a_404_of_a_gateway_before_okta_disables_nobody(#[case] groups: GroupSelection) {
    let members = match groups {
        GroupSelection::None => "none",
        _ => "ann",
    };
    for body in GATEWAYS_404 {
        let policy = Policy {
            groups: groups.clone(),
            ..Policy::default()
        };
        let world = World::with(policy).await;
        let devs = world.pushed_group("Devs").await;
        let ann = world.assigned_user("ann").await;
        world.when(|okta| okta.add_member(&devs, &ann)).await;
        let hint = [world.hint(&ann)];
        let fault = Fault::status("/api/v1/", 404, body);
        let fault = world.okta.traffic().inject(fault);
        assert_eq!(world.deliver(&hint).await, 503, "{body}");
        let record = world.record(&hint[0]).await;
        let kept = (record.status, record.error_class);
        assert_eq!(kept, (Status::Failed, Some(Class::Retryable)), "{body}");
        assert_eq!(world.account("ann"), "ann Example - enabled", "{body}");
        assert_eq!(world.team("Devs"), members, "{body}");
        world.okta.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&hint).await, 204, "{body}");
    }
}

/// An announced removal counts at the first look. So only the error code tells Okta's own 404 from a gateway's.
#[tokio::test]
async fn a_404_of_a_gateway_does_not_confirm_an_event() {
    for body in GATEWAYS_404 {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let mut forged = vec![world.hint(&ann)];
        forged[0].event_type = "application.user_membership.remove".to_owned();
        forged[0].targets.push(Target {
            id: APP.to_owned(),
            kind: "AppInstance".to_owned(),
            alternate_id: "unknown".to_owned(),
            display_name: "unknown".to_owned(),
        });
        let fault = Fault::status(&format!("/apps/{APP}/users/"), 404, body);
        let fault = world.okta.traffic().inject(fault);
        assert_eq!(world.deliver(&forged).await, 503, "{body}");
        assert_eq!(world.account("ann"), "ann Example - enabled", "{body}");
        world.okta.traffic().remove_fault(fault);
        // Okta shows the assignment, whatever the event announced.
        world.look_again(&ann).await;
        assert_eq!(world.account("ann"), "ann Example - enabled", "{body}");
    }
}

/// Before, the suspension was recorded as done while the account stayed enabled.
#[tokio::test]
async fn a_404_of_a_gateway_before_anypoint_does_not_complete_a_suspension() {
    for body in GATEWAYS_404 {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let events = world.okta_does(|okta| okta.suspend(&ann));
        let fault = Fault::status("/accounts/api/organizations/", 404, body);
        let fault = world.anypoint.traffic().inject(fault);
        assert_eq!(world.deliver(&events).await, 503, "{body}");
        let record = world.record(&events[0]).await;
        let kept = (record.status, record.error_class);
        assert_eq!(kept, (Status::Failed, Some(Class::Retryable)), "{body}");
        world.anypoint.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204, "{body}");
        assert_eq!(world.account("ann"), "ann Example - disabled", "{body}");
    }
}

/// As above, but the organization is readable. Nothing marks Anypoint's own 404, so the list of accounts has to confirm
/// it.
#[tokio::test]
async fn a_404_for_a_listed_account_does_not_complete_a_suspension() {
    for body in GATEWAYS_404 {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let account = world.account_id("ann");
        let events = world.okta_does(|okta| okta.suspend(&ann));
        let fault = Fault::status(&format!("/users/{account}"), 404, body);
        let fault = world.anypoint.traffic().inject(fault);
        assert_eq!(world.deliver(&events).await, 503, "{body}");
        let record = world.record(&events[0]).await;
        assert_eq!(
            record.error_code.as_deref(),
            Some("contradiction"),
            "{body}"
        );
        world.anypoint.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204, "{body}");
        assert_eq!(world.account("ann"), "ann Example - disabled", "{body}");
    }
}

/// A 404 to a delete or a removal is a success only when Anypoint itself sent it.
#[tokio::test]
async fn a_404_of_a_gateway_to_a_write_is_no_success() {
    let world = World::new().await;
    let anypoint = &world.ports.anypoint;
    let team = TeamId::parse("0b0e2f5c-0000-4000-8000-00000000dead").unwrap();
    let people = [1, 2]
        .map(|n| AccountId::parse(format!("0b0e2f5c-0000-4000-8000-00000000000{n}")).unwrap());
    for body in GATEWAYS_404 {
        let fault = Fault::status("/accounts/api/organizations/", 404, body);
        let fault = world.anypoint.traffic().inject(fault);
        for failed in [
            anypoint.delete_team(&team, soon()).await.unwrap_err(),
            anypoint
                .change_members(MemberChange::Leave, &team, &people, soon())
                .await
                .unwrap_err(),
        ] {
            let failure = Failure::from(failed);
            assert!(failure.is_retryable(), "{failure}");
            assert_eq!(failure.cause, Cause::NotTheServices404, "{failure}");
            assert!(failure.advice.is_some());
        }
        world.anypoint.traffic().remove_fault(fault);
    }
    // Anypoint's own 404s are.
    anypoint.delete_team(&team, soon()).await.unwrap();
    anypoint
        .change_members(MemberChange::Leave, &team, &people[..1], soon())
        .await
        .unwrap();
}

/// The services' own 404s still count as answers, and a look reads the organization only once.
#[tokio::test]
async fn a_404_of_the_service_itself_is_an_absence() {
    let world = World::new().await;
    let nobody = OktaUserId::parse("00unobody").unwrap();
    assert!(
        world
            .ports
            .okta
            .user(&nobody, soon())
            .await
            .unwrap()
            .is_none()
    );
    let anypoint = &world.ports.anypoint;
    world.forget_traffic();
    for n in 1..5 {
        let id = AccountId::parse(format!("0b0e2f5c-0000-4000-8000-0000000000f{n}")).unwrap();
        let (account, teams) = tokio::join!(
            anypoint.account(&id, soon()),
            anypoint.list_teams_of_account(&id, soon())
        );
        assert!(account.unwrap().is_none() && teams.unwrap().is_none());
    }
    let reads = world.anypoint.traffic().log();
    let of_the_organization = reads
        .iter()
        .filter(|call| call.method == Method::GET && call.path.ends_with("0000000000aa"));
    assert_eq!(of_the_organization.count(), 1);
    assert_eq!(reads.iter().filter(|call| call.status == 404).count(), 8);
}

/// The program still creates an account again that was deleted by hand.
#[tokio::test]
async fn an_account_deleted_by_hand_is_created_again() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let account = world.account_id("ann");
    world.anypoint().users.remove(&account);
    world
        .when(|okta| okta.set_app_username(APP, &ann, "ann_two"))
        .await;
    world.look_again(&ann).await;
    assert_eq!(world.account("ann_two"), "ann Example - enabled");
}
