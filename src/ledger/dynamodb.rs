//! The ledger on DynamoDB: item `event#<id>`, every change one conditional `UpdateItem`.
//!
//! The SDK sends a call again when its answer was lost; the first may have been carried out. Such a
//! repetition is refused by its own effect, so a refusal looks at who wrote the record: `owner` stays
//! on it when the work is done or failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnRefusal};

use super::times::{Times, error_text, warn_superseded};
use super::{Claim, Filter, Ledger, Outcome, Reason, Record, Recorded, Status, Work};
use crate::aws::table::{Item, integer, number, scan, string, target, text};
use crate::aws::{Target, explain};
use crate::clock::Clock;
use crate::failure::{Class, Failure, Side};

const PREFIX: &str = "event#";
const EXPIRED: &str = "expires_at <= :now_s";
const LEASE_OVER: &str = "(#status = :in_progress AND lease_until_ms <= :now_ms)";

/// See the module.
#[derive(Clone)]
pub struct DynamoDbLedger {
    client: Client,
    table: String,
    times: Times,
}

impl fmt::Debug for DynamoDbLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbLedger")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// What a conditional update came to.
enum Update {
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
        Self {
            client,
            table: table.into(),
            times: Times::new(clock, ttl_days),
        }
    }

    fn target<'a>(&'a self, operation: &'a str) -> Target<'a> {
        target(&self.table, operation)
    }

    fn update(&self, id: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(format!("{PREFIX}{id}")))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":in_progress", text(Status::InProgress.as_str()))
    }

    async fn send(&self, update: UpdateItemFluentBuilder) -> Result<Update, Failure> {
        match update.send().await {
            Ok(made) => Ok(Update::Made(made.attributes.unwrap_or_default())),
            Err(error) => {
                if let Some(UpdateItemError::ConditionalCheckFailedException(refusal)) =
                    error.as_service_error()
                {
                    return Ok(Update::Refused(refusal.item.clone().unwrap_or_default()));
                }
                Err(explain(self.target("dynamodb:UpdateItem"), &error))
            }
        }
    }

    /// Ends a claim, if it is still the claim's owner that asks.
    async fn finish(
        &self,
        claim: &Claim,
        status: Status,
        error: Option<&Failure>,
    ) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let mut update = self
            .update(&claim.id)
            .condition_expression("#owner = :owner AND #status = :in_progress")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", text(&claim.owner))
            .expression_attribute_values(":status", text(status.as_str()))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.expires_at));
        let mut set =
            "SET #status = :status, updated_at_ms = :now_ms, expires_at = :expires_at".to_owned();
        if let Some(failure) = error {
            set.push_str(", #error = :error, error_class = :class");
            update = update
                .expression_attribute_names("#error", "error")
                .expression_attribute_values(":error", text(error_text(failure)))
                .expression_attribute_values(":class", text(failure.class.as_str()));
        }
        set.push_str(" REMOVE lease_until_ms");
        match self.send(update.update_expression(set)).await? {
            Update::Made(_) => Ok(Recorded::Written),
            Update::Refused(item)
                if string(&item, "owner") == Some(&claim.owner)
                    && string(&item, "status") == Some(status.as_str()) =>
            {
                // The first answer was lost, this is the repetition.
                Ok(Recorded::Written)
            }
            Update::Refused(_) => {
                warn_superseded(&claim.id, status);
                Ok(Recorded::Superseded)
            }
        }
    }
}

#[async_trait]
impl Ledger for DynamoDbLedger {
    async fn claim(
        &self,
        work: &Work,
        lease: Duration,
        reason: Reason,
    ) -> Result<Outcome, Failure> {
        let now = self.times.now();
        let owner = uuid::Uuid::new_v4().to_string();
        let again = match reason {
            Reason::Delivery => "(#status = :failed AND error_class = :retryable)",
            Reason::Replay => "#status IN (:failed, :done)",
        };
        let mut update = self
            .update(&work.id)
            .condition_expression(format!(
                "attribute_not_exists(pk) OR {EXPIRED} OR {LEASE_OVER} OR {again}"
            ))
            .update_expression(
                "SET #status = :in_progress, event_type = :event_type, subject = :subject, \
                 published = :published, #owner = :owner, lease_until_ms = :lease_until_ms, \
                 updated_at_ms = :now_ms, expires_at = :expires_at, \
                 attempts = if_not_exists(attempts, :zero) + :one \
                 REMOVE #error, error_class",
            )
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":event_type", text(&work.kind))
            .expression_attribute_values(":subject", text(&work.subject))
            .expression_attribute_values(":published", text(&work.published))
            .expression_attribute_values(":owner", text(&owner))
            .expression_attribute_values(":lease_until_ms", number(now.lease_until_ms(lease)))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":now_s", number(now.s))
            .expression_attribute_values(":expires_at", number(now.expires_at))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":failed", text(Status::Failed.as_str()));
        update = match reason {
            Reason::Delivery => {
                update.expression_attribute_values(":retryable", text(Class::Retryable.as_str()))
            }
            Reason::Replay => {
                update.expression_attribute_values(":done", text(Status::Done.as_str()))
            }
        };
        match self.send(update).await? {
            Update::Made(before) => Ok(Outcome::Claimed(Claim {
                id: work.id.clone(),
                owner,
                attempts: attempts(&before).saturating_add(1),
                took_over: string(&before, "status") == Some(Status::InProgress.as_str()),
            })),
            Update::Refused(item) => match string(&item, "status") {
                Some("in_progress") if string(&item, "owner") == Some(&owner) => {
                    // The first answer was lost, this is the repetition. Whether somebody else began
                    // before is not known any more.
                    let attempts = attempts(&item);
                    Ok(Outcome::Claimed(Claim {
                        id: work.id.clone(),
                        owner,
                        attempts,
                        took_over: attempts > 1,
                    }))
                }
                Some("in_progress") => Ok(Outcome::Busy {
                    until_ms: integer(&item, "lease_until_ms").unwrap_or(now.ms),
                }),
                Some("done") => Ok(Outcome::AlreadyDone),
                Some("failed") => Ok(Outcome::AlreadyFailed),
                _ => Err(unreadable(&self.table)),
            },
        }
    }

    async fn complete(&self, claim: Claim) -> Result<Recorded, Failure> {
        self.finish(&claim, Status::Done, None).await
    }

    async fn fail(&self, claim: Claim, failure: &Failure) -> Result<Recorded, Failure> {
        self.finish(&claim, Status::Failed, Some(failure)).await
    }

    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let update = self
            .update(&work.id)
            .condition_expression(format!(
                "attribute_not_exists(pk) OR {EXPIRED} OR {LEASE_OVER} OR #status = :failed"
            ))
            .update_expression(
                "SET #status = :failed, event_type = :event_type, subject = :subject, \
                 published = :published, updated_at_ms = :now_ms, expires_at = :expires_at, \
                 attempts = if_not_exists(attempts, :zero), \
                 #error = :error, error_class = :permanent \
                 REMOVE #owner, lease_until_ms",
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
            .expression_attribute_values(":permanent", text(Class::Permanent.as_str()));
        match self.send(update).await? {
            Update::Made(_) => Ok(Recorded::Written),
            Update::Refused(_) => {
                warn_superseded(&work.id, Status::Failed);
                Ok(Recorded::Superseded)
            }
        }
    }

    async fn record(&self, id: &str) -> Result<Option<Record>, Failure> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(format!("{PREFIX}{id}")))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| explain(self.target("dynamodb:GetItem"), &error))?;
        let Some(item) = answer.item else {
            return Ok(None);
        };
        let record = record(item).ok_or_else(|| unreadable(&self.table))?;
        let now = self.times.now();
        Ok((record.expires_at > now.s).then_some(record))
    }

    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure> {
        let mut condition = "begins_with(pk, :prefix) AND expires_at > :now_s".to_owned();
        let mut request = self
            .client
            .scan()
            .table_name(&self.table)
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
            self.target("dynamodb:Scan"),
        )
        .await?;
        let mut records = items
            .into_iter()
            .map(|item| record(item).ok_or_else(|| unreadable(&self.table)))
            .collect::<Result<Vec<_>, _>>()?;
        records.sort_by(|a, b| {
            b.updated_at_ms
                .cmp(&a.updated_at_ms)
                .then_with(|| a.id.cmp(&b.id))
        });
        Ok(records)
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

fn attempts(item: &Item) -> u32 {
    integer(item, "attempts")
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}
