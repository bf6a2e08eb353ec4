//! One odd 4xx does not fail a change for good. Only the service's own refusal of a write is permanent.

use std::time::Duration;

use http::Method;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::Status;
use okta_anypoint::simulator::okta::LogEvent;
use okta_anypoint::simulator::traffic::{Fault, Traffic};

use crate::world::{APP, World};

const ODD: [u16; 17] = [
    400, 402, 405, 406, 408, 409, 410, 411, 413, 415, 418, 421, 422, 423, 425, 451, 499,
];
const GATEWAY: &str = "<html>400 Bad Request</html>";
/// Anypoint's own refusals: one by its validation, one by a business rule.
const OWN: [&str; 2] = [
    r#"{"errors":[{"type":"json","keyword":"pattern","dataPath":".firstName","message":"no"}]}"#,
    r#"{"status":400,"message":"no"}"#,
];

/// Delivers events while one call gets an odd answer. They end as done, at once or on the retry.
async fn survives(world: &World, traffic: &Traffic, odd: Fault, events: &[LogEvent]) {
    let what = format!("{odd:?}");
    let fault = traffic.inject(odd.once());
    if world.deliver(events).await != 204 {
        let record = world.record(&events[0]).await;
        let kept = (record.status, record.error_class);
        assert_eq!(kept, (Status::Failed, Some(Class::Retryable)), "{what}");
        assert_eq!(world.deliver(events).await, 204, "{what}");
    }
    assert_eq!(traffic.fired(fault), 1, "{what}");
    for event in events {
        let record = world.record(event).await;
        assert_eq!(record.status, Status::Done, "{what} {:?}", record.error);
    }
}

/// Before: `failed permanent value_refused`, and the account never changed again.
#[tokio::test]
async fn an_odd_status_of_a_read_or_write_is_retried() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let account = world.account_id("ann");
    let (okta, anypoint) = (world.okta.traffic(), world.anypoint.traffic());
    for code in ODD {
        for body in ["", GATEWAY] {
            let odd = Fault::status("/api/v1/users/*", code, body).about(&ann);
            let events = world.okta_does(|okta| okta.suspend(&ann));
            survives(&world, okta, odd, &events).await;
            assert_eq!(world.account("ann"), "ann Example - disabled", "{code}");

            let odd = Fault::status("", code, body)
                .about(&account)
                .on(Method::GET);
            let events = world.okta_does(|okta| okta.unsuspend(&ann));
            survives(&world, anypoint, odd, &events).await;
            assert_eq!(world.account("ann"), "ann Example - enabled", "{code}");

            let odd = Fault::status("", code, body)
                .about(&account)
                .on(Method::PUT);
            let events = world.okta_does(|okta| okta.suspend(&ann));
            survives(&world, anypoint, odd, &events).await;
            assert_eq!(world.account("ann"), "ann Example - disabled", "{code}");
            world.when(|okta| okta.unsuspend(&ann)).await;
            assert_eq!(world.team("Devs"), "ann", "{code}");
        }
    }
}

/// Before: permanent, and a 409 to a removal counted as "not a member".
#[tokio::test]
async fn an_odd_status_of_a_membership_is_retried() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    let anypoint = world.anypoint.traffic();
    for (code, body) in [
        (400, GATEWAY),
        (400, ""),
        (405, ""),
        (409, ""),
        (409, r#"{"message":"conflict"}"#),
        (409, OWN[0]),
    ] {
        let odd = Fault::status("/members", code, body).on(Method::PATCH);
        let events = world.okta_does(|okta| okta.add_member(&devs, &ann));
        survives(&world, anypoint, odd, &events).await;
        assert_eq!(world.team("Devs"), "ann", "{code} {body}");

        let odd = Fault::status("/members", code, body).on(Method::DELETE);
        let events = world.okta_does(|okta| okta.remove_member(&devs, &ann));
        survives(&world, anypoint, odd, &events).await;
        assert_eq!(world.team("Devs"), "", "{code} {body}");
    }
}

/// Before: `username_taken`, for good.
#[tokio::test]
async fn an_odd_status_of_a_create_is_retried() {
    let world = World::new().await;
    let anypoint = world.anypoint.traffic();
    for code in ODD {
        let name = format!("user{code}");
        let user = world.user(&name);
        let odd = Fault::status("/users", code, GATEWAY).on(Method::POST);
        let events = world.okta_does(|okta| okta.assign(APP, &user));
        survives(&world, anypoint, odd, &events).await;
        let account = format!("{name} Example - enabled");
        assert_eq!(world.account(&name), account);
        let odd = Fault::status("/teams", code, GATEWAY).on(Method::POST);
        let group = world.okta.world().create_group(&name).unwrap().id;
        let events = world.okta_does(|okta| okta.assign_group(APP, &group));
        survives(&world, anypoint, odd, &events).await;
        assert_eq!(world.team(&name), "");
    }
}

/// One odd answer does not drop optional values, either.
#[tokio::test]
async fn an_odd_status_loses_neither_phone_nor_mail() {
    let world = World::new().await;
    let anypoint = world.anypoint.traffic();
    for code in [400, 405] {
        let name = format!("user{code}");
        let user = world.user(&name);
        let phone = [("mobilePhone", "+49 30 12".into())];
        world.okta_does(|okta| okta.update_profile(&user, &phone));
        anypoint.inject(Fault::status("/recover/password", code, GATEWAY).once());
        let odd = Fault::status("/users", code, GATEWAY).on(Method::POST);
        let events = world.okta_does(|okta| okta.assign(APP, &user));
        survives(&world, anypoint, odd, &events).await;
        let account = format!("{name} Example +49 30 12 enabled");
        assert_eq!(world.account(&name), account);

        let odd = Fault::status("/users/", code, GATEWAY).on(Method::PUT);
        let phone = [("mobilePhone", "+49 30 34".into())];
        let events = world.okta_does(|okta| okta.update_profile(&user, &phone));
        survives(&world, anypoint, odd, &events).await;
        let account = format!("{name} Example +49 30 34 enabled");
        assert_eq!(world.account(&name), account);
    }
    assert_eq!(world.anypoint().mails.len(), 2);
}

/// Before: a temporary 404 counted as "gone", and the team stayed.
#[tokio::test]
async fn a_404_of_a_removal_is_confirmed_by_a_read() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    let traffic = world.anypoint.traffic();
    let gone = || Fault::status("/teams/", 404, OWN[0]).on(Method::DELETE);
    let events = world.okta_does(|okta| okta.remove_member(&devs, &ann));
    survives(&world, traffic, gone(), &events).await;
    assert_eq!(world.team("Devs"), "");

    let team = world.team_link(&devs).await.unwrap().team_id;
    let soon = || Deadline::within(Duration::from_secs(10));
    let anypoint = &world.ports.anypoint;
    traffic.inject(gone().once());
    let deleted = anypoint.delete_team(&team, soon()).await;
    assert_eq!(deleted.unwrap_err().class(), Class::Retryable);
    anypoint.delete_team(&team, soon()).await.unwrap();
    anypoint.delete_team(&team, soon()).await.unwrap();
}

/// The opposite: the service itself refuses a value. Only writes have values.
#[tokio::test]
async fn the_services_own_refusal_of_a_value_is_permanent() {
    for body in OWN {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let account = world.account_id("ann");
        let refused = Fault::status("", 400, body).about(&account);
        let fault = world.anypoint.traffic().inject(refused.on(Method::PUT));
        let change = [("firstName", "Anna".into())];
        let events = world.okta_does(|okta| okta.update_profile(&ann, &change));
        assert_eq!(world.deliver(&events).await, 204);
        let record = world.record(&events[0]).await;
        let kept = (record.status, record.error_class);
        assert_eq!(kept, (Status::Failed, Some(Class::Permanent)), "{body}");
        assert_eq!(record.error_code.as_deref(), Some("value_refused"));
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "ann Example - enabled");
        world.anypoint.traffic().remove_fault(fault);

        let refused = Fault::status("", 400, body).about(&account);
        let fault = world.anypoint.traffic().inject(refused.on(Method::GET));
        let events = [world.hint(&ann)];
        assert_eq!(world.deliver(&events).await, 503);
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_class, Some(Class::Retryable), "{body}");
        assert_eq!(record.error_code.as_deref(), Some("rejected"));
        world.anypoint.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "Anna Example - enabled");
    }
}

/// The opposite: Anypoint does not document its own 409, so a lasting one counts if its body is JSON. Any other may come
/// from a gateway: it fails with the same cause, and is retried.
#[tokio::test]
async fn a_lasting_conflict_of_a_create_is_a_taken_name() {
    for body in ["", "Conflict", GATEWAY, r#"{"message":"taken"}"#, OWN[0]] {
        let class = match serde_json::from_str::<serde_json::Value>(body) {
            Ok(_) => Class::Permanent,
            Err(_) => Class::Retryable,
        };
        let world = World::new().await;
        // One user exists, so the scope is not in doubt.
        world.assigned_user("ben").await;
        let taken = Fault::status("/users", 409, body).on(Method::POST);
        world.anypoint.traffic().inject(taken);
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let answer = match class {
            Class::Permanent => 204,
            Class::Retryable => 503,
        };
        assert_eq!(world.deliver(&events).await, answer, "{body}");
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_class, Some(class), "{body}");
        assert_eq!(record.error_code.as_deref(), Some("username_taken"));
        world.anypoint.traffic().remove_all_faults();
        assert_eq!(world.deliver(&events).await, 204, "{body}");
        let is_there = world.user_link(&ann).await.is_some();
        assert_eq!(is_there, class == Class::Retryable, "{body}");
    }
}
