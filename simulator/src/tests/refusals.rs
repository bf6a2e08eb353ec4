//! What a simulator refuses: a caller, a token, calls beyond a budget, and values that the service does not take.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::fault::{Fault, FaultKind, RateHeaders, Refused};

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
