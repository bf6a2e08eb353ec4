use serde_json::{Value, json};

use super::*;
use crate::okta::{EVERYONE, LogEvent, OktaWorld, UserStatus};

fn types(events: &[LogEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.event_type.as_str())
        .collect()
}

#[tokio::test]
async fn pages_are_followed_by_link_headers() {
    let okta = Okta::start(OktaOptions {
        page_cap: Some(2),
        ..OktaOptions::default()
    })
    .await;
    let mut expected = Vec::new();
    for name in ["ann", "ben", "cem", "dea", "eva"] {
        let id = okta.user(name);
        okta.sim.world().assign(APP, &id).unwrap();
        expected.push(id);
    }
    let mut found = Vec::new();
    let mut next = Some(format!("/api/v1/apps/{APP}/users?limit=500&expand=user"));
    while let Some(url) = next {
        let page = okta.get(&url).await;
        assert!(page.links[0].ends_with("rel=\"self\""));
        for item in page.body.as_array().unwrap() {
            assert_eq!(item["_embedded"]["user"]["id"], item["id"]);
            found.push(item["id"].as_str().unwrap().to_owned());
        }
        next = page.next();
    }
    assert_eq!(found, expected);
    assert_eq!(okta.sim.traffic().count(&Method::GET, "/users"), 3);
    okta.nothing_unexpected();
}

#[tokio::test]
async fn a_group_assigns_its_members_and_a_name_outlives_the_group() {
    let okta = Okta::start(OktaOptions::default()).await;
    let (ann, ben) = (okta.user("ann"), okta.user("ben"));
    let mut world = okta.sim.world();
    let group = world.create_group("Integrators").unwrap().id;
    world.add_member(&group, &ann).unwrap();
    world.add_member(&group, &ben).unwrap();
    let events = world.assign_group(APP, &group).unwrap();
    assert_eq!(
        types(&events),
        [
            "group.application_assignment.add",
            "application.user_membership.add",
            "application.user_membership.add"
        ]
    );
    let targets: Vec<&str> = events[1]
        .targets
        .iter()
        .map(|target| target.kind.as_str())
        .collect();
    assert_eq!(targets, ["AppUser", "AppInstance", "User"]);
    assert_eq!(types(&world.assign(APP, &ann).unwrap()), Vec::<&str>::new());
    let events = world.remove_member(&group, &ann).unwrap();
    assert_eq!(types(&events), ["group.user_membership.remove"]);
    let events = world.remove_member(&group, &ben).unwrap();
    assert_eq!(
        types(&events),
        [
            "group.user_membership.remove",
            "application.user_membership.remove"
        ]
    );
    drop(world);

    let seen = okta.get(&format!("/api/v1/apps/{APP}/users/{ann}")).await;
    assert_eq!(seen.body["scope"], "USER");
    assert_eq!(seen.body["credentials"]["userName"], "ann");
    assert_eq!(
        okta.get(&format!("/api/v1/apps/{APP}/users/{ben}"))
            .await
            .status,
        404
    );
    okta.nothing_unexpected();
}

#[tokio::test]
async fn deactivation_ends_assignments_and_reactivation_restores_those_of_groups() {
    let okta = Okta::start(OktaOptions::default()).await;
    let ann = okta.user("ann");
    let mut world = okta.sim.world();
    world.add_app("0oaOTHER", "Other");
    let group = world.create_group("Integrators").unwrap().id;
    world.add_member(&group, &ann).unwrap();
    world.assign_group(APP, &group).unwrap();
    world.assign("0oaOTHER", &ann).unwrap();

    assert_eq!(
        types(&world.suspend(&ann).unwrap()),
        ["user.lifecycle.suspend"]
    );
    assert!(world.apps[APP].users.contains_key(&ann));
    world.unsuspend(&ann).unwrap();

    let events = world.deactivate(&ann).unwrap();
    assert_eq!(
        types(&events),
        [
            "application.user_membership.remove",
            "application.user_membership.remove",
            "user.lifecycle.deactivate"
        ]
    );
    assert!(world.groups[&group].members.contains(&ann));
    assert_eq!(world.assign(APP, &ann).unwrap_err().code, "E0000038");

    let events = world.activate(&ann).unwrap();
    assert_eq!(
        types(&events),
        ["user.lifecycle.activate", "application.user_membership.add"]
    );
    assert!(!world.apps["0oaOTHER"].users.contains_key(&ann));
    assert_eq!(world.users[&ann].status, UserStatus::Provisioned);
    drop(world);

    // Deleting takes two calls.
    let path = format!("/api/v1/users/{ann}");
    assert_eq!(
        okta.send(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    assert_eq!(okta.get(&path).await.body["status"], "DEPROVISIONED");
    assert_eq!(
        okta.send(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    let gone = okta.get(&path).await;
    assert_eq!(
        (gone.status, &gone.body["errorCode"]),
        (404, &json!("E0000007"))
    );
    okta.nothing_unexpected();
}

#[tokio::test]
async fn users_are_made_found_and_changed_through_the_api() {
    let okta = Okta::start(OktaOptions::default()).await;
    let profile = json!({"login": "lin@acme.example", "email": "lin@acme.example", "firstName": "Lin", "lastName": "Example"});
    let made = okta
        .send(
            Method::POST,
            "/api/v1/users?activate=false",
            json!({"profile": profile}),
        )
        .await;
    assert_eq!((made.status, &made.body["status"]), (200, &json!("STAGED")));
    assert_eq!(made.body["profile"]["mobilePhone"], Value::Null);
    let again = okta
        .send(
            Method::POST,
            "/api/v1/users?activate=false",
            json!({"profile": profile}),
        )
        .await;
    assert_eq!(
        (again.status, &again.body["errorCode"]),
        (400, &json!("E0000001"))
    );

    let id = made.body["id"].as_str().unwrap();
    let found = okta
        .get("/api/v1/users?search=profile.login%20eq%20%22LIN@acme.example%22")
        .await;
    assert_eq!(found.body[0]["id"], id);
    assert_eq!(okta.get("/api/v1/users/lin").await.body["id"], id);

    let changed = okta
        .send(
            Method::POST,
            &format!("/api/v1/users/{id}"),
            json!({"profile": {"lastName": "Other"}}),
        )
        .await;
    assert_eq!(changed.body["profile"]["firstName"], "Lin");
    let assigned = json!({"id": id, "scope": "USER", "credentials": {"userName": "lin-x"}});
    let assigned = okta
        .send(Method::POST, &format!("/api/v1/apps/{APP}/users"), assigned)
        .await;
    assert_eq!(assigned.body["credentials"]["userName"], "lin-x");
    let renamed = json!({"credentials": {"userName": "lin_y"}});
    okta.send(
        Method::POST,
        &format!("/api/v1/apps/{APP}/users/{id}"),
        renamed,
    )
    .await;
    let apps = okta
        .get(&format!(
            "/api/v1/apps?filter=user.id%20eq%20%22{id}%22&expand=user/{id}"
        ))
        .await;
    assert_eq!(
        apps.body[0]["_embedded"]["user"]["credentials"]["userName"],
        "lin_y"
    );

    let world = okta.sim.world();
    let last: Vec<&str> = types(&world.log);
    assert_eq!(
        last,
        [
            "user.lifecycle.create",
            "user.account.update_profile",
            "application.user_membership.add",
            "application.user_membership.change_username"
        ]
    );
    assert_eq!(
        world.log[1].debug[0],
        ("changedAttributes".to_owned(), "lastName".to_owned())
    );
    drop(world);
    okta.nothing_unexpected();
}

#[tokio::test]
async fn the_log_is_polled_without_an_end_and_read_to_an_end() {
    let okta = Okta::start(OktaOptions::default()).await;
    for name in ["ann", "ben", "cem"] {
        okta.user(name);
    }
    let filter = "filter=eventType%20eq%20%22user.lifecycle.create%22%20or%20eventType%20eq%20%22user.lifecycle.suspend%22";
    let first = okta.get(&format!("/api/v1/logs?limit=2&{filter}")).await;
    assert_eq!(first.body.as_array().unwrap().len(), 2);
    assert_eq!(
        first.body[0]["target"][0]["alternateId"],
        "ann@acme.example"
    );
    assert!(first.body[0]["securityContext"]["isProxy"].is_null());
    let second = okta.get(&first.next().unwrap()).await;
    assert_eq!(second.body.as_array().unwrap().len(), 1);
    let third = okta.get(&second.next().unwrap()).await;
    assert_eq!(third.body, json!([]));

    // An entry that was written before is readable only now: the same cursor finds it.
    okta.sim.world().hold_log();
    okta.user("dea");
    assert_eq!(okta.get(&third.next().unwrap()).await.body, json!([]));
    okta.sim.world().release_log();
    let fourth = okta.get(&third.next().unwrap()).await;
    assert_eq!(
        fourth.body[0]["target"][0]["alternateId"],
        "dea@acme.example"
    );

    let bounded = "since=2026-01-01T00:00:00Z&until=2100-01-01T00:00:00.000Z";
    let since = crate::clock::iso(okta.sim.world().clock.now_ms() - 60_000);
    let bounded = bounded.replace("2026-01-01T00:00:00Z", &since);
    let first = okta
        .get(&format!("/api/v1/logs?limit=3&{bounded}&{filter}"))
        .await;
    let last = okta.get(&first.next().unwrap()).await;
    assert_eq!(
        (last.body.as_array().unwrap().len(), last.next()),
        (1, None)
    );
    okta.nothing_unexpected();
}

#[tokio::test]
async fn an_undocumented_request_is_noted() {
    let okta = Okta::start(OktaOptions::default()).await;
    let stranger = send(okta.http.get(format!("{}/api/v1/org", okta.sim.base_url()))).await;
    assert_eq!(
        (stranger.status, &stranger.body["errorCode"]),
        (403, &json!("E0000005"))
    );
    assert_eq!(okta.get("/api/v1/users/00uNOBODY").await.status, 404);
    okta.nothing_unexpected();

    assert_eq!(
        okta.get(&format!("/api/v1/apps/{APP}/users?limit=501"))
            .await
            .status,
        200
    );
    assert_eq!(okta.get("/api/v1/users?serach=x").await.status, 200);
    assert_eq!(
        okta.get("/api/v1/users?filter=login%20is%20x").await.status,
        400
    );
    assert_eq!(
        okta.send(Method::PATCH, "/api/v1/groups", json!({}))
            .await
            .status,
        405
    );
    assert_eq!(okta.sim.traffic().unexpected().len(), 4);
    let log = okta.sim.traffic().log();
    assert!(
        log[1]
            .headers
            .contains(&("authorization".to_owned(), "SSWS [redacted]".to_owned()))
    );
}

#[tokio::test]
async fn the_state_survives_as_json() {
    let okta = Okta::start(OktaOptions::default()).await;
    let ann = okta.user("ann");
    okta.sim
        .world()
        .assign_with_username(APP, &ann, "ann-x")
        .unwrap();
    let text = okta.sim.world().to_json().unwrap();
    let world = OktaWorld::from_json(&text).unwrap();
    let again = Okta {
        sim: OktaSimulator::start(
            any_port(),
            OktaOptions {
                world,
                ..OktaOptions::default()
            },
        )
        .await
        .unwrap(),
        http: client(),
    };
    let seen = again.get(&format!("/api/v1/apps/{APP}/users/{ann}")).await;
    assert_eq!(seen.body["credentials"]["userName"], "ann-x");
    assert_ne!(again.user("ben"), ann);
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
