//! What every ledger owes its callers: [`claims`] one by one, a [`crowd`] at once, any order at all
//! in [`model`].

macro_rules! on_every_ledger {
    ($($test:ident),+ $(,)?) => {
        on_every_ledger!(@ dynamodb: $($test),+);
        on_every_ledger!(@ sqlite: $($test),+);
        on_every_ledger!(@ memory: $($test),+);
    };
    (@ $adapter:ident: $($test:ident),+) => {
        mod $adapter {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $test() {
                    super::$test(crate::ledger::$adapter().await).await;
                }
            )+
        }
    };
}

mod claims;
mod crowd;
mod model;

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::ManualClock;
use okta_anypoint::failure::{Failure, Side};
use okta_anypoint::ledger::{Claim, DynamoDbLedger, Ledger, Outcome, Reason, SqliteLedger, Work};
use okta_anypoint::sqlite::Database;

use crate::servers;

/// Some day; not a whole second, so that units and rounding show.
pub const START_MS: i64 = 1_790_000_000_123;
pub const TTL_DAYS: u32 = 30;
pub const DAY_MS: i64 = 86_400_000;
pub const LEASE: Duration = Duration::from_millis(10_000);

/// A ledger, other ledgers on the same records, and the clock of all.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub ledger: Arc<dyn Ledger>,
    pub others: Vec<Arc<dyn Ledger>>,
    _folder: Option<tempfile::TempDir>,
}

pub async fn dynamodb() -> World {
    let (client, table) = servers::table().await;
    let clock = Arc::new(ManualClock::at(START_MS));
    let ledger = DynamoDbLedger::new(client, table, TTL_DAYS, clock.clone());
    World {
        clock,
        others: vec![Arc::new(ledger.clone())],
        ledger: Arc::new(ledger),
        _folder: None,
    }
}

/// Two connections to one file, as two processes have.
pub async fn sqlite() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let open = || -> Arc<dyn Ledger> {
        let database = Database::open(&folder.path().join("ledger.db")).unwrap();
        Arc::new(SqliteLedger::new(database, TTL_DAYS, clock.clone()))
    };
    World {
        ledger: open(),
        others: vec![open(), open()],
        clock: clock.clone(),
        _folder: Some(folder),
    }
}

pub async fn memory() -> World {
    let clock = Arc::new(ManualClock::at(START_MS));
    let database = Database::in_memory().unwrap();
    let ledger = SqliteLedger::new(database, TTL_DAYS, clock.clone());
    World {
        clock,
        others: vec![Arc::new(ledger.clone())],
        ledger: Arc::new(ledger),
        _folder: None,
    }
}

pub fn work(id: &str) -> Work {
    Work {
        id: id.to_owned(),
        kind: "user.lifecycle.create".to_owned(),
        subject: "user#00u1".to_owned(),
        published: "2026-09-21T14:13:20.123Z".to_owned(),
    }
}

pub fn busy_remote() -> Failure {
    Failure::retryable(Side::Anypoint, "HTTP 503")
}

pub fn refused() -> Failure {
    Failure::permanent(Side::Anypoint, "the username is taken", "run link")
}

pub async fn claim(world: &World, id: &str) -> Outcome {
    world
        .ledger
        .claim(&work(id), LEASE, Reason::Delivery)
        .await
        .unwrap()
}

#[track_caller]
pub fn claimed(outcome: Outcome) -> Claim {
    match outcome {
        Outcome::Claimed(claim) => claim,
        other => panic!("not claimed: {other:?}"),
    }
}
