//! One claim, and one rejection.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::json;
use super::records::{COLUMNS, record};
use crate::clock::later;
use crate::deadline::{MAX_LEASE, MAX_WAIT};
use crate::failure::{Class, Failure};
use crate::ledger::conclusion::error_text;
use crate::ledger::times::Now;
use crate::ledger::{Claim, ClaimOutcome, Reason, Record, Status, Work};

/// Reads and writes, in one transaction.
pub(super) fn claim(
    connection: &Connection,
    work: &Work,
    owner: String,
    now: Now,
    lease_until_ms: i64,
    reason: Reason,
) -> rusqlite::Result<ClaimOutcome> {
    forget_expired(connection, now)?;
    let id = key(connection, work)?;
    let sql = format!("SELECT {COLUMNS}, unfinished FROM events WHERE id = ?1");
    let with_deaths = |row: &rusqlite::Row<'_>| Ok((record(row)?, row.get("unfinished")?));
    let before: Option<(Record, u32)> =
        connection.query_row(&sql, [&id], with_deaths).optional()?;
    let (mut attempts, mut deaths) = (1, 0);
    let (mut actor, mut said, mut applied) = (None, None, None);
    let (mut status, mut planned, mut held_for) = (Status::InProgress, None, None);
    if let Some((record, unfinished)) = before {
        if let Some(refusal) = refuse(&record, now, reason) {
            return Ok(refusal);
        }
        if record.status == Status::Held {
            // It stays held until the claim ends, so a run that dies releases nothing.
            (status, planned, held_for) = (Status::Held, record.planned, record.held_for);
        }
        attempts = record.attempts.saturating_add(reason.attempts());
        deaths = unfinished.max(u32::from(record.status == Status::InProgress));
        (actor, said) = (record.actor, record.reason);
        applied = record.applied.filter(|_| !reason.is_of_operator());
    }
    connection.execute(
        "INSERT OR REPLACE INTO events (id, status, event_type, subject, published, attempts, \
         owner, lease_until_ms, updated_at_ms, expires_at, unfinished, applied, reason, actor, planned, held_for) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        (
            &id,
            status.as_str(),
            &work.kind,
            &work.subject,
            &work.published,
            attempts,
            &owner,
            lease_until_ms,
            now.ms,
            now.record_expires_at(status),
            deaths + 1,
            applied.as_ref().map(json).transpose()?,
            work.reason.as_ref().or(said.as_ref()),
            work.actor.as_ref().or(actor.as_ref()),
            planned.as_ref().map(json).transpose()?,
            held_for,
        ),
    )?;
    Ok(ClaimOutcome::Claimed(Claim {
        id,
        owner,
        attempts,
        deaths,
    }))
}

/// DynamoDB's TTL does this by itself.
fn forget_expired(connection: &Connection, now: Now) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM events WHERE expires_at <= ?1", [now.s])
}

/// The answer if the record does not allow a claim. `None` if it does. As with leases, a time that is too far ahead is
/// from before the clock was set back.
fn refuse(record: &Record, now: Now, reason: Reason) -> Option<ClaimOutcome> {
    let ahead = |until: Option<i64>| until.filter(|until| *until > now.ms);
    match (record.status, reason) {
        (Status::InProgress, _) | (Status::Held, Reason::Replay | Reason::Approval) => {
            let until_ms = ahead(record.lease_until_ms)?;
            (until_ms <= later(now.ms, MAX_LEASE)).then_some(ClaimOutcome::Busy { until_ms })
        }
        (_, Reason::Replay | Reason::Approval) => None,
        (Status::Done | Status::Held | Status::Resolved, Reason::Delivery | Reason::Return) => {
            Some(ClaimOutcome::AlreadyDone)
        }
        (Status::Failed, Reason::Delivery | Reason::Return) => {
            (record.error_class != Some(Class::Retryable)).then_some(ClaimOutcome::AlreadyFailed)
        }
        (Status::Waiting, Reason::Delivery | Reason::Return) => {
            let until_ms = ahead(record.waits_until_ms)?;
            (until_ms <= later(now.ms, MAX_WAIT)).then_some(ClaimOutcome::Waiting { until_ms })
        }
    }
}

/// See [`Ledger::reject`](crate::ledger::Ledger::reject). Returns the number of changed rows.
pub(super) fn reject(
    connection: &Connection,
    work: &Work,
    failure: &Failure,
    now: Now,
) -> rusqlite::Result<usize> {
    forget_expired(connection, now)?;
    connection.execute(
        "INSERT INTO events (id, status, event_type, subject, published, attempts, \
         updated_at_ms, expires_at, error, error_class, error_code) \
         VALUES (:id, 'failed', :event_type, :subject, :published, 0, \
         :now_ms, :expires_at, :error, 'permanent', :code) \
         ON CONFLICT (id) DO UPDATE SET status = 'failed', \
         event_type = :event_type, subject = :subject, published = :published, \
         updated_at_ms = :now_ms, expires_at = :expires_at, \
         owner = NULL, lease_until_ms = NULL, \
         waits_until_ms = NULL, waits_for = NULL, \
         dry_run = NULL, planned = NULL, held_for = NULL, resolved_by = NULL, \
         error = :error, error_class = 'permanent', error_code = :code \
         WHERE status = 'failed' \
         OR (status = 'in_progress' AND lease_until_ms <= :now_ms)",
        named_params! {
            ":id": key(connection, work)?,
            ":event_type": work.kind,
            ":subject": work.subject,
            ":published": work.published,
            ":now_ms": now.ms,
            ":expires_at": now.expires_at,
            ":error": error_text(failure),
            ":code": failure.cause.as_str(),
        },
    )
}

/// The record's key: the work's id, unless another subject has it.
fn key(connection: &Connection, work: &Work) -> rusqlite::Result<String> {
    let sql = "SELECT 1 FROM events WHERE id = ?1 AND subject <> ?2";
    let mut of_another = connection.prepare_cached(sql)?;
    Ok(match of_another.exists((&work.id, &work.subject))? {
        true => work.own_key(),
        false => work.id.clone(),
    })
}
