//! The end of a run in one transaction: its claims, the other records that it settles, its audit entries and the lease.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;

use super::{DynamoDbLedger, IS_CLAIMED, PREFIX, of_lease, under_lease};
use crate::aws::table::{Transacted, Write, Writes as _, number, text};
use crate::failure::Failure;
use crate::ledger::conclusion::{error_text, warn_superseded};
use crate::ledger::times::Now;
use crate::ledger::{Claim, Conclusion, EndState, Ending, Lease, Memo, Recorded, Resolved, Status};

/// Claims that one transaction concludes, beside the lease, resolved records and the audit item (DynamoDB
/// takes 100 items).
const MAX_CLAIMS_A_CALL: usize = 70;
/// Resolved records that the last transaction holds beside them.
const MAX_RESOLVED: usize = 20;

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
        // The last transaction has the rest of the claims, and gives the lease back.
        let last = claims.len().saturating_sub(1) / MAX_CLAIMS_A_CALL * MAX_CLAIMS_A_CALL;
        for first in (0..last).step_by(MAX_CLAIMS_A_CALL) {
            let claims = first..first + MAX_CLAIMS_A_CALL;
            let mut writes = vec![under_lease(&self.table, lease, &Memo::Keep).or_stop()?];
            self.add_endings(&mut writes, &conclusion.claims[claims.clone()], now)?;
            match self.table.transact(writes).await? {
                Transacted::Written { left_out } => {
                    note(
                        &mut recorded[claims.clone()],
                        &conclusion.claims[claims],
                        &left_out,
                    );
                }
                Transacted::Refused { .. } => return Ok(recorded),
            }
        }
        let surplus = conclusion.resolved.len().saturating_sub(MAX_RESOLVED);
        let (surplus, resolved) = conclusion.resolved.split_at(surplus);
        for some in surplus.chunks(MAX_CLAIMS_A_CALL) {
            let mut writes = vec![under_lease(&self.table, lease, &Memo::Keep).or_stop()?];
            for resolved in some {
                writes.push(self.resolve(resolved, now).or_leave_out()?);
            }
            if let Transacted::Refused { .. } = self.table.transact(writes).await? {
                return Ok(recorded);
            }
        }
        let mut part = 1;
        loop {
            let mut writes = vec![self.release(lease, &conclusion.memo, now).or_stop()?];
            self.add_endings(&mut writes, &claims[last..], now)?;
            for resolved in resolved {
                // The record is left out, because it expired or was done meanwhile.
                writes.push(self.resolve(resolved, now).or_leave_out()?);
            }
            if !conclusion.audit.is_empty() {
                let append = self.append(lease.subject(), &conclusion.audit, part, now);
                writes.push(append.or_stop()?);
            }
            match self.table.transact(writes).await? {
                Transacted::Written { left_out } => {
                    note(&mut recorded[last..], &claims[last..], &left_out);
                    return Ok(recorded);
                }
                Transacted::Refused { position: 0, .. } => return Ok(recorded),
                // That part of the audit trail is full.
                Transacted::Refused { .. } => part += 1,
            }
        }
    }

    fn add_endings(
        &self,
        writes: &mut Vec<Write>,
        claims: &[(Claim, Ending)],
        now: Now,
    ) -> Result<(), Failure> {
        for (claim, ending) in claims {
            writes.push(self.ending(claim, ending, now).or_leave_out()?);
        }
        Ok(())
    }

    fn ending(&self, claim: &Claim, ending: &Ending, now: Now) -> UpdateBuilder {
        let mut update = self
            .table
            .update(format!("{PREFIX}{}", claim.id))
            .condition_expression(IS_CLAIMED)
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":owner", text(&claim.owner))
            .expression_attribute_values(":status", text(ending.status().as_str()))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(
                ":expires_at",
                number(now.record_expires_at(ending.status())),
            );
        let mut set =
            "SET #status = :status, updated_at_ms = :now_ms, expires_at = :expires_at".to_owned();
        if !ending.applied.is_empty() || ending.status() == Status::Done {
            set.push_str(", applied = list_append(if_not_exists(applied, :none), :applied)");
            update = update
                .expression_attribute_values(":applied", texts(&ending.applied))
                .expression_attribute_values(":none", AttributeValue::L(Vec::new()));
        }
        let mut attributes = match &ending.state {
            EndState::Done => vec![],
            EndState::Planned { steps } => vec![
                ("dry_run", AttributeValue::Bool(true)),
                ("planned", texts(steps)),
            ],
            EndState::Held { steps, why } => {
                vec![("planned", texts(steps)), ("held_for", text(why))]
            }
            EndState::Failed(failure) => vec![
                ("error", text(error_text(failure))),
                ("error_class", text(failure.class.as_str())),
                ("error_code", text(failure.cause.as_str())),
            ],
            EndState::Waiting { until_ms, seen } => vec![
                ("waits_until_ms", number(until_ms)),
                ("waits_for", text(seen)),
            ],
        };
        if matches!(ending.state, EndState::Failed(_)) && !ending.planned.is_empty() {
            attributes.push(("planned", texts(&ending.planned)));
        }
        // What a held record said goes with its end.
        let mut gone = vec!["planned", "held_for"];
        gone.retain(|gone| attributes.iter().all(|(name, _)| name != gone));
        for (name, value) in attributes {
            set.push_str(&format!(", #{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        set.push_str(" REMOVE lease_until_ms, unfinished");
        for name in gone {
            set.push_str(&format!(", {name}"));
        }
        update.update_expression(set)
    }

    /// Settles a record that something other than its claim settles: one in progress only when its run is over.
    fn resolve(&self, resolved: &Resolved, now: Now) -> UpdateBuilder {
        self.table
            .update(format!("{PREFIX}{}", resolved.id))
            .condition_expression(
                "#status IN (:failed, :held) OR (#status = :in_progress AND lease_until_ms <= :now_ms)",
            )
            .update_expression(
                "SET #status = :resolved, resolved_by = :by, updated_at_ms = :now_ms, \
                 expires_at = :expires_at REMOVE lease_until_ms",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":failed", text(Status::Failed.as_str()))
            .expression_attribute_values(":held", text(Status::Held.as_str()))
            .expression_attribute_values(":in_progress", text(Status::InProgress.as_str()))
            .expression_attribute_values(":resolved", text(Status::Resolved.as_str()))
            .expression_attribute_values(":by", text(&resolved.by))
            .expression_attribute_values(":now_ms", number(now.ms))
            .expression_attribute_values(":expires_at", number(now.expires_at))
    }

    /// Gives the lease back. An item without a memo is useful only for some days.
    fn release(&self, lease: &Lease, memo: &Memo, now: Now) -> UpdateBuilder {
        let update =
            of_lease(&self.table, lease).expression_attribute_values(":now_ms", number(now.ms));
        let set = "SET updated_at_ms = :now_ms, expires_at = :expires_at";
        let remove = "REMOVE #owner, lease_until_ms";
        let (update, has_memo) = match memo {
            Memo::Keep => (
                update.update_expression(format!("{set} {remove}")),
                lease.may_have_memo(),
            ),
            Memo::Write(None) => (
                update.update_expression(format!("{set} {remove}, memo")),
                false,
            ),
            Memo::Write(Some(memo)) => (
                update
                    .update_expression(format!("{set}, memo = :memo {remove}"))
                    .expression_attribute_values(":memo", text(memo)),
                true,
            ),
        };
        update
            .expression_attribute_values(":expires_at", number(now.free_lease_expires_at(has_memo)))
    }
}

/// Notes which claims a transaction recorded. In the transaction they come after the lease.
fn note(recorded: &mut [Recorded], claims: &[(Claim, Ending)], left_out: &[usize]) {
    for (index, (recorded, (claim, ending))) in recorded.iter_mut().zip(claims).enumerate() {
        if left_out.contains(&(index + 1)) {
            warn_superseded(&claim.id, ending.status());
        } else {
            *recorded = Recorded::Written;
        }
    }
}

pub(super) fn texts(list: &[String]) -> AttributeValue {
    AttributeValue::L(list.iter().map(text).collect())
}
