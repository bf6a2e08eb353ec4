//! Answers that are not true, refusals that pass, and lists that do not end well.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fault::{Absence, Fault, FaultKind, Links, RateHeaders, Refused};
use crate::okta::EVERYONE;

/// An org with one user, and a group with this user in it.
async fn org() -> (Okta, String, String) {
    let okta = Okta::start(OktaOptions::default()).await;
    let ann = okta.user("ann");
    let group = okta.sim.world().create_group("Builders").unwrap().id;
    okta.sim.world().add_member(&group, &ann).unwrap();
    (okta, ann, group)
}

#[tokio::test]
async fn a_missing_right_reads_as_an_empty_list() {
    let (okta, ann, group) = org().await;
    let traffic = okta.sim.traffic();
    let lie = traffic.inject(Fault::empty_list("/api/v1/groups/*/users"));
    let members = format!("/api/v1/groups/{group}/users");
    let seen = okta.get(&members).await;
    assert_eq!((seen.status, seen.ids().len()), (200, 0));
    assert_eq!(
        okta.get(&format!("/api/v1/users/{ann}/groups"))
            .await
            .ids()
            .len(),
        2
    );
    // An empty list that is emptied is no lie.
    okta.sim.world().remove_member(&group, &ann).unwrap();
    okta.get(&members).await;
    assert_eq!(traffic.fired(lie), 1);
    okta.nothing_unexpected();

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    anypoint
        .sim
        .world()
        .add_user("ann", "A", "B", "a@acme.example")
        .unwrap();
    let traffic = anypoint.sim.traffic();
    traffic.inject(Fault::empty_list("/users").once());
    let seen = anypoint.get("/users").await;
    assert_eq!(seen.body, json!({"data": [], "total": 0}));
    assert_eq!(anypoint.get("/users").await.body["total"], 1);
}

#[tokio::test]
async fn an_existing_object_is_denied_for_some_reads_or_for_a_while() {
    let (okta, ann, _) = org().await;
    let traffic = okta.sim.traffic();
    let own = format!("/api/v1/users/{ann}");
    let twice = Fault::not_found("/api/v1/users/*", Absence::Service)
        .about(&ann)
        .times(2);
    let twice = traffic.inject(twice);
    // A 404 for a user who does not exist is no lie.
    assert_eq!(okta.get("/api/v1/users/00unobody").await.status, 404);
    let seen = okta.get(&own).await;
    assert_eq!(
        (seen.status, &seen.body["errorCode"]),
        (404, &json!("E0000007"))
    );
    let update = json!({"profile": {"lastName": "Other"}});
    assert_eq!(okta.send(Method::POST, &own, update).await.status, 200);
    assert_eq!(okta.get(&own).await.status, 404);
    assert_eq!(okta.get(&own).await.status, 200);
    assert_eq!(traffic.fired(twice), 2);

    for (absence, text) in [
        (Absence::Empty, ""),
        (Absence::Object, "{}"),
        (
            Absence::NoRoute,
            r#"{"message":"no Route matched with those values"}"#,
        ),
        (Absence::Text, "404 page not found"),
    ] {
        let lie = Fault::not_found("/users", absence).lasting(Duration::from_secs(3));
        traffic.inject(lie);
        let seen = okta.get(&own).await;
        assert_eq!((seen.status, seen.text.as_str()), (404, text));
        traffic.advance(Duration::from_secs(3));
        assert_eq!(okta.get(&own).await.status, 200);
    }

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let team = anypoint.sim.world().add_team("Builders", None).unwrap();
    anypoint.sim.traffic().inject(Fault::gone(&team));
    let seen = anypoint.get(&format!("/teams/{team}/members")).await;
    assert_eq!(seen.status, 404);
    assert!(seen.body["errors"].is_array(), "{}", seen.text);
    assert!(anypoint.get("/teams").await.ids().contains(&team.as_str()));
}

#[tokio::test]
async fn lists_lack_chosen_objects() {
    let (okta, ann, group) = org().await;
    let ben = okta.user("ben");
    okta.sim.world().add_member(&group, &ben).unwrap();
    let lie = okta
        .sim
        .traffic()
        .inject(Fault::lacking("/groups", &[&ann]));
    let members = format!("/api/v1/groups/{group}/users");
    assert_eq!(okta.get(&members).await.ids(), [&ben]);
    assert_eq!(okta.get("/api/v1/groups").await.ids().len(), 2);
    assert_eq!(okta.sim.traffic().fired(lie), 1);

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let user = anypoint
        .sim
        .world()
        .add_user("ann", "A", "B", "a@acme.example")
        .unwrap();
    anypoint
        .sim
        .world()
        .add_user("ben", "A", "B", "b@acme.example")
        .unwrap();
    anypoint
        .sim
        .traffic()
        .inject(Fault::lacking("/users", &[&user]));
    let seen = anypoint.get("/users").await;
    assert_eq!((seen.ids().len(), &seen.body["total"]), (1, &json!(1)));
}

#[tokio::test]
async fn members_of_a_group_appear_late_and_leave_at_once() {
    let (okta, ann, group) = org().await;
    let traffic = okta.sim.traffic();
    let lag = traffic.inject(Fault::member_lag(Duration::from_secs(2)));
    let members = format!("/api/v1/groups/{group}/users");
    assert_eq!(okta.get(&members).await.ids().len(), 0);
    assert_eq!(
        okta.get(&format!("/api/v1/users/{ann}/groups"))
            .await
            .ids()
            .len(),
        2
    );
    // A little more: the clock of a world runs ahead when much happens at once.
    okta.sim.world().clock.advance(Duration::from_secs(3));
    assert_eq!(okta.get(&members).await.ids(), [&ann]);
    assert_eq!(traffic.fired(lag), 1);
    okta.sim.world().remove_member(&group, &ann).unwrap();
    assert_eq!(okta.get(&members).await.ids().len(), 0);
}

#[tokio::test]
async fn reads_show_the_past_for_a_while() {
    let (okta, ann, group) = org().await;
    let traffic = okta.sim.traffic();
    let lie = Fault::new("/groups", FaultKind::Frozen).lasting(Duration::from_secs(5));
    let lie = traffic.inject(lie);
    let members = format!("/api/v1/groups/{group}/users");
    assert_eq!(okta.get(&members).await.ids(), [&ann]);
    assert_eq!(traffic.fired(lie), 0);
    let ben = okta.user("ben");
    okta.sim.world().add_member(&group, &ben).unwrap();
    okta.sim.world().remove_member(&group, &ann).unwrap();
    assert_eq!(okta.get(&members).await.ids(), [&ann]);
    assert_eq!(traffic.fired(lie), 1);
    traffic.advance(Duration::from_secs(5));
    assert_eq!(okta.get(&members).await.ids(), [&ben]);
}

#[tokio::test]
async fn callers_are_refused_in_the_words_of_the_service() {
    let (okta, ann, _) = org().await;
    let own = format!("/api/v1/users/{ann}");
    for (refused, status, code) in [
        (Refused::Credentials, 401, "E0000011"),
        (Refused::Session, 403, "E0000005"),
        (Refused::Right, 403, "E0000006"),
    ] {
        okta.sim
            .traffic()
            .inject(Fault::refused("", refused).once());
        let seen = okta.get(&own).await;
        assert_eq!(
            (seen.status, &seen.body["errorCode"]),
            (status, &json!(code))
        );
        assert_eq!(okta.get(&own).await.status, 200);
    }
    let mut anypoint = Anypoint::start(AnypointOptions::default()).await;
    let traffic = anypoint.sim.traffic().clone();
    traffic.inject(Fault::refused("", Refused::Right));
    traffic.inject(Fault::sign_in_refused().skipping(1));
    assert_eq!(anypoint.get("/users").await.status, 403);
    // Sign-ins still pass.
    anypoint.sign_in().await;
    let url = format!("{}/accounts/api/v2/oauth2/token", anypoint.sim.base_url());
    let seen = send(anypoint.http.post(url)).await;
    assert_eq!(
        (seen.status, &seen.body["error"]),
        (401, &json!("invalid_client"))
    );
}

#[tokio::test]
async fn a_token_dies_between_two_pages() {
    let mut anypoint = Anypoint::start(AnypointOptions::default()).await;
    for name in ["ann", "ben"] {
        anypoint
            .sim
            .world()
            .add_user(name, "A", "B", "a@acme.example")
            .unwrap();
    }
    let traffic = anypoint.sim.traffic().clone();
    let died = traffic.inject(
        Fault::token_dies("/users", Refused::Session)
            .skipping(1)
            .once(),
    );
    assert_eq!(anypoint.get("/users?limit=1").await.status, 200);
    assert_eq!(anypoint.get("/users?limit=1&offset=1").await.status, 401);
    // It is dead everywhere, and another one is not.
    assert_eq!(anypoint.get("/teams").await.status, 401);
    anypoint.sign_in().await;
    assert_eq!(anypoint.get("/users?limit=1&offset=1").await.status, 200);
    assert_eq!(traffic.fired(died), 1);
}

#[tokio::test]
async fn calls_are_counted_by_the_minute() {
    let mut anypoint = Anypoint::start(AnypointOptions::default()).await;
    let traffic = anypoint.sim.traffic().clone();
    let hour = Duration::from_secs(3600);
    let budget = traffic.inject(Fault::call_budget(2, hour));
    let left = |seen: &Seen| seen.header("x-ratelimit-remaining").concat();
    let first = anypoint.get("/users").await;
    assert_eq!((first.status, left(&first).as_str()), (200, "1"));
    assert_eq!(first.header("x-ratelimit-limit"), ["2"]);
    let second = anypoint.get("/users").await;
    assert_eq!((second.status, left(&second).as_str()), (200, "0"));
    let over = anypoint.get("/users").await;
    assert_eq!((over.status, over.text.as_str()), (503, ""));
    assert!(
        over.headers
            .keys()
            .all(|name| !name.as_str().contains("rate")),
        "{:?}",
        over.headers
    );
    assert_eq!(over.header("retry-after"), Vec::<String>::new());
    assert_eq!(traffic.fired(budget), 1);
    anypoint.sign_in().await;
    traffic.advance(hour);
    let next = anypoint.get("/users").await;
    assert_eq!((next.status, left(&next).as_str()), (200, "1"));
}

#[tokio::test]
async fn rate_headers_come_twice_or_as_a_list() {
    let (okta, ann, _) = org().await;
    let own = format!("/api/v1/users/{ann}");
    let traffic = okta.sim.traffic();
    let limited = Fault::new(
        "/users",
        FaultKind::Status {
            code: 429,
            headers: vec![("x-rate-limit-reset".to_owned(), "100".to_owned())],
            body: String::new(),
        },
    );
    traffic.inject(Fault::new("", FaultKind::RateHeaders(RateHeaders::Twice)).once());
    traffic.inject(limited.clone().once());
    assert_eq!(
        okta.get(&own).await.header("x-rate-limit-reset"),
        ["100", "160"]
    );
    traffic.inject(Fault::new("", FaultKind::RateHeaders(RateHeaders::List)).once());
    traffic.inject(limited.once());
    let seen = okta.get(&own).await;
    assert_eq!(
        (seen.status, seen.header("x-rate-limit-reset")),
        (429, vec!["100, 160".to_owned()])
    );
}

#[tokio::test]
async fn links_are_unreadable_or_lead_in_a_circle() {
    let (okta, ann, _) = org().await;
    okta.sim.world().assign(APP, &ann).unwrap();
    let ben = okta.user("ben");
    okta.sim.world().assign(APP, &ben).unwrap();
    let first = format!("/api/v1/apps/{APP}/users?expand=user&limit=1");
    let traffic = okta.sim.traffic();
    let next = |seen: &Seen| seen.links.last().unwrap().clone();
    let good = next(&okta.get(&first).await);
    assert!(
        good.contains("expand=user") && good.ends_with("rel=\"next\""),
        "{good}"
    );
    for (links, like) in [
        (Links::RawByte, good.replacen('<', "<\u{fffd}", 1)),
        (Links::NoBracket, good.replace('>', "")),
        (
            Links::TwoRelations,
            good.replace("\"next\"", "\"next last\""),
        ),
        (Links::DropExpand, good.replace("expand=user&", "")),
    ] {
        let lie = traffic.inject(Fault::new("/apps", FaultKind::Links(links)).once());
        assert_eq!(next(&okta.get(&first).await), like);
        assert_eq!(traffic.fired(lie), 1);
    }
    traffic.inject(Fault::new("/apps", FaultKind::Links(Links::Circle)));
    let second = okta.get(&first).await.next().unwrap();
    let back = okta.get(&second).await.next().unwrap();
    assert!(back.ends_with(&first), "{back}");

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    for name in ["ann", "ben"] {
        anypoint
            .sim
            .world()
            .add_user(name, "A", "B", "a@acme.example")
            .unwrap();
    }
    anypoint
        .sim
        .traffic()
        .inject(Fault::new("/users", FaultKind::Links(Links::Circle)));
    let first = anypoint.get("/users?limit=1").await;
    assert_eq!(
        anypoint.get("/users?limit=1&offset=1").await.body,
        first.body
    );
}

#[tokio::test]
async fn the_service_fails_at_large_pages() {
    let (okta, _, group) = org().await;
    okta.sim.traffic().inject(Fault::new(
        "/api/v1/groups/*/users",
        FaultKind::PagesAbove(500),
    ));
    let members = format!("/api/v1/groups/{group}/users");
    let seen = okta.get(&members).await;
    assert_eq!(
        (seen.status, &seen.body["errorCode"]),
        (500, &json!("E0000009"))
    );
    assert_eq!(okta.get(&format!("{members}?limit=501")).await.status, 500);
    assert_eq!(okta.get(&format!("{members}?limit=500")).await.status, 200);
}

#[tokio::test]
async fn attributes_are_of_another_type_or_missing() {
    let (okta, ann, _) = org().await;
    let ben = okta.user("ben");
    okta.sim.world().assign(APP, &ann).unwrap();
    let traffic = okta.sim.traffic();
    let phone = Fault::changed("", Some(&ann), "/profile/primaryPhone", json!(["1", 2]));
    let phone = traffic.inject(phone);
    let seen = okta.get("/api/v1/users").await;
    let user = |id: &str| {
        let users = seen.body.as_array().unwrap();
        users.iter().find(|user| user["id"] == id).unwrap()
    };
    assert_eq!(user(&ann)["profile"]["primaryPhone"], json!(["1", 2]));
    assert!(!user(&ben)["profile"]["primaryPhone"].is_array());
    let seen = okta.get(&format!("/api/v1/users/{ben}")).await;
    assert_eq!((seen.status, traffic.fired(phone)), (200, 1));
    traffic.remove_all_faults();

    traffic.inject(Fault::removed("/api/v1/users", Some(&ann), "/id").once());
    let seen = okta.get("/api/v1/users").await;
    let users = seen.body.as_array().unwrap();
    assert_eq!(
        users.iter().filter(|user| user.get("id").is_none()).count(),
        1
    );
    traffic.inject(Fault::removed("/api/v1/users", None, "/id").once());
    let seen = okta.get("/api/v1/users").await;
    assert!(
        seen.body
            .as_array()
            .unwrap()
            .iter()
            .all(|user| user.get("id").is_none())
    );
}

#[tokio::test]
async fn phones_are_refused_and_slashes_lead_nowhere() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    anypoint
        .sim
        .world()
        .refused_phones
        .insert("12-ab".to_owned());
    let person = |name: &str, phone: &str| json!({"username": name, "firstName": "A", "lastName": "B", "email": "a@acme.example", "password": "Example-Passw0rd", "phoneNumber": phone});
    let seen = anypoint
        .send(Method::POST, "/users", person("ann", "12-ab"))
        .await;
    assert_eq!(
        (seen.status, &seen.body["errors"][0]["dataPath"]),
        (400, &json!(".phoneNumber"))
    );
    let seen = anypoint
        .send(Method::POST, "/users", person("ann", "12"))
        .await;
    assert_eq!(seen.status, 201);
    let id = seen.body["id"].as_str().unwrap();
    let update = json!({"phoneNumber": "12-ab"});
    assert_eq!(
        anypoint
            .send(Method::PUT, &format!("/users/{id}"), update)
            .await
            .status,
        400
    );
    anypoint.nothing_unexpected();

    let (okta, ..) = org().await;
    let slash = "a/b@acme.example";
    let id = okta
        .sim
        .world()
        .create_user(slash, "A", "B", slash, None)
        .unwrap()
        .id;
    assert_eq!(
        okta.get("/api/v1/users/a%2Fb@acme.example").await.status,
        405
    );
    assert_eq!(okta.get(&format!("/api/v1/users/{id}")).await.status, 200);
    okta.nothing_unexpected();
}

#[tokio::test]
async fn everybody_is_in_the_built_in_group() {
    let (okta, ann, group) = org().await;
    let groups = okta.get(&format!("/api/v1/users/{ann}/groups")).await;
    assert_eq!(groups.ids(), [group.as_str(), EVERYONE]);
    assert_eq!(groups.body[1]["type"], "BUILT_IN");
    let page = okta
        .get(&format!("/api/v1/users/{ann}/groups?limit=1"))
        .await;
    assert_eq!(okta.get(&page.next().unwrap()).await.ids(), [EVERYONE]);
    let everyone = format!("/api/v1/groups/{EVERYONE}");
    assert_eq!(
        okta.get(&everyone).await.body["profile"]["name"],
        "Everyone"
    );
    assert_eq!(okta.get(&format!("{everyone}/users")).await.ids(), [&ann]);
    okta.nothing_unexpected();
    let out = format!("{everyone}/users/{ann}");
    assert_eq!(okta.send(Method::DELETE, &out, json!({})).await.status, 403);
}

#[tokio::test]
async fn faults_meet_on_one_request_and_each_is_counted() {
    let (okta, ann, group) = org().await;
    let ben = okta.user("ben");
    okta.sim.world().add_member(&group, &ben).unwrap();
    let traffic = okta.sim.traffic();
    let lacking = traffic.inject(Fault::lacking("", &[&ann]));
    let removed = traffic.inject(Fault::removed("", Some(&ben), "/profile/login"));
    let seen = okta.get(&format!("/api/v1/groups/{group}/users")).await;
    assert_eq!(seen.ids(), [&ben]);
    assert!(seen.body[0]["profile"].get("login").is_none());
    assert_eq!((traffic.fired(lacking), traffic.fired(removed)), (1, 1));
}

#[tokio::test]
async fn a_simulator_takes_commands_over_http() {
    let (okta, ann, _) = org().await;
    let own = format!("/api/v1/users/{ann}");
    let lie = json!({"path": "/api/v1/users/*", "about": ann, "kind": {"not_found": "no_route"}, "lasts_ms": 60000});
    let made = okta.send(Method::POST, "/_simulator/faults", lie).await;
    assert_eq!((made.status, &made.body), (201, &json!({"ids": [0]})));
    assert_eq!(okta.get(&own).await.status, 404);
    let faults = okta.get("/_simulator/faults").await.body;
    assert_eq!(
        (&faults[0]["fired"], &faults[0]["set"]),
        (&json!(1), &json!(true))
    );
    okta.send(
        Method::POST,
        "/_simulator/clock",
        json!({"advance_ms": 60000}),
    )
    .await;
    assert_eq!(okta.get(&own).await.status, 200);

    let list = json!([{"kind": "empty_list"}, {"kind": {"refused": "right"}, "method": "POST"}]);
    let made = okta.send(Method::POST, "/_simulator/faults", list).await;
    assert_eq!(made.body, json!({"ids": [1, 2]}));
    assert_eq!(okta.send(Method::POST, &own, json!({})).await.status, 403);
    assert_eq!(
        okta.send(Method::DELETE, "/_simulator/faults/2", json!({}))
            .await
            .status,
        204
    );
    assert_eq!(
        okta.send(Method::POST, &own, json!({"profile": {}}))
            .await
            .status,
        200
    );
    assert_eq!(okta.get("/api/v1/users").await.ids().len(), 0);
    okta.send(Method::DELETE, "/_simulator/faults", json!({}))
        .await;
    assert_eq!(okta.get("/api/v1/users").await.ids(), [&ann]);
    for wrong in [
        json!({"kind": "nothing"}),
        json!({"kind": "empty_list", "tmies": 1}),
        json!(1),
    ] {
        let seen = okta.send(Method::POST, "/_simulator/faults", wrong).await;
        assert_eq!(seen.status, 400, "{}", seen.text);
    }

    let change =
        json!({"users": {ann.as_str(): {"status": "SUSPENDED", "profile": {"nickName": null}}}});
    assert_eq!(
        okta.send(Method::PATCH, "/_simulator/world", change)
            .await
            .status,
        204
    );
    assert_eq!(okta.get(&own).await.body["status"], "SUSPENDED");
    assert_eq!(
        okta.get("/_simulator/world").await.body["users"][&ann]["status"],
        "SUSPENDED"
    );

    // None of it is traffic.
    let log = okta.get("/_simulator/requests").await.body;
    assert!(
        log.as_array()
            .unwrap()
            .iter()
            .all(|call| call["path"] != "/_simulator/faults")
    );
    assert_eq!(okta.get("/_simulator").await.status, 200);
    okta.nothing_unexpected();

    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let url = format!("{}/_simulator/world", anypoint.sim.base_url());
    let patch = anypoint
        .http
        .patch(url)
        .json(&json!({"refused_phones": ["*"]}));
    assert_eq!(send(patch).await.status, 204);
    assert!(anypoint.sim.world().refused_phones.contains("*"));
    // The token is still good.
    assert_eq!(anypoint.get("/users").await.status, 200);
}
