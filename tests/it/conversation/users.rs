//! Contract §4, "User": each line and its opposite.

use std::time::Duration;

use http::Method;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::ids::{OktaAppId, OktaUserId, Subject};
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::{
    Announced, GroupSelection, Policy, Provisioner, ResetEmail, SuspendedUsers, UsernamePolicy,
};
use okta_anypoint::simulator::fault::{Fault, FaultKind};
use okta_anypoint::store::Origin;
use serde_json::json;

use crate::world::{APP, World};

#[tokio::test]
async fn an_assigned_user_gets_an_account_with_a_mail() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.anypoint_id.as_str(), world.account_id("ann"));
    assert_eq!(
        (link.username.as_str(), link.origin),
        ("ann", Origin::Created)
    );
    assert_eq!(world.anypoint().mails.len(), 1);
    assert_eq!(
        world.anypoint().user_by_username("ann").unwrap().email,
        "ann@acme.example"
    );
}

#[tokio::test]
async fn an_unassigned_user_gets_no_account() {
    let world = World::new().await;
    let events = {
        let mut okta = world.okta.world();
        okta.create_user(
            "ann@acme.example",
            "Ann",
            "Example",
            "ann@acme.example",
            None,
        )
        .unwrap()
        .events
    };
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "none");
    assert_eq!(world.record(&events[0]).await.status, Status::Done);
    assert_eq!(world.writes().len(), 0);
}

/// Somebody with the hook's secret can first send a real event's uuid with another subject.
#[tokio::test]
async fn a_forged_event_of_the_same_uuid_hides_no_event() {
    let world = World::new().await;
    let (ann, ben) = (world.user("ann"), world.user("ben"));
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    let forged = events.iter().map(|event| {
        let mut forged = world.hint(&ben);
        forged.uuid = event.uuid.clone();
        forged
    });
    let forged: Vec<_> = forged.collect();
    assert_eq!(world.deliver(&forged).await, 204);
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// One delivery may hold a real event and a forged one of its uuid. Each has a result of its own.
#[tokio::test]
async fn a_forged_event_of_the_same_uuid_hides_no_failure() {
    for position in [0, 1] {
        let world = World::new().await;
        let (ann, ben) = (world.user("ann"), world.user("ben"));
        let mut events = world.okta_does(|okta| okta.assign(APP, &ann));
        events.truncate(1);
        let mut forged = world.hint(&ben);
        forged.uuid = events[0].uuid.clone();
        events.insert(position, forged);
        let path = format!("/api/v1/users/{ann}");
        let busy = Fault::status(&path, 400, r#"{"errorCode":"E0000112"}"#);
        world.okta.traffic().inject(busy);
        // The other look, which finds nothing to do, ends last.
        let slow = FaultKind::Delay(Duration::from_millis(1_200));
        let slow = Fault::new(&format!("/users/{ben}"), slow).on(Method::GET);
        world.okta.traffic().inject(slow);
        assert_eq!(world.deliver(&events).await, 503, "{position}");
        assert_eq!(world.account("ann"), "none");
        world.okta.traffic().remove_all_faults();
        assert_eq!(world.deliver(&events).await, 204, "{position}");
        assert_eq!(world.account("ann"), "ann Example - enabled");
    }
}

#[tokio::test]
async fn a_staged_user_who_is_assigned_gets_an_account() {
    let world = World::new().await;
    let ann = {
        let mut okta = world.okta.world();
        let mut new = okta_anypoint::simulator::okta::NewUser::active(
            "ann@acme.example",
            "Ann",
            "Example",
            "ann@acme.example",
            None,
        );
        new.activate = false;
        okta.create_user_from(new).unwrap().id
    };
    world.when(|okta| okta.assign(APP, &ann)).await;
    assert_eq!(world.account("ann"), "Ann Example - enabled");
}

#[tokio::test]
async fn profile_changes_are_copied_but_not_the_address() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world
        .when(|okta| {
            okta.update_profile(
                &ann,
                &[
                    ("firstName", json!("Anna")),
                    ("lastName", json!("Changed")),
                    ("mobilePhone", json!("555-0100")),
                    ("email", json!("new@acme.example")),
                ],
            )
        })
        .await;
    assert_eq!(world.account("ann"), "Anna Changed 555-0100 enabled");
    assert_eq!(
        world.anypoint().user_by_username("ann").unwrap().email,
        "ann@acme.example"
    );
    world.forget_traffic();
    world.look_again(&ann).await;
    assert_eq!(world.writes().len(), 0, "nothing that we push has changed");
}

#[tokio::test]
async fn a_change_made_in_anypoint_is_repaired_by_the_next_look() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let id = world.account_id("ann");
    world
        .anypoint()
        .edit_user(&id, |user| user.first_name = "Drifted".to_owned())
        .unwrap();
    world.anypoint().disable(&id).unwrap();
    world.look_again(&ann).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn a_changed_username_disables_one_account_and_enables_another() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let old = world.account_id("ann");
    world.rename(&ann, "ann_new").await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert_eq!(world.account("ann_new"), "ann Example - enabled");
    let link = world.user_link(&ann).await.unwrap();
    assert_ne!(link.anypoint_id.as_str(), old);
    assert_eq!(link.username, "ann_new");
    // And back: the first account was already linked to this user, so ADOPT does not matter.
    world.rename(&ann, "ann").await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.account("ann_new"), "ann Example - disabled");
    assert_eq!(
        world.user_link(&ann).await.unwrap().anypoint_id.as_str(),
        old
    );
}

#[tokio::test]
async fn a_change_of_case_does_not_change_the_username() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.forget_traffic();
    world.rename(&ann, "ANN").await;
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn every_way_out_disables_and_every_way_back_enables_the_same_account() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let id = world.account_id("ann");
    for round in ["unassign", "suspend", "deactivate"] {
        world
            .when(|okta| match round {
                "unassign" => okta.unassign(APP, &ann),
                "suspend" => okta.suspend(&ann),
                _ => okta.deactivate(&ann),
            })
            .await;
        assert_eq!(world.account("ann"), "ann Example - disabled", "{round}");
        world.forget_traffic();
        world.look_again(&ann).await;
        assert_eq!(world.writes().len(), 0, "{round}: already disabled");
        world
            .when(|okta| match round {
                "unassign" => okta.assign(APP, &ann),
                "suspend" => okta.unsuspend(&ann),
                _ => {
                    let mut events = okta.activate(&ann)?;
                    okta.set_password(&ann)?;
                    events.extend(okta.assign(APP, &ann)?);
                    Ok(events)
                }
            })
            .await;
        assert_eq!(world.account("ann"), "ann Example - enabled", "{round}");
        assert_eq!(world.account_id("ann"), id, "{round}");
    }
    world.when(|okta| okta.deactivate(&ann)).await;
    world.when(|okta| okta.delete_user(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    assert!(world.anypoint().deleted_users.is_empty());
}

#[tokio::test]
async fn suspended_users_stay_when_the_setting_says_so() {
    let policy = Policy {
        suspended: SuspendedUsers::Keep,
        ..Policy::default()
    };
    let world = World::with(policy).await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn the_settings_for_new_accounts_apply() {
    let policy = Policy {
        reset_email: ResetEmail::Skip,
        default_phone: Some("555-0199".to_owned()),
        ..Policy::default()
    };
    let world = World::with(policy).await;
    let ann = world.assigned_user("ann").await;
    assert_eq!(world.account("ann"), "ann Example 555-0199 enabled");
    assert!(world.anypoint().mails.is_empty());
    world.forget_traffic();
    world.look_again(&ann).await;
    assert_eq!(world.writes().len(), 0, "the default phone is no drift");
}

#[tokio::test]
async fn a_failed_rename_leaves_the_old_account_enabled() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world
        .anypoint()
        .foreign_usernames
        .insert("taken".to_owned());
    world.rename(&ann, "taken").await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn usernames_follow_the_policy() {
    for (usernames, expected) in [
        (UsernamePolicy::Strict, "none"),
        (UsernamePolicy::Sanitize, "ann Example - enabled"),
    ] {
        let world = World::with(Policy {
            usernames,
            ..Policy::default()
        })
        .await;
        let ann = world.user("ann");
        let events =
            world.okta_does(|okta| okta.assign_with_username(APP, &ann, "ann@acme.example"));
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann_acme_example"), expected);
        let failed = world.record(&events[0]).await.status == Status::Failed;
        assert_eq!(failed, usernames == UsernamePolicy::Strict);
    }
}

#[tokio::test]
async fn an_account_deleted_in_anypoint_is_reported() {
    let world = World::new().await;
    world.assigned_user("root").await;
    let ann = world.assigned_user("ann").await;
    let id = world.account_id("ann");
    world.anypoint().delete_user(&id).unwrap();
    let events = world.okta_does(|okta| okta.update_profile(&ann, &[("firstName", json!("A"))]));
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    assert_eq!(status, 204, "{record:?}");
    let error = record.error.unwrap();
    assert!(error.contains("deleted account keeps its name"), "{error}");
    // The user is no longer wanted, and the account is already gone.
    world.when(|okta| okta.unassign(APP, &ann)).await;
}

#[tokio::test]
async fn disabled_native_accounts_are_reported_with_advice() {
    let world = World::new().await;
    world.anypoint().native_accounts = false;
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    assert_eq!(world.deliver(&events).await, 503);
    let error = world.record(&events[0]).await.error.unwrap();
    assert!(error.contains("native accounts"), "{error}");
    let tries = world.anypoint.traffic().count(&Method::POST, "/users");
    assert_eq!(tries, 2, "a clear refusal is tried once more");
    world.anypoint().native_accounts = true;
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

#[tokio::test]
async fn duplicate_and_late_events_converge_on_the_present_state() {
    let world = World::new().await;
    let ann = world.user("ann");
    let assigned = world.okta_does(|okta| okta.assign(APP, &ann));
    let unassigned = world.okta_does(|okta| okta.unassign(APP, &ann));
    let again = world.okta_does(|okta| okta.assign(APP, &ann));
    // The latest first, the first twice, the middle one last.
    for events in [&again, &assigned, &assigned, &unassigned] {
        assert_eq!(world.deliver(events).await, 204);
    }
    assert_eq!(world.account("ann"), "ann Example - enabled");
    assert_eq!(world.anypoint().mails.len(), 1);
}

#[tokio::test]
async fn many_events_of_one_user_in_one_delivery_cause_one_look() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    world.forget_traffic();
    let events: Vec<_> = (0..20)
        .flat_map(|n| {
            world.okta_does(|okta| {
                okta.update_profile(&ann, &[("firstName", json!(format!("Ann{n}")))])
            })
        })
        .collect();
    assert_eq!(events.len(), 20);
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("ann"), "Ann19 Example - enabled");
    let reads = world
        .calls()
        .iter()
        .filter(|call| call.ends_with(&format!("users/{ann}")))
        .count();
    assert_eq!(
        reads,
        2,
        "the user and the app user, once each: {:?}",
        world.calls()
    );
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test]
async fn an_unchanged_user_costs_six_reads_and_a_new_one_eight_calls() {
    let world = World::new().await;
    let group = world.pushed_group("Devs").await;
    let ann = world.user("ann");
    let mut events = world.okta_does(|okta| okta.assign(APP, &ann));
    events.extend(world.okta_does(|okta| okta.add_member(&group, &ann)));
    let events: Vec<_> = events
        .into_iter()
        .filter(|event| event.event_type.contains("group.user"))
        .collect();
    world.forget_traffic();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.team("Devs"), "ann");
    assert!(world.calls().len() <= 8, "{:#?}", world.calls());
    world.forget_traffic();
    world.look_again(&ann).await;
    assert!(world.calls().len() <= 6, "{:#?}", world.calls());
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn a_wrong_app_id_disables_nobody() {
    // If groups are pushed by assignment, the app's groups are unreadable, too.
    for groups in [GroupSelection::Assigned, GroupSelection::None] {
        let policy = Policy {
            groups,
            ..Policy::default()
        };
        let world = World::with(policy).await;
        let ann = world.assigned_user("ann").await;
        let mut ports = world.ports.clone();
        ports.app = OktaAppId::parse("0oaWRONG").unwrap();
        let user = OktaUserId::parse(&ann).unwrap();
        let deadline = Deadline::within(Duration::from_secs(10));
        let subject = Subject::User(user);
        let provisioner = Provisioner::new(ports);
        let forecast = provisioner.forecast(&subject, Announced::everything(), deadline);
        let failure = forecast.await.unwrap().failure.unwrap();
        assert!(failure.to_string().contains("OKTA_APP_ID"), "{failure}");
        assert_eq!(world.account("ann"), "ann Example - enabled");
    }
}
