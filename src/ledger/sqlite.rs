//! The ledger on SQLite: tables `events`, `leases` and `audit`, every change one immediate transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::lease::Found;
use super::times::{Now, Times, error_text, warn_superseded};
use super::{
    AuditEntry, Claim, Conclusion, EndState, Ending, Filter, Lease, Leased, Ledger, Memo, Outcome,
    Reason, Record, Recorded, Status, Work,
};
use crate::clock::{Clock, later};
use crate::deadline::{MAX_LEASE, MAX_WAIT};
use crate::failure::{Class, Failure, Side};
use crate::sqlite::Database;

/// See the module.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    database: Database,
    times: Times,
    mark: &'static str,
}

impl SqliteLedger {
    /// A ledger in `database` whose records are kept for `ttl_days`.
    pub fn new(database: Database, ttl_days: u32, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            times: Times::new(clock, ttl_days),
            mark: "",
        }
    }

    /// The same ledger, with audit entries kept for `days`.
    #[must_use]
    pub fn keeping_audit(mut self, days: u32) -> Self {
        self.times = self.times.keeping_audit(days);
        self
    }

    /// The same ledger, whose claims carry `mark`: they are told apart from those of other programs
    /// on the same file.
    #[must_use]
    pub fn marked(mut self, mark: &'static str) -> Self {
        self.mark = mark;
        self
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn lease(&self, subject: &str, time: Duration) -> Result<Leased, Failure> {
        let now = self.times.now();
        let owner = format!("{}{}", self.mark, uuid::Uuid::new_v4());
        let (asked, fresh) = (subject.to_owned(), owner.clone());
        let taken = self
            .database
            .write(Side::Table, move |connection| {
                take(connection, &asked, &fresh, now, later(now.ms, time))
            })
            .await?;
        Ok(match taken {
            Ok(found) => {
                let clock = self.times.clock();
                Leased::Ours(Lease::new(subject, owner, found, now.ms, time, clock))
            }
            Err(until_ms) => Leased::Busy { until_ms },
        })
    }

    async fn renew(
        &self,
        lease: &Lease,
        claims: &[&Claim],
        time: Duration,
    ) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let until_ms = later(now.ms, time);
        let (subject, owner) = (lease.subject().to_owned(), lease.owner().to_owned());
        let claims: Vec<(String, String)> = claims
            .iter()
            .map(|claim| (claim.id.clone(), claim.owner.clone()))
            .collect();
        let wanted = claims.len() + 1;
        let renewed = self
            .database
            .write(Side::Table, move |connection| {
                let mut renewed = connection.execute(
                    "UPDATE leases SET lease_until_ms = ?3, expires_at = ?4 \
                     WHERE subject = ?1 AND owner = ?2",
                    (subject, owner, until_ms, now.memo_expires_at()),
                )?;
                for (id, owner) in claims {
                    renewed += connection.execute(
                        "UPDATE events SET lease_until_ms = ?3 \
                         WHERE id = ?1 AND owner = ?2 AND status = 'in_progress'",
                        (id, owner, until_ms),
                    )?;
                }
                Ok(renewed)
            })
            .await?;
        if renewed < wanted {
            return Ok(Recorded::Superseded);
        }
        lease.extend(now.ms, time);
        Ok(Recorded::Written)
    }

    async fn memo(&self, subject: &str) -> Result<Option<String>, Failure> {
        let (subject, now) = (subject.to_owned(), self.times.now());
        self.database
            .read(Side::Table, move |connection| {
                let sql = "SELECT memo FROM leases WHERE subject = ?1 AND expires_at > ?2";
                let memo = connection.query_row(sql, (subject, now.s), |row| row.get(0));
                Ok(memo.optional()?.flatten())
            })
            .await
    }

    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let (subject, owner) = (lease.subject().to_owned(), lease.owner().to_owned());
        let changed = self
            .database
            .write(Side::Table, move |connection| {
                connection.execute(
                    "UPDATE leases SET memo = ?3, expires_at = ?4 WHERE subject = ?1 AND owner = ?2",
                    (subject, owner, memo, now.memo_expires_at()),
                )
            })
            .await?;
        Ok(written(changed))
    }

    async fn last_held(&self, subjects: &[String]) -> Result<HashMap<String, i64>, Failure> {
        let subjects = subjects.to_vec();
        self.database
            .read(Side::Table, move |connection| {
                let mut statement =
                    connection.prepare("SELECT updated_at_ms FROM leases WHERE subject = ?1")?;
                let mut found = HashMap::new();
                for subject in subjects {
                    let at = statement
                        .query_row([&subject], |row| row.get(0))
                        .optional()?;
                    found.extend(at.map(|at| (subject, at)));
                }
                Ok(found)
            })
            .await
    }

    async fn claim(&self, work: &Work, lease: &Lease, reason: Reason) -> Result<Outcome, Failure> {
        let now = self.times.now();
        let work = work.clone();
        let owner = format!("{}{}", self.mark, uuid::Uuid::new_v4());
        let until_ms = lease.until_ms();
        self.database
            .write(Side::Table, move |connection| {
                claim(connection, &work, owner, now, until_ms, reason)
            })
            .await
    }

    async fn conclude(
        &self,
        lease: Lease,
        conclusion: Conclusion,
    ) -> Result<Vec<Recorded>, Failure> {
        let now = self.times.now();
        self.database
            .write(Side::Table, move |connection| {
                let held = release(connection, &lease, &conclusion.memo, now)?;
                let mut recorded = Vec::with_capacity(conclusion.claims.len());
                for (claim, ending) in &conclusion.claims {
                    let changed = if held == 0 {
                        0
                    } else {
                        finish(connection, claim, ending, now)?
                    };
                    if changed == 0 {
                        warn_superseded(&claim.id, ending.status());
                    }
                    recorded.push(written(changed));
                }
                if held > 0 {
                    settle(connection, lease.subject(), &conclusion, now)?;
                }
                Ok(recorded)
            })
            .await
    }

    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let (work, error) = (work.clone(), error_text(failure));
        let code = failure.cause.as_str();
        let id = work.id.clone();
        let changed = self
            .database
            .write(Side::Table, move |connection| {
                let id = key(connection, &work, now)?;
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
                     WHERE status = 'failed' OR expires_at <= :now_s \
                     OR (status = 'in_progress' AND lease_until_ms <= :now_ms)",
                    named_params! {
                        ":id": id,
                        ":event_type": work.kind,
                        ":subject": work.subject,
                        ":published": work.published,
                        ":now_ms": now.ms,
                        ":now_s": now.s,
                        ":expires_at": now.expires_at,
                        ":error": error,
                        ":code": code,
                    },
                )
            })
            .await?;
        if changed == 0 {
            warn_superseded(&id, Status::Failed);
        }
        Ok(written(changed))
    }

    async fn record(&self, id: &str) -> Result<Option<Record>, Failure> {
        let (id, now) = (id.to_owned(), self.times.now());
        self.database
            .read(Side::Table, move |connection| {
                connection
                    .query_row(
                        &format!("SELECT {COLUMNS} FROM events WHERE id = ?1 AND expires_at > ?2"),
                        (id, now.s),
                        record,
                    )
                    .optional()
            })
            .await
    }

    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure> {
        let (filter, now) = (filter.clone(), self.times.now());
        self.database
            .read(Side::Table, move |connection| {
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
            })
            .await
    }

    async fn history(&self, subject: &str, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        let subject = subject.to_owned();
        let sql = "SELECT entry FROM audit WHERE subject = ?1 AND at_ms >= ?2 ORDER BY at_ms, seq";
        self.database
            .read(Side::Table, move |connection| {
                entries(connection, sql, (subject, since_ms))
            })
            .await
    }

    async fn whole_history(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        let sql = "SELECT entry FROM audit WHERE at_ms >= ?1 ORDER BY at_ms, seq";
        self.database
            .read(Side::Table, move |connection| {
                entries(connection, sql, [since_ms])
            })
            .await
    }
}

fn written(changed: usize) -> Recorded {
    if changed > 0 {
        Recorded::Written
    } else {
        Recorded::Superseded
    }
}

/// Takes a lease; `Err` says until when another owner has it. No lease can be longer than
/// [`MAX_LEASE`]: one that seems to be was taken before the clock was set back, and is cut.
fn take(
    connection: &Connection,
    subject: &str,
    owner: &str,
    now: Now,
    until_ms: i64,
) -> rusqlite::Result<Result<Found, i64>> {
    connection.execute(
        "DELETE FROM leases WHERE expires_at <= ?1 AND subject <> ?2",
        (now.s, subject),
    )?;
    let before: Option<(Option<i64>, Option<String>, Option<i64>)> = connection
        .query_row(
            "SELECT owner, lease_until_ms, memo, expires_at, updated_at_ms FROM leases WHERE subject = ?1",
            [subject],
            |row| {
                let owner: Option<String> = row.get(0)?;
                let until_ms: Option<i64> = row.get(1)?;
                let memo: Option<String> = row.get(2)?;
                let lasts = row.get::<_, i64>(3)? > now.s;
                let updated_at_ms: Option<i64> = row.get(4)?;
                Ok((owner.and(until_ms), memo.filter(|_| lasts), updated_at_ms))
            },
        )
        .optional()?;
    let (held_until, memo, last_held_ms) = before.unwrap_or_default();
    if let Some(held) = held_until.filter(|held| *held > now.ms) {
        let cut = held.min(later(now.ms, MAX_LEASE));
        if cut < held {
            connection.execute(
                "UPDATE leases SET lease_until_ms = ?2 WHERE subject = ?1",
                (subject, cut),
            )?;
        }
        return Ok(Err(cut));
    }
    connection.execute(
        "INSERT OR REPLACE INTO leases \
         (subject, owner, lease_until_ms, updated_at_ms, expires_at, memo) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            subject,
            owner,
            until_ms,
            now.ms,
            now.memo_expires_at(),
            &memo,
        ),
    )?;
    Ok(Ok(Found {
        memo,
        took_over: held_until.is_some(),
        last_held_ms,
    }))
}

fn release(
    connection: &Connection,
    lease: &Lease,
    memo: &Memo,
    now: Now,
) -> rusqlite::Result<usize> {
    let set = match memo {
        Memo::Keep => "",
        Memo::Write(_) => ", memo = :memo",
    };
    let sql = format!(
        "UPDATE leases SET owner = NULL, lease_until_ms = NULL, updated_at_ms = :now_ms, \
         expires_at = :expires_at{set} WHERE subject = :subject AND owner = :owner"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let expires_at = now.memo_expires_at();
    let (subject, owner) = (lease.subject(), lease.owner());
    match memo {
        Memo::Keep => statement.execute(named_params! {
            ":now_ms": now.ms, ":expires_at": expires_at, ":subject": subject, ":owner": owner,
        }),
        Memo::Write(memo) => statement.execute(named_params! {
            ":now_ms": now.ms, ":expires_at": expires_at, ":subject": subject, ":owner": owner,
            ":memo": memo,
        }),
    }
}

/// Resolves earlier records and appends the audit entries.
fn settle(
    connection: &Connection,
    subject: &str,
    conclusion: &Conclusion,
    now: Now,
) -> rusqlite::Result<()> {
    for resolved in &conclusion.resolved {
        connection.execute(
            "UPDATE events SET status = 'resolved', resolved_by = ?2, updated_at_ms = ?3 \
             WHERE id = ?1 AND status IN ('failed', 'held')",
            (&resolved.id, &resolved.by, now.ms),
        )?;
    }
    if conclusion.audit.is_empty() {
        return Ok(());
    }
    connection.execute("DELETE FROM audit WHERE expires_at <= ?1", [now.s])?;
    let sql = "INSERT INTO audit (subject, at_ms, entry, expires_at) VALUES (?1, ?2, ?3, ?4)";
    let mut insert = connection.prepare_cached(sql)?;
    for entry in &conclusion.audit {
        if let Ok(text) = serde_json::to_string(entry) {
            insert.execute((subject, entry.at_ms, text, now.audit_expires_at))?;
        }
    }
    Ok(())
}

/// The audit entries that `sql` finds.
fn entries(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let mut statement = connection.prepare(sql)?;
    let texts = statement.query_map(parameters, |row| row.get::<_, String>(0))?;
    let mut entries = Vec::new();
    for text in texts {
        entries.extend(serde_json::from_str::<AuditEntry>(&text?).ok());
    }
    Ok(entries)
}

fn finish(
    connection: &Connection,
    claim: &Claim,
    ending: &Ending,
    now: Now,
) -> rusqlite::Result<usize> {
    let mut error = (None, None, None);
    let mut waits = (None, None);
    let (mut dry_run, mut planned, mut held_for) = (None, None, None);
    match &ending.state {
        EndState::Done => {}
        EndState::Planned { steps } => {
            dry_run = Some(1);
            planned = serde_json::to_string(steps).ok();
        }
        EndState::Held { steps, why } => {
            held_for = Some(why);
            planned = serde_json::to_string(steps).ok();
        }
        EndState::Failed(failure) => {
            error = (
                Some(error_text(failure)),
                Some(failure.class.as_str()),
                Some(failure.cause.as_str()),
            );
        }
        EndState::Waiting { until_ms, seen } => waits = (Some(*until_ms), Some(seen)),
    }
    let before: Option<String> = connection
        .query_row(
            "SELECT applied FROM events WHERE id = ?1",
            [&claim.id],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    let mut applied: Vec<String> = before
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    applied.extend(ending.applied.iter().cloned());
    let is_told = !applied.is_empty() || ending.status() == Status::Done;
    let applied = serde_json::to_string(&applied).ok().filter(|_| is_told);
    connection.execute(
        "UPDATE events SET status = :status, updated_at_ms = :now_ms, expires_at = :expires_at, \
         lease_until_ms = NULL, unfinished = 0, error = :error, error_class = :class, error_code = :code, \
         applied = :applied, waits_until_ms = :waits_until_ms, waits_for = :waits_for, \
         dry_run = :dry_run, planned = :planned, held_for = :held_for \
         WHERE id = :id AND owner = :owner AND status = 'in_progress'",
        named_params! {
            ":status": ending.status().as_str(),
            ":now_ms": now.ms,
            ":expires_at": now.expires_at,
            ":error": error.0,
            ":class": error.1,
            ":code": error.2,
            ":applied": applied,
            ":waits_until_ms": waits.0,
            ":waits_for": waits.1,
            ":dry_run": dry_run,
            ":planned": planned,
            ":held_for": held_for,
            ":id": claim.id,
            ":owner": claim.owner,
        },
    )
}

/// The record's key: the work's id, unless another subject has it.
fn key(connection: &Connection, work: &Work, now: Now) -> rusqlite::Result<String> {
    let sql = "SELECT 1 FROM events WHERE id = ?1 AND subject <> ?2 AND expires_at > ?3";
    let mut of_another = connection.prepare_cached(sql)?;
    Ok(if of_another.exists((&work.id, &work.subject, now.s))? {
        work.own_key()
    } else {
        work.id.clone()
    })
}

/// Looks and writes; nobody else can write in between.
fn claim(
    connection: &Connection,
    work: &Work,
    owner: String,
    now: Now,
    lease_until_ms: i64,
    reason: Reason,
) -> rusqlite::Result<Outcome> {
    // What DynamoDB's TTL does by itself.
    connection.execute(
        "DELETE FROM events WHERE expires_at <= ?1 AND id <> ?2",
        (now.s, &work.id),
    )?;
    let id = key(connection, work, now)?;
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = ?1");
    let before = connection.query_row(&sql, [&id], record).optional()?;
    let (attempts, deaths) = match &before {
        None => (1, 0),
        Some(record) => {
            if record.expires_at > now.s
                && let Some(refusal) = refuse(record, now, reason)
            {
                return Ok(refusal);
            }
            let sql = "SELECT unfinished FROM events WHERE id = ?1";
            let unfinished: u32 = connection.query_row(sql, [&id], |row| row.get(0))?;
            let died = u32::from(record.status == Status::InProgress);
            (record.attempts.saturating_add(1), unfinished.max(died))
        }
    };
    let actor = before.as_ref().and_then(|record| record.actor.clone());
    let applied = before
        .filter(|_| reason == Reason::Delivery)
        .and_then(|record| record.applied)
        .and_then(|applied| serde_json::to_string(&applied).ok());
    connection.execute(
        "INSERT OR REPLACE INTO events (id, status, event_type, subject, published, attempts, \
         owner, lease_until_ms, updated_at_ms, expires_at, unfinished, applied, reason, actor) \
         VALUES (?1, 'in_progress', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        (
            &id,
            &work.kind,
            &work.subject,
            &work.published,
            attempts,
            &owner,
            lease_until_ms,
            now.ms,
            now.expires_at,
            deaths + 1,
            applied,
            &work.reason,
            work.actor.as_ref().or(actor.as_ref()),
        ),
    )?;
    Ok(Outcome::Claimed(Claim {
        id,
        owner,
        attempts,
        took_over: deaths > 0,
        deaths,
    }))
}

/// The answer when the record does not allow a claim; `None` when it does. As with leases, a time
/// further ahead than it can be is from before the clock was set back.
fn refuse(record: &Record, now: Now, reason: Reason) -> Option<Outcome> {
    let ahead = |until: Option<i64>| until.filter(|until| *until > now.ms);
    match (record.status, reason) {
        (Status::InProgress, _) => {
            let until_ms = ahead(record.lease_until_ms)?;
            (until_ms <= later(now.ms, MAX_LEASE)).then_some(Outcome::Busy { until_ms })
        }
        (_, Reason::Replay | Reason::Approval) => None,
        (Status::Done | Status::Held | Status::Resolved, Reason::Delivery) => {
            Some(Outcome::AlreadyDone)
        }
        (Status::Failed, Reason::Delivery) => {
            (record.error_class != Some(Class::Retryable)).then_some(Outcome::AlreadyFailed)
        }
        (Status::Waiting, Reason::Delivery) => {
            let until_ms = ahead(record.waits_until_ms)?;
            (until_ms <= later(now.ms, MAX_WAIT)).then_some(Outcome::Waiting { until_ms })
        }
    }
}

const COLUMNS: &str = "id, status, event_type, subject, published, attempts, updated_at_ms, \
                       expires_at, lease_until_ms, error, error_class, error_code, applied, \
                       waits_until_ms, waits_for, reason, dry_run, planned, held_for, resolved_by, \
                       actor";

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let list = |column| {
        let text = row.get_ref(column)?.as_str_or_null()?;
        Ok::<_, rusqlite::Error>(text.and_then(|text| serde_json::from_str(text).ok()))
    };
    Ok(Record {
        id: row.get(0)?,
        status: Status::from_word(row.get_ref(1)?.as_str()?).unwrap_or(Status::Failed),
        event_type: row.get(2)?,
        subject: row.get(3)?,
        published: row.get(4)?,
        attempts: row.get(5)?,
        updated_at_ms: row.get(6)?,
        expires_at: row.get(7)?,
        lease_until_ms: row.get(8)?,
        error: row.get(9)?,
        error_class: match row.get_ref(10)?.as_str_or_null()? {
            None => None,
            Some("retryable") => Some(Class::Retryable),
            Some(_) => Some(Class::Permanent),
        },
        error_code: row.get(11)?,
        applied: list(12)?,
        waits_until_ms: row.get(13)?,
        waits_for: row.get(14)?,
        reason: row.get(15)?,
        dry_run: row.get::<_, Option<i64>>(16)?.map(|_| true),
        planned: list(17)?,
        held_for: row.get(18)?,
        resolved_by: row.get(19)?,
        actor: row.get(20)?,
    })
}
