//! A list ends only where its links say so.

use http::Method;
use okta_anypoint::failure::{Cause, Failure};
use okta_anypoint::ids::{OktaAppId, OktaGroupId};
use okta_anypoint::okta::Okta;
use okta_anypoint::simulator::anypoint::AnypointOptions;
use okta_anypoint::simulator::fault::{Fault, FaultKind, Links};
use okta_anypoint::simulator::okta::OktaOptions;
use okta_anypoint::simulator::traffic::Traffic;
use serde_json::{Value, json};

use crate::tenant::Tenant;
use crate::world::{APP, World, soon};

pub(super) struct Org {
    _tenant: Tenant,
    pub(super) traffic: Traffic,
    pub(super) okta: Okta,
    pub(super) group: OktaGroupId,
    app: OktaAppId,
    pub(super) users: Vec<String>,
}

/// `people` assigned users in one group. Pages have at most `page` entries.
pub(super) async fn org(people: usize, page: Option<usize>) -> Org {
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
    pub(super) async fn members(&self) -> Result<usize, Failure> {
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

/// Without a total, a page that is shorter than what was asked for may not be the last one.
#[tokio::test]
async fn a_list_without_a_total_ends_at_an_empty_page() {
    let world = World::new().await;
    let traffic = world.anypoint.traffic();
    for page in [0..25, 25..60, 60..60] {
        let account =
            |n: usize| json!({"id": format!("0a0e51b0-{n:04}"), "username": n.to_string()});
        let data: Vec<Value> = page.map(account).collect();
        let body = json!({"data": data}).to_string();
        traffic.inject(Fault::status("/users", 200, &body).once());
    }
    let listed = world.ports.anypoint.list_accounts(soon()).await.unwrap();
    assert_eq!(listed.items.len(), 60);
}

/// Something in between ignores the offset and drops the total, and one entry has no id.
#[tokio::test]
async fn a_page_that_comes_again_and_again_ends_the_list() {
    let world = World::new().await;
    let traffic = world.anypoint.traffic();
    for length in [1, 499] {
        traffic.clear();
        let account =
            |n: usize| json!({"id": format!("0a0e51b0-{n:04}"), "username": n.to_string()});
        let mut data: Vec<Value> = (0..length).map(account).collect();
        data.push(json!({}));
        let body = json!({"data": data}).to_string();
        let page = traffic.inject(Fault::status("/users", 200, &body));
        let listed = world.ports.anypoint.list_accounts(soon()).await.unwrap();
        assert_eq!((listed.items.len(), listed.is_complete()), (length, false));
        assert_eq!(traffic.count(&Method::GET, "/users"), 2);
        traffic.remove_fault(page);
    }
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
