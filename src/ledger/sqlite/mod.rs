//! The ledger on SQLite: tables `events`, `leases` and `audit`, every change one immediate transaction.

mod claim;
mod conclude;
mod lease;
mod records;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

use super::conclusion::warn_superseded;
use super::lease::LeaseKey;
use super::times::Times;
use super::{
    AuditEntry, Claim, ClaimOutcome, Conclusion, Filter, Lease, Leased, Ledger, Reason, Record,
    Recorded, Status, Work,
};
use crate::clock::{Clock, later};
use crate::failure::{Failure, Side};
use crate::sqlite::Database;

pub(crate) use lease::write_memo;

/// See the module.
#[derive(Clone)]
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

    /// The same ledger, whose claims have `mark`. It tells them apart from the claims of other programs on the same file.
    #[must_use]
    pub fn marked(mut self, mark: &'static str) -> Self {
        self.mark = mark;
        self
    }

    fn fresh_owner(&self) -> String {
        format!("{}{}", self.mark, uuid::Uuid::new_v4())
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.database.write(Side::Table, work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.database.read(Side::Table, work).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn lease(&self, subject: &str, time: Duration) -> Result<Leased, Failure> {
        let now = self.times.now();
        let key = LeaseKey {
            subject: subject.to_owned(),
            owner: self.fresh_owner(),
        };
        let asked = key.clone();
        let taken = self
            .write(move |connection| lease::take(connection, &asked, now, later(now.ms, time)))
            .await?;
        Ok(match taken {
            Ok(found) => Leased::Ours(Lease::new(key, found, now.ms, time, self.times.clock())),
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
        let key = lease.key().clone();
        let claims: Vec<(String, String)> = claims
            .iter()
            .map(|claim| (claim.id.clone(), claim.owner.clone()))
            .collect();
        let wanted = claims.len() + 1;
        let renewed = self
            .write(move |connection| {
                let mut renewed = connection.execute(
                    "UPDATE leases SET lease_until_ms = ?3, expires_at = ?4 \
                     WHERE subject = ?1 AND owner = ?2",
                    (key.subject, key.owner, until_ms, now.memo_expires_at()),
                )?;
                for (id, owner) in claims {
                    renewed += connection.execute(
                        "UPDATE events SET lease_until_ms = ?3 \
                         WHERE id = ?1 AND owner = ?2 AND lease_until_ms IS NOT NULL",
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
        self.read(move |connection| {
            let sql = "SELECT memo FROM leases WHERE subject = ?1 AND expires_at > ?2";
            let memo = connection.query_row(sql, (subject, now.s), |row| row.get(0));
            Ok(memo.optional()?.flatten())
        })
        .await
    }

    async fn write_memo(&self, lease: &Lease, memo: Option<String>) -> Result<Recorded, Failure> {
        let now = self.times.now();
        let key = lease.key().clone();
        let changed = self
            .write(move |connection| {
                connection.execute(
                    "UPDATE leases SET memo = ?3, expires_at = ?4 WHERE subject = ?1 AND owner = ?2",
                    (key.subject, key.owner, memo, now.memo_expires_at()),
                )
            })
            .await?;
        Ok(recorded(changed))
    }

    async fn last_leased(&self, subjects: &[String]) -> Result<HashMap<String, i64>, Failure> {
        let subjects = subjects.to_vec();
        self.read(move |connection| {
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

    async fn claim(
        &self,
        work: &Work,
        lease: &Lease,
        reason: Reason,
    ) -> Result<ClaimOutcome, Failure> {
        let (work, now, until_ms) = (work.clone(), self.times.now(), lease.until_ms());
        let owner = self.fresh_owner();
        self.write(move |connection| claim::claim(connection, &work, owner, now, until_ms, reason))
            .await
    }

    async fn conclude(
        &self,
        lease: Lease,
        conclusion: Conclusion,
    ) -> Result<Vec<Recorded>, Failure> {
        let now = self.times.now();
        self.write(move |connection| conclude::conclude(connection, &lease, &conclusion, now))
            .await
    }

    async fn reject(&self, work: &Work, failure: &Failure) -> Result<Recorded, Failure> {
        let (rejected, failure, now) = (work.clone(), failure.clone(), self.times.now());
        let changed = self
            .write(move |connection| claim::reject(connection, &rejected, &failure, now))
            .await?;
        if changed == 0 {
            warn_superseded(&work.id, Status::Failed);
        }
        Ok(recorded(changed))
    }

    async fn record(&self, id: &str) -> Result<Option<Record>, Failure> {
        let (id, now) = (id.to_owned(), self.times.now());
        self.read(move |connection| records::one(connection, &id, now))
            .await
    }

    async fn records(&self, filter: &Filter) -> Result<Vec<Record>, Failure> {
        let (filter, now) = (filter.clone(), self.times.now());
        self.read(move |connection| records::matching(connection, &filter, now))
            .await
    }

    async fn history(&self, subject: &str, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        let subject = subject.to_owned();
        self.read(move |connection| records::entries(connection, Some(&subject), since_ms))
            .await
    }

    async fn whole_history(&self, since_ms: i64) -> Result<Vec<AuditEntry>, Failure> {
        self.read(move |connection| records::entries(connection, None, since_ms))
            .await
    }
}

fn recorded(changed: usize) -> Recorded {
    match changed {
        0 => Recorded::Superseded,
        _ => Recorded::Written,
    }
}

/// A value as a column of JSON.
fn json(value: impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(&value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
