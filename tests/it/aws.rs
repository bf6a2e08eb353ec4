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

/// Set only in the child process that a test of this file starts.
const TABLE: &str = "OKTA_ANYPOINT_TEST_TABLE";

/// The same test in a child process. Its environment holds only what the caller adds.
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

/// Claims an event with only the variables of a Lambda function.
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
    // A call to an absent metadata service takes a second or more.
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
    // DynamoDB Local shares the table among regions. It holds the lease and the record.
    let items = client.scan().table_name(&table).send().await.unwrap();
    assert_eq!(items.count, 2);
}

/// Reads a record without credentials, and prints why that failed.
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

/// Without credentials the call fails with a clear message. It does not wait, and is not retryable.
#[tokio::test]
async fn missing_aws_credentials_are_named() {
    if let Ok(table) = std::env::var(TABLE) {
        return read_as_nobody(table).await;
    }
    let mut nobody = again("aws::missing_aws_credentials_are_named", "people");
    let said = output(nobody.env("AWS_EC2_METADATA_DISABLED", "true"));
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
}
