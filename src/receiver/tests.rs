use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use http::Request;
use http::header::{ALLOW, AUTHORIZATION};
use http_body::Frame;
use secrecy::SecretString;
use serde_json::json;
use tower::ServiceExt as _;

use super::deliveries::ANSWERING;
use super::*;
use crate::clock::SystemClock;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::{Failure, Side};

/// A queue that takes everything, refuses everything, or never answers.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Takes,
    Refuses,
    Hangs,
}

struct TestQueue {
    mood: Mood,
    taken: Mutex<Vec<Change>>,
    time: Mutex<Option<Duration>>,
}

#[async_trait]
impl Queue for TestQueue {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        match self.mood {
            Mood::Takes => self.taken.lock().unwrap().extend_from_slice(changes),
            Mood::Refuses => return Err(Failure::retryable(Side::Queue, "down")),
            Mood::Hangs => std::future::pending().await,
        }
        Ok(())
    }

    async fn send_by(&self, changes: &[Change], deadline: Deadline) -> Result<(), Failure> {
        *self.time.lock().unwrap() = Some(deadline.remaining());
        self.send(changes).await
    }
}

fn receiver(mood: Mood) -> (Receiver, Arc<TestQueue>) {
    let (receiver, queue, _) = counted_receiver(mood);
    (receiver, queue)
}

fn counted_receiver(mood: Mood) -> (Receiver, Arc<TestQueue>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new("test"));
    let queue = Arc::new(TestQueue {
        mood,
        taken: Mutex::default(),
        time: Mutex::default(),
    });
    let secrets: Vec<SecretString> = ["current", "previous"].map(SecretString::from).to_vec();
    let receiver = Receiver::new(
        Gate::new(AUTHORIZATION, secrets).unwrap(),
        OktaAppId::parse("0oaAPP1").unwrap(),
        queue.clone(),
        Arc::new(SystemClock),
        metrics.clone(),
    );
    (receiver, queue, metrics)
}

fn request<B>(method: &str, headers: &[(&str, &str)], body: B) -> Request<B> {
    let mut request = Request::builder().method(method);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

async fn ask(
    receiver: &Receiver,
    method: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let request = request(method, headers, body.to_owned());
    let answer = receiver.clone().oneshot(request).await.unwrap();
    (answer.status().as_u16(), answer.into_body())
}

const SECRET: (&str, &str) = ("Authorization", "current");

/// A body that notes whether anybody began to read it. It never arrives.
struct Watched(Arc<AtomicBool>);

impl http_body::Body for Watched {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Infallible>>> {
        self.0.store(true, Ordering::SeqCst);
        Poll::Pending
    }
}

fn delivery() -> String {
    json!({"eventType": "com.okta.event_hook", "data": {"events": [
        {"uuid": "u-1", "published": "2026-03-02T09:15:04.120Z", "eventType": "user.lifecycle.create",
         "outcome": {"result": "SUCCESS"}, "target": [{"type": "User", "id": "00u1"}]},
        {"uuid": "u-2", "eventType": "nobody.knows"}]}})
    .to_string()
}

#[tokio::test]
async fn without_the_secret_every_answer_is_401() {
    let (receiver, queue) = receiver(Mood::Takes);
    let delivery = delivery();
    let huge = "x".repeat(MAX_BODY_BYTES + 1);
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        for headers in [
            &[][..],
            &[("authorization", "")][..],
            &[("authorization", "wrong")][..],
            &[("authorization", "current ")][..],
            &[("authorization", "curren")][..],
            &[("x-authorization", "current")][..],
        ] {
            for body in ["", &delivery, &huge, "%"] {
                let answer = ask(&receiver, method, headers, body).await;
                assert_eq!(answer, (401, String::new()), "{method} {headers:?}");
            }
        }
    }
    assert!(queue.taken.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn inline_changes_have_to_end_before_the_answer() {
    let (_, queue, metrics) = counted_receiver(Mood::Takes);
    let app = OktaAppId::parse("0oaAPP1").unwrap();
    let deliveries = Deliveries::new(app, queue.clone(), Arc::new(SystemClock), metrics);
    let gate = Gate::new(AUTHORIZATION, &[SecretString::from("current")]).unwrap();
    // As when a second of the answer's time went into reading the secrets again.
    let left = ANSWER_TIME - Duration::from_secs(1);
    let request = request("POST", &[SECRET], delivery());
    let admitted = gate.admit(request, Deadline::within(left)).await.unwrap();
    let answer = deliveries.oneshot(admitted).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(*queue.time.lock().unwrap(), Some(left - ANSWERING));
}

#[tokio::test]
async fn events_are_counted_and_ignored_ones_by_their_reason() {
    let (receiver, _, metrics) = counted_receiver(Mood::Takes);
    let event = |event_type: &str, result: &str, targets: serde_json::Value| json!({"uuid": "u-1", "eventType": event_type, "outcome": {"result": result}, "target": targets});
    let user = json!([{"type": "User", "id": "00u1"}]);
    let body = json!({"eventType": "com.okta.event_hook", "data": {"events": [
        event("user.lifecycle.create", "SUCCESS", user.clone()),
        json!("no event"),
        event("nobody.knows", "SUCCESS", user.clone()),
        event("user.lifecycle.create", "FAILURE", user.clone()),
        event("application.user_membership.add", "SUCCESS", user),
        event("user.lifecycle.create", "SUCCESS", json!([])),
    ]}})
    .to_string();
    let status = ask(&receiver, "POST", &[SECRET], &body).await;
    assert_eq!(status.0, 204);
    let mut counted: Vec<String> = metrics
        .take_lines(0)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| match line["Reason"].as_str() {
            Some(reason) => format!("{reason} {}", line["Ignored"]),
            None => format!("received {}", line["Received"]),
        })
        .collect();
    counted.sort();
    let expected = [
        "malformed 1",
        "no_subject 1",
        "not_successful 1",
        "other_app 1",
        "other_type 1",
        "received 6",
    ];
    assert_eq!(counted, expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_only_of_a_delivery_with_the_secret() {
    let (receiver, _) = receiver(Mood::Takes);
    for (method, secret, status, is_read) in [
        ("POST", "wrong", 401, false),
        ("GET", "wrong", 401, false),
        ("GET", "current", 400, false),
        ("PUT", "current", 405, false),
        // It does not come in time.
        ("POST", "current", 503, true),
        ("POST", "previous", 503, true),
    ] {
        let read = Arc::new(AtomicBool::default());
        let request = request(
            method,
            &[("authorization", secret)],
            Watched(Arc::clone(&read)),
        );
        let began = tokio::time::Instant::now();
        let answer = receiver.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {secret}");
        assert_eq!(read.load(Ordering::SeqCst), is_read, "{method} {secret}");
        assert!(began.elapsed() < Duration::from_millis(1_800));
    }
}

#[tokio::test]
async fn both_secrets_are_accepted_while_rotating() {
    let (receiver, _) = receiver(Mood::Takes);
    for secret in ["current", "previous"] {
        let headers = [
            ("AUTHORIZATION", secret),
            ("X-Okta-Verification-Challenge", "a \"b\""),
        ];
        let answer = ask(&receiver, "GET", &headers, "").await;
        assert_eq!(answer, (200, r#"{"verification":"a \"b\""}"#.to_owned()));
    }
}

/// As when the operator entered the previous secret again.
#[tokio::test]
async fn a_secret_that_is_configured_twice_is_accepted() {
    let secrets: Vec<SecretString> = ["same", "same"].map(SecretString::from).to_vec();
    let gate = Gate::new(AUTHORIZATION, secrets).unwrap();
    let request = request("GET", &[("authorization", "same")], ());
    let soon = Deadline::within(ANSWER_TIME);
    assert!(gate.admit(request, soon).await.is_some());
}

#[tokio::test]
async fn a_verification_without_a_challenge_is_a_bad_request() {
    let (receiver, _) = receiver(Mood::Takes);
    assert_eq!(ask(&receiver, "GET", &[SECRET], "").await.0, 400);
    let empty = [SECRET, ("x-okta-verification-challenge", "")];
    assert_eq!(ask(&receiver, "GET", &empty, "").await.0, 400);
}

#[tokio::test]
async fn deliveries_are_queued() {
    let (receiver, queue) = receiver(Mood::Takes);
    let answer = ask(&receiver, "POST", &[SECRET], &delivery()).await;
    assert_eq!(answer, (204, String::new()));
    let taken = queue.taken.lock().unwrap();
    let uuids: Vec<&str> = taken.iter().map(|change| change.uuid.as_str()).collect();
    assert_eq!(uuids, ["u-1"]);
}

#[tokio::test]
async fn each_kind_of_bad_body_has_its_own_answer() {
    let (receiver, _) = receiver(Mood::Takes);
    let at_limit = " ".repeat(MAX_BODY_BYTES);
    let above = " ".repeat(MAX_BODY_BYTES + 1);
    for (body, status) in [
        ("junk", 400),
        ("", 400),
        ("{}", 400),
        (&at_limit, 400),
        (&above, 413),
    ] {
        let answer = ask(&receiver, "POST", &[SECRET], body).await;
        assert_eq!(answer, (status, String::new()));
    }
}

#[tokio::test]
async fn other_methods_are_told_which_are_allowed() {
    let (receiver, _) = receiver(Mood::Takes);
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get"] {
        let request = request(method, &[SECRET], String::new());
        let answer = receiver.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.headers()[ALLOW], "GET, POST", "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_not_durable_in_time_gets_503() {
    let body = delivery();
    let (refusing, _) = receiver(Mood::Refuses);
    assert_eq!(ask(&refusing, "POST", &[SECRET], &body).await.0, 503);
    let (hanging, _) = receiver(Mood::Hangs);
    let began = tokio::time::Instant::now();
    assert_eq!(ask(&hanging, "POST", &[SECRET], &body).await.0, 503);
    assert!(began.elapsed() <= Duration::from_millis(2_500));
}
