//! The table that the operator's commands work on: DynamoDB, or `serve`'s file.

use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::Clock;
use okta_anypoint::ledger::SqliteLedger;
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::SqliteStore;
use okta_anypoint::wiring::Table;

/// Both ports on one embedded database.
pub fn sqlite(database: &Database, event_ttl: Duration, clock: &Arc<dyn Clock>) -> Table {
    let ttl_days = u32::try_from(event_ttl.as_secs() / 86_400).unwrap_or(u32::MAX);
    Table {
        ledger: Arc::new(SqliteLedger::new(database.clone(), ttl_days, clock.clone())),
        store: Arc::new(SqliteStore::new(database.clone(), clock.clone())),
    }
}
