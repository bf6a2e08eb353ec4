//! Puts the parts together in the same way for every program.

use std::sync::Arc;
use std::time::Duration;

use crate::anypoint::Anypoint;
use crate::aws::{Limits, Source};
use crate::clock::{Clock, SystemClock};
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::{HttpClient, Network};
use crate::ledger::{DynamoDbLedger, Ledger};
use crate::okta::{Okta, Scopes};
use crate::provision::{Ports, SecondLook};
use crate::queue::Queue;
use crate::secrets::SecretsManager;
use crate::settings::{self, EngineSettings, Needs, Reader, RemoteSettings, Retention, table_name};
use crate::store::{Documents, DynamoDbStore, Store};
use crate::telemetry::{LogFormat, Metrics};
use crate::worker::{InlineQueue, Pace, Worker};
#[cfg(feature = "local")]
use crate::{ledger::SqliteLedger, sqlite::Database, store::SqliteStore};

/// The table behind both ports.
#[derive(Clone)]
pub struct Table {
    /// Claims.
    pub ledger: Arc<dyn Ledger>,
    /// Links.
    pub store: Arc<dyn Store>,
    /// Cursors, reports and marks.
    pub documents: Arc<dyn Documents>,
}

/// The DynamoDB table `name`, through the SDK's own variables for endpoint, region and credentials.
pub fn dynamodb_table(
    sdk: &aws_config::SdkConfig,
    name: &str,
    retention: Retention,
    clock: &Arc<dyn Clock>,
) -> Table {
    let client = aws_sdk_dynamodb::Client::new(sdk);
    let store = Arc::new(DynamoDbStore::new(client.clone(), name, clock.clone()));
    Table {
        ledger: Arc::new(
            DynamoDbLedger::new(client, name, retention.event_days, clock.clone())
                .keeping_audit(retention.audit_days),
        ),
        documents: store.clone(),
        store,
    }
}

/// The tables of an embedded database. The claims carry `mark`; see [`SqliteLedger::marked`].
#[cfg(feature = "local")]
pub fn sqlite_table(
    database: &Database,
    retention: Retention,
    clock: &Arc<dyn Clock>,
    mark: &'static str,
) -> Table {
    let store = Arc::new(SqliteStore::new(database.clone()));
    let ledger = SqliteLedger::new(database.clone(), retention.event_days, clock.clone())
        .keeping_audit(retention.audit_days)
        .marked(mark);
    Table {
        ledger: Arc::new(ledger),
        documents: store.clone(),
        store,
    }
}

/// The settings of a function that applies changes.
pub struct WorkSettings {
    /// Both remotes and the rules.
    pub engine: EngineSettings,
    /// `TABLE_NAME`.
    pub table: String,
}

impl WorkSettings {
    /// Reads the settings.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let engine = EngineSettings::read(reader);
        let table = table_name(reader, "the name of the DynamoDB table");
        Some(Self {
            engine: engine?,
            table: table?,
        })
    }

    /// Both remotes, the table and the rules.
    ///
    /// # Errors
    /// As [`remotes`].
    pub fn ports(&self, sdk: &aws_config::SdkConfig) -> Result<Ports, String> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let table = dynamodb_table(sdk, &self.table, self.engine.retention, &clock);
        ports(&self.engine, &table, &clock)
    }
}

/// Opens connections to Anypoint and the table ahead of need, in the background.
pub fn warm_up(ports: &Ports, time: Duration) {
    let (anypoint, documents) = (ports.anypoint.clone(), ports.documents.clone());
    tokio::spawn(async move { anypoint.warm_up(Deadline::within(time)).await });
    tokio::spawn(async move {
        // No such item exists. A failure does not matter: the first claim will report it.
        let _ = documents.document("warm-up").await;
    });
}

/// A queue that applies changes inline: before `send` returns, within `time`.
pub fn inline(ports: &Ports, metrics: &Arc<Metrics>, pace: Pace, time: Duration) -> Arc<dyn Queue> {
    // No queue brings a change back, so the second look is a second read in the same run.
    let pace = Pace {
        second_look: SecondLook::AtOnce,
        ..pace
    };
    let worker = Worker::new(ports.clone(), None, metrics.clone(), pace);
    Arc::new(InlineQueue::new(Arc::new(worker), time))
}

/// A reader of the environment. It fills unset variables from the secrets that the environment names, and reads these
/// with the AWS configuration of `source`. If no secret is named, AWS is not called.
///
/// # Errors
/// When a secret could not be read within `time`.
pub async fn reader(
    source: Source,
    needs: Needs,
    time: Duration,
) -> Result<Reader<'static>, Failure> {
    let store = Arc::new(SecretsManager::on_first_use(source, Limits::within(time)));
    let mut reader =
        Reader::with_secrets(settings::variable, store, needs, Deadline::within(time)).await?;
    if let Err(error) = Network::for_process() {
        reader.report(error.variable, "is malformed", &error.expected);
    }
    if let Err(expected) = LogFormat::asked() {
        reader.report("LOG_FORMAT", "is malformed", expected);
    }
    Ok(reader)
}

/// Clients of both remotes, the one of Okta with the rights to look; see
/// [`Okta::with_scopes`](crate::okta::Okta::with_scopes) for more.
///
/// # Errors
/// When the HTTP client cannot be set up: a defect of this program.
pub fn remotes(
    settings: &RemoteSettings,
    clock: &Arc<dyn Clock>,
) -> Result<(Okta, Anypoint), String> {
    let http = HttpClient::new(clock.clone())?;
    let okta = settings.okta.client(http.clone(), Scopes::default());
    let anypoint = settings.anypoint(http);
    Ok((okta, anypoint))
}

/// What provisioning works through: both remotes, the table and the rules.
///
/// # Errors
/// As [`remotes`].
pub fn ports(
    settings: &EngineSettings,
    table: &Table,
    clock: &Arc<dyn Clock>,
) -> Result<Ports, String> {
    let (okta, anypoint) = remotes(&settings.remotes, clock)?;
    Ok(Ports {
        okta,
        anypoint,
        store: table.store.clone(),
        ledger: table.ledger.clone(),
        documents: table.documents.clone(),
        policy: Arc::new(settings.policy.clone()),
        app: settings.remotes.app.clone(),
        clock: clock.clone(),
    })
}
