//! What ledger and store share about the DynamoDB table: items, reads of many, transactions.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::{DeleteBuilder, PutBuilder, UpdateBuilder};
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Delete, KeysAndAttributes, Put,
    ReturnValuesOnConditionCheckFailure as OnRefusal, TransactWriteItem, Update,
};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{AwsCall, explain};
use crate::backoff::Backoff;
use crate::failure::{Cause, Failure, Side};

/// An item's attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Parts of the table that are scanned at the same time.
const SEGMENTS: i32 = 4;
/// What one `BatchGetItem` takes (DynamoDB API reference).
const MAX_KEYS_PER_CALL: usize = 100;
/// `BatchGetItem` calls that run at the same time.
const MAX_BATCHES_AT_ONCE: usize = 8;
/// How often the keys of a batch are asked for, when it leaves some out.
const MAX_ROUNDS: u32 = 10;
/// How often a transaction is tried while others are in the way.
pub(crate) const MAX_CONFLICTS: u32 = 8;
/// After a call that was carried out only in part, or that conflicted with others.
pub(crate) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(3));

/// A call on the table, for messages.
pub(crate) fn target<'a>(table: &'a str, operation: &'a str) -> AwsCall<'a> {
    AwsCall {
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

/// One write of a transaction.
pub(crate) struct Write {
    item: TransactWriteItem,
    is_optional: bool,
}

/// The SDK's builders, as writes of a transaction.
pub(crate) trait Writes: Sized {
    /// The write itself.
    fn item(self) -> Result<TransactWriteItem, BuildError>;

    /// If its condition fails, nothing is written.
    fn or_stop(self) -> Result<Write, Failure> {
        let (item, is_optional) = (built(self.item())?, false);
        Ok(Write { item, is_optional })
    }

    /// If its condition fails, the other writes go on without it.
    fn or_leave_out(self) -> Result<Write, Failure> {
        let (item, is_optional) = (built(self.item())?, true);
        Ok(Write { item, is_optional })
    }
}

impl Writes for PutBuilder {
    fn item(self) -> Result<TransactWriteItem, BuildError> {
        Ok(TransactWriteItem::builder().put(self.build()?).build())
    }
}

impl Writes for UpdateBuilder {
    fn item(self) -> Result<TransactWriteItem, BuildError> {
        Ok(TransactWriteItem::builder().update(self.build()?).build())
    }
}

impl Writes for DeleteBuilder {
    fn item(self) -> Result<TransactWriteItem, BuildError> {
        Ok(TransactWriteItem::builder().delete(self.build()?).build())
    }
}

/// Why a transaction refuses an item, or does not (DynamoDB API reference, `CancellationReason`).
const REFUSED: &[&str] = &["None", "ConditionalCheckFailed", "TransactionConflict"];
const THROTTLED: &[&str] = &["ThrottlingError", "ProvisionedThroughputExceeded"];

/// What became of a transaction.
pub(crate) enum Transacted {
    /// The writes at these positions were left out, all others were made.
    Written { left_out: Vec<usize> },
    /// Nothing was written. The condition at `position` failed for `item`, which is empty if there is none.
    Refused { position: usize, item: Item },
}

/// The SDK's builders check required fields when they build; these are always there.
fn built<T>(item: Result<T, BuildError>) -> Result<T, Failure> {
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

impl DynamoDbTable {
    pub(crate) fn target<'a>(&'a self, operation: &'a str) -> AwsCall<'a> {
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
        let calls: Vec<Vec<String>> = keys
            .chunks(MAX_KEYS_PER_CALL)
            .map(<[String]>::to_vec)
            .collect();
        let found: Vec<Vec<(String, Item)>> = stream::iter(calls)
            .map(|keys| self.get_hundred(keys))
            .buffer_unordered(MAX_BATCHES_AT_ONCE)
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
            // The call names one table, so every item of the answer is from it, under any name.
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

    /// A put of a transaction.
    pub(crate) fn put(&self, item: Item) -> PutBuilder {
        Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// An update of a transaction.
    pub(crate) fn update(&self, pk: impl Into<String>) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.name)
            .key("pk", text(pk))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// A delete of a transaction.
    pub(crate) fn delete(&self, pk: impl Into<String>) -> DeleteBuilder {
        Delete::builder()
            .table_name(&self.name)
            .key("pk", text(pk))
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// Makes all writes in one transaction, or none. Tries again while others are in the way.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<Transacted, Failure> {
        let mut kept: Vec<(usize, Write)> = writes.into_iter().enumerate().collect();
        let mut left_out = Vec::new();
        let mut backoff = BACKOFF;
        let mut conflicts = 0;
        while conflicts < MAX_CONFLICTS {
            let items = kept.iter().map(|(_, write)| write.item.clone()).collect();
            let Some(reasons) = self.send_transaction(items).await? else {
                return Ok(Transacted::Written { left_out });
            };
            let mut refused = Vec::new();
            for (index, ((position, write), reason)) in kept.iter().zip(reasons).enumerate() {
                if reason.code() != Some("ConditionalCheckFailed") {
                    continue;
                }
                if !write.is_optional {
                    let (position, item) = (*position, reason.item.unwrap_or_default());
                    return Ok(Transacted::Refused { position, item });
                }
                refused.push(index);
            }
            if refused.is_empty() {
                conflicts += 1;
                backoff.wait().await;
            }
            for index in refused.into_iter().rev() {
                left_out.push(kept.remove(index).0);
            }
        }
        Err(Failure::retryable(
            Side::Table,
            format!("others kept changing the same item in {}", self.name),
        )
        .because(Cause::Busy))
    }

    /// Sends a transaction once. If it was refused, the answer has one reason for each item. The SDK sends a lost
    /// call again under the same token, which DynamoDB takes for the same transaction.
    async fn send_transaction(
        &self,
        items: Vec<TransactWriteItem>,
    ) -> Result<Option<Vec<CancellationReason>>, Failure> {
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .send()
            .await;
        let error = match sent {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        {
            let reasons = cancelled.cancellation_reasons();
            let are_all = |codes: &[&str]| {
                let mut found = reasons.iter().filter_map(CancellationReason::code);
                found.all(|code| REFUSED.contains(&code) || codes.contains(&code))
            };
            if are_all(&[]) {
                return Ok(Some(reasons.to_vec()));
            }
            if are_all(THROTTLED) {
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

    /// A scan of the items whose keys begin with `prefix`.
    pub(crate) fn scan(&self, prefix: &str) -> ScanFluentBuilder {
        self.client
            .scan()
            .table_name(&self.name)
            .consistent_read(true)
            .filter_expression("begins_with(pk, :prefix)")
            .expression_attribute_values(":prefix", text(prefix))
    }

    /// Runs a scan to its last page, in several parts at once. All or nothing.
    pub(crate) async fn all_of(&self, scan: ScanFluentBuilder) -> Result<Vec<Item>, Failure> {
        let parts = (0..SEGMENTS).map(|segment| {
            let scan = scan.clone().segment(segment).total_segments(SEGMENTS);
            let mut pages = scan.into_paginator().items().send();
            async move {
                let mut items = Vec::new();
                while let Some(item) = pages.next().await {
                    let failed = |error| explain(self.target("dynamodb:Scan"), &error);
                    items.push(item.map_err(failed)?);
                }
                Ok::<_, Failure>(items)
            }
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }
}
