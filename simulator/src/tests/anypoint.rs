use serde_json::{Value, json};

use super::*;
use crate::anypoint::AnypointWorld;

fn ann() -> Value {
    json!({"username": "ann", "firstName": "Ann", "lastName": "Example", "email": "ann@acme.example", "password": "Example-Passw0rd"})
}

#[tokio::test]
async fn users_are_created_and_changed_and_usernames_are_never_reused() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    let made = anypoint.send(Method::POST, "/users", ann()).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap();
    assert!(made.body.get("password").is_none());
    let again = anypoint.send(Method::POST, "/users", ann()).await;
    assert_eq!(again.status, 409);
    assert!(again.body["errors"][0]["message"].is_string());

    let put = anypoint
        .send(
            Method::PUT,
            &format!("/users/{id}"),
            json!({"phoneNumber": "555", "enabled": false}),
        )
        .await;
    assert_eq!(
        (put.status, &put.body["enabled"], &put.body["firstName"]),
        (200, &json!(false), &json!("Ann"))
    );
    let list = anypoint.get("/users?search=NN%40AC").await;
    assert_eq!(list.body["total"], 1);
    assert!(list.body["data"][0].get("phoneNumber").is_none());
    assert_eq!(list.body["data"][0]["idprovider_id"], "mulesoft");
    assert_eq!(
        anypoint.get(&format!("/users/{id}")).await.body["phoneNumber"],
        "555"
    );

    assert_eq!(
        anypoint
            .send(Method::PUT, "/users", json!([{"id": id, "enabled": true}]))
            .await
            .status,
        204
    );
    assert!(
        anypoint
            .sim
            .world()
            .user_by_username("ANN")
            .unwrap()
            .enabled
    );
    let unknown = json!([{"id": id, "enabled": false}, {"id": "nobody", "enabled": false}]);
    assert_eq!(
        anypoint.send(Method::PUT, "/users", unknown).await.status,
        400
    );
    assert!(
        anypoint
            .sim
            .world()
            .user_by_username("ann")
            .unwrap()
            .enabled
    );

    anypoint
        .send(Method::DELETE, &format!("/users/{id}"), Value::Null)
        .await;
    assert_eq!(anypoint.get(&format!("/users/{id}")).await.status, 404);
    assert_eq!(
        anypoint.send(Method::POST, "/users", ann()).await.status,
        409
    );
    anypoint
        .sim
        .world()
        .foreign_usernames
        .insert("Bob".to_owned());
    let mut bob = ann();
    bob["username"] = json!("bob");
    assert_eq!(anypoint.send(Method::POST, "/users", bob).await.status, 409);
    anypoint.nothing_unexpected();
}

#[tokio::test]
async fn bodies_and_queries_are_validated() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    for (field, value) in [
        ("username", json!("a.b")),
        ("username", json!("ab")),
        ("email", json!("nowhere")),
        ("password", json!("alllowercase1")),
        ("password", json!("Sh0rt")),
        ("lastName", json!("")),
        ("phoneNumber", json!(5)),
    ] {
        let mut body = ann();
        body[field] = value;
        let refused = anypoint.send(Method::POST, "/users", body).await;
        assert_eq!(
            (refused.status, refused.body["errors"][0]["type"].as_str()),
            (400, Some("json")),
            "{field}"
        );
    }
    let root = anypoint.sim.world().root_team_id.clone();
    let team = |extra: Value| {
        let mut body = json!({"parent_team_id": root, "team_name": "A", "team_type": "internal"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    for extra in [
        json!({"description": "x"}),
        json!({"team_name": "R&D"}),
        json!({"team_type": "external"}),
    ] {
        assert_eq!(
            anypoint
                .send(Method::POST, "/teams", team(extra))
                .await
                .status,
            400
        );
    }
    assert_eq!(anypoint.get("/users?search=").await.status, 400);
    assert_eq!(anypoint.get("/users?limit=501").await.status, 400);
    assert_eq!(anypoint.sim.traffic().unexpected().len(), 12);

    // Without `Accept: application/json` the validation layer speaks HTML; an unknown parameter is dropped.
    let answer = anypoint
        .request(Method::GET, "/users?limit=0")
        .send()
        .await
        .unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(anypoint.get("/users?serach=nobody").await.status, 200);
    assert_eq!(anypoint.sim.traffic().unexpected().len(), 14);
}

#[tokio::test]
async fn ended_tokens_and_missing_scopes_are_refused() {
    let mut anypoint = Anypoint::start(AnypointOptions::default()).await;
    assert_eq!(anypoint.get("/users").await.status, 200);
    anypoint.sim.world().clock.offset_ms += 3_601_000;
    let late = anypoint.get("/users").await;
    assert_eq!((late.status, late.text.as_str()), (401, "Unauthorized"));
    anypoint.sign_in().await;
    assert_eq!(anypoint.get("/users").await.status, 200);
    anypoint.sim.world().revoke_tokens();
    assert_eq!(anypoint.get("/users").await.status, 401);
    anypoint.sign_in().await;

    anypoint.sim.world().scopes.remove("admin:access_controls");
    anypoint.sim.world().scopes.remove("edit:orgusers");
    assert_eq!(anypoint.get("/teams").await.status, 200);
    assert_eq!(
        anypoint
            .send(Method::POST, "/teams", json!({}))
            .await
            .status,
        401
    );
    assert_eq!(anypoint.get("/users").await.status, 200);
    assert_eq!(
        anypoint.send(Method::POST, "/users", ann()).await.status,
        403
    );

    let url = format!("{}/accounts/api/v2/oauth2/token", anypoint.sim.base_url());
    let wrong = json!({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"});
    let refused = send(anypoint.http.post(url).json(&wrong)).await;
    assert_eq!(
        (refused.status, &refused.body["error"]),
        (401, &json!("invalid_client"))
    );
    anypoint.nothing_unexpected();
}

#[tokio::test]
async fn a_recovery_mail_goes_to_native_users_only() {
    let anypoint = Anypoint::start(AnypointOptions::default()).await;
    anypoint
        .sim
        .world()
        .add_user("ann", "Ann", "X", "ann@acme.example")
        .unwrap();
    anypoint
        .sim
        .world()
        .add_sso_user("ben", "Ben", "X", "ben@acme.example", "idp-1");
    let base = format!("{}/accounts/api", anypoint.sim.base_url());
    for name in ["ann", "ben", "nobody"] {
        let seen = send(
            anypoint
                .http
                .post(format!("{base}/recover/password"))
                .json(&json!({"username": name})),
        )
        .await;
        assert_eq!((seen.status, seen.text.as_str()), (200, "OK"));
    }
    let world = anypoint.sim.world();
    assert_eq!(
        world
            .mails
            .iter()
            .map(|mail| mail.email.as_str())
            .collect::<Vec<_>>(),
        ["ann@acme.example"]
    );
    drop(world);
    assert_eq!(
        send(anypoint.http.get(format!("{base}/username/ann")))
            .await
            .status,
        200
    );
    assert_eq!(
        send(anypoint.http.get(format!("{base}/username/ben")))
            .await
            .status,
        404
    );
    let me = send(
        anypoint
            .http
            .get(format!("{base}/me"))
            .bearer_auth(&anypoint.token),
    )
    .await;
    assert_eq!(
        me.body["client"]["org_id"].as_str().unwrap(),
        anypoint.sim.world().org_id
    );
    assert_eq!(
        anypoint.get("/identityProviderSettings").await.body["allow_new_non_sso_users"],
        true
    );
    anypoint.nothing_unexpected();
}

#[tokio::test]
async fn the_state_survives_as_json() {
    let mut world = AnypointWorld::default();
    let ann = world
        .add_user("ann", "Ann", "X", "ann@acme.example")
        .unwrap();
    let team = world.add_team("Integrators", None).unwrap();
    world.add_member(&team, &ann, "member").unwrap();
    world.mark_external(&team, &ann).unwrap();
    let world = AnypointWorld::from_json(&world.to_json().unwrap()).unwrap();
    assert_eq!(world.members_of(&team), ["ann"]);
    assert_eq!(world.teams_of(&ann), ["Integrators"]);
    assert!(world.teams[&team].members[&ann].external);
    assert_eq!(world.teams[&world.root_team_id].name, "Everyone at Acme");
}
