//! A write is carried out, its answer is lost, the SDK sends it again: the caller must not be told that
//! somebody else was first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use okta_anypoint::clock::ManualClock;
use okta_anypoint::ids::{AccountId, OktaUserId};
use okta_anypoint::ledger::{DynamoDbLedger, Ledger, Outcome, Reason, Recorded};
use okta_anypoint::store::{DynamoDbStore, Linked, Origin, Store, Stored, UserLink};

use crate::ledger::{LEASE, START_MS, TTL_DAYS, busy_remote, refused, work};
use crate::servers;

/// Carries calls to DynamoDB Local, and answers 500 in place of each write's first answer.
#[derive(Clone)]
struct Lossy {
    client: reqwest::Client,
    writes: Arc<AtomicUsize>,
}

async fn pass(
    State(lossy): State<Lossy>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Bytes) {
    let target = headers["x-amz-target"].to_str().unwrap();
    let writes = ["UpdateItem", "PutItem", "TransactWriteItems"];
    let writes = writes.iter().any(|write| target.ends_with(write));
    let url = servers::dynamodb_url();
    let mut onward = headers.clone();
    onward.remove("host");
    let answer = lossy
        .client
        .post(url)
        .headers(onward)
        .body(body)
        .send()
        .await;
    let answer = answer.unwrap();
    let status = answer.status();
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/x-amz-json-1.0".parse().unwrap(),
    );
    let body = answer.bytes().await.unwrap();
    if writes
        && lossy
            .writes
            .fetch_add(1, Ordering::SeqCst)
            .is_multiple_of(2)
    {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            headers,
            Bytes::from("{}"),
        );
    }
    (status, headers, body)
}

async fn lossy() -> (aws_sdk_dynamodb::Client, String, Arc<AtomicUsize>) {
    let (_, table) = servers::table().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let lossy = Lossy {
        client: reqwest::Client::builder().build().unwrap(),
        writes: Arc::default(),
    };
    let writes = lossy.writes.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(lossy);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = aws_sdk_dynamodb::Client::new(&servers::config(&url).await);
    (client, table, writes)
}

#[tokio::test]
async fn the_ledger_knows_its_own_writes() {
    let (client, table, writes) = lossy().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock.clone());
    for end in ["complete", "retryable", "permanent"] {
        let outcome = ledger
            .claim(&work(end), LEASE, Reason::Delivery)
            .await
            .unwrap();
        let Outcome::Claimed(claim) = outcome else {
            panic!("{end}: {outcome:?}");
        };
        assert_eq!((claim.attempts, claim.took_over), (1, false));
        let other = ledger
            .claim(&work(end), LEASE, Reason::Delivery)
            .await
            .unwrap();
        assert!(matches!(other, Outcome::Busy { .. }));
        let recorded = match end {
            "complete" => ledger.complete(claim).await,
            "retryable" => ledger.fail(claim, &busy_remote()).await,
            _ => ledger.fail(claim, &refused()).await,
        };
        assert_eq!(recorded.unwrap(), Recorded::Written, "{end}");
    }
    // A claim that took over, and an owner that really was superseded.
    let lost = ledger
        .claim(&work("e"), LEASE, Reason::Delivery)
        .await
        .unwrap();
    clock.advance(10_000);
    let next = ledger
        .claim(&work("e"), LEASE, Reason::Delivery)
        .await
        .unwrap();
    let (Outcome::Claimed(lost), Outcome::Claimed(next)) = (lost, next) else {
        panic!("not claimed");
    };
    assert_eq!((next.attempts, next.took_over), (2, true));
    assert_eq!(ledger.complete(lost).await.unwrap(), Recorded::Superseded);
    assert_eq!(ledger.complete(next).await.unwrap(), Recorded::Written);
    assert!(writes.load(Ordering::SeqCst) >= 2 * 10);
}

#[tokio::test]
async fn the_store_knows_its_own_writes() {
    let (client, table, _) = lossy().await;
    let store = DynamoDbStore::new(client, table, Arc::new(ManualClock::at(START_MS)));
    for version in 0..3 {
        let stored = store.put_document("cursor", "{}", version).await.unwrap();
        assert_eq!(stored, Stored::Written);
        let again = store.put_document("cursor", "{}", version).await.unwrap();
        assert_eq!(again, Stored::Conflict);
    }
    let user = OktaUserId::parse("00u1").unwrap();
    for account in ["a1", "a2"] {
        let link = UserLink {
            anypoint_id: AccountId::parse(account).unwrap(),
            username: "name".to_owned(),
            origin: Origin::Created,
            agreed: None,
        };
        assert_eq!(
            store.link_user(&user, &link).await.unwrap(),
            Linked::Written
        );
    }
}
