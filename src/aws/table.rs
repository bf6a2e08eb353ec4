//! What ledger and store share about the DynamoDB table: items, reads of many, transactions.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, TransactWriteItem,
};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Target, explain};
use crate::backoff::Backoff;
use crate::failure::{Cause, Failure, Side};

/// An item's attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Parts of the table that are scanned at the same time.
const SEGMENTS: i32 = 4;
/// What one `BatchGetItem` takes (DynamoDB API reference).
const KEYS_A_CALL: usize = 100;
/// `BatchGetItem` calls that run at the same time.
const BATCHES_AT_ONCE: usize = 8;
/// How often the keys of a batch are asked for, when it leaves some out.
const MAX_ROUNDS: u32 = 10;
/// After a call that was not carried out whole, or that others were in the way of.
pub(crate) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(3));

/// A call on the table, for messages.
pub(crate) fn target<'a>(table: &'a str, operation: &'a str) -> Target<'a> {
    Target {
        side: Side::Table,
        operation,
        resource: table,
        setting: "TABLE_NAME",
    }
}

/// A string attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A string of an item; `None` when it has none of that name.
pub(crate) fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// A whole number of an item; `None` when it has none of that name.
pub(crate) fn integer(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The key of an item.
pub(crate) fn key_of(item: &Item) -> Option<&str> {
    string(item, "pk")
}

/// What became of a transaction.
pub(crate) enum Sent {
    /// Every item was written.
    Written,
    /// Nothing was. One reason for each item of the transaction.
    Refused(Vec<CancellationReason>),
}

/// The item that made the condition at `index` fail; empty when there is none.
pub(crate) fn refused(reasons: &[CancellationReason], index: usize) -> Option<&Item> {
    static NOTHING: std::sync::LazyLock<Item> = std::sync::LazyLock::new(Item::new);
    let reason = reasons.get(index)?;
    (reason.code() == Some("ConditionalCheckFailed"))
        .then(|| reason.item().unwrap_or_else(|| &*NOTHING))
}

/// The SDK's builders check required fields when they build; these are always there.
pub(crate) fn built<T>(item: Result<T, aws_sdk_dynamodb::error::BuildError>) -> Result<T, Failure> {
    item.map_err(|_| {
        Failure::permanent(
            Side::Program,
            "a transaction lacks a required field",
            "report this as a bug",
        )
    })
}

/// The table, with the calls that more than one adapter makes.
#[derive(Clone)]
pub(crate) struct DynamoDbTable {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl fmt::Debug for DynamoDbTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamoDbTable").field(&self.name).finish()
    }
}

impl DynamoDbTable {
    pub(crate) fn target<'a>(&'a self, operation: &'a str) -> Target<'a> {
        target(&self.name, operation)
    }

    pub(crate) async fn get(&self, pk: &str) -> Result<Option<Item>, Failure> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("pk", text(pk))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| explain(self.target("dynamodb:GetItem"), &error))?;
        Ok(answer.item)
    }

    /// The items that exist, by key.
    pub(crate) async fn get_batch(
        &self,
        keys: HashSet<String>,
    ) -> Result<HashMap<String, Item>, Failure> {
        let keys: Vec<String> = keys.into_iter().collect();
        let calls: Vec<Vec<String>> = keys.chunks(KEYS_A_CALL).map(<[String]>::to_vec).collect();
        let found: Vec<Vec<(String, Item)>> = stream::iter(calls)
            .map(|keys| self.get_hundred(keys))
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// A batch may leave keys out when it throttles or its answer gets too big; they are asked for again.
    async fn get_hundred(&self, mut keys: Vec<String>) -> Result<Vec<(String, Item)>, Failure> {
        let mut found = Vec::with_capacity(keys.len());
        let mut backoff = BACKOFF;
        for _ in 0..MAX_ROUNDS {
            let wanted = built(
                KeysAndAttributes::builder()
                    .consistent_read(true)
                    .set_keys(Some(
                        keys.iter()
                            .map(|pk| Item::from([("pk".to_owned(), text(pk))]))
                            .collect(),
                    ))
                    .build(),
            )?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.name, wanted)
                .send()
                .await
                .map_err(|error| explain(self.target("dynamodb:BatchGetItem"), &error))?;
            // One table was asked: whatever name it answers under is ours.
            for item in answer.responses.unwrap_or_default().into_values().flatten() {
                if let Some(pk) = key_of(&item).map(str::to_owned) {
                    found.push((pk, item));
                }
            }
            keys = answer
                .unprocessed_keys
                .unwrap_or_default()
                .into_values()
                .flat_map(|left| left.keys)
                .filter_map(|key| key_of(&key).map(str::to_owned))
                .collect();
            if keys.is_empty() {
                return Ok(found);
            }
            backoff.wait().await;
        }
        Err(Failure::retryable(
            Side::Table,
            format!(
                "dynamodb:BatchGetItem on {} kept leaving keys out",
                self.name
            ),
        ))
    }

    /// Writes all items or none. The SDK sends a lost call again under the same token, which DynamoDB
    /// takes for the same transaction.
    pub(crate) async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Sent, Failure> {
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(Sent::Written),
            Err(error) => error,
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let expected = |reason: &CancellationReason| {
                matches!(
                    reason.code(),
                    None | Some("None" | "ConditionalCheckFailed" | "TransactionConflict")
                )
            };
            if reasons.iter().all(expected) {
                return Ok(Sent::Refused(reasons.to_vec()));
            }
            let healing = |reason: &CancellationReason| {
                expected(reason)
                    || matches!(
                        reason.code(),
                        Some("ThrottlingError" | "ProvisionedThroughputExceeded")
                    )
            };
            if reasons.iter().all(healing) {
                return Err(Failure::retryable(
                    Side::Table,
                    format!("a transaction on {} was throttled", self.name),
                )
                .because(Cause::Throttled));
            }
        }
        // A transaction needs the permissions of the writes in it.
        Err(explain(
            self.target("dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem"),
            &error,
        ))
    }

    /// The failure of a write that others kept getting in the way of.
    pub(crate) fn contended(&self) -> Failure {
        Failure::retryable(
            Side::Table,
            format!("others kept changing the same item in {}", self.name),
        )
        .because(Cause::Busy)
    }
}

/// Runs a scan to its last page, in several parts at once. All or nothing.
pub(crate) async fn scan(
    request: &ScanFluentBuilder,
    target: Target<'_>,
) -> Result<Vec<Item>, Failure> {
    let parts = (0..SEGMENTS).map(|segment| {
        let mut pages = request
            .clone()
            .consistent_read(true)
            .segment(segment)
            .total_segments(SEGMENTS)
            .into_paginator()
            .items()
            .send();
        async move {
            let mut items = Vec::new();
            while let Some(item) = pages.next().await {
                items.push(item.map_err(|error| explain(target, &error))?);
            }
            Ok::<_, Failure>(items)
        }
    });
    Ok(try_join_all(parts).await?.into_iter().flatten().collect())
}
