//! Sending events to hooks, and the verification call. Both as Okta does it: 3 s, one more try on no answer or 5xx.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::filter;
use super::log::{By, LogEvent, Target, delivery};
use super::objects::EventHook;
use super::world::OktaWorld;
use crate::cell::WorldCell;

/// Okta gives up on an answer after this long.
const MAX_ANSWER: Duration = Duration::from_secs(3);

/// Most events in one delivery (Okta's own limit is not documented).
const MAX_BATCH: usize = 100;

/// A delivery and its result.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    /// The hook it went to.
    pub hook_id: String,
    /// `uuid` of each event in it.
    pub event_uuids: Vec<String>,
    /// Status of the last answer; `None` if there was none.
    pub status: Option<u16>,
    /// How often it was sent, 1 or 2.
    pub attempts: u32,
    /// From the first try to the last answer, milliseconds.
    pub took_ms: u64,
}

#[derive(Debug, Default)]
struct Shared {
    sent: Vec<DeliveryRecord>,
    busy: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries {
    shared: Arc<Mutex<Shared>>,
    moved: Arc<Notify>,
}

impl Deliveries {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared());
        self.moved.notify_waiters();
    }

    pub fn list(&self) -> Vec<DeliveryRecord> {
        self.shared().sent.clone()
    }

    pub async fn wait_until_idle(&self, cell: &WorldCell<OktaWorld>, limit: Duration) -> bool {
        let idle = async {
            loop {
                let moved = self.moved.notified();
                // The deliverer sets `busy` while it still holds the world, so that the two cannot both look idle.
                let is_empty = cell.guard().outbox.is_empty();
                if is_empty && !self.shared().busy {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(limit, idle).await.is_ok()
    }
}

/// A client that trusts what browsers trust, and follows no redirect.
pub(super) fn client() -> io::Result<reqwest::Client> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tcp_nodelay(true)
        .timeout(MAX_ANSWER)
        .user_agent("Okta-Integrations")
        .build()
        .map_err(io::Error::other)
}

fn signed(request: reqwest::RequestBuilder, hook: &EventHook) -> reqwest::RequestBuilder {
    let headers = hook.headers.iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let headers = headers.header("accept", "application/json");
    match hook.auth_key.is_empty() {
        true => headers,
        false => headers.header(&hook.auth_key, &hook.auth_value),
    }
}

/// The one-time verification: whether the endpoint gave the challenge back.
pub(super) async fn verify(client: &reqwest::Client, hook: &EventHook) -> bool {
    for _ in 0..2 {
        let challenge = uuid::Uuid::new_v4().to_string();
        let request =
            signed(client.get(&hook.uri), hook).header("x-okta-verification-challenge", &challenge);
        let Ok(answer) = request.send().await else {
            continue;
        };
        if answer.status() != 200 {
            continue;
        }
        if let Ok(body) = answer.json::<serde_json::Value>().await
            && body["verification"] == challenge.as_str()
        {
            return true;
        }
    }
    false
}

/// Sends what the world writes, until aborted.
pub(super) fn spawn(
    cell: WorldCell<OktaWorld>,
    deliveries: Deliveries,
    window: Duration,
) -> io::Result<JoinHandle<()>> {
    let client = client()?;
    Ok(tokio::spawn(async move {
        let changed = cell.changed();
        loop {
            let (events, hooks, base_url) = {
                let mut world = cell.guard();
                let world = world.quietly();
                let events = std::mem::take(&mut world.outbox);
                deliveries.change(|shared| shared.busy = !events.is_empty());
                let wanting = world
                    .hooks
                    .values()
                    .filter(|hook| hook.active && hook.verified);
                (
                    events,
                    wanting.cloned().collect::<Vec<_>>(),
                    world.base_url.clone(),
                )
            };
            for hook in &hooks {
                let wanted: Vec<LogEvent> = events
                    .iter()
                    .filter(|event| hook.events.contains(&event.event_type))
                    .filter(|event| filter::lets_through(hook, event))
                    .cloned()
                    .collect();
                for batch in wanted.chunks(MAX_BATCH) {
                    let record = send(&client, &base_url, hook, batch).await;
                    let is_success = |status| (200..300).contains(&status);
                    if !record.status.is_some_and(is_success) {
                        let target = Target::new("EventHook", &hook.id, "unknown", &hook.name);
                        let mut world = cell.guard();
                        let world = world.quietly();
                        let failure =
                            world.write("event_hook.delivery", vec![target], &[], By::Job);
                        let last = world.log.last_mut();
                        if let Some(last) = last.filter(|last| last.uuid == failure.uuid) {
                            last.outcome = "FAILURE".to_owned();
                        }
                    }
                    deliveries.change(|shared| shared.sent.push(record));
                }
            }
            deliveries.change(|shared| shared.busy = false);
            if cell.guard().outbox.is_empty() {
                changed.notified().await;
                tokio::time::sleep(window).await;
            }
        }
    }))
}

async fn send(
    client: &reqwest::Client,
    base_url: &str,
    hook: &EventHook,
    events: &[LogEvent],
) -> DeliveryRecord {
    let started = Instant::now();
    let source = format!("{base_url}/api/v1/eventHooks/{}", hook.id);
    let now = jiff::Timestamp::now().as_millisecond();
    let body = delivery(&source, now, events);
    let mut record = DeliveryRecord {
        hook_id: hook.id.clone(),
        event_uuids: events.iter().map(|event| event.uuid.clone()).collect(),
        status: None,
        attempts: 0,
        took_ms: 0,
    };
    while record.attempts < 2 {
        record.attempts += 1;
        let answer = signed(client.post(&hook.uri), hook)
            .json(&body)
            .send()
            .await;
        record.status = answer.ok().map(|answer| answer.status().as_u16());
        if record.status.is_some_and(|status| status < 500) {
            break;
        }
    }
    record.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    record
}
