use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::receiver::Gate;
use okta_anypoint::secrets::SecretsManager;
use okta_anypoint::settings::{HookSettings, Needs, Reader};
use okta_anypoint::simulator::okta::HookFilters;
use okta_anypoint::simulator::traffic::Fault;
use serde_json::json;

use super::{APP, Desk, HOOK_SECRET};
use crate::servers;

/// A receiver that answers the challenge as the product does, under any path.
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
        // Only the types that carry an app.
        assert_eq!(hook.filter.len(), 6);
        for (event, expression) in &hook.filter {
            assert!(event.starts_with("application.") || event.contains("application_assignment"));
            assert!(expression.contains(&format!("id eq '{APP}'")));
        }
        // Somebody changes the hook in Okta.
        hook.active = false;
        hook.verified = false;
        hook.events = vec![
            "user.lifecycle.create".to_owned(),
            "user.account.lock".to_owned(),
        ];
        hook.description = Some("ours".to_owned());
        hook.headers = vec![("x-more".to_owned(), "1".to_owned())];
        hook.filter.clear();
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
    assert_eq!(hook.filter.len(), 6);
    drop(world);
    desk.run(&["hook", "status"])
        .await
        .expect(0)
        .says("VERIFIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_okta_cannot_verify_fails_the_command() {
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
    // With the same secret on both sides, running it again is enough, also with another URL.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_hook_of_this_program_is_removed() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    for name in ["okta-anypoint", "of somebody else"] {
        let register = ["hook", "register", "--url", &url, "--name", name];
        desk.run(&register).await.expect(0);
        // The second installation gets its own hook, although the address is the same.
        let mut world = desk.okta.world();
        let hook = world.hooks.values_mut().find(|hook| hook.name == name);
        hook.unwrap().uri = format!("https://{}.acme.example/", name.len());
    }
    let shared = {
        let mut world = desk.okta.world();
        let mut hooks = world.hooks.values_mut();
        let hook = hooks.find(|hook| hook.name == "of somebody else").unwrap();
        hook.events.push("user.account.lock".to_owned());
        hook.id.clone()
    };
    assert!(desk.wrote());
    let refused = ["hook", "remove", "--name", "of somebody else"];
    desk.run(&refused)
        .await
        .expect(1)
        .says("user.account.lock")
        .says("left as it is");
    assert!(!desk.wrote());
    let removed = desk.run(&["hook", "remove", "--json"]).await.expect(0);
    assert_eq!(removed.json()["done"], "removed");
    let left: Vec<String> = desk.okta.world().hooks.keys().cloned().collect();
    assert_eq!(left, [shared]);
    assert!(desk.wrote());
    let absent = desk.run(&["hook", "remove", "--json"]).await.expect(0);
    assert_eq!(absent.json()["done"], "absent");
    assert!(!desk.wrote());
}

/// Okta deletes no active hook. If a run only deactivated one, the next run deletes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_removal_is_finished_by_the_next() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    let register = ["hook", "register", "--url", &url];
    desk.run(&register).await.expect(0);
    let fault = Fault::status("/api/v1/eventHooks/", 400, "{}").on(Method::DELETE);
    desk.okta.traffic().inject(fault.once());
    let stopped = desk.run(&["hook", "remove"]).await.expect(1);
    stopped.says("deactivated, and not deleted");
    let active: Vec<bool> = desk
        .okta
        .world()
        .hooks
        .values()
        .map(|hook| hook.active)
        .collect();
    assert_eq!(active, [false]);
    desk.run(&["hook", "remove"])
        .await
        .expect(0)
        .says("Okta delivers nothing");
    assert!(desk.okta.world().hooks.is_empty());
}

/// A command needs only the settings that it uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_commands_need_no_anypoint_settings() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    let unused = desk
        .environment
        .keys()
        .filter(|name| name.starts_with("ANYPOINT_"));
    let mut changes: Vec<(&str, &str)> = unused.map(|name| (name.as_str(), "")).collect();
    assert_eq!(changes.len(), 4);
    let register = ["hook", "register", "--url", &url];
    desk.run_with(&changes, &register).await.expect(0);
    changes.push(("HOOK_SECRET", ""));
    desk.run_with(&changes, &["hook", "status"]).await.expect(0);
    desk.run_with(&changes, &register)
        .await
        .expect(2)
        .says("HOOK_SECRET is missing");
    // Registering needs the app, to know which assignments matter. A removal does not.
    changes.push(("OKTA_APP_ID", ""));
    for command in [&register[..], &["hook", "status"]] {
        let ran = desk.run_with(&changes, command).await.expect(2);
        ran.says("OKTA_APP_ID");
    }
    desk.run_with(&changes, &["hook", "remove"]).await.expect(0);
}

/// An org without the feature refuses or ignores a filter. The command registers the hook anyway, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_without_filters_gets_an_unfiltered_hook_and_a_notice() {
    for (feature, why) in [
        (HookFilters::Refused, "Okta refused the filter"),
        (HookFilters::Dropped, "dropped the filter"),
    ] {
        let desk = Desk::new().await;
        let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
        let register = ["hook", "register", "--url", &url, "--json"];
        desk.okta.world().hook_filters = feature;
        for done in ["created", "updated"] {
            let ran = desk.run(&register).await.expect(0).json();
            assert_eq!(
                (&ran["done"], &ran["filter"]),
                (&json!(done), &json!("every_app"))
            );
            let said = ran["no_filter"].as_str().unwrap();
            assert!(
                said.contains(why) && said.contains("Nothing is lost"),
                "{said}"
            );
        }
        desk.run(&register[..4]).await.expect(0).says(why);
        assert_eq!(desk.okta.world().hooks.len(), 1);
        let status = desk.run(&["hook", "status"]).await.expect(0);
        status
            .says("none: assignments of every app")
            .says("for fewer deliveries");
        // The org turns the feature on.
        desk.okta.world().hook_filters = HookFilters::Kept;
        let ran = desk.run(&register).await.expect(0).json();
        assert_eq!(
            (&ran["filter"], &ran["no_filter"]),
            (&json!("this_app"), &json!(null))
        );
        let status = desk.run(&["hook", "status", "--json"]).await.expect(0);
        assert_eq!(status.json()["advice"], json!(null));
    }
}

/// After any other 400 the command registers no hook, with or without a filter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_another_reason_than_the_filter_fails() {
    let desk = Desk::new().await;
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    let register = ["hook", "register", "--url", &url];
    let fault = Fault::status("/api/v1/eventHooks", 400, "{}").on(Method::POST);
    desk.okta.traffic().inject(fault);
    desk.run(&register).await.expect(1);
    desk.okta.traffic().remove_all_faults();
    // Nor for an app that Okta does not have: its filter would exclude every assignment.
    let wrong = [("OKTA_APP_ID", "0oaNOBODY")];
    desk.run_with(&wrong, &register)
        .await
        .expect(1)
        .says("no app 0oaNOBODY");
    assert!(desk.okta.world().hooks.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_for_another_app_is_reported_until_the_hook_is_registered_again() {
    let desk = Desk::new().await;
    desk.okta.world().add_app("0oaTHEIRS", "Another");
    let url = format!("http://{}/okta", receiver(HOOK_SECRET).await);
    let register = ["hook", "register", "--url", &url];
    let theirs = [("OKTA_APP_ID", "0oaTHEIRS")];
    desk.run_with(&theirs, &register).await.expect(0);
    let status = desk
        .run(&["hook", "status", "--json"])
        .await
        .expect(1)
        .json();
    assert_eq!(status["filter"], "other");
    assert_eq!(status["problems"].as_array().unwrap().len(), 6);
    desk.run(&["hook", "status"])
        .await
        .expect(1)
        .says("is about the app 0oaTHEIRS, not");
    desk.run(&register).await.expect(0);
    desk.run(&["hook", "status"])
        .await
        .expect(0)
        .says("assignments of this app only");
}

/// A running receiver: it reads the secret again when a request brings an unknown value.
async fn receiver_with_arn(arn: &str) -> SocketAddr {
    let mut variables = vec![("HOOK_SECRET_ARN".to_owned(), arn.to_owned())];
    variables.push(("OKTA_APP_ID".to_owned(), super::APP.to_owned()));
    let environment = move |name: &str| {
        let found = variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    };
    let store = std::sync::Arc::new(SecretsManager::new(manager().await));
    let needs = Needs {
        hook: true,
        credentials: false,
    };
    let deadline = Deadline::within(Duration::from_secs(10));
    let reader = Reader::with_secrets(environment, store, needs, deadline).await;
    let mut reader = reader.unwrap();
    let settings = HookSettings::read(&mut reader);
    let auth = reader.finish(settings).unwrap();
    let gate = Gate::new(auth.header, auth.secrets).unwrap();
    let answer = move |request: Request| {
        let gate = gate.clone();
        async move {
            let deadline = Deadline::within(Duration::from_secs(2));
            let Some(admitted) = gate.admit(request, deadline).await else {
                return StatusCode::UNAUTHORIZED.into_response();
            };
            let challenge = admitted.headers()["x-okta-verification-challenge"].to_str();
            axum::Json(json!({"verification": challenge.unwrap()})).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

async fn manager() -> aws_sdk_secretsmanager::Client {
    let config = servers::config(servers::moto_url()).await.into_builder();
    let region = aws_config::Region::new("us-east-1");
    aws_sdk_secretsmanager::Client::new(&config.region(region).build())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotations_make_a_leaked_secret_useless() {
    let desk = Desk::new().await;
    let client = manager().await;
    let name = format!("test/{}", uuid::Uuid::new_v4());
    let made = client.create_secret().name(name).secret_string(HOOK_SECRET);
    let arn = made.send().await.unwrap().arn.unwrap();
    let url = format!("http://{}/okta", receiver_with_arn(&arn).await);
    desk.run(&["hook", "register", "--url", &url])
        .await
        .expect(0);
    // It has to be in Secrets Manager.
    let refused = desk.run(&["hook", "rotate"]).await.expect(2);
    refused.says("HOOK_SECRET_PREVIOUS");

    let changes = [
        ("HOOK_SECRET", ""),
        ("HOOK_SECRET_ARN", arn.as_str()),
        ("AWS_ENDPOINT_URL", servers::moto_url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let values = async || {
        let mut values = Vec::new();
        for stage in ["AWSCURRENT", "AWSPREVIOUS"] {
            let read = client.get_secret_value().secret_id(&arn);
            let read = read.version_stage(stage).send().await.unwrap();
            values.push(read.secret_string.unwrap());
        }
        values
    };
    let sent = || {
        let world = desk.okta.world();
        let hook = world.hooks.values().next().unwrap();
        assert!(hook.active && hook.verified);
        hook.auth_value.clone()
    };
    desk.run_with(&changes, &["hook", "rotate"]).await.expect(0);
    let [current, previous] = values().await.try_into().unwrap();
    assert_eq!((sent(), previous.as_str()), (current.clone(), HOOK_SECRET));
    let ran = desk
        .run_with(&changes, &["hook", "rotate", "--leaked"])
        .await;
    let ran = ran.expect(0);
    let after = values().await;
    assert_eq!(sent(), after[0]);
    assert!(!after.contains(&current) && !after.iter().any(|value| value == HOOK_SECRET));
    for secret in &after {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret));
    }
    let advice = include_str!("../../../docs/security.md");
    assert!(
        advice.contains("Rotate it **twice**")
            && advice.contains("`okta-anypoint hook rotate --leaked`")
    );
}
