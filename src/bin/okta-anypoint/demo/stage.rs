//! The stage: both simulators, the embedded store in memory, and the product as the Lambdas wire it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use okta_anypoint::clock::{Clock, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::{Change, read_delivery};
use okta_anypoint::ids::{OktaAppId, Subject};
use okta_anypoint::insight::Planned;
use okta_anypoint::lambda::http::{HttpEvent, answer};
use okta_anypoint::lambda::sqs::{BatchHandler, SqsEvent};
use okta_anypoint::ledger::{Ledger, Record};
use okta_anypoint::provision::{Announced, Provisioner};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::schedule::{Invocation, Scheduler};
use okta_anypoint::settings::{EngineSettings, HookSettings, Reader, ScheduleSettings};
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::okta::{OktaOptions, OktaSimulator};
use okta_anypoint::simulator::traffic::{RecordedRequest, Traffic};
use okta_anypoint::sqlite::Database;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring;
use okta_anypoint::worker::{Pace, Worker};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::cast::HOOK_SECRET;
use super::story::{Sent, first_worlds};
use crate::table;

/// As in `hook`: within this a delivery is applied.
const INLINE_TIME: Duration = Duration::from_millis(2_300);
/// One look, or one batch.
const WORK_TIME: Duration = Duration::from_secs(20);

pub struct Stage {
    pub okta: OktaSimulator,
    pub anypoint: AnypointSimulator,
    receiver: Receiver,
    batches: BatchHandler,
    scheduler: Scheduler,
    ledger: Arc<dyn Ledger>,
    provisioner: Provisioner,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    app: OktaAppId,
}

/// What would be done for a subject.
#[derive(Serialize)]
pub struct Plan {
    pub subject: Subject,
    pub actions: Vec<Planned>,
}

pub struct ProgramAnswer {
    /// The status of an HTTP answer.
    pub status: Option<u16>,
    /// The body, or the whole answer of another program.
    pub body: Value,
}

impl Stage {
    pub async fn set_up() -> Result<Self> {
        let worlds = first_worlds()?;
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let okta = OktaOptions {
            world: worlds.okta,
            ..OktaOptions::default()
        };
        let okta = OktaSimulator::start(anywhere, okta)
            .await
            .context("the simulated Okta could not be started")?;
        let anypoint = AnypointOptions {
            world: worlds.anypoint,
            ..AnypointOptions::default()
        };
        let anypoint = AnypointSimulator::start(anywhere, anypoint)
            .await
            .context("the simulated Anypoint could not be started")?;
        let settings = BTreeMap::from(settings(&okta, &anypoint));

        let mut reader = Reader::new(|name| settings.get(name).cloned());
        let hook = HookSettings::read(&mut reader);
        let engine = EngineSettings::read(&mut reader);
        let schedule = ScheduleSettings::read(&mut reader);
        let ((hook, engine), schedule) = reader.finish(hook.zip(engine).zip(schedule))?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new("demo"));
        let database = Database::in_memory()?;
        let table = table::sqlite(&database, engine.retention);
        let ports = wiring::ports(&engine, &table, &clock).map_err(|error| anyhow!(error))?;
        let inline = |pace, time| wiring::inline(&ports, &metrics, pace, time);
        let gate = Gate::new(hook.header, hook.secrets).map_err(|error| anyhow!(error))?;
        let receiver = Receiver::new(
            gate,
            hook.app.clone(),
            inline(Pace::INLINE, INLINE_TIME),
            clock.clone(),
            metrics.clone(),
        );
        let worker = Worker::new(ports.clone(), None, metrics.clone(), Pace::BY_HAND);
        let batches = BatchHandler::new(worker, None);
        let scheduler = Scheduler::new(
            ports.clone(),
            inline(Pace::BY_HAND, WORK_TIME),
            schedule,
            metrics.clone(),
        );
        Ok(Self {
            okta,
            anypoint,
            receiver,
            batches,
            scheduler,
            ledger: table.ledger,
            provisioner: Provisioner::new(ports),
            metrics,
            clock,
            app: hook.app,
        })
    }

    /// Gives a sample to its program, exactly as Lambda does.
    pub async fn send(&self, sent: Sent, event: &str) -> Result<ProgramAnswer> {
        match sent {
            Sent::Hook(_) => {
                let event: HttpEvent = serde_json::from_str(event)?;
                let answer = serde_json::to_value(answer(&self.receiver, event).await)?;
                let status = answer.get("statusCode").and_then(Value::as_u64);
                Ok(ProgramAnswer {
                    status: status.and_then(|status| u16::try_from(status).ok()),
                    body: answer.get("body").cloned().unwrap_or_default(),
                })
            }
            Sent::Batch => {
                let event: SqsEvent = serde_json::from_str(event)?;
                let answer = self
                    .batches
                    .handle(&event, Deadline::within(WORK_TIME))
                    .await;
                Ok(ProgramAnswer {
                    status: None,
                    body: serde_json::to_value(answer)?,
                })
            }
            Sent::Task => {
                let Invocation { task, mode } = Invocation::parse(&serde_json::from_str(event)?)?;
                let deadline = Deadline::within(WORK_TIME);
                let summary = self.scheduler.run(task, mode, deadline).await?;
                Ok(ProgramAnswer {
                    status: None,
                    body: serde_json::to_value(summary)?,
                })
            }
        }
    }

    /// The changes in a sample that the program may act upon.
    pub fn changes(&self, sent: Sent, event: &Value) -> Vec<Change> {
        match sent {
            Sent::Hook(401) | Sent::Task => Vec::new(),
            Sent::Hook(_) => {
                let now = rfc3339(self.clock.now_ms());
                body(event)
                    .and_then(|body| read_delivery(&body, &self.app, &now).ok())
                    .map(|reading| reading.changes)
                    .unwrap_or_default()
            }
            Sent::Batch => messages(event).collect(),
        }
    }

    /// What would be done for the subjects of changes that are not done yet.
    pub async fn plan(&self, changes: &[Change]) -> Result<Vec<Plan>> {
        let mut plans: Vec<Plan> = Vec::new();
        for change in changes {
            let known = plans.iter().any(|plan| plan.subject == change.subject);
            if known || self.record(change.uuid.as_str()).await?.is_some() {
                continue;
            }
            let deadline = Deadline::within(WORK_TIME);
            let announced = Announced::by([change], None, self.clock.now_ms());
            let forecast = self
                .provisioner
                .forecast(&change.subject, announced, deadline)
                .await?;
            if let Some(failure) = forecast.failure {
                return Err(failure.into());
            }
            plans.push(Plan {
                subject: change.subject.clone(),
                actions: Planned::from_steps(&forecast.steps),
            });
        }
        Ok(plans)
    }

    pub async fn record(&self, uuid: &str) -> Result<Option<Record>> {
        Ok(self.ledger.record(uuid).await?)
    }

    /// The names of the actions carried out since the last call, sorted.
    pub fn applied(&self) -> Vec<String> {
        let mut applied = Vec::new();
        for line in self.metrics.take_lines(self.clock.now_ms()) {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some((action, count)) = line["Action"].as_str().zip(line["Applied"].as_u64()) {
                applied.extend((0..count).map(|_| action.to_owned()));
            }
        }
        applied.sort();
        applied
    }

    /// Forgets what was asked so far.
    pub fn clear(&self) {
        self.okta.traffic().clear();
        self.anypoint.traffic().clear();
    }

    pub async fn tear_down(self) {
        self.okta.stop().await;
        self.anypoint.stop().await;
    }
}

/// The settings of a program that works with both simulators.
pub fn settings(okta: &OktaSimulator, anypoint: &AnypointSimulator) -> [(&'static str, String); 8] {
    let app = okta.world().apps.keys().next().cloned();
    let token = OktaOptions::default().tokens.into_iter().next();
    let world = anypoint.world();
    [
        ("OKTA_ORG_URL", okta.base_url().to_owned()),
        ("OKTA_APP_ID", app.unwrap_or_default()),
        ("OKTA_API_TOKEN", token.unwrap_or_default()),
        ("ANYPOINT_BASE_URL", anypoint.base_url().to_owned()),
        ("ANYPOINT_ORG_ID", world.org_id.clone()),
        ("ANYPOINT_CLIENT_ID", world.client_id.clone()),
        ("ANYPOINT_CLIENT_SECRET", world.client_secret.clone()),
        ("HOOK_SECRET", HOOK_SECRET.to_owned()),
    ]
}

/// The body of a request in payload format 2.0.
pub fn body(event: &Value) -> Option<Vec<u8>> {
    let text = event["body"].as_str()?;
    if event["isBase64Encoded"] == Value::Bool(true) {
        return base64::engine::general_purpose::STANDARD.decode(text).ok();
    }
    Some(text.as_bytes().to_vec())
}

/// The messages of a batch, as `T`.
pub fn messages<T: DeserializeOwned>(event: &Value) -> impl Iterator<Item = T> {
    let records = event["Records"].as_array().into_iter().flatten();
    records.filter_map(|record| serde_json::from_str(record["body"].as_str()?).ok())
}

/// Requests in short: the parts that every path shares are left out.
pub fn short(traffic: &Traffic, organization: &str) -> Vec<String> {
    let line = |request: &RecordedRequest| {
        let path = request
            .path
            .replace(&format!("/accounts/api/organizations/{organization}"), "")
            .replace("/accounts/api", "")
            .replace("/api/v1", "");
        let mut query = request.query.iter();
        let search = query.find(|(name, _)| name == "search");
        let search = search.map(|(name, value)| format!("?{name}={value}"));
        match request.method.as_str() {
            "GET" => format!("GET {path}{}", search.unwrap_or_default()),
            method => format!("{method} {path} {}", request.status),
        }
    };
    traffic.log().iter().map(line).collect()
}
