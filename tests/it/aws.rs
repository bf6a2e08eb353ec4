//! Endpoint, region and credentials come from the SDK's own variables.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use okta_anypoint::aws::{Limits, load, of_lambda};
use okta_anypoint::clock::SystemClock;
use okta_anypoint::ledger::{DynamoDbLedger, Ledger, Outcome, Reason};

use crate::ledger::{LEASE, work};
use crate::servers;

const TABLE: &str = "OKTA_ANYPOINT_TEST_TABLE";

/// Not a test: the process that the next one starts, with a Lambda's variables and nothing else.
#[tokio::test]
#[ignore = "run by the_environment_is_enough"]
async fn lambda() {
    let Ok(table) = std::env::var(TABLE) else {
        return;
    };
    let begun = Instant::now();
    let config = of_lambda(Limits::within(Duration::from_secs(5))).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let loaded = begun.elapsed();
    let ledger = DynamoDbLedger::new(client, table, 30, Arc::new(SystemClock));
    let outcome = ledger
        .claim(&work("e1"), LEASE, Reason::Delivery)
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Claimed(_)));
    println!(
        "loaded after {loaded:?}, claimed after {:?}",
        begun.elapsed()
    );
    // A metadata service that is asked in vain takes a second or more.
    assert!(loaded < Duration::from_millis(500), "{loaded:?}");
}

#[tokio::test]
async fn the_environment_is_enough() {
    let (client, table) = servers::table().await;
    let answer = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "aws::lambda", "--nocapture"])
        .env_clear()
        .env(TABLE, &table)
        .env("AWS_ENDPOINT_URL_DYNAMODB", servers::dynamodb_url())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{said}");
    assert!(said.contains("claimed after"), "{said}");
    println!("{said}");
    // The table is the same one, whatever the region: DynamoDB Local shares it.
    let items = client.scan().table_name(&table).send().await.unwrap();
    assert_eq!(items.count, 1);
}

/// Without credentials the answer says so instead of waiting or asking to be retried.
#[tokio::test]
#[ignore = "run by missing_credentials_are_named"]
async fn nobody() {
    for source in [load, of_lambda] {
        let config = source(Limits::within(Duration::from_secs(5))).await;
        let client = aws_sdk_dynamodb::Client::new(&config);
        let ledger = DynamoDbLedger::new(client, "people", 30, Arc::new(SystemClock));
        let failure = ledger.record("e1").await.unwrap_err();
        println!("{failure}");
        assert!(!failure.is_retryable(), "{failure}");
        assert!(
            failure.to_string().contains("AWS_ACCESS_KEY_ID"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn missing_credentials_are_named() {
    let answer = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "aws::nobody", "--nocapture"])
        .env_clear()
        .env("AWS_ENDPOINT_URL_DYNAMODB", servers::dynamodb_url())
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{said}");
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}
