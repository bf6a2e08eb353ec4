//! How a program under measurement reaches the simulators.

use std::sync::Arc;

use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::{OktaAppId, OrganizationId};
use okta_anypoint::ledger::SqliteLedger;
use okta_anypoint::okta::{Credentials, Okta};
use okta_anypoint::provision::{Policy, Ports};
use okta_anypoint::simulator::anypoint::AnypointSimulator;
use okta_anypoint::simulator::okta::OktaSimulator;
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::SqliteStore;
use okta_anypoint::wiring::Table;
use serde::{Deserialize, Serialize};

/// The app whose assignments decide.
pub const APP: &str = "0oaAPP1";

/// Where both are, and the keys to them.
#[derive(Serialize, Deserialize)]
pub struct Remotes {
    okta: String,
    anypoint: String,
    organization: String,
    client_id: String,
    client_secret: String,
}

impl Remotes {
    pub fn of(okta: &OktaSimulator, anypoint: &AnypointSimulator) -> Self {
        let world = anypoint.world();
        Self {
            okta: okta.base_url().to_owned(),
            anypoint: anypoint.base_url().to_owned(),
            organization: world.org_id.clone(),
            client_id: world.client_id.clone(),
            client_secret: world.client_secret.clone(),
        }
    }

    /// Ports with connections of their own.
    pub fn ports(self, table: &Table) -> Ports {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let http = HttpClient::new(clock.clone()).unwrap();
        Ports {
            okta: Okta::new(
                http.clone(),
                self.okta.parse().unwrap(),
                Credentials::ApiToken("simulated-okta-token".to_owned().into()),
            ),
            anypoint: Anypoint::new(
                http,
                self.anypoint.parse().unwrap(),
                OrganizationId::parse(self.organization).unwrap(),
                self.client_id,
                self.client_secret.into(),
            ),
            store: table.store.clone(),
            ledger: table.ledger.clone(),
            documents: table.documents.clone(),
            policy: Arc::new(Policy::default()),
            app: OktaAppId::parse(APP).unwrap(),
            clock,
        }
    }
}

/// The ports on an embedded database.
#[allow(dead_code, reason = "one of the benches has its table on DynamoDB")]
pub fn embedded(database: Database) -> Table {
    let store = Arc::new(SqliteStore::new(database.clone()));
    Table {
        ledger: Arc::new(SqliteLedger::new(database, 30, Arc::new(SystemClock))),
        documents: store.clone(),
        store,
    }
}
