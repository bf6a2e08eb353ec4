//! Leases, in the caller's transaction.

use rusqlite::{Connection, OptionalExtension as _};

use crate::clock::later;
use crate::deadline::MAX_LEASE;
use crate::ledger::lease::{Found, LeaseKey};
use crate::ledger::times::Now;
use crate::ledger::{Lease, Memo};

/// Takes a lease. `Err` says until when another owner has it. A lease that seems longer than [`MAX_LEASE`] was taken
/// before the clock was set back, and is cut.
pub(super) fn take(
    connection: &Connection,
    key: &LeaseKey,
    now: Now,
    until_ms: i64,
) -> rusqlite::Result<Result<Found, i64>> {
    connection.execute(
        "DELETE FROM leases WHERE expires_at <= ?1 AND subject <> ?2",
        (now.s, &key.subject),
    )?;
    let before: Option<(Option<i64>, Option<String>, Option<i64>)> = connection
        .query_row(
            "SELECT iif(owner IS NULL, NULL, lease_until_ms), iif(expires_at > ?2, memo, NULL), updated_at_ms \
             FROM leases WHERE subject = ?1",
            (&key.subject, now.s),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let (until, memo, last_leased_ms) = before.unwrap_or_default();
    if let Some(until) = until.filter(|until| *until > now.ms) {
        let cut = until.min(later(now.ms, MAX_LEASE));
        if cut < until {
            connection.execute(
                "UPDATE leases SET lease_until_ms = ?2 WHERE subject = ?1",
                (&key.subject, cut),
            )?;
        }
        return Ok(Err(cut));
    }
    connection.execute(
        "INSERT OR REPLACE INTO leases \
         (subject, owner, lease_until_ms, updated_at_ms, expires_at, memo) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            &key.subject,
            &key.owner,
            until_ms,
            now.ms,
            now.memo_expires_at(),
            &memo,
        ),
    )?;
    Ok(Ok(Found {
        memo,
        took_over: until.is_some(),
        last_leased_ms,
    }))
}

/// Writes the memo of a lease. Returns whether its owner still has it.
pub(crate) fn write_memo(
    connection: &Connection,
    key: &LeaseKey,
    memo: &Memo,
) -> rusqlite::Result<bool> {
    let (subject, owner) = (&key.subject, &key.owner);
    match memo {
        Memo::Keep => connection
            .prepare_cached("SELECT 1 FROM leases WHERE subject = ?1 AND owner = ?2")?
            .exists((subject, owner)),
        Memo::Write(memo) => connection
            .prepare_cached("UPDATE leases SET memo = ?3 WHERE subject = ?1 AND owner = ?2")?
            .execute((subject, owner, memo))
            .map(|changed| changed > 0),
    }
}

/// Gives a lease back with its memo. A row without a memo is useful only for some days. Returns whether its owner still
/// had the lease.
pub(super) fn release(
    connection: &Connection,
    lease: &Lease,
    memo: &Memo,
    now: Now,
) -> rusqlite::Result<bool> {
    let key = lease.key();
    let is_ours = write_memo(connection, key, memo)?;
    if is_ours {
        connection.execute(
            "UPDATE leases SET owner = NULL, lease_until_ms = NULL, updated_at_ms = ?2, \
             expires_at = iif(memo IS NULL, ?3, ?4) WHERE subject = ?1",
            (
                &key.subject,
                now.ms,
                now.free_lease_expires_at(false),
                now.free_lease_expires_at(true),
            ),
        )?;
    }
    Ok(is_ours)
}
