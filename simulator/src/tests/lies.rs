//! Answers that are not true.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fault::{Absence, Fault, FaultKind};

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
