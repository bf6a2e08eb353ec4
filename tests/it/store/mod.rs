//! The contract of every store, and the items in DynamoDB.

mod dynamodb_items;
mod links;
mod lost_leases;
mod many;
mod memory;
mod removals;
mod sqlite_rows;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::clock::ManualClock;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::ledger::{
    Conclusion, DynamoDbLedger, Lease, Leased, Ledger, Memo, SqliteLedger,
};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{
    Documents, DynamoDbStore, Linked, Origin, ResetMail, SqliteStore, Store, TeamLink, Tenure,
    UserLink,
};

use crate::ledger::{START_MS, TTL_DAYS, ours};
use crate::servers;

struct World {
    clock: Arc<ManualClock>,
    ledger: Arc<dyn Ledger>,
    store: Arc<dyn Store>,
    documents: Arc<dyn Documents>,
    /// The same items through another connection, like that of another process.
    other: Arc<dyn Store>,
    other_documents: Arc<dyn Documents>,
    raw: Raw,
}

/// The database behind the store, for changes that only people make.
enum Raw {
    DynamoDb(aws_sdk_dynamodb::Client, String),
    Sqlite(tempfile::TempDir),
}

async fn dynamodb() -> World {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let store = Arc::new(DynamoDbStore::new(client.clone(), &table, clock.clone()));
    let ledger = DynamoDbLedger::new(client.clone(), &table, TTL_DAYS, clock.clone());
    World {
        other: store.clone(),
        other_documents: store.clone(),
        documents: store.clone(),
        store,
        ledger: Arc::new(ledger),
        clock,
        raw: Raw::DynamoDb(client, table),
    }
}

async fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let open = || Database::open(&folder.path().join("store.db")).unwrap();
    let (database, other) = (open(), open());
    let store = Arc::new(SqliteStore::new(database.clone()));
    let other = Arc::new(SqliteStore::new(other));
    World {
        documents: store.clone(),
        store,
        other_documents: other.clone(),
        other,
        ledger: Arc::new(SqliteLedger::new(database, TTL_DAYS, clock.clone())),
        clock,
        raw: Raw::Sqlite(folder),
    }
}

const LEASE: Duration = Duration::from_secs(10);

fn user(n: usize) -> OktaUserId {
    OktaUserId::parse(format!("00u{n}")).unwrap()
}

fn subject(n: usize) -> String {
    format!("user#{}", user(n))
}

fn group(n: usize) -> OktaGroupId {
    OktaGroupId::parse(format!("00g{n}")).unwrap()
}

fn account(n: usize) -> AccountId {
    AccountId::parse(format!("acc-{n}")).unwrap()
}

fn team(n: usize) -> TeamId {
    TeamId::parse(format!("team-{n}")).unwrap()
}

fn link_to(n: usize) -> UserLink {
    UserLink {
        anypoint_id: account(n),
        username: format!("name{n}"),
        origin: Origin::Created,
        agreed: None,
        reset_mail: if n.is_multiple_of(2) {
            ResetMail::Owed
        } else {
            ResetMail::Settled
        },
    }
}

fn team_link(n: usize) -> TeamLink {
    TeamLink {
        team_id: team(n),
        team_name: format!("Team {n}"),
        origin: Origin::Adopted,
    }
}

impl World {
    /// A user link as a person would write it, without a reverse entry.
    async fn by_hand(&self, user: &str, account: &str) {
        match &self.raw {
            Raw::DynamoDb(client, table) => {
                let text = |value: &str| AttributeValue::S(value.to_owned());
                let put = client.put_item().table_name(table);
                put.item("pk", text(&format!("user#{user}")))
                    .item("anypoint_id", text(account))
                    .item("username", text("name"))
                    .item("origin", text("adopted"))
                    .send()
                    .await
                    .unwrap();
            }
            Raw::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
                file.execute(
                    "INSERT INTO user_links (okta_user, anypoint_id, username, origin) \
                     VALUES (?1, ?2, 'name', 'adopted')",
                    [user, account],
                )
                .unwrap();
            }
        }
    }

    /// When the item of a lease goes away, seconds since the epoch.
    async fn lease_expires_at(&self, subject: &str) -> i64 {
        match &self.raw {
            Raw::DynamoDb(client, table) => {
                let key = AttributeValue::S(format!("lease#{subject}"));
                let get = client.get_item().table_name(table).key("pk", key);
                let item = get.send().await.unwrap().item.unwrap();
                item["expires_at"].as_n().unwrap().parse().unwrap()
            }
            Raw::Sqlite(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
                let sql = "SELECT expires_at FROM leases WHERE subject = ?1";
                file.query_row(sql, [subject], |row| row.get(0)).unwrap()
            }
        }
    }

    async fn lease(&self, subject: &str) -> Lease {
        ours(self.ledger.lease(subject, LEASE).await.unwrap())
    }

    /// Waits for the lease on a user.
    async fn lease_user(&self, u: usize) -> Lease {
        loop {
            let leased = self.ledger.lease(&subject(u), LEASE).await.unwrap();
            if let Leased::Ours(lease) = leased {
                return lease;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn give_back(&self, lease: Lease) {
        let given_back = self.ledger.conclude(lease, Conclusion::default()).await;
        assert_eq!(given_back.unwrap(), []);
    }

    /// Links as a run does: under the lease, with the existing link.
    async fn link_as(&self, store: &dyn Store, u: usize, link: &UserLink) -> Linked<OktaUserId> {
        let lease = self.lease_user(u).await;
        let before = store.user_link(&user(u)).await.unwrap();
        let linked = store
            .link_user(&lease, &user(u), link, before.as_ref(), Memo::Keep)
            .await;
        self.give_back(lease).await;
        linked.unwrap()
    }

    async fn link(&self, u: usize, a: usize) -> Linked<OktaUserId> {
        self.link_as(&*self.store, u, &link_to(a)).await
    }

    async fn unlink(&self, u: usize) {
        let lease = self.lease_user(u).await;
        self.store.unlink_user(&lease, &user(u)).await.unwrap();
        self.give_back(lease).await;
    }

    async fn link_team(&self, g: usize, link: &TeamLink) -> Linked<OktaGroupId> {
        let lease = self.lease(&format!("group#{}", group(g))).await;
        let before = self.store.team_link(&group(g)).await.unwrap();
        let linked = self
            .store
            .link_team(&lease, &group(g), link, before.as_ref())
            .await;
        self.give_back(lease).await;
        linked.unwrap()
    }

    async fn unlink_team(&self, g: usize) {
        let lease = self.lease(&format!("group#{}", group(g))).await;
        self.store.unlink_team(&lease, &group(g)).await.unwrap();
        self.give_back(lease).await;
    }

    async fn owner(&self, a: usize) -> Option<(OktaUserId, Tenure)> {
        let mut owners = self.store.account_owners(&[account(a)]).await.unwrap();
        owners
            .remove(&account(a))
            .map(|owner| (owner.okta_user, owner.tenure))
    }

    async fn team_owner(&self, t: usize) -> Option<OktaGroupId> {
        self.store
            .team_owners(&[team(t)])
            .await
            .unwrap()
            .remove(&team(t))
    }

    async fn account_of(&self, u: usize) -> Option<AccountId> {
        let link = self.store.user_link(&user(u)).await.unwrap();
        link.map(|link| link.anypoint_id)
    }
}
