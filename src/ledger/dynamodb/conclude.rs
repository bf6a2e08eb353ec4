//! The end of a run: its claims, what it settles of others, its audit entries and the lease, in one transaction.

use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal, TransactWriteItem, Update,
};

use super::{DynamoDbLedger, PREFIX, lease_pk};
use crate::aws::table::{BACKOFF, Sent, built, number, refused, text};
use crate::failure::Failure;
use crate::ledger::times::{Now, error_text, warn_superseded};
use crate::ledger::{Claim, Conclusion, EndState, Ending, Lease, Memo, Recorded, Resolved, Status};

/// Claims that one transaction concludes, beside the lease, resolved records and the audit item (DynamoDB
/// takes 100 items).
const CLAIMS_A_CALL: usize = 70;
/// How often a transaction is tried that others get in the way of.
const MAX_ROUNDS: u32 = 8;

impl DynamoDbLedger {
    /// See [`Ledger::conclude`](super::super::Ledger::conclude).
    pub(super) async fn conclude_all(
        &self,
        lease: &Lease,
        conclusion: &Conclusion,
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
            let (mut round, mut backoff) = (0, BACKOFF);
            loop {
                let mut items = vec![if number == last {
                    self.release(lease, &conclusion.memo, now)?
                } else {
                    self.held(lease)?
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
                    backoff.wait().await;
                    round += 1;
                }
            }
        }
        Ok(recorded)
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
}

pub(super) fn texts(list: &[String]) -> AttributeValue {
    AttributeValue::L(list.iter().map(text).collect())
}
