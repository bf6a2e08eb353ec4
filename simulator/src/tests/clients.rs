//! The ways of official clients, and the words of recorded answers.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_token_needs_no_blank_and_shows_nowhere() {
    let okta = Okta::start(OktaOptions::default()).await;
    let url = format!("{}/api/v1/users/me", okta.sim.base_url());
    let request = okta.http.get(url);
    let seen = send(request.header("authorization", "SSWSsimulated-okta-token")).await;
    assert_eq!(seen.status, 200);
    let log = okta.sim.traffic().log();
    assert!(
        log[0]
            .headers
            .contains(&("authorization".to_owned(), "SSWS [redacted]".to_owned()))
    );
}

#[tokio::test]
async fn a_limit_that_is_too_large_is_cut_and_a_bad_cursor_is_refused() {
    let okta = Okta::start(OktaOptions::default()).await;
    for name in 0..3 {
        okta.user(&format!("user{name}"));
    }
    let seen = okta.get("/api/v1/users?limit=1000").await;
    assert_eq!((seen.status, seen.ids().len()), (200, 3));
    assert_eq!(okta.sim.traffic().unexpected().len(), 1);
    assert_eq!(okta.get("/api/v1/users?limit=0").await.status, 400);
    let seen = okta.get("/api/v1/users?after=nothing").await;
    assert_eq!(
        (seen.status, &seen.body["errorCode"]),
        (400, &json!("E0000029"))
    );
    assert_eq!(seen.body["errorSummary"], "Invalid paging request.");
}

#[tokio::test]
async fn the_log_is_filtered_by_target_and_actor() {
    let okta = Okta::start(OktaOptions::default()).await;
    let (ann, ben) = (okta.user("ann"), okta.user("ben"));
    okta.sim.world().assign(APP, &ann).unwrap();
    okta.sim.world().assign(APP, &ben).unwrap();
    let published = okta.sim.world().log.last().unwrap().published_ms;
    for (filter, found) in [
        (
            format!("target.id eq \"{ann}\" and eventType sw \"application.\""),
            1,
        ),
        ("target.type eq \"AppInstance\"".to_owned(), 2),
        (
            "actor.id eq \"00usimadmin000000001\" and target.type eq \"AppUser\"".to_owned(),
            2,
        ),
        ("actor.id eq \"00uNOBODY\"".to_owned(), 0),
        (
            format!("published ge \"{}\"", crate::clock::iso(published)),
            1,
        ),
    ] {
        let url = reqwest::Url::parse_with_params("http://x/", [("filter", &filter)]).unwrap();
        let path = format!("/api/v1/logs?{}", url.query().unwrap());
        let seen = okta.get(&path).await;
        assert_eq!(
            seen.body.as_array().unwrap().len(),
            found,
            "{filter}: {}",
            seen.text
        );
    }
    okta.nothing_unexpected();
}

#[tokio::test]
async fn apps_of_a_group_are_listed() {
    let okta = Okta::start(OktaOptions::default()).await;
    let group = okta.sim.world().create_group("Builders").unwrap().id;
    let path = format!("/api/v1/groups/{group}/apps");
    assert_eq!(okta.get(&path).await.body, json!([]));
    okta.sim.world().assign_group(APP, &group).unwrap();
    assert_eq!(okta.get(&path).await.ids(), [APP]);
    assert_eq!(okta.get("/api/v1/groups/00gNONE/apps").await.status, 404);
    let ann = okta.user("ann");
    okta.sim.world().add_member(&group, &ann).unwrap();
    let links = okta.get(&format!("/api/v1/users/{ann}/appLinks")).await;
    assert_eq!(links.body[0]["appInstanceId"], APP);
    okta.nothing_unexpected();
}

#[tokio::test]
async fn links_follow_a_proxy() {
    let okta = Okta::start(OktaOptions::default()).await;
    okta.user("ann");
    okta.user("ben");
    let request = okta
        .request(Method::GET, "/api/v1/users?limit=1")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "acme.okta.example");
    let seen = send(request).await;
    assert!(
        seen.next()
            .unwrap()
            .starts_with("https://acme.okta.example/api/v1/users?")
    );
    let own = seen.body[0]["_links"]["self"]["href"].as_str().unwrap();
    assert!(own.starts_with("https://acme.okta.example/"), "{own}");
}

#[tokio::test]
async fn hooks_take_every_eligible_type_and_no_other() {
    let okta = Okta::start(OktaOptions::default()).await;
    let hook = |event: &str| {
        json!({
            "name": "A hook",
            "events": {"type": "EVENT_TYPE", "items": [event]},
            "channel": {"type": "HTTP", "version": "1.0.0", "config": {"uri": "https://hook.example/"}},
        })
    };
    for (event, status) in [
        ("device.lifecycle.activate", 200),
        ("user.session.start", 200),
        ("application.account.detect", 200),
        ("application.user_membership.change_username", 400),
        ("event_hook.delivery", 400),
        ("nonsense", 400),
    ] {
        let seen = okta
            .send(Method::POST, "/api/v1/eventHooks", hook(event))
            .await;
        assert_eq!(seen.status, status, "{event}: {}", seen.text);
    }
    assert_eq!(okta.sim.traffic().unexpected().len(), 3);
    // Types that were added since are accepted, and noted.
    let seen = okta
        .send(
            Method::POST,
            "/api/v1/eventHooks",
            hook("quantum.lifecycle.create"),
        )
        .await;
    assert_eq!(
        (seen.status, okta.sim.traffic().unexpected().len()),
        (200, 4)
    );
}

#[tokio::test]
async fn refusals_have_the_recorded_words() {
    let okta = Okta::start(OktaOptions::default()).await;
    let seen = okta.get("/api/v1/eventHooks/who404").await;
    assert_eq!(
        seen.body["errorSummary"],
        "Not found: Resource not found: who404 (Webhook)"
    );
    let ann = okta.user("ann");
    okta.sim.world().deactivate(&ann).unwrap();
    let seen = okta
        .send(
            Method::POST,
            &format!("/api/v1/users/{ann}"),
            json!({"profile": {"lastName": "X"}}),
        )
        .await;
    assert_eq!(
        seen.body["errorSummary"],
        "This operation is not allowed in the user's current status."
    );
}

#[tokio::test]
async fn the_organization_has_environments_and_an_owner() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let whole = anypoint.get("").await.body;
    assert_eq!(whole["owner"]["id"], whole["ownerId"]);
    let list = anypoint.get("/environments").await.body;
    assert_eq!(
        (&list["total"], &list["data"]),
        (&json!(1), &whole["environments"])
    );
    for field in [
        "id",
        "name",
        "organizationId",
        "isProduction",
        "type",
        "clientId",
    ] {
        assert!(!list["data"][0][field].is_null(), "{field}");
    }
    anypoint.nothing_unexpected();
}
