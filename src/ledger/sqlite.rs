//! The ledger on SQLite: table `events`, every change one immediate transaction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::times::{Now, Times, error_text, warn_superseded};
use super::{Claim, Filter, Ledger, Outcome, Reason, Record, Recorded, Status, Work};
use crate::clock::Clock;
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

    /// The same ledger, whose claims carry `mark`: they are told apart from those of other programs
    /// on the same file.
    #[must_use]
    pub fn marked(mut self, mark: &'static str) -> Self {
        self.mark = mark;
        self
    }

    async fn finish(
        &self,
        claim: Claim,
        status: Status,
        error: Option<(String, Class)>,
    ) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let id = claim.id.clone();
        let changed = self
            .database
            .write(Side::Table, move |connection| {
                let (text, class) = error.map_or((None, None), |(text, class)| {
                    (Some(text), Some(class.as_str()))
                });
                connection.execute(
                    "UPDATE events SET status = :status, updated_at_ms = :now_ms, \
                     expires_at = :expires_at, lease_until_ms = NULL, \
                     error = :error, error_class = :class \
                     WHERE id = :id AND owner = :owner AND status = 'in_progress'",
                    named_params! {
                        ":status": status.as_str(),
                        ":now_ms": now.ms,
                        ":expires_at": now.expires_at,
                        ":error": text,
                        ":class": class,
                        ":id": claim.id,
                        ":owner": claim.owner,
                    },
                )
            })
            .await?;
        Ok(recorded(changed, &id, status))
    }
}

fn recorded(changed: usize, id: &str, wanted: Status) -> Recorded {
    if changed > 0 {
        Recorded::Written
    } else {
        warn_superseded(id, wanted);
        Recorded::Superseded
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn claim(
        &self,
        work: &Work,
        lease: Duration,
        reason: Reason,
    ) -> Result<Outcome, Failure> {
        let now = self.times.now();
        let work = work.clone();
        let owner = format!("{}{}", self.mark, uuid::Uuid::new_v4());
        self.database
            .write(Side::Table, move |connection| {
                let lease_until_ms = now.lease_until_ms(lease);
                claim(connection, &work, owner, now, lease_until_ms, reason)
            })
            .await
    }

    async fn complete(&self, claim: Claim) -> Result<Recorded, Failure> {
        self.finish(claim, Status::Done, None).await
    }

    async fn fail(&self, claim: Claim, failure: &Failure) -> Result<Recorded, Failure> {
        let error = (error_text(failure), failure.class);
        self.finish(claim, Status::Failed, Some(error)).await
    }

    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let (work, error) = (work.clone(), error_text(failure));
        let id = work.id.clone();
        let changed = self
            .database
            .write(Side::Table, move |connection| {
                connection.execute(
                    "INSERT INTO events (id, status, event_type, subject, published, attempts, \
                     updated_at_ms, expires_at, error, error_class) \
                     VALUES (:id, 'failed', :event_type, :subject, :published, 0, \
                     :now_ms, :expires_at, :error, 'permanent') \
                     ON CONFLICT (id) DO UPDATE SET status = 'failed', \
                     event_type = :event_type, subject = :subject, published = :published, \
                     updated_at_ms = :now_ms, expires_at = :expires_at, \
                     owner = NULL, lease_until_ms = NULL, \
                     error = :error, error_class = 'permanent' \
                     WHERE status = 'failed' OR expires_at <= :now_s \
                     OR (status = 'in_progress' AND lease_until_ms <= :now_ms)",
                    named_params! {
                        ":id": work.id,
                        ":event_type": work.kind,
                        ":subject": work.subject,
                        ":published": work.published,
                        ":now_ms": now.ms,
                        ":now_s": now.s,
                        ":expires_at": now.expires_at,
                        ":error": error,
                    },
                )
            })
            .await?;
        Ok(recorded(changed, &id, Status::Failed))
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
    let before = connection
        .query_row(
            &format!("SELECT {COLUMNS} FROM events WHERE id = ?1"),
            [&work.id],
            record,
        )
        .optional()?;
    let (attempts, took_over) = match &before {
        None => (1, false),
        Some(record) => {
            if record.expires_at > now.s
                && let Some(refusal) = refuse(record, now, reason)
            {
                return Ok(refusal);
            }
            (
                record.attempts.saturating_add(1),
                record.status == Status::InProgress,
            )
        }
    };
    connection.execute(
        "INSERT OR REPLACE INTO events (id, status, event_type, subject, published, attempts, \
         owner, lease_until_ms, updated_at_ms, expires_at) \
         VALUES (?1, 'in_progress', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            &work.id,
            &work.kind,
            &work.subject,
            &work.published,
            attempts,
            &owner,
            lease_until_ms,
            now.ms,
            now.expires_at,
        ),
    )?;
    Ok(Outcome::Claimed(Claim {
        id: work.id.clone(),
        owner,
        attempts,
        took_over,
    }))
}

/// The answer when the record does not allow a claim; `None` when it does.
fn refuse(record: &Record, now: Now, reason: Reason) -> Option<Outcome> {
    match (record.status, reason) {
        (Status::InProgress, _) => {
            let until_ms = record.lease_until_ms.unwrap_or(now.ms);
            (until_ms > now.ms).then_some(Outcome::Busy { until_ms })
        }
        (_, Reason::Replay) => None,
        (Status::Done, Reason::Delivery) => Some(Outcome::AlreadyDone),
        (Status::Failed, Reason::Delivery) => {
            (record.error_class != Some(Class::Retryable)).then_some(Outcome::AlreadyFailed)
        }
    }
}

const COLUMNS: &str = "id, status, event_type, subject, published, attempts, updated_at_ms, \
                       expires_at, lease_until_ms, error, error_class";

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get(0)?,
        status: match row.get_ref(1)?.as_str()? {
            "in_progress" => Status::InProgress,
            "done" => Status::Done,
            _ => Status::Failed,
        },
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
    })
}
