//! The end of a run: its claims, the other records that it settles, and its audit entries.

use rusqlite::Connection;

use super::lease::release;
use super::{json, recorded};
use crate::ledger::conclusion::{error_text, warn_superseded};
use crate::ledger::times::Now;
use crate::ledger::{Claim, Conclusion, EndState, Ending, Lease, Recorded, Status};

/// See [`Ledger::conclude`](crate::ledger::Ledger::conclude).
pub(super) fn conclude(
    connection: &Connection,
    lease: &Lease,
    conclusion: &Conclusion,
    now: Now,
) -> rusqlite::Result<Vec<Recorded>> {
    let is_ours = release(connection, lease, &conclusion.memo, now)?;
    let mut all = Vec::with_capacity(conclusion.claims.len());
    for (claim, ending) in &conclusion.claims {
        let changed = match is_ours {
            true => finish(connection, claim, ending, now)?,
            false => 0,
        };
        if changed == 0 {
            warn_superseded(&claim.id, ending.status());
        }
        all.push(recorded(changed));
    }
    if is_ours {
        settle(connection, lease.subject(), conclusion, now)?;
    }
    Ok(all)
}

/// Records the end of one claim.
fn finish(
    connection: &Connection,
    claim: &Claim,
    ending: &Ending,
    now: Now,
) -> rusqlite::Result<usize> {
    let id = &claim.id;
    let changed = connection.execute(
        "UPDATE events SET status = ?3, updated_at_ms = ?4, expires_at = ?5, lease_until_ms = NULL, unfinished = 0, \
         planned = NULL, held_for = NULL WHERE id = ?1 AND owner = ?2 AND lease_until_ms IS NOT NULL",
        (
            id,
            &claim.owner,
            ending.status().as_str(),
            now.ms,
            now.record_expires_at(ending.status()),
        ),
    )?;
    if changed == 0 {
        return Ok(0);
    }
    if ending.status() == Status::Done {
        remove_dead_letter(connection, id)?;
        let sql = "UPDATE events SET applied = coalesce(applied, '[]') WHERE id = ?1";
        connection.execute(sql, [id])?;
    }
    for step in &ending.applied {
        connection.execute(
            "UPDATE events SET applied = json_insert(coalesce(applied, '[]'), '$[#]', ?2) WHERE id = ?1",
            (id, step),
        )?;
    }
    match &ending.state {
        EndState::Done => {}
        EndState::Planned { steps } => {
            let sql = "UPDATE events SET dry_run = 1, planned = ?2 WHERE id = ?1";
            connection.execute(sql, (id, json(steps)?))?;
        }
        EndState::Held { steps, why } => {
            let sql = "UPDATE events SET planned = ?2, held_for = ?3 WHERE id = ?1";
            connection.execute(sql, (id, json(steps)?, why))?;
        }
        EndState::Failed(failure) => {
            let sql =
                "UPDATE events SET error = ?2, error_class = ?3, error_code = ?4 WHERE id = ?1";
            let (class, cause) = (failure.class.as_str(), failure.cause.as_str());
            connection.execute(sql, (id, error_text(failure), class, cause))?;
            if !ending.planned.is_empty() {
                let sql = "UPDATE events SET planned = ?2 WHERE id = ?1";
                connection.execute(sql, (id, json(&ending.planned)?))?;
            }
        }
        EndState::Waiting { until_ms, seen } => {
            let sql = "UPDATE events SET waits_until_ms = ?2, waits_for = ?3 WHERE id = ?1";
            connection.execute(sql, (id, until_ms, seen))?;
        }
    }
    Ok(changed)
}

/// Removes the dead letter of a record that is settled, because it waits for nothing any more.
fn remove_dead_letter(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let uuid = id.split('#').next().unwrap_or(id);
    let sql = "DELETE FROM messages WHERE dead = 1 AND uuid = ?1 \
               AND subject = (SELECT subject FROM events WHERE id = ?2)";
    connection.prepare_cached(sql)?.execute([uuid, id])?;
    Ok(())
}

/// Resolves earlier records and appends the audit entries.
fn settle(
    connection: &Connection,
    subject: &str,
    conclusion: &Conclusion,
    now: Now,
) -> rusqlite::Result<()> {
    for resolved in &conclusion.resolved {
        let changed = connection.execute(
            "UPDATE events SET status = 'resolved', resolved_by = ?2, updated_at_ms = ?3, expires_at = ?4, \
             lease_until_ms = NULL WHERE id = ?1 AND (status IN ('failed', 'held') \
             OR (status = 'in_progress' AND lease_until_ms <= ?3))",
            (&resolved.id, &resolved.by, now.ms, now.expires_at),
        )?;
        if changed > 0 {
            remove_dead_letter(connection, &resolved.id)?;
        }
    }
    if conclusion.audit.is_empty() {
        return Ok(());
    }
    connection.execute("DELETE FROM audit WHERE expires_at <= ?1", [now.s])?;
    let sql = "INSERT INTO audit (subject, at_ms, entry, expires_at) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(sql)?;
    for entry in &conclusion.audit {
        insert.execute((subject, entry.at_ms, json(entry)?, now.audit_expires_at))?;
    }
    Ok(())
}
