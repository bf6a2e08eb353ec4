//! One claim, and one rejection, under one key.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;

use super::{DynamoDbLedger, EXPIRED, LEASE_OVER, PREFIX, Updated, unreadable};
use crate::aws::explain;
use crate::aws::table::{Item, integer, number, string, text};
use crate::failure::{Class, Failure};
use crate::ledger::conclusion::error_text;
use crate::ledger::times::Now;
use crate::ledger::{Claim, ClaimOutcome, Lease, Reason, Status, Work};

/// The attributes that every write of a whole record sets.
const DESCRIBE: &str = "event_type = :event_type, subject = :subject, published = :published, \
                        updated_at_ms = :now_ms, expires_at = :expires_at";

/// What a claim finds.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// No record, or one that becomes `in_progress`.
    Open,
    /// A held record. It stays held until the claim ends, so a run that dies releases nothing.
    Held,
}

impl DynamoDbLedger {
    /// One conditional write of a claim, under the record's key `id`, and a second one if the record is held. `None`: that
    /// record is about another subject.
    pub(super) async fn claim_as(
        &self,
        id: &str,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<Option<ClaimOutcome>, Failure> {
        let now = self.times.now();
        let owner = uuid::Uuid::new_v4().to_string();
        let claiming = |before| self.claiming(id, work, lease, reason, &owner, before);
        let mut updated = self.send_anew(id, || claiming(Before::Open)).await?;
        if let Updated::Refused(item) = &updated
            && reason.is_of_operator()
            && string(item, "status") == Some(Status::Held.as_str())
        {
            updated = self.send(claiming(Before::Held)).await?;
        }
        let item = match updated {
            Updated::Made(before) => {
                let died = string(&before, "status") == Some(Status::InProgress.as_str());
                let deaths = count(&before, "unfinished").max(u32::from(died));
                let attempts = count(&before, "attempts").saturating_add(reason.attempts());
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
                _ if string(&item, "owner") == Some(&owner) => {
                    // The first answer was lost, this is the repetition.
                    let deaths = count(&item, "unfinished").saturating_sub(1);
                    claimed(id, owner, count(&item, "attempts"), deaths)
                }
                Status::Held if reason.is_of_operator() => ClaimOutcome::Busy {
                    until_ms: until("lease_until_ms"),
                },
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

    fn claiming(
        &self,
        id: &str,
        work: &Work,
        lease: &Lease,
        reason: Reason,
        owner: &str,
        before: Before,
    ) -> UpdateItemFluentBuilder {
        let status = match before {
            Before::Open => Status::InProgress,
            Before::Held => Status::Held,
        };
        let mut update = self
            .describe(id, work, self.times.now(), status)
            .expression_attribute_values(":claimed", text(status.as_str()))
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":lease_until_ms", number(lease.until_ms()))
            .expression_attribute_values(":attempt", number(reason.attempts()))
            .expression_attribute_values(":one", number(1));
        let mut set = format!(
            "SET #status = :claimed, {DESCRIBE}, #owner = :owner, lease_until_ms = :lease_until_ms, \
             attempts = if_not_exists(attempts, :zero) + :attempt, \
             unfinished = if_not_exists(unfinished, :zero) + :one"
        );
        for (name, value) in [("actor", &work.actor), ("reason", &work.reason)] {
            if let Some(value) = value {
                set.push_str(&format!(", {name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), text(value));
            }
        }
        set.push_str(
            " REMOVE #error, error_class, error_code, waits_until_ms, waits_for, dry_run, resolved_by",
        );
        if reason.is_of_operator() {
            set.push_str(", applied");
        }
        if let Before::Held = before {
            return update.update_expression(set).condition_expression(
                "subject = :subject AND #status = :claimed \
                 AND (attribute_not_exists(lease_until_ms) OR lease_until_ms <= :now_ms)",
            );
        }
        set.push_str(", planned, held_for");
        let again = if !reason.is_of_operator() {
            update = update
                .expression_attribute_values(":failed", text(Status::Failed.as_str()))
                .expression_attribute_values(":waiting", text(Status::Waiting.as_str()))
                .expression_attribute_values(":retryable", text(Class::Retryable.as_str()));
            "(#status = :failed AND error_class = :retryable) \
             OR (#status = :waiting AND waits_until_ms <= :now_ms)"
        } else {
            update = update.expression_attribute_values(":held", text(Status::Held.as_str()));
            "NOT #status IN (:in_progress, :held)"
        };
        self.with_conditions(update)
            .update_expression(set)
            .condition_expression(format!(
                "attribute_not_exists(pk) \
                 OR (NOT {EXPIRED} AND subject = :subject AND ({LEASE_OVER} OR {again}))"
            ))
    }

    /// Records a rejection under the record's key `id`, unless another subject has that.
    pub(super) async fn reject_as(
        &self,
        id: &str,
        work: &Work,
        failure: &Failure,
    ) -> Result<Updated, Failure> {
        self.send_anew(id, || self.rejecting(id, work, failure))
            .await
    }

    fn rejecting(&self, id: &str, work: &Work, failure: &Failure) -> UpdateItemFluentBuilder {
        self.with_conditions(self.describe(id, work, self.times.now(), Status::Failed))
            .condition_expression(format!(
                "attribute_not_exists(pk) \
                 OR (NOT {EXPIRED} AND subject = :subject AND ({LEASE_OVER} OR #status = :failed))"
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
            .expression_attribute_values(":permanent", text(Class::Permanent.as_str()))
    }

    /// Sends the update, and once more after an expired record under the key `id` is deleted. DynamoDB takes days for that.
    async fn send_anew(
        &self,
        id: &str,
        update: impl Fn() -> UpdateItemFluentBuilder,
    ) -> Result<Updated, Failure> {
        let updated = self.send(update()).await?;
        let now_s = self.times.now().s;
        match &updated {
            Updated::Refused(item) if integer(item, "expires_at").is_some_and(|at| at <= now_s) => {
                self.delete_expired(id, now_s).await?;
                self.send(update()).await
            }
            _ => Ok(updated),
        }
    }

    async fn delete_expired(&self, id: &str, now_s: i64) -> Result<(), Failure> {
        let delete = self
            .table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .key("pk", text(format!("{PREFIX}{id}")))
            .condition_expression(EXPIRED)
            .expression_attribute_values(":now_s", number(now_s));
        match delete.send().await {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Err(explain(self.table.target("dynamodb:DeleteItem"), &error))
            }
            // If it was refused, another run was faster.
            _ => Ok(()),
        }
    }

    /// An update of a record to this state, with the names and values of [`DESCRIBE`].
    fn describe(&self, id: &str, work: &Work, now: Now, status: Status) -> UpdateItemFluentBuilder {
        self.update(format!("{PREFIX}{id}"))
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#error", "error")
            .expression_attribute_values(":event_type", text(&work.kind))
            .expression_attribute_values(":subject", text(&work.subject))
            .expression_attribute_values(":published", text(&work.published))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.record_expires_at(status)))
            .expression_attribute_values(":zero", number(0))
    }

    /// The same, with the values of [`EXPIRED`] and [`LEASE_OVER`].
    fn with_conditions(&self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        update
            .expression_attribute_values(":now_s", number(self.times.now().s))
            .expression_attribute_values(":in_progress", text(Status::InProgress.as_str()))
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
