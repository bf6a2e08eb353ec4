//! The people who lost access through an event within the last hour: items `removals#<ten minutes>`, a set each.
//!
//! A set counts a person once however often they are added, so a retried change counts once. A worker adds its people
//! before it counts. So two workers at the limit may both hold their changes, but together they never exceed it.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::future::try_join;

use crate::aws::explain;
use crate::aws::table::{DynamoDbTable, Item, number, text};
use crate::failure::Failure;
use crate::store::RemovalCount;
use crate::store::documents::{REMOVALS_MS, REMOVALS_SPAN_MS as SPAN_MS};

/// How many items before the current one belong to the last hour.
const SPANS_BEFORE: i64 = REMOVALS_MS / SPAN_MS;

fn pk(span: i64) -> String {
    format!("removals#{span}")
}

fn people_of(item: Option<&Item>) -> HashSet<String> {
    let set = item.and_then(|item| item.get("people"));
    let set = set.and_then(|set| set.as_ss().ok());
    set.into_iter().flatten().cloned().collect()
}

fn update(table: &DynamoDbTable, people: &[String], now_ms: i64) -> UpdateItemFluentBuilder {
    table
        .client
        .update_item()
        .table_name(&table.name)
        .key("pk", text(pk(now_ms.div_euclid(SPAN_MS))))
        .expression_attribute_values(":people", AttributeValue::Ss(people.to_vec()))
}

/// See [`Documents::count_removals`](crate::store::Documents::count_removals).
pub(super) async fn count(
    table: &DynamoDbTable,
    people: &[String],
    now_ms: i64,
) -> Result<RemovalCount, Failure> {
    let span = now_ms.div_euclid(SPAN_MS);
    let expires_at = now_ms.saturating_add(2 * REMOVALS_MS).div_euclid(1000);
    let added = async {
        let before = update(table, people, now_ms)
            .update_expression("ADD people :people SET expires_at = :expires_at")
            .expression_attribute_values(":expires_at", number(expires_at))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| explain(table.target("dynamodb:UpdateItem"), &error))?;
        Ok(people_of(before.attributes.as_ref()))
    };
    let earlier = (span - SPANS_BEFORE..span).map(pk).collect();
    let (mut counted, earlier) = try_join(added, table.get_batch(earlier)).await?;
    for item in earlier.values() {
        counted.extend(people_of(Some(item)));
    }
    let newly: Vec<String> = people
        .iter()
        .filter(|person| !counted.contains(*person))
        .cloned()
        .collect();
    Ok(RemovalCount {
        total: counted.len() + newly.len(),
        newly,
    })
}

/// See [`Documents::uncount_removals`](crate::store::Documents::uncount_removals).
pub(super) async fn uncount(
    table: &DynamoDbTable,
    people: &[String],
    now_ms: i64,
) -> Result<(), Failure> {
    if people.is_empty() {
        return Ok(());
    }
    update(table, people, now_ms)
        .update_expression("DELETE people :people")
        .send()
        .await
        .map_err(|error| explain(table.target("dynamodb:UpdateItem"), &error))?;
    Ok(())
}
