//! The little that ledger and store share about DynamoDB items.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::{Target, explain};
use crate::failure::{Failure, Side};

/// An item's attributes by name.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Parts of the table that are scanned at the same time.
const SEGMENTS: i32 = 4;

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
