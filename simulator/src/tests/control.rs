//! The commands that a simulator takes over HTTP.

use serde_json::json;

use super::*;

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
