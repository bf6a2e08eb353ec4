//! One claim, and one rejection, under one key.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::{DynamoDbLedger, EXPIRED, LEASE_OVER, Updated, unreadable};
use crate::aws::table::{Item, integer, number, string, text};
use crate::failure::{Class, Failure};
use crate::ledger::conclusion::error_text;
use crate::ledger::times::Now;
use crate::ledger::{Claim, ClaimOutcome, Lease, Reason, Status, Work};

/// The attributes that every write of a whole record sets.
const DESCRIBE: &str = "event_type = :event_type, subject = :subject, published = :published, \
                        updated_at_ms = :now_ms, expires_at = :expires_at";

impl DynamoDbLedger {
    /// One conditional write of a claim, under the record's key `id`. `None`: that record is about another subject.
    pub(super) async fn claim_as(
        &self,
        id: &str,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<Option<ClaimOutcome>, Failure> {
        let now = self.times.now();
        let owner = uuid::Uuid::new_v4().to_string();
        let mut update = self
            .describe(id, work, now)
            .expression_attribute_values(":owner", text(&owner))
            .expression_attribute_values(":lease_until_ms", number(lease.until_ms()))
            .expression_attribute_values(":one", number(1));
        let mut set = format!(
            "SET #status = :in_progress, {DESCRIBE}, #owner = :owner, lease_until_ms = :lease_until_ms, \
             attempts = if_not_exists(attempts, :zero) + :one, \
             unfinished = if_not_exists(unfinished, :zero) + :one"
        );
        for (name, value) in [("actor", &work.actor), ("reason", &work.reason)] {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), text(value));
            }
        }
        set.push_str(
            " REMOVE #error, error_class, error_code, waits_until_ms, waits_for, \
             dry_run, planned, held_for, resolved_by",
        );
        let again = match reason {
            Reason::Delivery => {
                update = update
                    .expression_attribute_values(":failed", text(Status::Failed.as_str()))
                    .expression_attribute_values(":waiting", text(Status::Waiting.as_str()))
                    .expression_attribute_values(":retryable", text(Class::Retryable.as_str()));
                "(#status = :failed AND error_class = :retryable) \
                 OR (#status = :waiting AND waits_until_ms <= :now_ms)"
            }
            Reason::Replay | Reason::Approval => {
                set.push_str(", applied");
                "#status <> :in_progress"
            }
        };
        let update = update.update_expression(set).condition_expression(format!(
            "attribute_not_exists(pk) OR {EXPIRED} \
             OR (subject = :subject AND ({LEASE_OVER} OR {again}))"
        ));
        let item = match self.send(update).await? {
            Updated::Made(before) => {
                let died = string(&before, "status") == Some(Status::InProgress.as_str());
                let deaths = count(&before, "unfinished").max(u32::from(died));
                let attempts = count(&before, "attempts").saturating_add(1);
                return Ok(Some(claimed(id, owner, attempts, deaths)));
            }
            Updated::Refused(item) if string(&item, "subject") != Some(&work.subject) => {
                return Ok(None);
            }
            Updated::Refused(item) => item,
        };
        let until = |name| integer(&item, name).unwrap_or(now.ms);
        let status = string(&item, "status").and_then(Status::from_word);
        Ok(Some(
            match status.ok_or_else(|| unreadable(&self.table.name))? {
                Status::InProgress if string(&item, "owner") == Some(&owner) => {
                    // The first answer was lost, this is the repetition.
                    let deaths = count(&item, "unfinished").saturating_sub(1);
                    claimed(id, owner, count(&item, "attempts"), deaths)
                }
                Status::InProgress => ClaimOutcome::Busy {
                    until_ms: until("lease_until_ms"),
                },
                Status::Done | Status::Held | Status::Resolved => ClaimOutcome::AlreadyDone,
                Status::Failed => ClaimOutcome::AlreadyFailed,
                Status::Waiting => ClaimOutcome::Waiting {
                    until_ms: until("waits_until_ms"),
                },
            },
        ))
    }

    /// Records a rejection under the record's key `id`, unless another subject has that.
    pub(super) async fn reject_as(
        &self,
        id: &str,
        work: &Work,
        failure: &Failure,
    ) -> Result<Updated, Failure> {
        let update = self
            .describe(id, work, self.times.now())
            .condition_expression(format!(
                "attribute_not_exists(pk) OR {EXPIRED} \
                 OR (subject = :subject AND ({LEASE_OVER} OR #status = :failed))"
            ))
            .update_expression(format!(
                "SET #status = :failed, {DESCRIBE}, attempts = if_not_exists(attempts, :zero), \
                 #error = :error, error_class = :permanent, error_code = :code \
                 REMOVE #owner, lease_until_ms, waits_until_ms, waits_for, dry_run, planned, held_for, \
                 resolved_by"
            ))
            .expression_attribute_values(":failed", text(Status::Failed.as_str()))
            .expression_attribute_values(":error", text(error_text(failure)))
            .expression_attribute_values(":code", text(failure.cause.as_str()))
            .expression_attribute_values(":permanent", text(Class::Permanent.as_str()));
        self.send(update).await
    }

    /// An update of a record, with the names and values of [`DESCRIBE`] and of the conditions.
    fn describe(&self, id: &str, work: &Work, now: Now) -> UpdateItemFluentBuilder {
        self.update_record(id)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":event_type", text(&work.kind))
            .expression_attribute_values(":subject", text(&work.subject))
            .expression_attribute_values(":published", text(&work.published))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":now_s", number(now.s))
            .expression_attribute_values(":expires_at", number(now.expires_at))
            .expression_attribute_values(":zero", number(0))
    }
}

fn claimed(id: &str, owner: String, attempts: u32, deaths: u32) -> ClaimOutcome {
    ClaimOutcome::Claimed(Claim {
        id: id.to_owned(),
        owner,
        attempts,
        deaths,
    })
}

fn count(item: &Item, name: &str) -> u32 {
    integer(item, name)
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}
