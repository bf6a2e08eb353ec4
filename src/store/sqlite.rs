//! The store on SQLite: one table for each kind of item, every write one immediate transaction.

mod links;

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    AccountOwner, Document, Documents, Linked, Recalled, RemovalCount, Store, Stored, TeamLink,
    TeamPairs, UserLink,
    documents::{REMOVALS_MS, REMOVALS_SPAN_MS},
};
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::ledger::{Lease, Memo, write_memo};
use crate::sqlite::Database;
use crate::sqlite::rows::{json, optional_word, word};

/// See the module.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
}

const USER: &str = "okta_user, anypoint_id, username, origin, agreed, reset_mail";
const TEAM: &str = "okta_group, team_id, team_name, origin";

impl SqliteStore {
    /// A store in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.database.write(Side::Table, work).await
    }

    /// Runs `work` in one transaction, if the owner still has the lease.
    async fn write_under<T, F>(&self, lease: &Lease, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let key = lease.key().clone();
        let written = self
            .write(move |connection| {
                let is_ours = write_memo(connection, &key, &Memo::Keep)?;
                is_ours.then(|| work(connection)).transpose()
            })
            .await?;
        written.ok_or_else(|| lease.lost())
    }

    /// The rows that `sql` finds for each of `ids`.
    async fn many<Id, T>(
        &self,
        sql: String,
        ids: &[Id],
        read: fn(&Row<'_>) -> rusqlite::Result<(Id, T)>,
    ) -> Result<HashMap<Id, T>, Failure>
    where
        Id: Clone + Into<String> + Eq + std::hash::Hash + Send + 'static,
        T: Send + 'static,
    {
        let ids: Vec<String> = ids.iter().cloned().map(Into::into).collect();
        self.database
            .read(Side::Table, move |connection| {
                let mut statement = connection.prepare(&sql)?;
                let mut found = HashMap::new();
                for id in ids {
                    found.extend(statement.query_row([id], read).optional()?);
                }
                Ok(found)
            })
            .await
    }

    async fn all<Id, T>(
        &self,
        sql: String,
        read: fn(&Row<'_>) -> rusqlite::Result<(Id, T)>,
    ) -> Result<HashMap<Id, T>, Failure>
    where
        Id: Eq + std::hash::Hash + Send + 'static,
        T: Send + 'static,
    {
        self.database
            .read(Side::Table, move |connection| {
                let mut statement = connection.prepare(&sql)?;
                let rows = statement.query_map([], read)?;
                rows.collect()
            })
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn user_link(&self, user: &OktaUserId) -> Result<Option<UserLink>, Failure> {
        let found = self.user_links(std::slice::from_ref(user)).await?;
        Ok(found.into_values().next())
    }

    async fn user_links(
        &self,
        users: &[OktaUserId],
    ) -> Result<HashMap<OktaUserId, UserLink>, Failure> {
        let sql = format!("SELECT {USER} FROM user_links WHERE okta_user = ?1");
        self.many(sql, users, user_link).await
    }

    async fn all_user_links(&self) -> Result<HashMap<OktaUserId, UserLink>, Failure> {
        self.all(format!("SELECT {USER} FROM user_links"), user_link)
            .await
    }

    async fn recall_user(&self, user: &OktaUserId) -> Result<Recalled, Failure> {
        // The migration of the file moved older intents into the memos.
        Ok(Recalled {
            link: self.user_link(user).await?,
            old_intent: None,
        })
    }

    async fn link_user(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        link: &UserLink,
        _before: Option<&UserLink>,
        memo: Memo,
    ) -> Result<Linked<OktaUserId>, Failure> {
        let (user, link, key) = (user.clone(), link.clone(), lease.key().clone());
        self.write_under(lease, move |connection| {
            let linked = links::link_user(connection, &user, &link)?;
            if linked == Linked::Written {
                write_memo(connection, &key, &memo)?;
            }
            Ok(linked)
        })
        .await
    }

    async fn unlink_user(&self, lease: &Lease, user: &OktaUserId) -> Result<(), Failure> {
        let user = user.clone();
        self.write_under(lease, move |connection| {
            links::unlink_user(connection, &user)
        })
        .await
    }

    async fn record_orphan(
        &self,
        lease: &Lease,
        user: &OktaUserId,
        account: &AccountId,
        memo: Memo,
    ) -> Result<(), Failure> {
        let (user, account, key) = (user.to_string(), account.to_string(), lease.key().clone());
        self.write_under(lease, move |connection| {
            connection.execute(
                "INSERT OR IGNORE INTO accounts (anypoint_id, okta_user, tenure, origin) \
                 VALUES (?1, ?2, 'former', 'created')",
                (account, user),
            )?;
            write_memo(connection, &key, &memo).map(|_| ())
        })
        .await
    }

    async fn forget_old_intent(&self, _user: &OktaUserId) -> Result<(), Failure> {
        Ok(())
    }

    async fn account_owners(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, AccountOwner>, Failure> {
        let sql =
            "SELECT anypoint_id, okta_user, tenure, origin FROM accounts WHERE anypoint_id = ?1";
        self.many(sql.to_owned(), accounts, |row| {
            let owner = AccountOwner {
                okta_user: word(row, 1)?,
                tenure: word(row, 2)?,
                origin: optional_word(row, 3)?,
            };
            Ok((word(row, 0)?, owner))
        })
        .await
    }

    async fn team_pairs(
        &self,
        groups: &[OktaGroupId],
        teams: &[TeamId],
    ) -> Result<TeamPairs, Failure> {
        let links = format!("SELECT {TEAM} FROM team_links WHERE okta_group = ?1");
        let owners = "SELECT team_id, okta_group FROM teams WHERE team_id = ?1".to_owned();
        Ok((
            self.many(links, groups, team_link).await?,
            self.many(owners, teams, |row| Ok((word(row, 0)?, word(row, 1)?)))
                .await?,
        ))
    }

    async fn all_team_links(&self) -> Result<HashMap<OktaGroupId, TeamLink>, Failure> {
        self.all(format!("SELECT {TEAM} FROM team_links"), team_link)
            .await
    }

    async fn link_team(
        &self,
        lease: &Lease,
        group: &OktaGroupId,
        link: &TeamLink,
        _before: Option<&TeamLink>,
    ) -> Result<Linked<OktaGroupId>, Failure> {
        let (group, link) = (group.clone(), link.clone());
        self.write_under(lease, move |connection| {
            links::link_team(connection, &group, &link)
        })
        .await
    }

    async fn unlink_team(&self, lease: &Lease, group: &OktaGroupId) -> Result<(), Failure> {
        let group = group.clone();
        self.write_under(lease, move |connection| {
            links::unlink_team(connection, &group)
        })
        .await
    }

    async fn repair_reverse_entries(
        &self,
        users: &HashMap<OktaUserId, UserLink>,
        teams: &HashMap<OktaGroupId, TeamLink>,
    ) -> Result<(), Failure> {
        let users: Vec<_> = users
            .iter()
            .map(|(user, link)| (link.anypoint_id.to_string(), user.to_string()))
            .collect();
        let teams: Vec<_> = teams
            .iter()
            .map(|(group, link)| (link.team_id.to_string(), group.to_string()))
            .collect();
        self.write(move |connection| links::repair(connection, users, teams))
            .await
    }
}

#[async_trait]
impl Documents for SqliteStore {
    async fn document(&self, name: &str) -> Result<Option<Document>, Failure> {
        let name = name.to_owned();
        self.database
            .read(Side::Table, move |connection| {
                connection
                    .query_row(
                        "SELECT json, version FROM documents WHERE name = ?1",
                        [name],
                        |row| {
                            Ok(Document {
                                json: row.get(0)?,
                                version: row.get::<_, i64>(1)?.unsigned_abs(),
                            })
                        },
                    )
                    .optional()
            })
            .await
    }

    async fn put_document(&self, name: &str, json: &str, expected: u64) -> Result<Stored, Failure> {
        let (name, json) = (name.to_owned(), json.to_owned());
        let expected = i64::try_from(expected).unwrap_or(i64::MAX);
        self.write(move |connection| {
            let changed = if expected == 0 {
                connection.execute(
                    "INSERT OR IGNORE INTO documents (name, json, version) VALUES (?1, ?2, 1)",
                    (name, json),
                )?
            } else {
                connection.execute(
                    "UPDATE documents SET json = ?2, version = version + 1 \
                     WHERE name = ?1 AND version = ?3",
                    (name, json, expected),
                )?
            };
            Ok(if changed > 0 {
                Stored::Written
            } else {
                Stored::Conflict
            })
        })
        .await
    }

    async fn count_removals(
        &self,
        people: &[String],
        now_ms: i64,
    ) -> Result<RemovalCount, Failure> {
        let people = people.to_vec();
        self.write(move |connection| {
            let oldest = now_ms.saturating_sub(REMOVALS_MS);
            let span = now_ms.div_euclid(REMOVALS_SPAN_MS);
            let ahead = (span + 1).saturating_mul(REMOVALS_SPAN_MS);
            connection.execute("DELETE FROM removals WHERE at_ms <= ?1", [oldest])?;
            let mut newly = Vec::new();
            for person in people {
                let sql = "INSERT INTO removals (person, at_ms) VALUES (?1, ?2) \
                           ON CONFLICT (person) DO UPDATE SET at_ms = ?2 WHERE at_ms >= ?3";
                if connection.execute(sql, (&person, now_ms, ahead))? > 0 {
                    newly.push(person);
                }
            }
            let sql = "SELECT COUNT(*) FROM removals WHERE at_ms < ?1";
            let total: i64 = connection.query_row(sql, [ahead], |row| row.get(0))?;
            let total = usize::try_from(total).unwrap_or(usize::MAX);
            Ok(RemovalCount { total, newly })
        })
        .await
    }

    async fn uncount_removals(&self, people: &[String], _now_ms: i64) -> Result<(), Failure> {
        let people = people.to_vec();
        self.write(move |connection| {
            for person in people {
                connection.execute("DELETE FROM removals WHERE person = ?1", [person])?;
            }
            Ok(())
        })
        .await
    }
}

fn user_link(row: &Row<'_>) -> rusqlite::Result<(OktaUserId, UserLink)> {
    let link = UserLink {
        anypoint_id: word(row, 1)?,
        username: row.get(2)?,
        origin: word(row, 3)?,
        agreed: json(row, 4)?,
        reset_mail: word(row, 5)?,
    };
    Ok((word(row, 0)?, link))
}

fn team_link(row: &Row<'_>) -> rusqlite::Result<(OktaGroupId, TeamLink)> {
    let link = TeamLink {
        team_id: word(row, 1)?,
        team_name: row.get(2)?,
        origin: word(row, 3)?,
    };
    Ok((word(row, 0)?, link))
}
