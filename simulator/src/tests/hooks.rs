use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::okta::HookFilters;

/// What an endpoint got, and the statuses it answers deliveries with (the last one again and again).
#[derive(Default)]
struct Endpoint {
    bodies: Mutex<Vec<Value>>,
    statuses: Mutex<Vec<u16>>,
}

async fn receive(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    if request
        .headers()
        .get("x-secret")
        .is_none_or(|secret| secret != "s3cret")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(challenge) = request.headers().get("x-okta-verification-challenge") {
        return axum::Json(json!({"verification": challenge.to_str().unwrap()})).into_response();
    }
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let lock = |m| PoisonError::into_inner(m);
    endpoint
        .bodies
        .lock()
        .unwrap_or_else(lock)
        .push(serde_json::from_slice(&body).unwrap());
    let mut statuses = endpoint.statuses.lock().unwrap();
    let status = if statuses.len() > 1 {
        statuses.remove(0)
    } else {
        statuses.first().copied().unwrap_or(204)
    };
    StatusCode::from_u16(status).unwrap().into_response()
}

async fn endpoint() -> (Arc<Endpoint>, String) {
    let endpoint = Arc::new(Endpoint::default());
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let url = format!("http://{}/okta", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(receive)
        .with_state(Arc::clone(&endpoint));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, url)
}

fn registration(url: &str, secret: &str) -> Value {
    json!({
        "name": "provisioner",
        "events": {"type": "EVENT_TYPE", "items": ["user.lifecycle.create", "user.lifecycle.activate"]},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {
            "uri": url, "headers": [], "authScheme": {"type": "HEADER", "key": "X-Secret", "value": secret},
        }},
    })
}

#[tokio::test]
async fn a_hook_is_verified_before_it_gets_anything() {
    let (received, url) = endpoint().await;
    let okta = Okta::start(OktaOptions {
        deliver: true,
        batch_window: Duration::from_millis(20),
        ..OktaOptions::default()
    })
    .await;
    let made = okta
        .send(
            Method::POST,
            "/api/v1/eventHooks",
            registration(&url, "wrong"),
        )
        .await;
    assert_eq!(made.body["verificationStatus"], "UNVERIFIED");
    assert!(
        made.body["channel"]["config"]["authScheme"]
            .get("value")
            .is_none()
    );
    let path = format!("/api/v1/eventHooks/{}", made.body["id"].as_str().unwrap());
    let verify = format!("{path}/lifecycle/verify");
    let refused = okta.send(Method::POST, &verify, Value::Null).await;
    assert_eq!(
        (refused.status, &refused.body["errorCode"]),
        (400, &json!("E0000001"))
    );

    okta.send(Method::PUT, &path, registration(&url, "s3cret"))
        .await;
    assert_eq!(
        okta.send(Method::POST, &verify, Value::Null).await.body["verificationStatus"],
        "VERIFIED"
    );
    assert!(okta.sim.delivered(Duration::from_secs(5)).await);
    okta.user("ann");
    okta.user("ben");
    assert!(okta.sim.delivered(Duration::from_secs(5)).await);
    let bodies = received.bodies.lock().unwrap().clone();
    let events: usize = bodies
        .iter()
        .map(|body| body["data"]["events"].as_array().unwrap().len())
        .sum();
    assert_eq!(events, 4);
    assert_eq!(bodies[0]["eventType"], "com.okta.event_hook");
    assert!(bodies[0]["source"].as_str().unwrap().ends_with(&path));
    assert!(bodies[0]["eventTime"].as_str().unwrap().ends_with("211Z"));

    // One more try on a server error, none on a refusal; a channel change needs a new verification.
    for (statuses, attempts) in [(vec![500, 204], 2), (vec![503], 2), (vec![400], 1)] {
        *received.statuses.lock().unwrap() = statuses;
        okta.user(&format!("user{attempts}{}", okta.sim.deliveries().len()));
        assert!(okta.sim.delivered(Duration::from_secs(5)).await);
        assert_eq!(okta.sim.deliveries().last().unwrap().attempts, attempts);
    }
    let failures = okta
        .sim
        .world()
        .log
        .iter()
        .filter(|e| e.event_type == "event_hook.delivery")
        .count();
    assert_eq!(failures, 2);
    let changed = okta
        .send(Method::PUT, &path, registration(&url, "other"))
        .await;
    assert_eq!(changed.body["verificationStatus"], "UNVERIFIED");

    assert_eq!(
        okta.send(Method::DELETE, &path, Value::Null).await.status,
        400
    );
    okta.send(
        Method::POST,
        &format!("{path}/lifecycle/deactivate"),
        Value::Null,
    )
    .await;
    assert_eq!(
        okta.send(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    okta.nothing_unexpected();
}

#[tokio::test]
async fn only_eligible_types_can_be_subscribed() {
    let okta = Okta::start(OktaOptions::default()).await;
    let mut body = registration("http://127.0.0.1:1/", "s3cret");
    body["events"]["items"] = json!(["application.user_membership.change_username"]);
    assert_eq!(
        okta.send(Method::POST, "/api/v1/eventHooks", body)
            .await
            .status,
        400
    );
    assert_eq!(okta.sim.traffic().unexpected().len(), 1);
}

#[tokio::test]
async fn a_filter_decides_what_is_delivered() {
    let (received, url) = endpoint().await;
    let okta = Okta::start(OktaOptions {
        deliver: true,
        batch_window: Duration::from_millis(20),
        ..OktaOptions::default()
    })
    .await;
    {
        let mut world = okta.sim.world();
        world.add_app("0oaOURS", "Ours");
        world.add_app("0oaTHEIRS", "Theirs");
    }
    let added = "application.user_membership.add";
    let mut body = registration(&url, "s3cret");
    body["events"]["items"] = json!([added, "user.lifecycle.create"]);
    let with = |expression: &str| {
        let mut body = body.clone();
        let mapped = json!({"event": added, "condition": {"expression": expression}});
        body["events"]["filter"] =
            json!({"type": "EXPRESSION_LANGUAGE", "eventFilterMap": [mapped]});
        body
    };
    let hooks = "/api/v1/eventHooks";
    let ours = with("event.target.?[type eq 'AppInstance' && id eq '0oaOURS'].size()>0");
    let made = okta.send(Method::POST, hooks, ours.clone()).await;
    let mapped = &made.body["events"]["filter"]["eventFilterMap"][0];
    assert_eq!(mapped["event"], added);
    assert_eq!(mapped["condition"]["version"], Value::Null);
    let path = format!("{hooks}/{}", made.body["id"].as_str().unwrap());
    okta.send(
        Method::POST,
        &format!("{path}/lifecycle/verify"),
        Value::Null,
    )
    .await;
    let got = async |name: &str| {
        received.bodies.lock().unwrap().clear();
        let user = okta.user(name);
        for app in ["0oaTHEIRS", "0oaOURS"] {
            okta.sim.world().assign(app, &user).unwrap();
        }
        assert!(okta.sim.delivered(Duration::from_secs(5)).await);
        let bodies = received.bodies.lock().unwrap().clone();
        let events = bodies
            .iter()
            .flat_map(|body| body["data"]["events"].as_array().unwrap());
        let types = events.map(|event| event["eventType"].as_str().unwrap().to_owned());
        types.collect::<Vec<_>>()
    };
    assert_eq!(got("ann").await, ["user.lifecycle.create", added]);
    okta.nothing_unexpected();

    // Okta refuses an expression that it does not understand, and an org without the feature accepts none.
    let refused = okta
        .send(Method::PUT, &path, with("event.actor.id eq '1'"))
        .await;
    assert_eq!(refused.status, 400);
    okta.sim.world().hook_filters = HookFilters::Refused;
    assert_eq!(
        okta.send(Method::PUT, &path, ours.clone()).await.status,
        400
    );
    assert_eq!(got("ben").await, ["user.lifecycle.create", added]);
    okta.sim.world().hook_filters = HookFilters::Dropped;
    let dropped = okta.send(Method::PUT, &path, ours).await;
    assert_eq!(
        (dropped.status, &dropped.body["events"]["filter"]),
        (200, &Value::Null)
    );
    assert_eq!(got("cem").await, ["user.lifecycle.create", added, added]);
}
