//! Reads records and audit entries.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use crate::ledger::times::Now;
use crate::ledger::{AuditEntry, Filter, Record, Status};
use crate::sqlite::rows::{json, optional_word, word};

pub(super) const COLUMNS: &str = "id, status, event_type, subject, published, attempts, updated_at_ms, expires_at, lease_until_ms, error, \
     error_class, error_code, applied, waits_until_ms, waits_for, reason, dry_run, planned, held_for, \
     resolved_by, actor";

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        status: word(row, 1)?,
        event_type: row.get(2)?,
        subject: row.get(3)?,
        published: row.get(4)?,
        attempts: row.get(5)?,
        updated_at_ms: row.get(6)?,
        expires_at: row.get(7)?,
        lease_until_ms: row.get(8)?,
        error: row.get(9)?,
        error_class: optional_word(row, 10)?,
        error_code: row.get(11)?,
        applied: json(row, 12)?,
        waits_until_ms: row.get(13)?,
        waits_for: row.get(14)?,
        reason: row.get(15)?,
        dry_run: row.get(16)?,
        planned: json(row, 17)?,
        held_for: row.get(18)?,
        resolved_by: row.get(19)?,
        actor: row.get(20)?,
    })
}

/// The record of a key, unless it has expired.
pub(super) fn one(connection: &Connection, id: &str, now: Now) -> rusqlite::Result<Option<Record>> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1 AND expires_at > ?2");
    connection.query_row(&sql, (id, now.s), record).optional()
}

/// The records that match, newest first.
pub(super) fn matching(
    connection: &Connection,
    filter: &Filter,
    now: Now,
) -> rusqlite::Result<Vec<Record>> {
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS} FROM events WHERE expires_at > :now_s \
         AND (:status IS NULL OR status = :status) \
         AND (:subject IS NULL OR subject = :subject) \
         AND (:since IS NULL OR updated_at_ms >= :since) \
         ORDER BY updated_at_ms DESC, id"
    ))?;
    let rows = statement.query_map(
        named_params! {
            ":now_s": now.s,
            ":status": filter.status.map(Status::as_str),
            ":subject": filter.subject,
            ":since": filter.updated_since_ms,
        },
        record,
    )?;
    rows.collect()
}

/// The audit entries of one subject, or of all, oldest first. An unreadable entry is left out.
pub(super) fn entries(
    connection: &Connection,
    subject: Option<&str>,
    since_ms: i64,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let of_subject = if subject.is_some() {
        "subject = ?2"
    } else {
        "?2 IS NULL"
    };
    let mut statement = connection.prepare(&format!(
        "SELECT entry FROM audit WHERE at_ms >= ?1 AND {of_subject} ORDER BY at_ms, seq"
    ))?;
    let texts = statement.query_map((since_ms, subject), |row| row.get::<_, String>(0))?;
    let mut entries = Vec::new();
    for text in texts {
        entries.extend(serde_json::from_str::<AuditEntry>(&text?).ok());
    }
    Ok(entries)
}
