//! The stand-in for the Lambda service, and the samples. The tests play the function: the process only prints the
//! address of its Runtime API.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::runtime_api::{Failed, Lambda, Request, hook_samples, sample};
use crate::tenant::eventually;

const SOON: Duration = Duration::from_secs(10);

async fn function(script: &str) -> (Lambda, String) {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        &format!("echo api=$AWS_LAMBDA_RUNTIME_API=; {script}"),
    ]);
    let lambda = Lambda::run(command, "hook", &[]).await;
    let output = || lambda.output();
    eventually("the address is printed", || output().contains('=')).await;
    let address = output().split('=').nth(1).unwrap().to_owned();
    (lambda, format!("http://{address}/2018-06-01/runtime"))
}

/// Fetches the next event once and answers it at `ending`.
async fn serve_one(api: String, ending: &str, answer: Value) -> (Value, StatusCode) {
    let http = reqwest::Client::new();
    let next = http
        .get(format!("{api}/invocation/next"))
        .send()
        .await
        .unwrap();
    let id = next.headers()["lambda-runtime-aws-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    for name in ["deadline-ms", "invoked-function-arn", "trace-id"] {
        assert!(
            next.headers()
                .contains_key(format!("lambda-runtime-{name}")),
            "{name}"
        );
    }
    let event = serde_json::from_slice(&next.bytes().await.unwrap()).unwrap();
    let url = format!("{api}/invocation/{id}/{ending}");
    let answered = http.post(&url).json(&answer).send().await.unwrap();
    assert_eq!(answered.status(), StatusCode::ACCEPTED);
    let again = http.post(&url).json(&answer).send().await.unwrap();
    (event, again.status())
}

#[tokio::test]
async fn an_event_is_handed_out_and_its_answer_is_returned() {
    install_tls();
    let (lambda, api) = function("exec sleep 30").await;
    let event = json!({"n": 1});
    let (served, answer) = tokio::join!(
        serve_one(api, "response", json!({"ok": true})),
        lambda.invoke(event.clone(), SOON)
    );
    assert_eq!(
        served,
        (event, StatusCode::BAD_REQUEST),
        "a second answer is refused"
    );
    assert_eq!(answer.unwrap(), json!({"ok": true}));
    lambda.ready(SOON).await.unwrap();
}

#[tokio::test]
async fn an_error_is_distinguished_from_an_answer() {
    install_tls();
    let (lambda, api) = function("exec sleep 30").await;
    let error = json!({"errorType": "E", "errorMessage": "m"});
    let (_, answer) = tokio::join!(
        serve_one(api, "error", error.clone()),
        lambda.invoke(json!({}), SOON)
    );
    assert!(matches!(answer, Err(Failed::Function(value)) if value == error));
}

#[tokio::test]
async fn a_process_exit_ends_the_wait() {
    let (lambda, _) = function("echo settings are missing >&2; exit 3").await;
    let failed = lambda.ready(SOON).await.unwrap_err();
    assert!(matches!(failed, Failed::Exited(status) if status.code() == Some(3)));
    assert!(lambda.output().contains("settings are missing"));
}

#[tokio::test]
async fn a_process_exit_is_reported() {
    let lambda = Lambda::run(Command::new("/bin/true"), "true", &[]).await;
    assert!(lambda.pid() > 0);
    let failed = lambda.ready(SOON).await.unwrap_err();
    assert!(matches!(failed, Failed::Exited(status) if status.success()));
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    install_tls();
    let (lambda, api) = function("exec sleep 30").await;
    let url = format!("{api}/init/error");
    let body = json!({"errorType": "Init"});
    reqwest::Client::new()
        .post(url)
        .json(&body)
        .send()
        .await
        .unwrap();
    lambda.kill9();
    let failed = lambda.invoke(json!({}), SOON).await.unwrap_err();
    assert!(matches!(failed, Failed::Init(value) if value == body));
}

#[tokio::test]
async fn the_deadline_ends_the_process() {
    let (lambda, _) = function("exec sleep 30").await;
    let failed = lambda
        .invoke(json!({}), Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(matches!(failed, Failed::TimedOut));
    let failed = lambda.invoke(json!({}), SOON).await.unwrap_err();
    assert!(matches!(failed, Failed::Exited(_)));
}

#[test]
fn the_samples_of_the_three_gateways_differ() {
    let request = Request::new("POST", "/okta?a=1")
        .header("X-Okta-Request-Id", "r")
        .body("{}");
    let [api, url, sam] = [
        request.http_api(),
        request.function_url(),
        request.sam_local(),
    ];
    for event in [&api, &url, &sam] {
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/okta");
        assert_eq!(event["rawQueryString"], "a=1");
        assert_eq!(event["body"], "{}");
        assert_eq!(event["isBase64Encoded"], false);
    }
    assert_eq!(api["headers"]["x-okta-request-id"], "r");
    assert_eq!(sam["headers"]["X-Okta-Request-Id"], "r");
    assert_eq!(url["requestContext"]["accountId"], "anonymous");
    let encoded = Request::new("POST", "/").body("{}").base64().http_api();
    assert_eq!(encoded["body"], "e30=");
    let binary = Request::new("POST", "/").body(vec![0xff]).http_api();
    assert_eq!(
        (&binary["body"], &binary["isBase64Encoded"]),
        (&json!("/w=="), &json!(true))
    );
}

#[test]
fn every_sample_has_the_event_type_of_its_name() {
    for name in hook_samples() {
        let event = sample(&name);
        assert_eq!(event["version"], "2.0", "{name}");
        assert!(event["headers"]["authorization"].is_string(), "{name}");
        if event["requestContext"]["http"]["method"] == "POST" {
            assert!(event["body"].is_string(), "{name}");
        }
    }
    assert_eq!(
        sample("provision-batch")["Records"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    for task in ["catch-up", "reconcile", "import"] {
        let event = sample(&format!("schedule-{task}"));
        assert_eq!(event["task"], task.replace('-', "_"));
    }
}

/// The demo, `tools/sam_local.py` and `tools/fuzz` take the samples from the story. The story and the table in
/// `events/README.md` list each sample once.
#[test]
fn every_sample_is_in_the_story_and_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let story: Value = serde_json::from_str(&read("story.json")).unwrap();
    let steps = story["steps"].as_array().unwrap();
    let told: Vec<&str> = steps
        .iter()
        .map(|step| step["sample"].as_str().unwrap())
        .collect();
    let mut samples: Vec<String> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .filter(|name| name != "story")
        .collect();
    samples.sort();
    let mut sorted = told.clone();
    sorted.sort();
    assert_eq!(sorted, samples);
    let of_the_hook: Vec<&str> = steps
        .iter()
        .filter(|step| step["sent"].get("hook").is_some())
        .map(|step| step["sample"].as_str().unwrap())
        .collect();
    assert_eq!(of_the_hook, hook_samples());
    let table = read("README.md");
    for sample in told {
        assert!(table.contains(&format!("| `{sample}` |")), "{sample}");
    }
}

/// `reqwest` is built without a TLS provider. The first caller sets the provider of the process.
fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
