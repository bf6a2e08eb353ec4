//! The tables and the processes of a history, and their clock.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::ledger::DynamoDbLedger;
use okta_anypoint::provision::{Changes, Policy};
use okta_anypoint::receiver::Receiver;
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::DynamoDbStore;
use okta_anypoint::wiring::Table;
use okta_anypoint::worker::{Pace, Worker};

use crate::schedule::MovedClock;
use crate::servers;
use crate::world::{World, process};

/// The time limit of a delivery, as in production.
pub(super) const INLINE_TIME: Duration = Duration::from_millis(2_300);

pub(super) fn memory_table(clock: Arc<MovedClock>) -> Table {
    let clock: Arc<dyn Clock> = clock;
    crate::world::embedded(Database::in_memory().unwrap(), &clock)
}

/// A table of DynamoDB Local, and its name.
pub(super) async fn dynamodb_table(clock: Arc<MovedClock>) -> (Table, String) {
    let (client, name) = servers::table().await;
    let store = Arc::new(DynamoDbStore::new(client.clone(), &name, clock.clone()));
    let table = Table {
        ledger: Arc::new(DynamoDbLedger::new(client, &name, 30, clock)),
        documents: store.clone(),
        store,
    };
    (table, name)
}

/// A receiver and a worker on the table of `world`, with their own connections and token.
pub(super) fn second_process(world: &World, changes: Changes) -> (Receiver, Arc<Worker>) {
    let policy = Policy {
        changes,
        ..(*world.ports.policy).clone()
    };
    let ports = world.ports(&world.table, policy, world.ports.clock.clone());
    process(&ports, Pace::INLINE, INLINE_TIME)
}
