//! Refused credentials and rights: the client asks once more, then reports the refusal, and recovers with the side.

use std::time::Duration;

use http::Method;
use okta_anypoint::failure::{Cause, Class, Failure, Side};
use okta_anypoint::ids::{OktaAppId, OktaGroupId, OktaUserId};
use okta_anypoint::ledger::Status;
use okta_anypoint::okta::{Credentials, Okta, PrivateKey};
use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::okta::OktaOptions;
use okta_anypoint::simulator::traffic::{Fault, Traffic};

use crate::tenant::Tenant;
use crate::world::{APP, World, pass, soon};

const CLIENT: &str = "0oaSERVICE";
const READ: [&str; 3] = ["okta.users.read", "okta.apps.read", "okta.groups.read"];

fn refusal(path: &str, status: u16, code: &str) -> Fault {
    Fault::status(path, status, &format!(r#"{{"errorCode":"{code}"}}"#))
}

/// An org with a group of five, and a client of each kind of credentials.
async fn org() -> (Tenant, OktaGroupId, [Okta; 2]) {
    let options = OktaOptions {
        page_cap: Some(2),
        ..OktaOptions::default()
    };
    let tenant = Tenant::start(options, AnypointOptions::default()).await;
    let key = PrivateKey::generate().unwrap();
    let users = [0, 1, 2, 3, 4].map(|n| tenant.user(&format!("user{n}")));
    let group = {
        let mut world = tenant.okta.world();
        world.add_service_app(CLIENT, "key-1", key.public_jwk(), &READ);
        let group = world.create_group("Devs").unwrap().id;
        for user in &users {
            world.add_member(&group, user).unwrap();
        }
        OktaGroupId::parse(group).unwrap()
    };
    let app = Credentials::ServiceApp {
        client_id: CLIENT.to_owned(),
        key,
        key_id: "key-1".to_owned(),
    };
    let clients = [tenant.api_token(), app].map(|credentials| tenant.client(credentials));
    (tenant, group, clients)
}

fn tokens(traffic: &Traffic) -> usize {
    traffic.count(&Method::POST, "/token")
}

/// Before: failed for good at the first 403, and at the first 401 of an API token.
#[tokio::test]
async fn a_temporary_refusal_is_survived_on_every_page() {
    let (org, group, clients) = org().await;
    for okta in &clients {
        for (status, code) in [
            (401, "E0000011"),
            (403, "E0000005"),
            (403, "E0000006"),
            (401, "E0000015"),
        ] {
            for page in 0..3 {
                let fault = refusal("/users", status, code).skipping(page).once();
                let fault = org.okta.traffic().inject(fault);
                let members = okta.list_group_members(&group, soon()).await.unwrap();
                assert_eq!(members.unwrap().items.len(), 5, "{status} {code} {page}");
                assert_eq!(org.okta.traffic().fired(fault), 1);
            }
        }
    }
}

/// Before: the client used the token until it expired.
#[tokio::test]
async fn a_token_that_expires_with_403_is_renewed_between_pages() {
    let (org, group, [_, okta]) = org().await;
    okta.list_group_members(&group, soon()).await.unwrap();
    org.okta.traffic().clear();
    org.okta
        .traffic()
        .inject(refusal("/users", 403, "E0000005").skipping(1).once());
    okta.list_group_members(&group, soon()).await.unwrap();
    let statuses: Vec<u16> = org
        .okta
        .traffic()
        .log()
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(
        statuses,
        [200, 403, 200, 200, 200],
        "page, refusal, token, page, page"
    );
}

/// A lasting refusal ends as a retryable failure with its cause and advice. The client does not request tokens again
/// and again.
#[tokio::test]
async fn a_lasting_refusal_is_reported_without_a_token_loop() {
    for (status, code, cause) in [
        (401, "E0000011", Cause::RefusedCredentials),
        (403, "E0000005", Cause::RefusedCredentials),
        (403, "E0000006", Cause::RefusedRights),
    ] {
        let (org, _, clients) = org().await;
        org.okta.traffic().inject(refusal("/api/v1", status, code));
        for okta in &clients {
            org.okta.traffic().clear();
            let nobody = OktaUserId::parse("00u1").unwrap();
            for _ in 0..4 {
                let failure = Failure::from(okta.user(&nobody, soon()).await.unwrap_err());
                let found = (failure.class, failure.cause, failure.side);
                assert_eq!(found, (Class::Retryable, cause, Side::Okta), "{code}");
                assert!(failure.advice.is_some(), "{failure}");
            }
            let asked = org.okta.traffic().count(&Method::GET, "/api/v1/users/");
            assert_eq!(asked, 8, "each call once more");
            assert!(
                tokens(org.okta.traffic()) <= 2,
                "{} tokens",
                tokens(org.okta.traffic())
            );
            // The side refuses the general check, too, so the refusal is not about that user.
            let app = OktaAppId::parse(APP).unwrap();
            assert!(okta.check_app(&app, soon()).await.unwrap_err().is_refusal());
        }
    }
}

/// A missing right for one user says nothing about the side.
#[tokio::test]
async fn a_refusal_about_one_user_does_not_count_against_the_side() {
    let (org, _, clients) = org().await;
    org.okta
        .traffic()
        .inject(refusal("/api/v1/users/00u1", 403, "E0000006"));
    for okta in &clients {
        let user = OktaUserId::parse("00u1").unwrap();
        assert!(okta.user(&user, soon()).await.unwrap_err().is_refusal());
        let app = OktaAppId::parse(APP).unwrap();
        okta.check_app(&app, soon()).await.unwrap();
    }
}

/// Before: an event that came while a credential was wrong needed a replay by hand.
#[tokio::test]
async fn an_event_during_wrong_credentials_is_retried() {
    for (status, code) in [(401, "E0000011"), (403, "E0000005"), (403, "E0000006")] {
        let world = World::new().await;
        let ann = world.user("ann");
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        let fault = world
            .okta
            .traffic()
            .inject(refusal("/api/v1", status, code));
        assert_eq!(world.deliver(&events).await, 503);
        let record = world.record(&events[0]).await;
        let kept = (record.status, record.error_class);
        assert_eq!(kept, (Status::Failed, Some(Class::Retryable)));
        world.okta.traffic().remove_fault(fault);
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "ann Example - enabled");
    }
}

/// The same at Anypoint, where a missing scope is 401 or 403.
#[tokio::test]
async fn a_refusal_of_anypoint_is_confirmed_once_and_then_retried() {
    for status in [401, 403] {
        let world = World::new().await;
        let ann = world.assigned_user("ann").await;
        let anypoint = &world.ports.anypoint;
        let traffic = world.anypoint.traffic();
        // A temporary one.
        traffic.inject(Fault::status("/users", status, "").once());
        world
            .when(|okta| okta.update_profile(&ann, &[("firstName", "Anna".into())]))
            .await;
        assert_eq!(world.account("ann"), "Anna Example - enabled");
        // A lasting one.
        let fault = traffic.inject(Fault::status("/accounts/api/organizations", status, ""));
        world.forget_traffic();
        for _ in 0..4 {
            assert!(
                anypoint
                    .check_organization(soon())
                    .await
                    .unwrap_err()
                    .is_refusal()
            );
        }
        assert!(tokens(traffic) <= 1, "{} tokens", tokens(traffic));
        let events = world.okta_does(|okta| okta.suspend(&ann));
        assert_eq!(world.deliver(&events).await, 503);
        traffic.remove_fault(fault);
        anypoint.check_organization(soon()).await.unwrap();
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "Anna Example - disabled");
    }
}

/// The secret of the connected app is wrong for a while. The client requests a token twice, then waits a few seconds,
/// whatever calls come.
#[tokio::test]
async fn a_refused_sign_in_is_not_repeated_in_a_loop() {
    let world = World::new().await;
    world.anypoint().client_secret = "rotated".to_owned();
    world.forget_traffic();
    let anypoint = &world.ports.anypoint;
    let asked = (0..20).map(|_| anypoint.check_organization(soon()));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.unwrap_err().is_refusal());
    }
    assert_eq!(tokens(world.anypoint.traffic()), 2);
    // Then the client tries again, and recovers by itself.
    world.anypoint().client_secret = "simulated-secret".to_owned();
    pass(Duration::from_secs(5)).await;
    anypoint.check_organization(soon()).await.unwrap();
}

/// Before, after a temporary refusal the client did not renew an expired token for a minute.
#[tokio::test]
async fn a_token_that_expires_after_a_temporary_refusal_is_renewed() {
    let world = World::new().await;
    let anypoint = &world.ports.anypoint;
    let traffic = world.anypoint.traffic();
    let fault = traffic.inject(Fault::status("/accounts/api/organizations", 401, "{}"));
    for _ in 0..2 {
        assert!(
            anypoint
                .check_organization(soon())
                .await
                .unwrap_err()
                .is_refusal()
        );
        assert!(anypoint.list_teams(soon()).await.unwrap_err().is_refusal());
    }
    traffic.remove_fault(fault);
    // One operation works again. The other has not been called since.
    anypoint.check_organization(soon()).await.unwrap();
    world.anypoint().revoke_tokens();
    anypoint.check_organization(soon()).await.unwrap();
    world.anypoint().revoke_tokens();
    anypoint.list_accounts(soon()).await.unwrap();

    // The opposite: an operation without its scope does not request a token each time, whatever others do.
    traffic.clear();
    traffic.inject(Fault::status(
        "/accounts/api/organizations/*/teams",
        401,
        "{}",
    ));
    for _ in 0..5 {
        assert!(anypoint.list_teams(soon()).await.unwrap_err().is_refusal());
        anypoint.check_organization(soon()).await.unwrap();
    }
    assert!(tokens(traffic) <= 1, "{} tokens", tokens(traffic));
}
