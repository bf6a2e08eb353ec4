//! The tables and the processes that a history goes through, and their clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::OrganizationId;
use okta_anypoint::ledger::DynamoDbLedger;
use okta_anypoint::okta::{Credentials, Okta};
use okta_anypoint::provision::{Changes, Policy};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::DynamoDbStore;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::Table;
use okta_anypoint::worker::{InlineQueue, Pace, Worker};

use crate::servers;
use crate::world::{SECRET, World};

/// The time that a delivery has, as in production.
pub(super) const INLINE_TIME: Duration = Duration::from_millis(2_300);

/// The real time plus an offset.
#[derive(Default)]
pub struct MovedClock(pub(super) AtomicI64);

impl Clock for MovedClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.0.load(Ordering::SeqCst)
    }
}

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

/// A receiver and a worker with connections and a token of their own, on the table of `world`.
pub(super) fn second_process(world: &World, changes: Changes) -> (Receiver, Arc<Worker>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = HttpClient::new(clock.clone()).unwrap();
    let mut ports = world.ports.clone();
    ports.policy = Arc::new(Policy {
        changes,
        ..(*ports.policy).clone()
    });
    ports.okta = Okta::new(
        http.clone(),
        world.okta.base_url().parse().unwrap(),
        Credentials::ApiToken("simulated-okta-token".to_owned().into()),
    );
    ports.anypoint = {
        let anypoint = world.anypoint.world();
        Anypoint::new(
            http,
            world.anypoint.base_url().parse().unwrap(),
            OrganizationId::parse(anypoint.org_id.clone()).unwrap(),
            anypoint.client_id.clone(),
            anypoint.client_secret.clone().into(),
        )
    };
    let metrics = Arc::new(Metrics::new("test"));
    let app = ports.app.clone();
    let worker = Arc::new(Worker::new(ports, None, metrics.clone(), Pace::INLINE));
    let queue = Arc::new(InlineQueue::new(worker.clone(), INLINE_TIME));
    let gate = Gate::new(
        "authorization".parse().unwrap(),
        &[SECRET.to_owned().into()],
    );
    (
        Receiver::new(gate.unwrap(), app, queue, clock, metrics),
        worker,
    )
}
