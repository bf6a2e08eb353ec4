use std::sync::Mutex;

use async_trait::async_trait;
use http::HeaderName;
use secrecy::SecretString;

use super::*;
use crate::clock::SystemClock;
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
        Gate::new(HeaderName::from_static("authorization"), secrets).unwrap(),
        OktaAppId::parse("0oaAPP1").unwrap(),
        queue.clone(),
        Arc::new(SystemClock),
        metrics.clone(),
    );
    (receiver, queue, metrics)
}

async fn ask(
    receiver: &Receiver,
    method: &str,
    headers: &[(&str, &str)],
    body: Body<'_>,
) -> (u16, String) {
    let owned: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_bytes().to_vec()))
        .collect();
    let header = |name: &str| {
        owned
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_slice())
    };
    let answer = receiver
        .answer(&Request {
            method,
            header: &header,
            body,
        })
        .await;
    (answer.status, answer.body)
}

const EMPTY: Body<'static> = Body::Plain(b"");
const SECRET: (&str, &str) = ("Authorization", "current");

fn delivery() -> String {
    json!({"eventType": "com.okta.event_hook", "data": {"events": [
        {"uuid": "u-1", "published": "2026-03-02T09:15:04.120Z", "eventType": "user.lifecycle.create",
         "outcome": {"result": "SUCCESS"}, "target": [{"type": "User", "id": "00u1"}]},
        {"uuid": "u-2", "eventType": "nobody.knows"}]}})
    .to_string()
}

#[tokio::test]
async fn without_the_secret_nothing_is_answered_but_401() {
    let (receiver, queue) = receiver(Mood::Takes);
    let body = delivery();
    let huge = vec![b'x'; LARGEST_BODY + 1];
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        for headers in [
            &[][..],
            &[("authorization", "")][..],
            &[("authorization", "wrong")][..],
            &[("authorization", "current ")][..],
            &[("authorization", "curren")][..],
            &[("x-authorization", "current")][..],
        ] {
            for body in [
                EMPTY,
                Body::Plain(body.as_bytes()),
                Body::Plain(&huge),
                Body::Base64("%"),
            ] {
                let answer = ask(&receiver, method, headers, body).await;
                assert_eq!(answer, (401, String::new()), "{method} {headers:?}");
            }
        }
    }
    assert!(queue.taken.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_done_in_place_has_to_end_before_the_answer() {
    let (receiver, queue) = receiver(Mood::Takes);
    let body = delivery();
    let header = |name: &str| (name == "authorization").then_some(b"current".as_slice());
    let request = Request {
        method: "POST",
        header: &header,
        body: Body::Plain(body.as_bytes()),
    };
    // As when a second of the answer's time went into reading the secrets again.
    let left = ANSWER_TIME - Duration::from_secs(1);
    let answer = receiver.answer_by(&request, Deadline::within(left)).await;
    assert_eq!(answer.status, 204);
    assert_eq!(*queue.time.lock().unwrap(), Some(left - ANSWERING));
}

#[tokio::test]
async fn events_are_counted_and_those_that_do_not_act_by_their_reason() {
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
    let status = ask(&receiver, "POST", &[SECRET], Body::Plain(body.as_bytes())).await;
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

/// Whoever has a body to read asks this first.
#[tokio::test]
async fn only_a_delivery_of_someone_with_the_secret_has_its_body_read() {
    let (receiver, _) = receiver(Mood::Takes);
    for (method, secret, status) in [
        ("POST", "wrong", Some(401)),
        ("GET", "wrong", Some(401)),
        ("GET", "current", Some(400)),
        ("PUT", "current", Some(405)),
        ("POST", "current", None),
        ("POST", "previous", None),
    ] {
        let header = |name: &str| (name == "authorization").then_some(secret.as_bytes());
        let head = Request {
            method,
            header: &header,
            body: EMPTY,
        };
        let answer = receiver.answer_to_head(&head).await;
        assert_eq!(answer.map(|answer| answer.status), status, "{method}");
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
        let answer = ask(&receiver, "GET", &headers, EMPTY).await;
        assert_eq!(answer, (200, r#"{"verification":"a \"b\""}"#.to_owned()));
    }
}

/// As when the previous secret was put in again.
#[tokio::test]
async fn a_secret_that_is_there_twice_is_accepted() {
    let secrets: Vec<SecretString> = ["same", "same"].map(SecretString::from).to_vec();
    let gate = Gate::new(HeaderName::from_static("authorization"), secrets).unwrap();
    let header = |name: &str| (name == "authorization").then_some(b"same".as_slice());
    let request = Request {
        method: "GET",
        header: &header,
        body: EMPTY,
    };
    assert!(gate.admit(&request).await.is_some());
}

#[tokio::test]
async fn a_verification_without_a_challenge_is_a_bad_request() {
    let (receiver, _) = receiver(Mood::Takes);
    assert_eq!(ask(&receiver, "GET", &[SECRET], EMPTY).await.0, 400);
    let empty = [SECRET, ("x-okta-verification-challenge", "")];
    assert_eq!(ask(&receiver, "GET", &empty, EMPTY).await.0, 400);
}

#[tokio::test]
async fn deliveries_are_queued_in_plain_and_in_base64() {
    let (receiver, queue) = receiver(Mood::Takes);
    let body = delivery();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&body);
    for body in [Body::Plain(body.as_bytes()), Body::Base64(&encoded)] {
        assert_eq!(
            ask(&receiver, "POST", &[SECRET], body).await,
            (204, String::new())
        );
    }
    let taken = queue.taken.lock().unwrap();
    assert_eq!(
        taken.iter().map(|c| c.uuid.as_str()).collect::<Vec<_>>(),
        ["u-1", "u-1"]
    );
}

#[tokio::test]
async fn bad_bodies_have_their_own_answers() {
    let (receiver, _) = receiver(Mood::Takes);
    let at_limit = vec![b' '; LARGEST_BODY];
    let above = vec![b' '; LARGEST_BODY + 1];
    let above_in_base64 = base64::engine::general_purpose::STANDARD.encode(&above);
    for (body, status) in [
        (Body::Plain(b"junk"), 400),
        (EMPTY, 400),
        (Body::Plain(b"{}"), 400),
        (Body::Base64("not base64!"), 400),
        (Body::Plain(&at_limit), 400),
        (Body::Plain(&above), 413),
        (Body::Base64(&above_in_base64), 413),
    ] {
        assert_eq!(
            ask(&receiver, "POST", &[SECRET], body).await,
            (status, String::new())
        );
    }
}

#[tokio::test]
async fn other_methods_are_told_which_are_allowed() {
    let (receiver, _) = receiver(Mood::Takes);
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", ""] {
        let header = |name: &str| (name == "authorization").then_some(&b"current"[..]);
        let answer = receiver
            .answer(&Request {
                method,
                header: &header,
                body: EMPTY,
            })
            .await;
        assert_eq!(
            (answer.status, answer.headers),
            (405, &[("allow", "GET, POST")][..]),
            "{method}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_durable_in_time_is_a_503() {
    let body = delivery();
    let (refusing, _) = receiver(Mood::Refuses);
    assert_eq!(
        ask(&refusing, "POST", &[SECRET], Body::Plain(body.as_bytes()))
            .await
            .0,
        503
    );
    let (hanging, _) = receiver(Mood::Hangs);
    let began = tokio::time::Instant::now();
    assert_eq!(
        ask(&hanging, "POST", &[SECRET], Body::Plain(body.as_bytes()))
            .await
            .0,
        503
    );
    assert!(began.elapsed() <= Duration::from_millis(2_500));
}
