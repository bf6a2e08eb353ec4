//! Endpoint, region and credentials come from the SDK's own variables.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use okta_anypoint::aws::{Limits, for_lambda, load};
use okta_anypoint::clock::SystemClock;
use okta_anypoint::failure::Cause;
use okta_anypoint::ledger::{ClaimOutcome, DynamoDbLedger, Ledger, Reason};

use crate::ledger::{LEASE, work};
use crate::servers;

/// Set in a process that a test of this file started from itself, and nowhere else.
const TABLE: &str = "OKTA_ANYPOINT_TEST_TABLE";

/// This very test in a process of its own, whose environment is empty but for what the caller adds.
fn again(test: &str, table: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .env(TABLE, table)
        .env("AWS_ENDPOINT_URL_DYNAMODB", servers::dynamodb_url())
        .env("AWS_REGION", "eu-central-1");
    command
}

fn output(command: &mut Command) -> String {
    let answer = command.output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.status.success(), "{said}");
    said
}

/// Claims an event with a Lambda's variables and nothing else.
async fn claim_in(table: String) {
    let begun = Instant::now();
    let config = for_lambda(Limits::within(Duration::from_secs(5))).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let loaded = begun.elapsed();
    let ledger = DynamoDbLedger::new(client, table, 30, Arc::new(SystemClock));
    let lease = crate::world::lease(&ledger, "00u1", LEASE).await;
    let outcome = ledger
        .claim(&work("e1"), &lease, Reason::Delivery)
        .await
        .unwrap();
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)));
    println!(
        "loaded after {loaded:?}, claimed after {:?}",
        begun.elapsed()
    );
    // A metadata service that is asked in vain takes a second or more.
    assert!(loaded < Duration::from_millis(500), "{loaded:?}");
}

#[tokio::test]
async fn the_aws_client_needs_only_the_environment() {
    if let Ok(table) = std::env::var(TABLE) {
        return claim_in(table).await;
    }
    let (client, table) = servers::table().await;
    let mut lambda = again("aws::the_aws_client_needs_only_the_environment", &table);
    let said = output(
        lambda
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test"),
    );
    assert!(said.contains("claimed after"), "{said}");
    println!("{said}");
    // The table is the same one, whatever the region: DynamoDB Local shares it. The lease and the record are there.
    let items = client.scan().table_name(&table).send().await.unwrap();
    assert_eq!(items.count, 2);
}

/// Reads a record without credentials, and prints why that failed: an answer, not a wait and not a retry.
async fn read_as_nobody(table: String) {
    for source in [load, for_lambda] {
        let config = source(Limits::within(Duration::from_secs(5))).await;
        let client = aws_sdk_dynamodb::Client::new(&config);
        let ledger = DynamoDbLedger::new(client, &table, 30, Arc::new(SystemClock));
        let failure = ledger.record("e1").await.unwrap_err();
        println!("{failure}");
        assert_eq!(failure.cause, Cause::RefusedCredentials, "{failure}");
        assert!(
            failure.to_string().contains("AWS_ACCESS_KEY_ID"),
            "{failure}"
        );
    }
}

/// Without credentials the answer says so instead of waiting or asking to be retried.
#[tokio::test]
async fn missing_aws_credentials_are_named() {
    if let Ok(table) = std::env::var(TABLE) {
        return read_as_nobody(table).await;
    }
    let mut nobody = again("aws::missing_aws_credentials_are_named", "people");
    let said = output(nobody.env("AWS_EC2_METADATA_DISABLED", "true"));
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}
