//! Reading one, many or all items.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::KeysAndAttributes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{DynamoDbStore, key_of, pause};
use crate::aws::explain;
use crate::aws::table::{Item, scan, text};
use crate::failure::{Failure, Side};

/// What one `BatchGetItem` takes (DynamoDB API reference).
const KEYS_A_CALL: usize = 100;
/// `BatchGetItem` calls that run at the same time.
const BATCHES_AT_ONCE: usize = 8;
/// How often the keys of a batch are asked for, when it leaves some out.
const ROUNDS: u32 = 10;

impl DynamoDbStore {
    pub(super) async fn get(&self, pk: &str) -> Result<Option<Item>, Failure> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(pk))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| explain(self.target("dynamodb:GetItem"), &error))?;
        Ok(answer.item)
    }

    /// The items that exist, by key.
    pub(super) async fn get_batch(
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
        for round in 0..ROUNDS {
            let wanted = KeysAndAttributes::builder()
                .consistent_read(true)
                .set_keys(Some(
                    keys.iter()
                        .map(|pk| Item::from([("pk".to_owned(), text(pk))]))
                        .collect(),
                ))
                .build()
                .map_err(|_| self.unreadable("(keys)"))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, wanted)
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
            pause(round).await;
        }
        Err(Failure::retryable(
            Side::Table,
            format!(
                "dynamodb:BatchGetItem on {} kept leaving keys out",
                self.table
            ),
        ))
    }

    /// Every item whose key begins with `prefix`, with `pk` and `attributes` only.
    pub(super) async fn scan_prefix(
        &self,
        prefix: &str,
        attributes: &str,
    ) -> Result<Vec<Item>, Failure> {
        let request = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(pk, :prefix)")
            .expression_attribute_values(":prefix", text(prefix))
            .projection_expression(format!("pk, {attributes}"));
        scan(&request, self.target("dynamodb:Scan")).await
    }
}
