//! Puts the parts together, for every program the same way.

use std::sync::Arc;
use std::time::Duration;

use crate::anypoint::Anypoint;
use crate::aws::{Limits, Source};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::{HttpClient, Network};
use crate::ledger::{DynamoDbLedger, Ledger};
use crate::okta::{Okta, Scopes};
use crate::provision::Provisioner;
use crate::queue::Queue;
use crate::secrets::SecretsManager;
use crate::settings::{EngineSettings, Needs, Reader, RemoteSettings};
use crate::store::{DynamoDbStore, Store};
use crate::telemetry::Metrics;
use crate::worker::{InlineQueue, Pace, Worker};

/// The table behind both ports.
#[derive(Clone)]
pub struct Table {
    /// Claims.
    pub ledger: Arc<dyn Ledger>,
    /// Links, intents, documents.
    pub store: Arc<dyn Store>,
}

impl Table {
    /// Opens the connection ahead of need: reads an item that is not there. The result does not
    /// matter: the first claim will find out.
    pub async fn warm_up(&self) {
        let _ = self.store.document("warm-up").await;
    }
}

/// The DynamoDB table `name`, through the SDK's own variables for endpoint, region and credentials.
pub fn dynamodb_table(
    sdk: &aws_config::SdkConfig,
    name: &str,
    event_ttl: Duration,
    clock: &Arc<dyn Clock>,
) -> Table {
    let client = aws_sdk_dynamodb::Client::new(sdk);
    let ttl_days = u32::try_from(event_ttl.as_secs() / 86_400).unwrap_or(u32::MAX);
    Table {
        ledger: Arc::new(DynamoDbLedger::new(
            client.clone(),
            name,
            ttl_days,
            clock.clone(),
        )),
        store: Arc::new(DynamoDbStore::new(client, name, clock.clone())),
    }
}

/// The queue that is none: changes are applied before `send` returns, which has `time` for it, and
/// recorded in `ledger`.
pub fn in_place(
    ledger: &Arc<dyn Ledger>,
    provisioner: &Provisioner,
    metrics: &Arc<Metrics>,
    pace: Pace,
    time: Duration,
) -> Arc<dyn Queue> {
    let (ledger, provisioner) = (ledger.clone(), provisioner.clone());
    let worker = Worker::new(ledger, provisioner, None, metrics.clone(), pace);
    Arc::new(InlineQueue::new(Arc::new(worker), time))
}

/// What the AWS clients of a program share, from `source`, with calls bounded by `time`.
pub async fn aws(source: Source, time: Duration) -> aws_config::SdkConfig {
    source(Limits::within(time)).await
}

/// A reader of the environment that fills what it leaves unset from the secrets it names, which are
/// read with the AWS configuration of `source`. Without such a name it costs nothing.
///
/// # Errors
/// When a secret could not be read within `time`.
pub async fn reader(
    source: Source,
    needs: Needs,
    time: Duration,
) -> Result<Reader<'static>, Failure> {
    let store = Arc::new(SecretsManager::on_first_use(source, Limits::within(time)));
    let environment = |name: &str| std::env::var(name).ok();
    let mut reader =
        Reader::with_secrets(environment, store, needs, Deadline::within(time)).await?;
    if let Err(error) = Network::of_process() {
        reader.report(error.variable, "is malformed", &error.expected);
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

/// Who looks, plans and applies.
///
/// # Errors
/// As [`remotes`].
pub fn provisioner(
    settings: &EngineSettings,
    store: Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Provisioner, String> {
    let (okta, anypoint) = remotes(&settings.remotes, clock)?;
    Ok(Provisioner {
        okta,
        anypoint,
        store,
        policy: Arc::new(settings.policy.clone()),
        app: settings.remotes.app.clone(),
        clock: clock.clone(),
    })
}
