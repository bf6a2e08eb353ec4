//! A list ends only where its links say so.

use http::Method;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::http::Extent;
use okta_anypoint::ids::{OktaAppId, OktaGroupId};
use okta_anypoint::okta::Okta;
use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::fault::{Fault, FaultKind, Links};
use okta_anypoint::simulator::okta::{LogEvent, OktaOptions};
use okta_anypoint::simulator::traffic::Traffic;
use serde_json::{Value, json};

use crate::tenant::Tenant;
use crate::world::{APP, World, soon};

struct Org {
    _tenant: Tenant,
    traffic: Traffic,
    okta: Okta,
    group: OktaGroupId,
    app: OktaAppId,
    users: Vec<String>,
}

/// `people` assigned users in one group. Pages have at most `page` entries.
async fn org(people: usize, page: Option<usize>) -> Org {
    let options = OktaOptions {
        page_cap: page,
        ..OktaOptions::default()
    };
    let tenant = Tenant::start(options, AnypointOptions::default()).await;
    let person = |n| tenant.person(&format!("user{n}@acme.example"), "U", "Example");
    let users: Vec<String> = (0..people).map(person).collect();
    let group = {
        let mut world = tenant.okta.world();
        let group = world.create_group("Devs").unwrap().id;
        for user in &users {
            world.add_member(&group, user).unwrap();
            world.assign(APP, user).unwrap();
        }
        OktaGroupId::parse(group).unwrap()
    };
    Org {
        okta: tenant.client(tenant.api_token()),
        app: OktaAppId::parse(APP).unwrap(),
        traffic: tenant.okta.traffic().clone(),
        _tenant: tenant,
        group,
        users,
    }
}

impl Org {
    async fn members(&self) -> Result<usize, Failure> {
        let members = self.okta.list_group_members(&self.group, soon()).await?;
        Ok(members.unwrap().whole()?.len())
    }
}

/// Before, the first page counted as the whole list, and members were removed.
#[tokio::test]
async fn a_readable_next_link_is_followed_and_any_other_is_an_error() {
    let org = org(5, Some(2)).await;
    for links in [Links::RawByte, Links::NoBracket] {
        let fault = org
            .traffic
            .inject(Fault::new("/users", FaultKind::Links(links)));
        let failure = org.members().await.unwrap_err();
        assert!(
            failure.is_retryable() && failure.cause == Cause::Unreadable,
            "{failure}"
        );
        org.traffic.remove_fault(fault);
    }
    let two = Fault::new("/users", FaultKind::Links(Links::TwoRelations));
    org.traffic.inject(two);
    assert_eq!(org.members().await.unwrap(), 5);
}

/// Before, the client followed a circle for 10,000 requests.
#[tokio::test]
async fn circular_next_links_are_an_error_at_the_first_repetition() {
    let org = org(5, Some(2)).await;
    org.traffic
        .inject(Fault::new("/users", FaultKind::Links(Links::Circle)));
    org.traffic.clear();
    assert!(org.members().await.unwrap_err().is_retryable());
    assert!(org.traffic.count(&Method::GET, "/users") <= 4);

    let world = World::new().await;
    for n in 0..3 {
        let name = format!("user{n}");
        world
            .anypoint()
            .add_user(&name, "U", "Example", "u@acme.example")
            .unwrap();
    }
    let circle = Fault::new("/users", FaultKind::Links(Links::Circle));
    let short = Fault::new("/users", FaultKind::ShortPage(2));
    world.anypoint.traffic().inject(circle);
    world.anypoint.traffic().inject(short);
    world
        .ports
        .anypoint
        .list_accounts(soon())
        .await
        .unwrap_err();
    assert!(world.anypoint.traffic().count(&Method::GET, "/users") <= 8);
}

/// A group with a broken list loses nobody.
#[tokio::test]
async fn an_incomplete_list_removes_nobody_from_a_team() {
    let world = World::new().await;
    let devs = world.pushed_group("Devs").await;
    for name in ["ann", "ben", "cat"] {
        let user = world.assigned_user(name).await;
        world.when(|okta| okta.add_member(&devs, &user)).await;
    }
    let short = Fault::new("/groups/*/users", FaultKind::ShortPage(2));
    let short = Fault {
        path_contains: "/api/v1/groups/*/users".to_owned(),
        ..short
    };
    let raw = Fault {
        kind: FaultKind::Links(Links::RawByte),
        ..short.clone()
    };
    world.okta.traffic().inject(raw);
    world.okta.traffic().inject(short);
    let events = world.okta_does(|okta| okta.rename_group(&devs, "Ops"));
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    assert_eq!(status, 503, "{record:?} {:?}", world.calls());
    assert_eq!(world.team("Ops"), "ann ben cat");
    world.okta.traffic().remove_all_faults();
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    assert_eq!(status, 204, "{record:?}");
    assert_eq!(world.team("Ops"), "ann ben cat");
}

#[tokio::test]
async fn pages_without_the_embedded_users_are_completed_by_single_reads() {
    let org = org(5, Some(2)).await;
    org.traffic
        .inject(Fault::new("/users", FaultKind::Links(Links::DropExpand)));
    let users = org
        .okta
        .list_app_users(&org.app, &[], soon())
        .await
        .unwrap()
        .items;
    assert_eq!(users.len(), 5);
    assert!(users.iter().all(|user| user.user().is_some()));
}

/// Before, it never ended.
#[tokio::test]
async fn a_page_that_fails_with_500_is_requested_in_smaller_sizes() {
    let org = org(120, None).await;
    let fault = org
        .traffic
        .inject(Fault::new("/users", FaultKind::PagesAbove(50)));
    assert_eq!(org.members().await.unwrap(), 120);
    assert_eq!(
        org.okta
            .list_app_users(&org.app, &[], soon())
            .await
            .unwrap()
            .items
            .len(),
        120
    );
    // The client keeps the page size that works. For the group: 200 and 100 twice each, then three pages of 50. For the
    // app: 500, 250, 125 and 62, then 31.
    org.traffic.clear();
    assert_eq!(org.members().await.unwrap(), 120);
    assert_eq!(org.traffic.count(&Method::GET, "/users"), 7);
    org.traffic.remove_fault(fault);
    // A 500 at every page size ends as a failure.
    org.traffic.inject(Fault::status("/users", 500, "{}"));
    org.traffic.clear();
    let failure = org.members().await.unwrap_err();
    assert_eq!(failure.cause, Cause::Unavailable);
    assert!(org.traffic.count(&Method::GET, "/users") <= 14);

    let world = World::new().await;
    for n in 0..150 {
        let name = format!("user{n}");
        world
            .anypoint()
            .add_user(&name, "U", "Example", "u@acme.example")
            .unwrap();
    }
    world
        .anypoint
        .traffic()
        .inject(Fault::new("/users", FaultKind::PagesAbove(70)));
    assert_eq!(
        world
            .ports
            .anypoint
            .list_accounts(soon())
            .await
            .unwrap()
            .items
            .len(),
        150
    );
}

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

/// A total that is too large costs a few calls, not one for each page that it promises.
#[tokio::test]
async fn a_list_of_accounts_ends_at_a_page_with_nothing_new() {
    let world = World::new().await;
    let traffic = world.anypoint.traffic();
    let account =
        json!({"id": "0a0e51b0-0000-4000-8000-000000000001", "username": "ann", "enabled": true});
    let page = |data: &Value| {
        let body = json!({"data": data, "total": 100_000});
        Fault::status("/users", 200, &body.to_string())
    };
    for rest in [json!([account]), json!([])] {
        traffic.clear();
        traffic.inject(page(&json!([account])).once());
        let rest = traffic.inject(page(&rest));
        let answer = world.ports.anypoint.list_accounts(soon()).await;
        let error = Failure::from(answer.unwrap_err());
        assert!(error.is_retryable(), "{error}");
        let calls = traffic.count(&Method::GET, "/users");
        assert!(calls <= 12, "{calls} calls");
        traffic.remove_fault(rest);
    }
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
    let ben = world.user("ben");
    world
        .anypoint()
        .add_user("ben2", "B", "Example", "b@acme.example")
        .unwrap();
    let odd_account = Fault::changed(
        "/accounts/api/organizations/*/users",
        None,
        "/username",
        json!(7),
    )
    .on(Method::GET);
    world.anypoint.traffic().inject(odd_account);
    world.when(|okta| okta.assign(APP, &ben)).await;
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(world.account("ben"), "ben Example - enabled");

    // One of them is, and Anypoint does not create a second.
    world
        .anypoint()
        .add_user("cat", "cat", "Example", "cat@acme.example")
        .unwrap();
    let cat = world.user("cat");
    let odd_account = Fault::changed(
        "/accounts/api/organizations/*/users",
        None,
        "/username",
        json!(7),
    )
    .on(Method::GET);
    world.anypoint.traffic().inject(odd_account);
    let events = world.okta_does(|okta| okta.assign(APP, &cat));
    let status = world.deliver(&events).await;
    let record = world.record(&events[0]).await;
    world.anypoint.traffic().remove_all_faults();
    assert_eq!(status, 503, "{record:?}");
    assert_eq!(world.deliver(&events).await, 204);
    assert_eq!(world.account("cat"), "cat Example - enabled");
}
