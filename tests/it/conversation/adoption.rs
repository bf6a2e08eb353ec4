//! Contract §4, "User": which existing accounts a user may get, and which names belong to somebody else.

use http::Method;
use okta_anypoint::failure::Class;
use okta_anypoint::ledger::Status;
use okta_anypoint::provision::Adopt;
use okta_anypoint::simulator::traffic::Fault;
use okta_anypoint::store::Origin;

use crate::world::{APP, World};

async fn adoption(adopt: Adopt, email: &str) -> (String, u16) {
    let world = World::adopting(adopt).await;
    let theirs = world
        .anypoint()
        .add_user("ann", "Other", "Name", email)
        .unwrap();
    world.anypoint().disable(&theirs).unwrap();
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    let status = world.deliver(&events).await;
    let state = world.account("ann");
    if state.ends_with("enabled") {
        assert_eq!(world.account_id("ann"), theirs);
        assert_eq!(world.user_link(&ann).await.unwrap().origin, Origin::Adopted);
        assert!(
            world.anypoint().mails.is_empty(),
            "only new accounts get a mail"
        );
    } else {
        let record = world.record(&events[0]).await;
        assert_eq!(
            (record.status, record.error_class),
            (Status::Failed, Some(Class::Permanent))
        );
        assert!(record.error.unwrap().contains("What to do"));
        assert!(world.user_link(&ann).await.is_none());
    }
    (state, status)
}

#[tokio::test]
async fn adoption_follows_the_setting() {
    for (adopt, email, expected) in [
        (
            Adopt::UsernameAndEmail,
            "ANN@acme.example",
            "ann Example - enabled",
        ),
        (
            Adopt::UsernameAndEmail,
            "other@acme.example",
            "Other Name - disabled",
        ),
        (
            Adopt::Username,
            "other@acme.example",
            "ann Example - enabled",
        ),
        (Adopt::Never, "ann@acme.example", "Other Name - disabled"),
    ] {
        let (state, status) = adoption(adopt, email).await;
        assert_eq!(
            (state.as_str(), status),
            (expected, 204),
            "{adopt:?} {email}"
        );
    }
}

/// Both sides ask for an address. Before: one answer without it was a permanent refusal.
#[tokio::test]
async fn an_answer_without_the_address_is_retried() {
    for (at_okta, is_there) in [(true, true), (false, true), (true, false)] {
        let world = World::new().await;
        if is_there {
            let mut anypoint = world.anypoint();
            anypoint
                .add_user("ann", "Other", "Name", "ann@acme.example")
                .unwrap();
        }
        let ann = world.user("ann");
        let (traffic, path, pointer) = if at_okta {
            let traffic = world.okta.traffic();
            (traffic, "/api/v1/users/*", "/profile/email")
        } else {
            let path = "/accounts/api/organizations/*/users/*";
            (world.anypoint.traffic(), path, "/email")
        };
        let lie = Fault::removed(path, None, pointer).on(Method::GET);
        traffic.inject(lie.once());
        let events = world.okta_does(|okta| okta.assign(APP, &ann));
        assert_eq!(world.deliver(&events).await, 503, "{pointer} {is_there}");
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.account("ann"), "ann Example - enabled");
    }
}

#[tokio::test]
async fn an_account_of_another_user_is_never_taken() {
    let world = World::adopting(Adopt::Username).await;
    let ann = world.assigned_user("ann").await;
    let other = world.user("other");
    let events = world.okta_does(|okta| okta.assign_with_username(APP, &other, "ann"));
    assert_eq!(world.deliver(&events).await, 204);
    assert!(world.record(&events[0]).await.error.unwrap().contains(&ann));
    assert!(world.user_link(&other).await.is_none());
}

#[tokio::test]
async fn single_sign_on_users_with_the_same_name_are_left_alone() {
    let world = World::adopting(Adopt::Username).await;
    world
        .anypoint()
        .add_sso_user("ann", "Sso", "User", "ann@acme.example", "idp-1");
    let ann = world.assigned_user("ann").await;
    let link = world.user_link(&ann).await.unwrap();
    assert_eq!(link.origin, Origin::Created);
    let world_now = world.anypoint();
    let sso = world_now
        .users
        .values()
        .find(|user| user.idprovider_id == "idp-1")
        .unwrap();
    assert_eq!(
        (sso.first_name.as_str(), sso.id == link.anypoint_id.as_str()),
        ("Sso", false)
    );
    drop(world_now);
}

#[tokio::test]
async fn a_name_taken_by_another_customer_fails_permanently_with_advice() {
    let world = World::new().await;
    // An organization has at least one user. An empty list means that the scope to read users is missing.
    world.assigned_user("root").await;
    world.anypoint().foreign_usernames.insert("ann".to_owned());
    let ann = world.user("ann");
    let events = world.okta_does(|okta| okta.assign(APP, &ann));
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    assert_eq!(status, 204, "{record:?}");
    assert_eq!(record.error_class, Some(Class::Permanent));
    let error = record.error.unwrap();
    assert!(
        error.contains("unique across all Anypoint customers"),
        "{error}"
    );
    assert!(!error.contains("ann"), "{error}");
    // The worker acknowledges the same event without another look.
    world.forget_traffic();
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.calls(), Vec::<String>::new());
    // A new username fixes it.
    world.rename(&ann, "ann_2").await;
    assert_eq!(world.account("ann_2"), "ann Example - enabled");
}
