//! An unreadable entry does not spoil its list, and stops no look.

use http::Method;
use okta_anypoint::http::Extent;
use okta_anypoint::simulator::fault::Fault;
use okta_anypoint::simulator::okta::LogEvent;
use serde_json::json;

use super::lists::org;
use crate::world::{APP, World, soon};

/// Before, one attribute of the wrong type made the whole page unreadable.
#[tokio::test]
async fn an_unreadable_entry_of_okta_does_not_spoil_its_list() {
    let org = org(5, Some(2)).await;
    let odd = &org.users[3];
    // An attribute that is not text: the user counts without it.
    let fault = Fault::changed("/users", Some(odd), "/profile/lastName", json!(["a", "b"]));
    let fault = org.traffic.inject(fault);
    let members = org
        .okta
        .list_group_members(&org.group, soon())
        .await
        .unwrap()
        .unwrap();
    assert!(members.unread.is_empty() && members.is_complete());
    let user = members
        .items
        .iter()
        .find(|user| user.id.as_str() == odd)
        .unwrap();
    assert!(user.profile.is_unread("lastName"));
    assert_eq!(
        (
            user.profile.text("lastName"),
            user.profile.text("firstName")
        ),
        (None, Some("U"))
    );
    org.traffic.remove_fault(fault);

    // A required attribute: the entry is known by its id, and the others are complete.
    let fault = Fault::changed("/users", Some(odd), "/status", json!(7));
    let fault = org.traffic.inject(fault);
    let members = org
        .okta
        .list_group_members(&org.group, soon())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((members.items.len(), members.extent), (4, Extent::Complete));
    assert_eq!(members.unread[0].id, *odd);
    let failure = org.members().await.unwrap_err();
    assert!(failure.to_string().contains(odd.as_str()), "{failure}");
    org.traffic.remove_fault(fault);

    // Without an id the list is incomplete.
    let fault = Fault::removed("/users", Some(odd), "/id");
    org.traffic.inject(fault);
    let members = org
        .okta
        .list_group_members(&org.group, soon())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (members.items.len(), members.extent),
        (4, Extent::Incomplete)
    );
    assert!(org.members().await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn an_unreadable_account_does_not_spoil_its_list() {
    let world = World::new().await;
    let ann = world.assigned_user("ann").await;
    let account = world.account_id("ann");
    world.assigned_user("ben").await;
    let anypoint = &world.ports.anypoint;
    let traffic = world.anypoint.traffic();
    for (fault, known, extent) in [
        (
            Fault::changed("/users", Some(&account), "/username", json!(7)),
            1,
            Extent::Complete,
        ),
        (
            Fault::removed("/users", Some(&account), "/id"),
            0,
            Extent::Incomplete,
        ),
    ] {
        let fault = traffic.inject(fault);
        let accounts = anypoint.list_accounts(soon()).await.unwrap();
        assert_eq!((accounts.unread.len(), accounts.extent), (known, extent));
        assert!(
            accounts
                .items
                .iter()
                .any(|account| account.username == "ben")
        );
        accounts.whole().unwrap_err();
        traffic.remove_fault(fault);
    }
    // A name of the wrong type counts as missing, and does not prevent disabling the account.
    traffic.inject(Fault::changed(
        "/users",
        Some(&account),
        "/firstName",
        json!({"a": 1}),
    ));
    world.when(|okta| okta.suspend(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - disabled");
    world.when(|okta| okta.unsuspend(&ann)).await;
    assert_eq!(world.account("ann"), "ann Example - enabled");
}

/// Two teams of two people. A third person joins the first group, and the second leaves it.
struct Teams {
    world: World,
    devs: String,
    ben: String,
    cat: String,
    events: Vec<LogEvent>,
}

async fn teams() -> Teams {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    let mut people = Vec::new();
    for name in ["ann", "ben", "cat"] {
        people.push(world.assigned_user(name).await);
    }
    for user in &people[..2] {
        world.when(|okta| okta.add_member(&devs, user)).await;
    }
    world.okta_does(|okta| okta.add_member(&devs, &people[2]));
    world.okta_does(|okta| okta.remove_member(&devs, &people[0]));
    let events = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
    let cat = people.remove(2);
    let ben = people.remove(1);
    Teams {
        world,
        devs,
        ben,
        cat,
        events,
    }
}

/// Before, one such entry blocked the whole group.
#[tokio::test]
async fn a_team_follows_its_group_despite_an_unreadable_entry() {
    for (is_okta, path, pointer) in [
        (true, "/api/v1/groups/*/users", "/status"),
        (
            false,
            "/accounts/api/organizations/*/teams/*/members",
            "/identity_type",
        ),
    ] {
        let teams = teams().await;
        let world = &teams.world;
        let (remote, id) = if is_okta {
            (world.okta.traffic(), teams.ben.clone())
        } else {
            (world.anypoint.traffic(), world.account_id("ben"))
        };
        let fault = Fault::changed(path, Some(&id), pointer, json!(7));
        remote.inject(fault);
        // An unreadable member is left to a look at that user.
        world.deliver(&teams.events).await;
        assert_eq!(world.team("Ops"), "ben cat", "{path}");
        remote.remove_all_faults();

        // With an entry without an id, new members join and nobody leaves. The record says so.
        let other = if is_okta { teams.cat.clone() } else { id };
        let fault = Fault::removed(path, Some(&other), "/id");
        remote.inject(fault);
        let dan = world.assigned_user("dan").await;
        world.okta_does(|okta| okta.add_member(&teams.devs, &dan));
        world.okta_does(|okta| okta.remove_member(&teams.devs, &teams.ben));
        let events = world.okta_does(|okta| okta.rename_group(&teams.devs, "QA"));
        assert_eq!(world.deliver(&events).await, 503);
        assert_eq!(world.team("QA"), "ben cat dan", "{path}");
        let record = world.record(&events[0]).await;
        assert_eq!(record.error_code.as_deref(), Some("unreadable"));
        remote.remove_all_faults();
        assert_eq!(world.deliver(&events).await, 204);
        assert_eq!(world.team("QA"), "cat dan", "{path}");
    }
}

/// The same for a look at a user: the user's groups, the account's teams, and other accounts in a search.
#[tokio::test]
async fn a_user_look_works_despite_an_unreadable_entry() {
    let world = World::new().await;
    let [devs, ops, qa] = [
        world.pushed_group("Devs").await,
        world.pushed_group("Ops").await,
        world.pushed_group("QA").await,
    ];
    let ann = world.assigned_user("ann").await;
    world.when(|okta| okta.add_member(&devs, &ann)).await;
    world.when(|okta| okta.add_member(&ops, &ann)).await;
    let team = world.team_link(&devs).await.unwrap().team_id.to_string();
    let odd_group = Fault::changed("/api/v1/users/*/groups", Some(&devs), "/profile", json!(7));
    world.okta.traffic().inject(odd_group);
    let odd_team = Fault::changed(
        "/accounts/api/organizations/*/users/*/teams",
        Some(&team),
        "/membership_type",
        json!({}),
    );
    world.anypoint.traffic().inject(odd_team);
    world.when(|okta| okta.add_member(&qa, &ann)).await;
    assert_eq!(
        (world.team("QA"), world.team("Devs")),
        ("ann".to_owned(), "ann".to_owned())
    );
    world.when(|okta| okta.remove_member(&ops, &ann)).await;
    assert_eq!(
        (world.team("Ops"), world.team("Devs")),
        (String::new(), "ann".to_owned())
    );
    world.okta.traffic().remove_all_faults();
    world.anypoint.traffic().remove_all_faults();

    // All results of a search are unreadable, and none is the account in question.
    let odd_accounts = || {
        let users = "/accounts/api/organizations/*/users";
        let odd = Fault::changed(users, None, "/username", json!(7)).on(Method::GET);
        world.anypoint.traffic().inject(odd);
    };
    let ben = world.user("ben");
    world
        .anypoint()
        .add_user("ben2", "B", "Example", "b@acme.example")
        .unwrap();
    odd_accounts();
    world.when(|okta| okta.assign(APP, &ben)).await;
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(world.account("ben"), "ben Example - enabled");

    // One of them is, and Anypoint does not create a second.
    world
        .anypoint()
        .add_user("cat", "cat", "Example", "cat@acme.example")
        .unwrap();
    let cat = world.user("cat");
    odd_accounts();
    let events = world.okta_does(|okta| okta.assign(APP, &cat));
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(status, 503, "{record:?}");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("cat"), "cat Example - enabled");
}
