//! The shapes that gateways give to requests: each shape of the contract, and malformed ones.

use std::time::Duration;

use serde_json::{Value, json};

use super::Hook;
use crate::runtime_api::Request;
use crate::world::SECRET;

/// A header of an answer, from the one value or the list, as the asking gateway reads it.
fn header(answer: &Value, name: &str) -> String {
    let found = match &answer["headers"][name] {
        Value::Null => &answer["multiValueHeaders"][name][0],
        found => found,
    };
    found.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_shape_gets_the_answers_of_the_contract() {
    let hook = Hook::new().await;
    let delivery = hook.world.okta.world().delivery(&[]).to_string();
    let big = "x".repeat(1024 * 1024 + 1);
    let secret = |request: Request| request.header("Authorization", SECRET);
    let post = |body: &str| Request::new("POST", "/any/path").body(body.to_owned());
    let cases: Vec<(&str, Request, u64)> = vec![
        ("no secret", Request::new("GET", "/"), 401),
        (
            "wrong secret",
            Request::new("GET", "/").header("authorization", "wrong"),
            401,
        ),
        (
            "wrong secret, junk",
            post("junk").header("authorization", "wrong"),
            401,
        ),
        (
            "wrong secret, oversize",
            post(&big).header("authorization", "wrong"),
            401,
        ),
        ("no challenge", secret(Request::new("GET", "/")), 400),
        (
            "challenge",
            secret(Request::new("GET", "/")).header("X-Okta-Verification-Challenge", "V1"),
            200,
        ),
        (
            "previous secret",
            Request::new("GET", "/")
                .header("AUTHORIZATION", "previous-secret")
                .header("x-okta-verification-challenge", "V1"),
            200,
        ),
        ("empty delivery", secret(post(&delivery)), 204),
        (
            "empty delivery, base64",
            secret(post(&delivery)).base64(),
            204,
        ),
        ("junk", secret(post("junk")), 400),
        ("other JSON", secret(post("{}")), 400),
        ("no body", secret(Request::new("POST", "/")), 400),
        ("oversize", secret(post(&big)), 413),
        ("oversize, base64", secret(post(&big)).base64(), 413),
        ("another method", secret(Request::new("DELETE", "/")), 405),
        (
            "odd path",
            secret(Request::new("GET", "/a b?c=%zz|&d"))
                .header("x-okta-verification-challenge", "V"),
            200,
        ),
    ];
    for (case, request, status) in cases {
        for (shape, event) in request.shapes() {
            let (answered, answer) = hook.ask(event).await;
            let case = format!("{case}, {shape}");
            assert_eq!(answered, status, "{case}");
            match status {
                200 => {
                    let body: Value =
                        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                    assert!(
                        body["verification"].as_str().unwrap().starts_with('V'),
                        "{case}"
                    );
                    assert_eq!(
                        header(&answer, "content-type"),
                        "application/json",
                        "{case}"
                    );
                }
                405 => assert_eq!(header(&answer, "allow"), "GET, POST", "{case}"),
                _ => assert_eq!(answer["body"], "", "{case}"),
            }
        }
    }
    assert_eq!(hook.world.calls(), Vec::<String>::new());
}

/// `value` at the place that `pointer` names.
fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event
}

/// A stranger may choose the path, the query, the host and every header, and has a gateway to send them through.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_the_function_fail() {
    let hook = Hook::new().await;
    let request = Request::new("POST", "/okta")
        .header("authorization", SECRET)
        .body("{}");
    let (http_api, rest_api) = (request.http_api(), request.rest_api("", Some("prod")));
    let load_balancer = request.load_balancer();
    let mut odd: Vec<Value> = vec![
        json!({}),
        json!([]),
        json!(null),
        json!("{}"),
        json!({"headers": null, "body": null, "requestContext": {"http": {}}}),
        json!({"Records": [{"messageId": "m", "body": "{}"}]}),
        json!({"task": "catch_up"}),
    ];
    for event in [&http_api, &rest_api, &load_balancer] {
        let path = ["/rawPath", "/path"];
        let path = path.into_iter().find(|at| event.pointer(at).is_some());
        for (pointer, value) in [
            ("/isBase64Encoded", json!(true)),
            ("/isBase64Encoded", json!("yes")),
            ("/requestContext", json!(null)),
            ("/requestContext", json!({})),
            (path.unwrap(), json!(":8080.example/")),
            (path.unwrap(), json!(7)),
            ("/headers/host", json!("a b")),
            ("/headers/host", json!("[")),
            ("/headers/host", json!("x:99999999")),
            ("/headers/x-odd", json!(null)),
            ("/headers/x-odd", json!("Zoë")),
            ("/headers/x-odd", json!("a\nb")),
            ("/headers/x odd", json!("a")),
            ("/headers", json!(["a"])),
            ("/body", json!({"events": []})),
        ] {
            let event = with(event.clone(), pointer, value);
            odd.push(match pointer {
                // The body claims to be base64, and is not.
                "/isBase64Encoded" => with(event, "/body", json!("%%%")),
                _ => event,
            });
        }
    }
    for query in ["a b", "\"", "a=<b>", "\u{7f}", "ü"] {
        odd.push(with(http_api.clone(), "/rawQueryString", json!(query)));
    }
    for (pointer, value) in [
        ("/requestContext/http/method", json!(null)),
        ("/requestContext/http/method", json!("GE T")),
        ("/requestContext/http", json!(null)),
        ("/cookies", json!([null])),
    ] {
        odd.push(with(http_api.clone(), pointer, value));
    }
    for event in odd {
        let shown = event.to_string();
        let answered = hook.lambda.invoke(event, Duration::from_secs(10)).await;
        let answer = answered.unwrap_or_else(|failed| panic!("{shown}: {failed:?}"));
        let status = answer["statusCode"].as_u64().unwrap();
        assert!((400..500).contains(&status), "{shown}: {answer}");
    }
    for payload in [
        &b"hello"[..],
        b"",
        b"\"\xff\"",
        br#"{"body":"\ud800","headers":{}}"#,
    ] {
        let answered = hook
            .lambda
            .invoke_with(payload.to_vec(), Duration::from_secs(10));
        assert_eq!(answered.await.unwrap()["statusCode"], 400, "{payload:?}");
    }
    // The function answers only its requests, and names an event that is no request.
    assert_eq!(hook.world.calls(), Vec::<String>::new());
    let log = hook.lambda.output();
    assert!(!log.contains("a defect"), "{log}");
    let named = |fields: &str| log.contains(&format!("\"fields\":\"{fields}\""));
    assert!(
        named("Records") && named("task") && named("not JSON"),
        "{log}"
    );
    assert!(
        named("headers=null requestContext body=null"),
        "nulls are named: {log}"
    );
}
