//! The read-only status page, on an address of its own.
//!
//! It answers `GET` only, loads nothing from elsewhere and runs no script. Only a browser on this machine sees names
//! and may make this program ask Okta and Anypoint about a user or group. Everybody else sees opaque ids. That browser
//! also visits other sites. So a request whose `Host` is neither an address nor `localhost` is refused: no site can
//! point its own name here and read (DNS rebinding).

mod data;
mod failures;
mod frame;
mod page;
mod plot;
mod series;
mod subject;
mod text;
mod verdict;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::numbers::{Numbers, Paused};
use super::prometheus::Totals;
use crate::clock::Clock;
use crate::failure::{Cause, Failure, Side};
use crate::provision::Ports;
use crate::queue::SqliteQueue;
use crate::sqlite::Database;

use super::Intervals;
use super::connections::HeldPlace;
use super::door::Door;
use super::places::Pressure;
use data::Names;
use data::{EventFilter, LinkFilter, Probe, Situation};
use frame::{Frame, bare};
use series::WINDOWS;
use subject::Dossier;

pub use text::shell_word;

/// An answer.
type Reply = Response<Full<Bytes>>;

/// A probe that takes longer than this means "not ready".
const MAX_PROBE: Duration = Duration::from_secs(2);
const PLAIN: &str = "text/plain; charset=utf-8";
/// No script, nothing from elsewhere, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Answers people and monitors.
#[derive(Clone)]
pub struct Status {
    shared: Arc<Shared>,
}

struct Shared {
    source: StatusSource,
    looks: Semaphore,
    started_ms: i64,
}

/// What the page shows, and where it reads.
pub struct StatusSource {
    /// A connection of the page's own.
    pub reads: Database,
    /// The worker's connection.
    pub writes: Database,
    /// Both remotes, and the table through `reads`.
    pub ports: Ports,
    /// How often the tasks run.
    pub intervals: Intervals,
    /// What the file is called.
    pub data: String,
    /// The hook's.
    pub door: Door,
    /// Where deliveries are queued.
    pub queue: SqliteQueue,
    /// What was counted.
    pub totals: Arc<Totals>,
    /// Whether it is time to stop.
    pub stop: watch::Receiver<bool>,
}

/// Looks at both sides at the same time. People wait for each other; the worker does not wait for them.
const MAX_LOOKS: usize = 2;

impl Status {
    /// A status page of this source.
    pub fn new(source: StatusSource) -> Self {
        Self {
            shared: Arc::new(Shared {
                started_ms: source.ports.clock.now_ms(),
                looks: Semaphore::new(MAX_LOOKS),
                source,
            }),
        }
    }

    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Reply {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refusal = plain(405, "only GET is answered\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(header::ALLOW, allowed);
            return refusal;
        }
        match request.uri().path() {
            "/health" => return plain(200, "ok\n"),
            "/ready" => return self.ready(&request).await,
            // Numbers only: a monitor may call this machine by any name.
            "/metrics" => return self.metrics().await,
            _ => {}
        }
        if !names_this_machine(&request) {
            return html(403, bare("Open this page by its address, or as localhost."));
        }
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let names = match is_from_here(&request) {
            true => Names::Shown,
            false => Names::Hidden,
        };
        match self.page(request.uri().path(), &query, names).await {
            Ok(reply) => reply,
            Err(failure) => {
                tracing::error!("the status page cannot be shown: {failure}");
                html(503, self.frame().trouble(&failure.to_string()))
            }
        }
    }

    async fn page(
        &self,
        path: &str,
        query: &HashMap<String, String>,
        names: Names,
    ) -> Result<Reply, Failure> {
        let source = &self.shared.source;
        let now_ms = self.clock().now_ms();
        let value = |name: &str| query.get(name).map_or("", |value| value.trim()).to_owned();
        let page = value("page").parse().unwrap_or(0);
        let filter = EventFilter {
            state: value("state"),
            subject: value("subject"),
            page,
        };
        let asked = value("window");
        let window = WINDOWS.into_iter().find(|window| window.name == asked);
        let window = window.unwrap_or(WINDOWS[0]);
        Ok(match path {
            "/" => {
                let overview = data::overview(&source.reads, now_ms, window).await?;
                let situation =
                    Situation::read(&source.ports, &source.reads, source.intervals, now_ms).await?;
                html(200, self.frame().overview(&overview, &situation, window))
            }
            "/events" => {
                let events = data::events(&source.reads, filter.clone(), now_ms).await?;
                html(200, self.frame().events(&events, &filter))
            }
            "/links" => {
                let filter = LinkFilter {
                    text: value("q"),
                    names,
                    page,
                };
                let links = data::links(&source.reads, filter.clone()).await?;
                html(200, self.frame().links(&links, &filter))
            }
            "/subject" => match value("id").parse() {
                Ok(subject) => {
                    let _turn = self.shared.looks.acquire().await;
                    let dossier = Dossier::read(&source.ports, subject, names).await?;
                    html(200, self.frame().subject(&dossier))
                }
                Err(_) => {
                    let text = "Name a user or group: /subject?id=user%2300u…";
                    html(404, self.frame().not_found(text))
                }
            },
            "/status.json" => {
                let overview = data::overview(&source.reads, now_ms, window).await?;
                let events = data::events(&source.reads, filter, now_ms).await?;
                let situation =
                    Situation::read(&source.ports, &source.reads, source.intervals, now_ms).await?;
                let (_, said) = verdict::verdict(&situation, &overview.numbers);
                let status = json!({
                    "verdict": said, "causes": situation.inbox.failures, "held": situation.inbox.held,
                    "overview": overview, "events": events.rows, "more_events": events.has_more, "door": source.door.counts(),
                    "paused": situation.standing.is_paused(), "planned_only": situation.standing.planned_only,
                    "brake_off_until_ms": situation.standing.brake_off_until_ms,
                });
                reply(200, "application/json", status.to_string())
            }
            "/style.css" => reply(200, "text/css; charset=utf-8", include_str!("style.css")),
            _ => html(404, self.frame().not_found("There is no such page.")),
        })
    }

    /// Whether a delivery would be accepted: there are connections, the file can be written, the queue has room, and
    /// the program was not told to stop.
    async fn ready<B>(&self, request: &Request<B>) -> Reply {
        if *self.shared.source.stop.borrow() {
            return plain(503, "stopping\n");
        }
        let source = &self.shared.source;
        let pressure = source.door.pressure();
        match pressure {
            Pressure::Full => return plain(503, "all connections are in use\n"),
            Pressure::Refused => {
                return plain(
                    503,
                    "the system gives no more connections: too many open files\n",
                );
            }
            Pressure::None | Pressure::Evicting => {}
        }
        let probe = match is_from_here(request) {
            true => Probe::Write,
            false => Probe::Lock,
        };
        let probed = timeout(MAX_PROBE, async {
            data::probe(&source.writes, probe).await?;
            source.queue.has_room().await
        });
        match probed.await {
            Ok(Ok(())) if pressure == Pressure::Evicting => plain(
                200,
                "ready, but connections run out: idle ones were closed for new ones in the last minute\n",
            ),
            Ok(Ok(())) => plain(200, "ready\n"),
            Ok(Err(failure)) => match source.writes.loss() {
                // The log says so once.
                Some(loss) => {
                    let text = format!("the data file was {}\n", loss.as_str());
                    reply(503, PLAIN, text)
                }
                // Every delivery that it costs is logged.
                None if failure.cause == Cause::LimitReached => plain(503, "the queue is full\n"),
                None => {
                    tracing::error!("not ready: {failure}");
                    plain(503, "the database cannot be written\n")
                }
            },
            Err(_) => plain(503, "the database does not answer in time\n"),
        }
    }

    async fn metrics(&self) -> Reply {
        let now_ms = self.clock().now_ms();
        let source = &self.shared.source;
        let reading = async {
            let paused = Paused::read(&source.ports).await?;
            let numbers = move |connection: &_| Numbers::read(connection, now_ms);
            let numbers = source.reads.read(Side::Table, numbers).await?;
            Ok::<_, Failure>(source.totals.text(&numbers, paused, &source.door.counts()))
        };
        match timeout(MAX_PROBE, reading).await {
            Ok(Ok(text)) => reply(200, "text/plain; version=0.0.4; charset=utf-8", text),
            Ok(Err(failure)) => {
                tracing::error!("the metrics cannot be read: {failure}");
                plain(503, "the database cannot be read\n")
            }
            Err(_) => plain(503, "the database does not answer in time\n"),
        }
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.source.ports.clock
    }

    fn frame(&self) -> Frame<'_> {
        Frame {
            data: &self.shared.source.data,
            now_ms: self.clock().now_ms(),
            started_ms: self.shared.started_ms,
        }
    }
}

/// Whether somebody on this machine asks, and not a page of another site in their browser.
fn is_from_here<B>(request: &Request<B>) -> bool {
    let site = request.headers().get("sec-fetch-site");
    let own_page = site.is_none_or(|site| site == "none" || site == "same-origin");
    let held = request.extensions().get::<HeldPlace>();
    own_page && names_this_machine(request) && held.is_some_and(HeldPlace::is_loopback)
}

fn names_this_machine<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST);
    host.is_some_and(|host| is_local_name(host.as_bytes()))
}

/// Whether a `Host` header names this machine in a way that no other site can: an address, or
/// `localhost`.
fn is_local_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(inner, port)| {
            let port = port.strip_prefix(':').or(port.is_empty().then_some("80"));
            inner.parse::<Ipv6Addr>().is_ok() && port.is_some_and(is_port)
        });
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    is_port(port) && (name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost"))
}

/// 1 to 65535, as every browser writes it.
fn is_port(text: &str) -> bool {
    let port = text.parse::<NonZeroU16>();
    port.is_ok_and(|port| port.to_string() == text)
}

fn html(status: u16, body: String) -> Reply {
    reply(status, "text/html; charset=utf-8", body)
}

fn plain(status: u16, body: &'static str) -> Reply {
    reply(status, PLAIN, body)
}

fn reply(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Reply::new(Full::new(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    reply.headers_mut().insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    reply
}

#[cfg(test)]
mod tests {
    use super::is_local_name;

    #[test]
    fn only_addresses_and_localhost_are_local_names() {
        for good in [
            "127.0.0.1:8088",
            "127.0.0.1",
            "[::1]:8088",
            "[::1]",
            "localhost:1",
            "LocalHost",
            "10.0.0.7:80",
        ] {
            assert!(is_local_name(good.as_bytes()), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:8088",
            "localhost.evil.example",
            "",
            "[evil",
            "127.0.0.1.evil.example:1",
            "::ffff:evil",
            "localhost:",
            "localhost:evil.example",
            "127.0.0.1:80@evil.example",
            "127.0.0.1:8088:evil.example",
            "127.0.0.1:+80",
            "127.0.0.1:65536",
            "127.0.0.1:00080",
            "localhost:0",
            "[::1]:0",
            "[::1]evil.example",
            "[::1]:",
            "[::1]:evil.example",
        ] {
            assert!(!is_local_name(bad.as_bytes()), "{bad}");
        }
    }
}
