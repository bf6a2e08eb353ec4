//! What every store owes its callers, and how DynamoDB spells it.

macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        on_every_store!(@ dynamodb: $($test),+);
        on_every_store!(@ sqlite: $($test),+);
    };
    (@ $adapter:ident: $($test:ident),+) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::store::$adapter().await).await;
                }
            )+
        }
    };
}

mod dynamodb_items;
mod links;
mod many;
mod sqlite_rows;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use okta_anypoint::clock::ManualClock;
use okta_anypoint::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::{
    DynamoDbStore, Linked, Origin, ResetMail, SqliteStore, Store, TeamLink, Tenure, UserLink,
};

use crate::ledger::START_MS;
use crate::servers;

struct World {
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    /// The same items through another connection, as another process has.
    other: Arc<dyn Store>,
    raw: Raw,
}

/// What is behind the store, for what only people do.
enum Raw {
    DynamoDb(aws_sdk_dynamodb::Client, String),
    Sqlite(tempfile::TempDir),
}

async fn dynamodb() -> World {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let store = Arc::new(DynamoDbStore::new(client.clone(), &table, clock.clone()));
    World {
        other: store.clone(),
        store,
        clock,
        raw: Raw::DynamoDb(client, table),
    }
}

async fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let open = || {
        let database = Database::open(&folder.path().join("store.db")).unwrap();
        Arc::new(SqliteStore::new(database, clock.clone()))
    };
    World {
        store: open(),
        other: open(),
        clock: clock.clone(),
        raw: Raw::Sqlite(folder),
    }
}

const LEASE: Duration = Duration::from_secs(10);

fn user(n: usize) -> OktaUserId {
    OktaUserId::parse(format!("00u{n}")).unwrap()
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
    /// A user link as a person would write it: without a reverse entry.
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

    async fn link(&self, u: usize, a: usize) -> Linked<OktaUserId> {
        self.store.link_user(&user(u), &link_to(a)).await.unwrap()
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

    async fn intent(&self, u: usize) -> Option<String> {
        let memory = self.store.user_memory(&user(u)).await.unwrap();
        memory.intent.map(|intent| intent.username)
    }

    async fn account_of(&self, u: usize) -> Option<AccountId> {
        let link = self.store.user_link(&user(u)).await.unwrap();
        link.map(|link| link.anypoint_id)
    }
}
