//! The ledger on DynamoDB: items `event#<id>`, `lease#<subject>` and `audit#<subject>#<month>`, every
//! change conditional.
//!
//! The SDK sends a call again when its answer was lost; the first may have been carried out. Such a
//! repetition is refused by its own effect, so a refusal looks at who wrote the item: `owner` stays on
//! a record when the work is done or failed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal,
    TransactWriteItem, Update,
};
use futures_util::future::try_join_all;

use super::lease::Found;
use super::times::{Now, Times, error_text, warn_superseded};
use super::{
    AuditEntry, Claim, Conclusion, EndState, Ending, Filter, Lease, Leased, Ledger, Memo, Outcome,
    Reason, Record, Recorded, Resolved, Status, Work, month_of, months,
};
use crate::aws::explain;
use crate::aws::table::{
    DynamoDbTable, Item, Sent, built, integer, number, pause, refused, scan, string, text,
};
use crate::clock::{Clock, later};
use crate::failure::{Class, Failure, Side};

const PREFIX: &str = "event#";
const LEASE_PREFIX: &str = "lease#";
const AUDIT_PREFIX: &str = "audit#";
const EXPIRED: &str = "expires_at <= :now_s";
const LEASE_OVER: &str = "(#status = :in_progress AND lease_until_ms <= :now_ms)";
/// Claims that one transaction concludes, beside the lease, resolved records and the audit item (DynamoDB
/// takes 100 items).
const CLAIMS_A_CALL: usize = 70;
/// An audit item that has more bytes of entries is full (DynamoDB takes 400 KB).
const FULL_AUDIT_BYTES: usize = 250_000;
/// Items of one month that are read at once.
const AUDIT_PARTS: u32 = 3;
/// How often a transaction is tried that others get in the way of.
const MAX_ROUNDS: u32 = 8;

/// See the module.
#[derive(Debug, Clone)]
pub struct DynamoDbLedger {
    table: DynamoDbTable,
    times: Times,
}

/// What a conditional update came to.
enum Updated {
    /// Done; the item as it was before.
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

    fn update_record(&self, id: &str) -> UpdateItemFluentBuilder {
        self.update(format!("{PREFIX}{id}"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":in_progress", text(Status::InProgress.as_str()))
    }

    async fn send(&self, update: UpdateItemFluentBuilder) -> Result<Updated, Failure> {
        match update.send().await {
            Ok(made) => Ok(Updated::Made(made.attributes.unwrap_or_default())),
            Err(error) => {
                if let Some(UpdateItemError::ConditionalCheckFailedException(refusal)) =
                    error.as_service_error()
                {
                    return Ok(Updated::Refused(refusal.item.clone().unwrap_or_default()));
                }
                Err(explain(self.table.target("dynamodb:UpdateItem"), &error))
            }
        }
    }

    /// The end of one claim, as an item of a transaction.
    fn ending(
        &self,
        claim: &Claim,
        ending: &Ending,
        now: Now,
    ) -> Result<TransactWriteItem, Failure> {
        let mut update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(format!("{PREFIX}{}", claim.id)))
            .condition_expression("#owner = :owner AND #status = :in_progress")
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":owner", text(&claim.owner))
            .expression_attribute_values(":in_progress", text(Status::InProgress.as_str()))
            .expression_attribute_values(":status", text(ending.status().as_str()))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.expires_at));
        let mut set =
            "SET #status = :status, updated_at_ms = :now_ms, expires_at = :expires_at".to_owned();
        if !ending.applied.is_empty() || ending.status() == Status::Done {
            set.push_str(", applied = list_append(if_not_exists(applied, :none), :applied)");
            update = update
                .expression_attribute_values(":applied", texts(&ending.applied))
                .expression_attribute_values(":none", AttributeValue::L(Vec::new()));
        }
        match &ending.state {
            EndState::Done => {}
            EndState::Planned { steps } => {
                set.push_str(", dry_run = :dry_run, planned = :planned");
                update = update
                    .expression_attribute_values(":dry_run", AttributeValue::Bool(true))
                    .expression_attribute_values(":planned", texts(steps));
            }
            EndState::Held { steps, why } => {
                set.push_str(", planned = :planned, held_for = :why");
                update = update
                    .expression_attribute_values(":planned", texts(steps))
                    .expression_attribute_values(":why", text(why));
            }
            EndState::Failed(failure) => {
                set.push_str(", #error = :error, error_class = :class, error_code = :code");
                update = update
                    .expression_attribute_names("#error", "error")
                    .expression_attribute_values(":error", text(error_text(failure)))
                    .expression_attribute_values(":class", text(failure.class.as_str()))
                    .expression_attribute_values(":code", text(failure.cause.as_str()));
            }
            EndState::Waiting { until_ms, seen } => {
                set.push_str(", waits_until_ms = :until_ms, waits_for = :seen");
                update = update
                    .expression_attribute_values(":until_ms", number(until_ms))
                    .expression_attribute_values(":seen", text(seen));
            }
        }
        set.push_str(" REMOVE lease_until_ms, unfinished");
        let update = built(update.update_expression(set).build())?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// A record that something else than its claim settles, as an item of a transaction.
    fn resolve(&self, resolved: &Resolved, now: Now) -> Result<TransactWriteItem, Failure> {
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(format!("{PREFIX}{}", resolved.id)))
            .condition_expression("#status IN (:failed, :held)")
            .update_expression(
                "SET #status = :resolved, resolved_by = :by, updated_at_ms = :now_ms",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":failed", text(Status::Failed.as_str()))
            .expression_attribute_values(":held", text(Status::Held.as_str()))
            .expression_attribute_values(":resolved", text(Status::Resolved.as_str()))
            .expression_attribute_values(":by", text(&resolved.by))
            .expression_attribute_values(":now_ms", number(now.ms));
        Ok(TransactWriteItem::builder()
            .update(built(update.build())?)
            .build())
    }

    /// Audit entries, as an item of a transaction. It is refused when that part of the month is full.
    fn append(
        &self,
        subject: &str,
        entries: &[AuditEntry],
        part: u32,
        now: Now,
    ) -> Result<TransactWriteItem, Failure> {
        let entries: Vec<String> = entries
            .iter()
            .filter_map(|entry| serde_json::to_string(entry).ok())
            .collect();
        let bytes: usize = entries.iter().map(String::len).sum();
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(audit_pk(subject, &month_of(now.ms), part)))
            .condition_expression("attribute_not_exists(#bytes) OR #bytes < :full")
            .update_expression(
                "SET entries = list_append(if_not_exists(entries, :none), :entries), \
                 #bytes = if_not_exists(#bytes, :zero) + :bytes, expires_at = :expires_at",
            )
            .expression_attribute_names("#bytes", "bytes")
            .expression_attribute_values(":full", number(FULL_AUDIT_BYTES))
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":entries", texts(&entries))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":bytes", number(bytes))
            .expression_attribute_values(":expires_at", number(now.audit_expires_at));
        Ok(TransactWriteItem::builder()
            .update(built(update.build())?)
            .build())
    }

    /// Makes a transaction depend on the lease.
    fn held(&self, lease: &Lease) -> Result<TransactWriteItem, Failure> {
        let update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(lease_pk(lease.subject())))
            .condition_expression("#owner = :owner")
            .update_expression("SET #owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(lease.owner()));
        let update = built(update.build())?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Gives the lease back, as an item of a transaction.
    fn release(&self, lease: &Lease, memo: &Memo, now: Now) -> Result<TransactWriteItem, Failure> {
        let mut update = Update::builder()
            .table_name(&self.table.name)
            .key("pk", text(lease_pk(lease.subject())))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(lease.owner()))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        let mut set = "SET updated_at_ms = :now_ms, expires_at = :expires_at".to_owned();
        let mut remove = " REMOVE #owner, lease_until_ms".to_owned();
        match memo {
            Memo::Keep => {}
            Memo::Write(Some(memo)) => {
                set.push_str(", memo = :memo");
                update = update.expression_attribute_values(":memo", text(memo));
            }
            Memo::Write(None) => remove.push_str(", memo"),
        }
        let update = built(update.update_expression(set + &remove).build())?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// One conditional write of a claim, under the record's key `id`.
    async fn claim_as(
        &self,
        id: &str,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<Claiming, Failure> {
        let now = self.times.now();
        let owner = uuid::Uuid::new_v4().to_string();
        let again = match reason {
            Reason::Delivery => {
                "(#status = :failed AND error_class = :retryable) \
                 OR (#status = :waiting AND waits_until_ms <= :now_ms)"
            }
            Reason::Replay | Reason::Approval => "#status <> :in_progress",
        };
        let asked = [("actor", &work.actor), ("reason", &work.reason)];
        let asked = asked.map(|(name, value)| Some((name, value.as_ref()?)));
        let because: String = asked
            .iter()
            .flatten()
            .map(|(name, _)| format!(", {name} = :{name}"))
            .collect();
        let forget = match reason {
            Reason::Delivery => "",
            Reason::Replay | Reason::Approval => ", applied",
        };
        let mut update = self
            .update_record(id)
            .condition_expression(format!(
                "attribute_not_exists(pk) OR {EXPIRED} \
                 OR (subject = :subject AND ({LEASE_OVER} OR {again}))"
            ))
            .update_expression(format!(
                "SET #status = :in_progress, event_type = :event_type, subject = :subject, \
                 published = :published, #owner = :owner, lease_until_ms = :lease_until_ms, \
                 updated_at_ms = :now_ms, expires_at = :expires_at, \
                 attempts = if_not_exists(attempts, :zero) + :one, \
                 unfinished = if_not_exists(unfinished, :zero) + :one{because} \
                 REMOVE #error, error_class, error_code, waits_until_ms, waits_for, \
                 dry_run, planned, held_for, resolved_by{forget}"
            ))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":event_type", text(&work.kind))
            .expression_attribute_values(":subject", text(&work.subject))
            .expression_attribute_values(":published", text(&work.published))
            .expression_attribute_values(":owner", text(&owner))
            .expression_attribute_values(":lease_until_ms", number(lease.until_ms()))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":now_s", number(now.s))
            .expression_attribute_values(":expires_at", number(now.expires_at))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1));
        for (name, value) in asked.into_iter().flatten() {
            update = update.expression_attribute_values(format!(":{name}"), text(value));
        }
        if reason == Reason::Delivery {
            update = update
                .expression_attribute_values(":failed", text(Status::Failed.as_str()))
                .expression_attribute_values(":waiting", text(Status::Waiting.as_str()))
                .expression_attribute_values(":retryable", text(Class::Retryable.as_str()));
        }
        let claimed = |attempts: u32, deaths: u32| {
            Claiming::Settled(Outcome::Claimed(Claim {
                id: id.to_owned(),
                owner: owner.clone(),
                attempts,
                took_over: deaths > 0,
                deaths,
            }))
        };
        match self.send(update).await? {
            Updated::Made(before) => {
                let died = string(&before, "status") == Some(Status::InProgress.as_str());
                let unfinished = count(&before, "unfinished").max(u32::from(died));
                let attempts = count(&before, "attempts").saturating_add(1);
                Ok(claimed(attempts, unfinished))
            }
            Updated::Refused(item) if string(&item, "subject") != Some(&work.subject) => {
                Ok(Claiming::OfAnotherSubject)
            }
            Updated::Refused(item) => {
                let until = |name| integer(&item, name).unwrap_or(now.ms);
                let status = string(&item, "status").and_then(Status::from_word);
                match status.ok_or_else(|| unreadable(&self.table.name))? {
                    Status::InProgress if string(&item, "owner") == Some(&owner) => {
                        // The first answer was lost, this is the repetition.
                        let unfinished = count(&item, "unfinished").saturating_sub(1);
                        Ok(claimed(count(&item, "attempts"), unfinished))
                    }
                    Status::InProgress => Ok(Claiming::Settled(Outcome::Busy {
                        until_ms: until("lease_until_ms"),
                    })),
                    Status::Done | Status::Held | Status::Resolved => {
                        Ok(Claiming::Settled(Outcome::AlreadyDone))
                    }
                    Status::Failed => Ok(Claiming::Settled(Outcome::AlreadyFailed)),
                    Status::Waiting => Ok(Claiming::Settled(Outcome::Waiting {
                        until_ms: until("waits_until_ms"),
                    })),
                }
            }
        }
    }

    /// Records a rejection under the record's key `id`, unless another subject has that.
    async fn reject_as(
        &self,
        id: &str,
        work: &Work,
        failure: &Failure,
    ) -> Result<Updated, Failure> {
        let now = self.times.now();
        let update = self
            .update_record(id)
            .condition_expression(format!(
                "attribute_not_exists(pk) OR {EXPIRED} \
                 OR (subject = :subject AND ({LEASE_OVER} OR #status = :failed))"
            ))
            .update_expression(
                "SET #status = :failed, event_type = :event_type, subject = :subject, \
                 published = :published, updated_at_ms = :now_ms, expires_at = :expires_at, \
                 attempts = if_not_exists(attempts, :zero), \
                 #error = :error, error_class = :permanent, error_code = :code \
                 REMOVE #owner, lease_until_ms, waits_until_ms, waits_for",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":failed", text(Status::Failed.as_str()))
            .expression_attribute_values(":event_type", text(&work.kind))
            .expression_attribute_values(":subject", text(&work.subject))
            .expression_attribute_values(":published", text(&work.published))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":now_s", number(now.s))
            .expression_attribute_values(":expires_at", number(now.expires_at))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":error", text(error_text(failure)))
            .expression_attribute_values(":code", text(failure.cause.as_str()))
            .expression_attribute_values(":permanent", text(Class::Permanent.as_str()));
        self.send(update).await
    }

    async fn renew_claim(&self, claim: &Claim, until_ms: i64) -> Result<Recorded, Failure> {
        let update = self
            .update_record(&claim.id)
            .condition_expression("#owner = :owner AND #status = :in_progress")
            .update_expression("SET lease_until_ms = :until_ms")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&claim.owner))
            .expression_attribute_values(":until_ms", number(until_ms));
        Ok(recorded(&self.send(update).await?))
    }
}

/// The answer to a claim under one key.
enum Claiming {
    Settled(Outcome),
    /// The record there is about another subject.
    OfAnotherSubject,
}

fn audit_pk(subject: &str, month: &str, part: u32) -> String {
    match part {
        1 => format!("{AUDIT_PREFIX}{subject}#{month}"),
        part => format!("{AUDIT_PREFIX}{subject}#{month}#{part}"),
    }
}

fn texts(list: &[String]) -> AttributeValue {
    AttributeValue::L(list.iter().map(text).collect())
}

/// The entries of an audit item; one that cannot be read is left out.
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

pub(crate) fn lease_pk(subject: &str) -> String {
    format!("{LEASE_PREFIX}{subject}")
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
        let owner = uuid::Uuid::new_v4().to_string();
        let update = self
            .update(lease_pk(subject))
            .condition_expression("attribute_not_exists(#owner) OR lease_until_ms <= :now_ms")
            .update_expression(
                "SET #owner = :owner, lease_until_ms = :until_ms, updated_at_ms = :now_ms, \
                 expires_at = :expires_at",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&owner))
            .expression_attribute_values(":until_ms", number(later(now.ms, time)))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        let (item, took_over) = match self.send(update).await? {
            Updated::Made(before) => {
                let held = before.contains_key("owner");
                (before, held)
            }
            // The first answer was lost, this is the repetition.
            Updated::Refused(item) if string(&item, "owner") == Some(&owner) => (item, false),
            Updated::Refused(item) => {
                return Ok(Leased::Busy {
                    until_ms: integer(&item, "lease_until_ms").unwrap_or(now.ms),
                });
            }
        };
        let lasts = integer(&item, "expires_at").is_none_or(|at| at > now.s);
        let before = string(&item, "memo");
        let memo = before.filter(|_| lasts).map(str::to_owned);
        let is_outdated = before.is_some() && memo.is_none();
        let found = Found { memo, took_over };
        let clock = self.times.clock();
        let lease = Lease::new(subject, owner, found, now.ms, time, clock);
        if is_outdated {
            // The item lasts another week from now; the old memo must not last with it.
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
            .expression_attribute_values(":owner", text(lease.owner()))
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
        let lasts = integer(&item, "expires_at").is_none_or(|at| at > now.s);
        Ok(string(&item, "memo").filter(|_| lasts).map(str::to_owned))
    }

    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let mut update = self
            .update(lease_pk(lease.subject()))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(lease.owner()))
            .expression_attribute_values(":expires_at", number(now.memo_expires_at()));
        update = match memo {
            Some(memo) => update
                .update_expression("SET memo = :memo, expires_at = :expires_at")
                .expression_attribute_values(":memo", text(memo)),
            None => update.update_expression("SET expires_at = :expires_at REMOVE memo"),
        };
        Ok(recorded(&self.send(update).await?))
    }

    async fn last_held(&self, subjects: &[String]) -> Result<HashMap<String, i64>, Failure> {
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

    async fn claim(&self, work: &Work, lease: &Lease, reason: Reason) -> Result<Outcome, Failure> {
        let first = self.claim_as(&work.id, work, lease, reason).await?;
        if let Claiming::Settled(outcome) = first {
            return Ok(outcome);
        }
        let own = work.own_key();
        match self.claim_as(&own, work, lease, reason).await? {
            Claiming::Settled(outcome) => Ok(outcome),
            Claiming::OfAnotherSubject => Err(unreadable(&self.table.name)),
        }
    }

    async fn conclude(
        &self,
        lease: Lease,
        conclusion: Conclusion,
    ) -> Result<Vec<Recorded>, Failure> {
        let now = self.times.now();
        let claims = &conclusion.claims;
        let mut recorded = vec![Recorded::Superseded; claims.len()];
        let positions: Vec<usize> = (0..claims.len()).collect();
        let mut chunks: Vec<Vec<usize>> = positions
            .chunks(CLAIMS_A_CALL)
            .map(<[usize]>::to_vec)
            .collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let last = chunks.len() - 1;
        let mut resolved = conclusion.resolved.clone();
        let mut part = 1;
        for (number, mut chunk) in chunks.into_iter().enumerate() {
            let mut round = 0;
            loop {
                let mut items = vec![if number == last {
                    self.release(&lease, &conclusion.memo, now)?
                } else {
                    self.held(&lease)?
                }];
                for position in &chunk {
                    if let Some((claim, ending)) = claims.get(*position) {
                        items.push(self.ending(claim, ending, now)?);
                    }
                }
                let first_resolved = items.len();
                if number == last {
                    for resolved in &resolved {
                        items.push(self.resolve(resolved, now)?);
                    }
                    if !conclusion.audit.is_empty() {
                        items.push(self.append(lease.subject(), &conclusion.audit, part, now)?);
                    }
                }
                let reasons = match self.table.transact(items).await? {
                    Sent::Written => {
                        for position in chunk {
                            recorded[position] = Recorded::Written;
                        }
                        break;
                    }
                    Sent::Refused(reasons) => reasons,
                };
                if refused(&reasons, 0).is_some() {
                    return Ok(recorded);
                }
                let before = chunk.len();
                let mut index = 0;
                chunk.retain(|position| {
                    index += 1;
                    let is_lost = refused(&reasons, index).is_some();
                    if let Some((claim, ending)) = claims.get(*position).filter(|_| is_lost) {
                        warn_superseded(&claim.id, ending.status());
                    }
                    !is_lost
                });
                let mut is_shorter = chunk.len() < before;
                let mut index = first_resolved;
                resolved.retain(|_| {
                    // Expired, or done meanwhile.
                    let is_open = number != last || refused(&reasons, index).is_none();
                    index += 1;
                    is_shorter |= !is_open;
                    is_open
                });
                if number == last && refused(&reasons, index).is_some() {
                    part += 1;
                    is_shorter = true;
                }
                if !is_shorter {
                    if round >= MAX_ROUNDS {
                        return Err(self.table.contended());
                    }
                    pause(round).await;
                    round += 1;
                }
            }
        }
        Ok(recorded)
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
        let mut request = self
            .table
            .client
            .scan()
            .table_name(&self.table.name)
            .expression_attribute_values(":prefix", text(PREFIX))
            .expression_attribute_values(":now_s", number(self.times.now().s));
        if let Some(status) = filter.status {
            condition.push_str(" AND #status = :status");
            request = request
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", text(status.as_str()));
        }
        if let Some(subject) = &filter.subject {
            condition.push_str(" AND subject = :subject");
            request = request.expression_attribute_values(":subject", text(subject));
        }
        if let Some(since) = filter.updated_since_ms {
            condition.push_str(" AND updated_at_ms >= :since");
            request = request.expression_attribute_values(":since", number(since));
        }
        let items = scan(
            &request.filter_expression(condition),
            self.table.target("dynamodb:Scan"),
        )
        .await?;
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
        let months = months(since_ms, self.times.now().ms);
        let mut first = 1;
        let mut entries = Vec::new();
        loop {
            let keys: HashSet<String> = months
                .iter()
                .flat_map(|month| (first..first + AUDIT_PARTS).map(move |part| (month, part)))
                .map(|(month, part)| audit_pk(subject, month, part))
                .collect();
            let asked = keys.len();
            let found = self.table.get_batch(keys).await?;
            entries.extend(found.values().flat_map(entries_of));
            first += AUDIT_PARTS;
            // Nearly always: a month with more parts than are read at once is rare.
            if found.len() < asked.min(AUDIT_PARTS as usize) {
                return Ok(in_order(entries, since_ms));
            }
        }
    }

    async fn whole_history(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        let request = self
            .table
            .client
            .scan()
            .table_name(&self.table.name)
            .filter_expression("begins_with(pk, :prefix)")
            .expression_attribute_values(":prefix", text(AUDIT_PREFIX));
        let items = scan(&request, self.table.target("dynamodb:Scan")).await?;
        Ok(in_order(
            items.iter().flat_map(entries_of).collect(),
            since_ms,
        ))
    }
}

fn in_order(mut entries: Vec<AuditEntry>, since_ms: i64) -> Vec<AuditEntry> {
    entries.retain(|entry| entry.at_ms >= since_ms);
    entries.sort_by_key(|entry| entry.at_ms);
    entries
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

fn count(item: &Item, name: &str) -> u32 {
    integer(item, name)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}
