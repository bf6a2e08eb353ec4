//! The audit trail: items `audit#<subject>#<month>`. If one is full, the next have `#2`, `#3` and so on.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;

use super::DynamoDbLedger;
use super::conclude::texts;
use crate::aws::table::{Item, number};
use crate::failure::Failure;
use crate::ledger::times::Now;
use crate::ledger::{AuditEntry, month_of, months};

const PREFIX: &str = "audit#";
/// An item that has more bytes of entries is full (DynamoDB takes 400 KB).
const FULL_BYTES: usize = 250_000;
/// How many items of one month are read at once.
const PARTS: u32 = 3;

impl DynamoDbLedger {
    /// Appends audit entries. The write is refused if that part of the month is full.
    pub(super) fn append(
        &self,
        subject: &str,
        entries: &[AuditEntry],
        part: u32,
        now: Now,
    ) -> UpdateBuilder {
        let entries: Vec<String> = entries
            .iter()
            .filter_map(|entry| serde_json::to_string(entry).ok())
            .collect();
        let bytes: usize = entries.iter().map(String::len).sum();
        self.table
            .update(audit_pk(subject, &month_of(now.ms), part))
            .condition_expression("attribute_not_exists(#bytes) OR #bytes < :full")
            .update_expression(
                "SET entries = list_append(if_not_exists(entries, :none), :entries), \
                 #bytes = if_not_exists(#bytes, :zero) + :bytes, expires_at = :expires_at",
            )
            .expression_attribute_names("#bytes", "bytes")
            .expression_attribute_values(":full", number(FULL_BYTES))
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":entries", texts(&entries))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":bytes", number(bytes))
            .expression_attribute_values(":expires_at", number(now.audit_expires_at))
    }

    /// The entries of one subject.
    pub(super) async fn entries(
        &self,
        subject: &str,
        since_ms: i64,
    ) -> Result<Vec<AuditEntry>, Failure> {
        let months = months(since_ms, self.times.now().ms);
        let mut first = 1;
        let mut entries = Vec::new();
        loop {
            let keys: HashSet<String> = months
                .iter()
                .flat_map(|month| (first..first + PARTS).map(move |part| (month, part)))
                .map(|(month, part)| audit_pk(subject, month, part))
                .collect();
            let found = self.table.get_batch(keys).await?;
            entries.extend(found.values().flat_map(entries_of));
            first += PARTS;
            // Rare: a month with more parts than are read at once.
            let goes_on = |month| found.contains_key(&audit_pk(subject, month, first - 1));
            if !months.iter().any(|month| goes_on(month)) {
                return Ok(in_order(entries, since_ms));
            }
        }
    }

    /// The entries of everybody.
    pub(super) async fn all_entries(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        let items = self.table.all_of(self.table.scan(PREFIX)).await?;
        Ok(in_order(
            items.iter().flat_map(entries_of).collect(),
            since_ms,
        ))
    }
}

fn audit_pk(subject: &str, month: &str, part: u32) -> String {
    match part {
        1 => format!("{PREFIX}{subject}#{month}"),
        part => format!("{PREFIX}{subject}#{month}#{part}"),
    }
}

/// The entries of an audit item. An unreadable entry is left out.
fn entries_of(item: &Item) -> Vec<AuditEntry> {
    let entries = item.get("entries").and_then(|list| list.as_l().ok());
    let texts = entries
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_s().ok());
    texts
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

fn in_order(mut entries: Vec<AuditEntry>, since_ms: i64) -> Vec<AuditEntry> {
    entries.retain(|entry| entry.at_ms >= since_ms);
    entries.sort_by_key(|entry| entry.at_ms);
    entries
}
