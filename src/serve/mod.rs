//! The whole product without AWS: receiver, queue, worker, schedules and a status page in one
//! process, on one SQLite file.
//!
//! ```text
//!  Okta ──▶ http ──▶ Receiver ──▶ queue (file) ──▶ work ──▶ Worker ──▶ Okta, Anypoint
//!                                 schedules ──▶ ┘
//!  people, monitors ──▶ http ──▶ status ──▶ file (read only)
//! ```
//!
//! Guaranteed: one process at a time serves a file; an event that was answered with 204 is in the
//! file, and stays in the queue until the ledger has its result, even if the process dies. The next start
//! takes up the work of a killed process at once: it ends the leases, which nobody else can hold.

mod attending;
mod connections;
mod door;
mod http;
mod lock;
mod numbers;
mod open_files;
mod options;
mod places;
mod prometheus;
mod recovery;
mod schedules;
mod status;
mod work;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer};
use tower::util::MapResponse;
use tower::{ServiceBuilder, service_fn};

use crate::clock::{Clock, SystemClock};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::provision::{Ports, note_changes};
use crate::queue::{Queue, SqliteQueue};
use crate::receiver::{Answer, Deliveries, Gate, Gated};
use crate::schedule::Scheduler;
use crate::sqlite::{Database, make_if_missing};
use crate::store::{SqliteStore, overwrite, read};
use crate::telemetry::Metrics;
use crate::wiring::{self, Table};
use crate::worker::{Pace, Worker};

use self::attending::Attending;
use self::connections::{Connections, HeldPlace};
use self::door::Door;
use self::http::{Limits, serve};
use self::prometheus::Totals;
use self::status::{Status, StatusSource};

pub use self::lock::{OnlyOne, is_served};
pub use self::options::{Intervals, Options, Settings, StatusAddress};
pub use self::status::shell_word;
use self::work::Dispatcher;

/// Marks the claims of this program in the file.
const MARK: &str = "serve:";
/// What is under way may take this long after the program was told to stop. Docker kills after 10 s.
const GRACE: Duration = Duration::from_secs(8);
/// Opening the connection to Anypoint ahead of the first event.
const WARM_UP: Duration = Duration::from_secs(10);

/// Deliveries that are read or made durable at once: bounds the memory that bodies take. More wait,
/// and are refused when their time is up.
const MAX_DELIVERIES: usize = 32;

/// Connections that the kernel keeps until they are accepted; the system may allow fewer. Without a place there, a client
/// tries again a second later.
const BACKLOG: u32 = 4096;
/// Connections at once. How many the hook's address may have is in `open_files`.
const STATUS_CONNECTIONS: usize = 32;
const HOOK_LIMITS: Limits = Limits {
    head: Duration::from_secs(5),
    life: Duration::from_secs(10 * 60),
};
const STATUS_LIMITS: Limits = Limits {
    head: Duration::from_secs(5),
    life: Duration::from_secs(60),
};

/// The document with the settings that `serve` was started with.
const DECIDING: &str = "settings";

/// The settings of the `serve` that works on `database` now, as it was started.
///
/// # Errors
/// When the file cannot be read.
pub async fn deciding(database: &Database) -> Result<BTreeMap<String, String>, Failure> {
    let documents = SqliteStore::new(database.clone());
    Ok(read(&documents, DECIDING).await?.unwrap_or_default())
}

/// The queue of this program in its file.
pub fn queue(database: &Database, clock: &Arc<dyn Clock>) -> SqliteQueue {
    SqliteQueue::new(database.clone(), clock.clone())
}

/// Everything is open and listens; nothing works yet.
pub struct Ready {
    listener: TcpListener,
    status: Option<(TcpListener, Status)>,
    hook: Gated<Attending<ConcurrencyLimit<Deliveries>>>,
    door: Door,
    dispatcher: Dispatcher,
    database: Database,
    tasks: Vec<schedules::Repeated>,
    totals: Arc<Totals>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
    stopper: watch::Sender<bool>,
}

impl Ready {
    /// Opens the file, takes its lock, listens.
    ///
    /// # Errors
    /// What is in the way, in words.
    pub async fn new(options: &Options, settings: &Settings) -> Result<Self, Failure> {
        let places = open_files::places()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new("serve"));
        let totals = Arc::new(Totals::new(metrics.clone(), clock.now_ms()));
        // The file must exist, so that it has one lock under all its names.
        make_if_missing(&options.data)?;
        let lock = OnlyOne::take(&options.data)?;
        let database = Database::open_locked(&options.data, lock)?;

        let kept = settings.engine.retention;
        let table = wiring::sqlite_table(&database, kept, &clock, MARK);
        note_changes(&*table.documents, settings.engine.policy.changes).await?;
        overwrite(&*table.documents, DECIDING, &options.deciding).await?;
        let queue = queue(&database, &clock);

        let gate = Gate::new(settings.hook.header.clone(), settings.hook.secrets.clone());
        let gate = gate.map_err(defect)?;
        let deliveries = Deliveries::new(
            settings.hook.app.clone(),
            Arc::new(queue.clone()),
            clock.clone(),
            metrics.clone(),
        );
        let hook = ServiceBuilder::new()
            .layer(gate.clone())
            .layer_fn(Attending)
            .layer(ConcurrencyLimitLayer::new(MAX_DELIVERIES))
            .service(deliveries);
        let ports = wiring::ports(&settings.engine, &table, &clock).map_err(defect)?;
        let anypoint = ports.anypoint.clone();
        tokio::spawn(async move { anypoint.warm_up(Deadline::within(WARM_UP)).await });
        let follow_ups: Arc<dyn Queue> = Arc::new(queue.clone());
        let scheduler = Scheduler::new(
            ports.clone(),
            follow_ups.clone(),
            settings.schedule,
            metrics.clone(),
        );
        let mut tasks = Vec::new();
        for (task, every) in options.intervals.each() {
            if let Some(every) = every {
                let first =
                    schedules::first(&scheduler, task, every, &table.documents, clock.now_ms())
                        .await?;
                tasks.push(schedules::repeated(&scheduler, task, first, every));
            }
        }
        let worker = Arc::new(Worker::new(
            ports.clone(),
            Some(follow_ups),
            metrics.clone(),
            Pace::QUEUED,
        ));

        let (stopper, stop) = watch::channel(false);
        // The status page is optional, so it must not take this address.
        let listener = listen(options.listen, "--listen")?;
        let door = Door::new(Connections::new(places), gate);
        let status = match listen_for_status(options.status)? {
            None => None,
            Some(listener) => {
                let reads = database.another()?;
                let Table {
                    ledger,
                    store,
                    documents,
                } = wiring::sqlite_table(&reads, kept, &clock, "");
                let page = Status::new(StatusSource {
                    ports: Ports {
                        ledger,
                        store,
                        documents,
                        ..ports.clone()
                    },
                    reads,
                    writes: database.clone(),
                    intervals: options.intervals,
                    data: options.data.display().to_string(),
                    door: door.clone(),
                    queue: queue.clone(),
                    totals: totals.clone(),
                    stop: stop.clone(),
                });
                Some((listener, page))
            }
        };
        Ok(Self {
            listener,
            status,
            hook,
            door,
            dispatcher: Dispatcher { queue, worker },
            database,
            tasks,
            totals,
            clock,
            stop,
            stopper,
        })
    }

    /// Where Okta's deliveries come in, with the real port.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn hook_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the status page is shown, if it is.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn status_address(&self) -> std::io::Result<Option<SocketAddr>> {
        let status = self.status.as_ref();
        status
            .map(|(listener, _)| listener.local_addr())
            .transpose()
    }

    /// Works until `until` is over, then stops in good order. It takes no new connections, lets requests, looks
    /// and runs finish, and gives back those that do not finish in time.
    ///
    /// # Errors
    /// When the work of an earlier process cannot be taken up.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), Failure> {
        recovery::free(&self.database, MARK, self.clock.now_ms()).await?;
        let Self {
            listener,
            status,
            hook,
            door,
            dispatcher,
            database,
            tasks,
            totals,
            clock,
            stop,
            stopper,
        } = self;

        let mut parts = tokio::task::JoinSet::new();
        let counted = totals.clone();
        let hook = MapResponse::new(hook, move |reply: Answer| {
            counted.answered(reply.status());
            reply
        });
        let connections = door.connections();
        parts.spawn(serve(
            listener,
            connections,
            HOOK_LIMITS,
            stop.clone(),
            GRACE,
            hook,
        ));
        if let Some((listener, page)) = status {
            let page = service_fn(move |request: Request<Incoming>| {
                let busy = request.extensions().get().map(HeldPlace::busy);
                let answer = page.clone().answer(request);
                answer.map(|answer| (Ok(answer), drop(busy)).0).boxed()
            });
            let connections = Connections::new(STATUS_CONNECTIONS);
            parts.spawn(serve(
                listener,
                connections,
                STATUS_LIMITS,
                stop.clone(),
                GRACE,
                page,
            ));
        }
        for task in tasks {
            parts.spawn(task.repeat(stop.clone(), GRACE));
        }
        parts.spawn(door.watch(totals, stop.clone()));
        parts.spawn(keep_working(dispatcher, stop));

        until.await;
        tracing::info!("stopping: no new connections; what is under way finishes");
        stopper.send_replace(true);
        parts.join_all().await;
        // Nothing runs any more, so the next start may have the work that was cut off.
        recovery::free(&database, MARK, clock.now_ms()).await
    }
}

/// Runs the dispatcher until `stop`, and starts it again if it panics.
async fn keep_working(dispatcher: Dispatcher, stop: watch::Receiver<bool>) {
    let dispatcher = Arc::new(dispatcher);
    while !*stop.borrow() {
        let (running, stop) = (Arc::clone(&dispatcher), stop.clone());
        let ended = tokio::spawn(async move { running.run(stop, GRACE).await }).await;
        if ended.is_err() {
            tracing::error!("the work loop panicked and starts again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Waits until it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn listen_for_status(status: StatusAddress) -> Result<Option<TcpListener>, Failure> {
    let option = "--status";
    match status {
        StatusAddress::Off => Ok(None),
        StatusAddress::At(address) => listen(address, option).map(Some),
        StatusAddress::IfFree(address) => match bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                tracing::warn!(
                    "there is no status page, because {address} is in use. Choose another address with {option}"
                );
                Ok(None)
            }
            bound => bound
                .map(Some)
                .map_err(|error| cannot_listen(address, option, &error)),
        },
    }
}

fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, Failure> {
    bind(address).map_err(|error| cannot_listen(address, option, &error))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait for connections of the last run.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn cannot_listen(address: SocketAddr, option: &str, error: &std::io::Error) -> Failure {
    Failure::permanent(
        Side::Settings,
        format!("{address} cannot be listened on ({}).", error.kind()),
        format!("Choose another address with {option}."),
    )
}

fn defect(what: String) -> Failure {
    Failure::permanent(Side::Program, what, "report this as a bug")
}
