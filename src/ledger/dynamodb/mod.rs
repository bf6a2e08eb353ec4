//! The ledger on DynamoDB: items `event#<id>`, `lease#<subject>` and `audit#<subject>#<month>`. Every write is
//! conditional.
//!
//! The SDK repeats a call whose answer was lost, and the first call may have succeeded. DynamoDB then refuses the
//! repetition because of the first call's effect. So after a refusal the ledger checks who wrote the item. A
//! record keeps its `owner` when it is done or failed.

mod claim;
mod conclude;
mod trail;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal};
use futures_util::future::try_join_all;

use super::conclusion::warn_superseded;
use super::lease::{Found, LeaseKey};
use super::times::{Now, Times};
use super::{
    AuditEntry, Claim, ClaimOutcome, Conclusion, Filter, Lease, Leased, Ledger, Memo, Reason,
    Record, Recorded, Status, Work,
};
use crate::aws::explain;
use crate::aws::table::{
    BACKOFF, DynamoDbTable, Item, MAX_CONFLICTS, integer, number, string, text,
};
use crate::clock::{Clock, later};
use crate::failure::{Failure, Side};

const PREFIX: &str = "event#";
const LEASE_PREFIX: &str = "lease#";
const EXPIRED: &str = "expires_at <= :now_s";
/// Whether a claim is still its owner's. `owner` stays on a record whose claim has ended.
const IS_CLAIMED: &str = "#owner = :owner AND attribute_exists(lease_until_ms)";
const LEASE_OVER: &str = "(#status = :in_progress AND lease_until_ms <= :now_ms)";

/// See the module.
#[derive(Clone)]
pub struct DynamoDbLedger {
    table: DynamoDbTable,
    times: Times,
}

/// The result of a conditional update.
enum Updated {
    /// It was done. The item as it was before.
    Made(Item),
    /// The condition does not hold for this item.
    Refused(Item),
}

impl DynamoDbLedger {
    /// A ledger in `table` whose records are kept for `ttl_days`.
    pub fn new(
        client: Client,
        table: impl Into<String>,
        ttl_days: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let name = table.into();
        Self {
            table: DynamoDbTable { client, name },
            times: Times::new(clock, ttl_days),
        }
    }

    /// The same ledger, with audit entries kept for `days`.
    #[must_use]
    pub fn keeping_audit(mut self, days: u32) -> Self {
        self.times = self.times.keeping_audit(days);
        self
    }

    fn update(&self, pk: String) -> UpdateItemFluentBuilder {
        self.table
            .client
            .update_item()
            .table_name(&self.table.name)
            .key("pk", text(pk))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
    }

    /// Sends the update. Tries again while a transaction of another run is in the way.
    async fn send(&self, update: UpdateItemFluentBuilder) -> Result<Updated, Failure> {
        let (mut backoff, mut conflicts) = (BACKOFF, 0);
        loop {
            let error = match update.clone().send().await {
                Ok(made) => return Ok(Updated::Made(made.attributes.unwrap_or_default())),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    return Ok(Updated::Refused(refusal.item.clone().unwrap_or_default()));
                }
                Some(UpdateItemError::TransactionConflictException(_))
                    if conflicts < MAX_CONFLICTS =>
                {
                    conflicts += 1;
                    backoff.wait().await;
                }
                _ => return Err(explain(self.table.target("dynamodb:UpdateItem"), &error)),
            }
        }
    }

    async fn renew_claim(&self, claim: &Claim, until_ms: i64) -> Result<Recorded, Failure> {
        let update = self
            .update(format!("{PREFIX}{}", claim.id))
            .condition_expression(IS_CLAIMED)
            .update_expression("SET lease_until_ms = :until_ms")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&claim.owner))
            .expression_attribute_values(":until_ms", number(until_ms));
        Ok(recorded(&self.send(update).await?))
    }
}

fn lease_pk(subject: &str) -> String {
    format!("{LEASE_PREFIX}{subject}")
}

/// An update of the lease's item that fails if the lease is lost, for a transaction.
fn of_lease(table: &DynamoDbTable, lease: &Lease) -> UpdateBuilder {
    table
        .update(lease_pk(lease.subject()))
        .condition_expression("#owner = :owner")
        .expression_attribute_names("#owner", "owner")
        .expression_attribute_values(":owner", text(&lease.key().owner))
}

/// Makes a transaction depend on the lease, and writes its memo. A condition check would be enough for [`Memo::Keep`], but
/// needs a right that the functions do not need otherwise.
pub(crate) fn under_lease(table: &DynamoDbTable, lease: &Lease, memo: &Memo) -> UpdateBuilder {
    let update = of_lease(table, lease);
    match memo {
        Memo::Keep => update.update_expression("SET #owner = :owner"),
        Memo::Write(None) => update.update_expression("REMOVE memo"),
        Memo::Write(Some(memo)) => {
            lease.note_memo();
            update
                .update_expression("SET memo = :memo")
                .expression_attribute_values(":memo", text(memo))
        }
    }
}

/// The memo of a lease's item, unless it has expired.
fn memo_of(item: &Item, now: Now) -> Option<String> {
    let lasts = integer(item, "expires_at").is_none_or(|at| at > now.s);
    string(item, "memo").filter(|_| lasts).map(str::to_owned)
}

fn recorded(updated: &Updated) -> Recorded {
    match updated {
        Updated::Made(_) => Recorded::Written,
        Updated::Refused(_) => Recorded::Superseded,
    }
}

#[async_trait]
impl Ledger for DynamoDbLedger {
    async fn lease(&self, subject: &str, time: Duration) -> Result<Leased, Failure> {
        let now = self.times.now();
        let key = LeaseKey {
            subject: subject.to_owned(),
            owner: uuid::Uuid::new_v4().to_string(),
        };
        let update = self
            .update(lease_pk(subject))
            .condition_expression("attribute_not_exists(#owner) OR lease_until_ms <= :now_ms")
            .update_expression(
                "SET #owner = :owner, lease_until_ms = :until_ms, updated_at_ms = :now_ms, \
                 expires_at = :expires_at",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&key.owner))
            .expression_attribute_values(":until_ms", number(later(now.ms, time)))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        let (item, took_over) = match self.send(update).await? {
            Updated::Made(before) => {
                let took_over = before.contains_key("owner");
                (before, took_over)
            }
            // The first answer was lost, this is the repetition.
            Updated::Refused(mut item) if string(&item, "owner") == Some(&key.owner) => {
                // That is this call's own time.
                item.remove("updated_at_ms");
                (item, false)
            }
            Updated::Refused(item) => {
                return Ok(Leased::Busy {
                    until_ms: integer(&item, "lease_until_ms").unwrap_or(now.ms),
                });
            }
        };
        let memo = memo_of(&item, now);
        let is_outdated = memo.is_none() && item.contains_key("memo");
        let last_leased_ms = integer(&item, "updated_at_ms");
        let found = Found {
            memo,
            took_over,
            last_leased_ms,
        };
        let clock = self.times.clock();
        let lease = Lease::new(key, found, now.ms, time, clock);
        if is_outdated {
            // The item gets a new lifetime, and the expired memo must not get it, too.
            self.write_memo(&lease, None).await?;
        }
        Ok(Leased::Ours(lease))
    }

    async fn renew(
        &self,
        lease: &Lease,
        claims: &[&Claim],
        time: Duration,
    ) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let until_ms = later(now.ms, time);
        let update = self
            .update(lease_pk(lease.subject()))
            .condition_expression("#owner = :owner")
            .update_expression("SET lease_until_ms = :until_ms, expires_at = :expires_at")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&lease.key().owner))
            .expression_attribute_values(":until_ms", number(until_ms))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        let mut renewals = Vec::with_capacity(claims.len());
        for claim in claims {
            renewals.push(self.renew_claim(claim, until_ms));
        }
        let written = recorded(&self.send(update).await?);
        let claims = try_join_all(renewals).await?;
        if written == Recorded::Superseded || claims.contains(&Recorded::Superseded) {
            return Ok(Recorded::Superseded);
        }
        lease.extend(now.ms, time);
        Ok(Recorded::Written)
    }

    async fn memo(&self, subject: &str) -> Result<Option<String>, Failure> {
        let now = self.times.now();
        let item = self
            .table
            .get(&lease_pk(subject))
            .await?
            .unwrap_or_default();
        Ok(memo_of(&item, now))
    }

    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let mut update = self
            .update(lease_pk(lease.subject()))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&lease.key().owner))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        update = match memo {
            Some(memo) => {
                lease.note_memo();
                update
                    .update_expression("SET memo = :memo, expires_at = :expires_at")
                    .expression_attribute_values(":memo", text(memo))
            }
            None => update.update_expression("SET expires_at = :expires_at REMOVE memo"),
        };
        Ok(recorded(&self.send(update).await?))
    }

    async fn last_leased(&self, subjects: &[String]) -> Result<HashMap<String, i64>, Failure> {
        let keys: HashSet<String> = subjects.iter().map(|subject| lease_pk(subject)).collect();
        let found = self.table.get_batch(keys).await?;
        Ok(found
            .into_iter()
            .filter_map(|(pk, item)| {
                let subject = pk.strip_prefix(LEASE_PREFIX)?.to_owned();
                Some((subject, integer(&item, "updated_at_ms")?))
            })
            .collect())
    }

    async fn claim(
        &self,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<ClaimOutcome, Failure> {
        if let Some(outcome) = self.claim_as(&work.id, work, lease, reason).await? {
            return Ok(outcome);
        }
        let of_own_key = self.claim_as(&work.own_key(), work, lease, reason).await?;
        of_own_key.ok_or_else(|| unreadable(&self.table.name))
    }

    async fn conclude(
        &self,
        lease: Lease,
        conclusion: Conclusion,
    ) -> Result<Vec<Recorded>, Failure> {
        self.conclude_all(&lease, &conclusion).await
    }

    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure> {
        let refusal = match self.reject_as(&work.id, work, failure).await? {
            Updated::Made(_) => return Ok(Recorded::Written),
            Updated::Refused(item) => item,
        };
        let is_of_another = string(&refusal, "subject") != Some(&work.subject);
        if is_of_another
            && let Updated::Made(_) = self.reject_as(&work.own_key(), work, failure).await?
        {
            return Ok(Recorded::Written);
        }
        warn_superseded(&work.id, Status::Failed);
        Ok(Recorded::Superseded)
    }

    async fn record(&self, id: &str) -> Result<Option<Record>, Failure> {
        let Some(item) = self.table.get(&format!("{PREFIX}{id}")).await? else {
            return Ok(None);
        };
        let record = record(item).ok_or_else(|| unreadable(&self.table.name))?;
        let now = self.times.now();
        Ok((record.expires_at > now.s).then_some(record))
    }

    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure> {
        let mut condition = "begins_with(pk, :prefix) AND expires_at > :now_s".to_owned();
        let mut scan = self
            .table
            .scan(PREFIX)
            .expression_attribute_values(":now_s", number(self.times.now().s));
        if let Some(status) = filter.status {
            condition.push_str(" AND #status = :status");
            scan = scan
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", text(status.as_str()));
        }
        if let Some(subject) = &filter.subject {
            condition.push_str(" AND subject = :subject");
            scan = scan.expression_attribute_values(":subject", text(subject));
        }
        if let Some(since) = filter.updated_since_ms {
            condition.push_str(" AND updated_at_ms >= :since");
            scan = scan.expression_attribute_values(":since", number(since));
        }
        let scan = scan.filter_expression(condition);
        let items = self.table.all_of(scan).await?;
        let mut records = items
            .into_iter()
            .map(|item| record(item).ok_or_else(|| unreadable(&self.table.name)))
            .collect::<Result<Vec<_>, _>>()?;
        records.sort_by(|a, b| {
            b.updated_at_ms
                .cmp(&a.updated_at_ms)
                .then_with(|| a.id.cmp(&b.id))
        });
        Ok(records)
    }

    async fn history(&self, subject: &str, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        self.entries(subject, since_ms).await
    }

    async fn whole_history(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        self.all_entries(since_ms).await
    }
}

fn record(mut item: Item) -> Option<Record> {
    let id = string(&item, "pk")?.strip_prefix(PREFIX)?.to_owned();
    item.insert("id".to_owned(), text(id));
    serde_dynamo::from_item(item).ok()
}

fn unreadable(table: &str) -> Failure {
    Failure::permanent(
        Side::Table,
        format!("an event record in {table} lacks an attribute or has one of another type"),
        "if it was written by hand, correct or delete it; otherwise report this as a bug",
    )
}
