//! The load on the functions as they are deployed: release binaries under a Runtime API, a FIFO queue in
//! memory between them, DynamoDB Local.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use okta_anypoint::clock::SystemClock;
use okta_anypoint::ledger::{DynamoDbLedger, Filter, Ledger as _, Status};
use okta_anypoint::simulator::okta::LogEvent;

use crate::built::{built, peak_mib};
use crate::fifo::{Fifo, batch_event};
use crate::measure::{EACH, Figures, Sent, anypoint, due};
use crate::rig::{APP, LONG, Remotes, SECRET};
use crate::runtime_api::{Lambda, Request};
use crate::servers;

/// Environments of the hook; each takes one delivery at a time, as Lambda's do.
pub const HOOKS: usize = 4;
/// `WorkerConcurrency` of the template.
pub const WORKERS: usize = 2;
/// `Timeout` of the worker in the template.
const WORKER_TIME: Duration = Duration::from_secs(120);

/// How long a sender waits before it sends a refused delivery again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How the events come.
#[derive(Debug, Clone, Copy)]
pub enum PairLoad {
    /// As fast as they are taken.
    Burst,
    /// This many events a second.
    Steady(usize),
    /// As fast as they are taken, while the queue is out of reach for this long, and until a delivery was
    /// refused.
    BurstWithoutQueue(Duration),
}

/// What became of a load; the peak is that of the largest of each.
pub struct PairFigures {
    pub figures: Figures,
    pub hook_mib: f64,
    pub worker_mib: f64,
}

/// What the senders share.
struct Senders {
    remotes: Remotes,
    fifo: Fifo,
    due: Vec<LogEvent>,
    begun: Instant,
    load: PairLoad,
    next: AtomicUsize,
    some_refused: AtomicBool,
    all_taken: AtomicBool,
}

pub async fn run(events: usize, load: PairLoad) -> PairFigures {
    let remotes = Remotes::start().await;
    let users = events / 2;
    let due = due(&remotes, users);
    let fifo = Fifo::start().await;
    let (database, table) = servers::table().await;
    let env = settings(&remotes, &fifo, &table);
    let (hook, provision) = (
        built(["--bin", "hook"], "hook"),
        built(["--bin", "provision"], "provision"),
    );
    let hooks = join_all((0..HOOKS).map(|_| start(&hook, &env))).await;
    let workers = join_all((0..WORKERS).map(|_| start(&provision, &env))).await;
    if let PairLoad::BurstWithoutQueue(_) = load {
        fifo.go_away();
    }
    let senders = Arc::new(Senders {
        remotes,
        fifo,
        due,
        begun: Instant::now(),
        load,
        next: AtomicUsize::new(0),
        some_refused: AtomicBool::new(false),
        all_taken: AtomicBool::new(false),
    });

    let sending = async {
        let (sent, ()) = tokio::join!(
            join_all(hooks.iter().map(|hook| senders.send(hook))),
            senders.bring_queue_back()
        );
        senders.all_taken.store(true, Ordering::SeqCst);
        (sent, senders.begun.elapsed(), senders.fifo.depth() as u64)
    };
    let working = join_all(workers.iter().map(|worker| senders.work(worker)));
    let ((sent, taken, backlog), _) = tokio::join!(sending, working);
    let worked_off = senders.begun.elapsed();
    let sent: Sent = sent.into_iter().sum();

    let ledger = DynamoDbLedger::new(database, &table, 30, Arc::new(SystemClock));
    let records = ledger.records(&Filter::default()).await.unwrap();
    let is_done = records
        .iter()
        .filter(|record| record.status == Status::Done);
    let done: HashSet<&str> = is_done.map(|record| record.id.as_str()).collect();
    let lost = senders
        .due
        .iter()
        .filter(|event| !done.contains(event.uuid.as_str()));
    let (doubled, wrong) = anypoint(&senders.remotes, users);
    let most = |functions: &[Lambda]| {
        let peaks = functions.iter().map(|function| peak_mib(function.pid()));
        peaks.fold(0.0, f64::max)
    };
    PairFigures {
        figures: Figures {
            events,
            taken,
            slowest: sent.slowest,
            worked_off,
            backlog,
            refused: sent.refused,
            refused_and_recorded: sent.recorded,
            lost: lost.count(),
            doubled,
            wrong,
            peak_mib: most(&hooks).max(most(&workers)).ceil() as u64,
        },
        hook_mib: most(&hooks),
        worker_mib: most(&workers),
    }
}

impl Senders {
    /// Sends one delivery after the other, each until it is taken.
    async fn send(&self, hook: &Lambda) -> Sent {
        let mut sent = Sent::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(events) = self.due.chunks(EACH).nth(number) else {
                return sent;
            };
            if let PairLoad::Steady(each_second) = self.load {
                let at = Duration::from_secs_f64((number * EACH) as f64 / each_second as f64);
                tokio::time::sleep_until((self.begun + at).into()).await;
            }
            let body = self.remotes.okta.world().delivery(events).to_string();
            let request = Request::new("POST", "/okta").header("authorization", SECRET);
            let request = request.body(body).http_api();
            loop {
                let begun = Instant::now();
                let answer = hook.invoke(request.clone(), LONG).await;
                sent.slowest = sent.slowest.max(begun.elapsed());
                let answer =
                    answer.unwrap_or_else(|failed| panic!("{failed:?}\n{}", hook.output()));
                match answer["statusCode"].as_u64() {
                    Some(204) => break,
                    Some(503) => {
                        sent.refused += 1;
                        self.some_refused.store(true, Ordering::SeqCst);
                        let is_recorded = |event: &LogEvent| self.fifo.has_taken(&event.uuid);
                        sent.recorded += usize::from(events.iter().any(is_recorded));
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    _ => panic!("{answer}\n{}", hook.output()),
                }
            }
        }
    }

    async fn bring_queue_back(&self) {
        let PairLoad::BurstWithoutQueue(time) = self.load else {
            return;
        };
        let is_over = || self.begun.elapsed() >= time && self.some_refused.load(Ordering::SeqCst);
        while !is_over() && self.begun.elapsed() < LONG {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.fifo.come_back();
    }

    /// Hands batches to a worker until nothing is left.
    async fn work(&self, worker: &Lambda) {
        loop {
            let batch = self.fifo.receive();
            if batch.is_empty() {
                if self.all_taken.load(Ordering::SeqCst) && self.fifo.depth() == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let answer = worker.invoke(batch_event(&batch), WORKER_TIME).await;
            let answer = answer.unwrap_or_else(|failed| panic!("{failed:?}\n{}", worker.output()));
            let failed = answer["batchItemFailures"].as_array().unwrap().iter();
            let failed = failed.map(|one| one["itemIdentifier"].as_str().unwrap().to_owned());
            self.fifo.settle(batch, &failed.collect::<Vec<_>>());
        }
    }
}

async fn start(binary: &Path, env: &[(&str, String)]) -> Lambda {
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let function = Lambda::start_binary(binary, &env).await;
    function.ready(LONG).await.unwrap();
    function
}

fn settings(remotes: &Remotes, fifo: &Fifo, table: &str) -> Vec<(&'static str, String)> {
    let anypoint = remotes.anypoint.world();
    vec![
        ("AWS_LAMBDA_LOG_LEVEL", "INFO".to_owned()),
        ("AWS_ENDPOINT_URL_SQS", fifo.url.clone()),
        (
            "AWS_ENDPOINT_URL_DYNAMODB",
            servers::dynamodb_url().to_owned(),
        ),
        ("QUEUE_URL", format!("{}/123456789012/load.fifo", fifo.url)),
        ("TABLE_NAME", table.to_owned()),
        ("HOOK_SECRET", SECRET.to_owned()),
        ("OKTA_APP_ID", APP.to_owned()),
        ("OKTA_API_TOKEN", "simulated-okta-token".to_owned()),
        ("OKTA_ORG_URL", remotes.okta.base_url().to_owned()),
        ("ANYPOINT_BASE_URL", remotes.anypoint.base_url().to_owned()),
        ("ANYPOINT_ORG_ID", anypoint.org_id.clone()),
        ("ANYPOINT_CLIENT_ID", anypoint.client_id.clone()),
        ("ANYPOINT_CLIENT_SECRET", anypoint.client_secret.clone()),
    ]
}
