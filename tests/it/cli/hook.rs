use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use okta_anypoint::event::HOOK_EVENT_TYPES;
use serde_json::json;

use super::{Desk, HOOK_SECRET};

/// A receiver that answers the challenge as ours does, under any path.
async fn receiver(secret: &'static str) -> SocketAddr {
    let answer = move |request: Request| async move {
        let header = |name: &str| {
            let value = request.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        match header("x-okta-verification-challenge") {
            Some(challenge) if header("authorization").as_deref() == Some(secret) => {
                axum::Json(json!({"verification": challenge})).into_response()
            }
            _ => Response::builder().status(401).body("".into()).unwrap(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_twice_makes_one_verified_hook() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    desk.run(&["hook", "status"])
        .await
        .expect(1)
        .says("hook register --url URL");
    let created = desk
        .run(&["hook", "register", "--url", &url, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(created["done"], "created");
    assert_eq!(created["verified"], true);
    {
        let mut world = desk.okta.world();
        let hook = world.hooks.values_mut().next().unwrap();
        let mut events: Vec<&str> = hook.events.iter().map(String::as_str).collect();
        events.sort_unstable();
        let mut needed = HOOK_EVENT_TYPES.to_vec();
        needed.sort_unstable();
        assert_eq!(events, needed);
        assert_eq!(
            (hook.uri.as_str(), hook.auth_value.as_str()),
            (&*url, HOOK_SECRET)
        );
        assert_eq!(hook.auth_key, "authorization");
        // Somebody tampers with it.
        hook.active = false;
        hook.verified = false;
        hook.events = vec![
            "user.lifecycle.create".to_owned(),
            "user.account.lock".to_owned(),
        ];
        hook.description = Some("ours".to_owned());
        hook.headers = vec![("x-more".to_owned(), "1".to_owned())];
    }
    let tampered = desk
        .run(&["hook", "status", "--json"])
        .await
        .expect(1)
        .json();
    assert_eq!(
        tampered["missing"].as_array().unwrap().len(),
        HOOK_EVENT_TYPES.len() - 1
    );
    assert_eq!(tampered["superfluous"], json!(["user.account.lock"]));
    desk.run(&["hook", "status"])
        .await
        .expect(1)
        .says("INACTIVE")
        .says("UNVERIFIED");
    let updated = desk
        .run(&["hook", "register", "--url", &url, "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(
        (&updated["done"], &updated["id"]),
        (&json!("updated"), &created["id"])
    );
    let world = desk.okta.world();
    assert_eq!(world.hooks.len(), 1);
    let hook = world.hooks.values().next().unwrap();
    assert!(hook.active && hook.verified);
    assert_eq!(hook.events.len(), HOOK_EVENT_TYPES.len());
    assert_eq!(hook.description.as_deref(), Some("ours"));
    assert_eq!(hook.headers.len(), 1);
    drop(world);
    desk.run(&["hook", "status"])
        .await
        .expect(0)
        .says("VERIFIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_cannot_be_verified_is_said_loudly() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver("another secret").await);
    let said = desk
        .run(&["hook", "register", "--url", &url])
        .await
        .expect(1);
    said.says("UNVERIFIED: Okta delivers nothing")
        .says("HOOK_SECRET");
    let status = desk
        .run(&["hook", "status", "--json"])
        .await
        .expect(1)
        .json();
    assert_eq!(
        (&status["active"], &status["verified"]),
        (&json!(true), &json!(false))
    );
    // The same secret on both sides: running it again is enough, under another URL as well.
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    desk.run(&["hook", "register", "--url", &url])
        .await
        .expect(0);
    assert_eq!(desk.okta.world().hooks.len(), 1);
}

#[tokio::test]
async fn addresses_that_okta_cannot_call_are_refused() {
    let desk = Desk::new().await;
    for url in [
        "http://hooks.acme.example/okta",
        "hooks.acme.example",
        "ftp://127.0.0.1/",
        "https://user:pass@hooks.acme.example/",
    ] {
        desk.run(&["hook", "register", "--url", url])
            .await
            .expect(2);
    }
    desk.run(&["hook", "register"])
        .await
        .expect(2)
        .says("--url");
    assert!(!desk.wrote());
}

/// What a command does not use need not be set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_needs_no_settings_of_anypoint() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    let unused = desk
        .environment
        .keys()
        .filter(|name| name.starts_with("ANYPOINT_") || *name == "OKTA_APP_ID");
    let mut changes: Vec<(&str, &str)> = unused.map(|name| (name.as_str(), "")).collect();
    assert_eq!(changes.len(), 5);
    let register = ["hook", "register", "--url", &url];
    desk.run_with(&changes, &register).await.expect(0);
    changes.push(("HOOK_SECRET", ""));
    desk.run_with(&changes, &["hook", "status"]).await.expect(0);
    desk.run_with(&changes, &register)
        .await
        .expect(2)
        .says("HOOK_SECRET is missing");
}
