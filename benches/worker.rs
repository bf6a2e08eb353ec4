//! How many calls and how long 1,000 changes of 100 users take through the worker, with 20 ms on each
//! remote call, next to a worker that handles them one by one.
//!
//! `cargo bench --bench worker` (under three minutes), or `cargo bench --bench worker -- 20` for another
//! number of users. Okta and Anypoint are the simulators; the table is DynamoDB Local, behind a server
//! that waits and counts.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod remotes;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/servers.rs"]
mod servers;
mod sheet;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::ids::{OktaUserId, Subject};
use okta_anypoint::ledger::Reason;
use okta_anypoint::settings::Retention;
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::okta::{OktaOptions, OktaSimulator};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::dynamodb_table;
use okta_anypoint::worker::{Pace, Verdict, Worker};

use remotes::{APP, Remotes};
use sheet::{Limit, OverBudget, Sheet};

const LATENCY: Duration = Duration::from_millis(20);
/// Long enough for every call's own time to vanish beside it: counts the calls that wait for another.
const PROBE: Duration = Duration::from_millis(250);
/// The budget: time as a multiple of the bound.
const MAX_TIMES: f64 = 1.2;
const CHANGES_A_USER: usize = 10;
/// The most messages that SQS FIFO hands out at once.
const BATCH: usize = 10;
/// `WorkerConcurrency` of the template: batches that are worked on at once.
const ENVIRONMENTS: usize = 2;

/// DynamoDB Local with a wait before each call.
struct Slow {
    http: reqwest::Client,
    latency_ms: AtomicUsize,
    calls: AtomicUsize,
    /// What all calls took together, with the wait.
    took_us: AtomicUsize,
}

async fn pass(
    State(slow): State<Arc<Slow>>,
    mut headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Bytes) {
    slow.calls.fetch_add(1, Ordering::Relaxed);
    let begun = Instant::now();
    let latency_ms = slow.latency_ms.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(latency_ms as u64)).await;
    for changed in ["host", "content-length"] {
        headers.remove(changed);
    }
    let call = slow.http.post(servers::dynamodb_url()).headers(headers);
    let answer = call.body(body).send().await.unwrap();
    let mut headers = HeaderMap::new();
    let kind = "application/x-amz-json-1.0".parse().unwrap();
    headers.insert("content-type", kind);
    let (status, answer) = (answer.status(), answer.bytes().await.unwrap());
    let took_us = usize::try_from(begun.elapsed().as_micros()).unwrap();
    slow.took_us.fetch_add(took_us, Ordering::Relaxed);
    (status, headers, answer)
}

/// Both remotes with `users` who are assigned and have no account yet, and an empty table.
struct World {
    okta: OktaSimulator,
    anypoint: AnypointSimulator,
    slow: Arc<Slow>,
    sdk: aws_config::SdkConfig,
    table: String,
    users: Vec<OktaUserId>,
}

impl World {
    async fn new(users: usize) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let free = "127.0.0.1:0".parse().unwrap();
        let okta = OktaSimulator::start(free, OktaOptions::default())
            .await
            .unwrap();
        let anypoint = AnypointSimulator::start(free, AnypointOptions::default())
            .await
            .unwrap();
        okta.world().add_app(APP, "Anypoint");
        let users = (0..users).map(|n| {
            let login = format!("user-{n}@acme.example");
            let mut world = okta.world();
            let user = world
                .create_user(&login, "Ann", "Example", &login, None)
                .unwrap();
            world.assign(APP, &user.id).unwrap();
            OktaUserId::parse(&user.id).unwrap()
        });
        let users = users.collect();
        let slow = Arc::new(Slow {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            latency_ms: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            took_us: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(pass).with_state(slow.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let (_, table) = servers::table().await;
        Self {
            okta,
            anypoint,
            slow,
            sdk: servers::config(&url).await,
            table,
            users,
        }
    }

    fn set_latency(&self, latency: Duration) {
        self.okta.traffic().set_latency(latency);
        self.anypoint.traffic().set_latency(latency);
        let ms = usize::try_from(latency.as_millis()).unwrap();
        self.slow.latency_ms.store(ms, Ordering::Relaxed);
    }

    /// A worker with connections of its own, as every Lambda environment has, and a token.
    async fn worker(&self, subjects_at_once: usize) -> Worker {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let kept = Retention {
            event_days: 1,
            audit_days: 1,
        };
        let table = dynamodb_table(&self.sdk, &self.table, kept, &clock);
        let remotes = Remotes::of(&self.okta, &self.anypoint);
        let ports = remotes.ports(&table);
        ports.anypoint.warm_up(deadline()).await;
        let _ = table.documents.document("warm-up").await;
        let pace = Pace {
            subjects_at_once,
            ..Pace::QUEUED
        };
        Worker::new(ports, None, Arc::new(Metrics::new("bench")), pace)
    }

    /// What a call took on average, as the servers saw it.
    fn call(&self) -> Duration {
        let mut log = self.okta.traffic().log();
        log.extend(self.anypoint.traffic().log());
        let took_us: usize = log
            .iter()
            .map(|request| request.took_ms as usize * 1000)
            .sum();
        let table = self.slow.took_us.load(Ordering::Relaxed);
        let calls = log.len() + self.slow.calls.load(Ordering::Relaxed);
        Duration::from_micros(((took_us + table) / calls) as u64)
    }

    fn forget(&self) {
        self.okta.traffic().clear();
        self.anypoint.traffic().clear();
        self.slow.calls.store(0, Ordering::Relaxed);
        self.slow.took_us.store(0, Ordering::Relaxed);
    }
}

fn deadline() -> Deadline {
    Deadline::within(Duration::from_secs(120))
}

fn change(user: &OktaUserId) -> Change {
    Change::found(Subject::User(user.clone()), SystemClock.now_ms())
}

async fn work(worker: &Worker, batch: &[Change]) {
    let verdicts = worker.run(batch, Reason::Delivery, deadline()).await;
    assert!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Settled),
        "{verdicts:?}"
    );
}

/// How many calls wait for one another in a look that creates, and in one that finds nothing to do.
async fn chains() -> (u32, u32) {
    let world = World::new(1).await;
    let worker = world.worker(1).await;
    world.set_latency(PROBE);
    let mut found = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        work(&worker, &[change(&world.users[0])]).await;
        found.push((begun.elapsed().as_millis() / PROBE.as_millis()) as u32);
    }
    (found[0], found[1])
}

/// The result of one way of working.
struct Run {
    name: &'static str,
    time: Duration,
    bound: Duration,
    call: Duration,
    okta: usize,
    anypoint: usize,
    table: usize,
    peak: (usize, usize, usize),
}

/// The time that calls which wait for one another need at the least: in each environment one batch after
/// the other, and in each batch as many rounds of looks as its subjects need at `at_once` a round.
fn bound(
    environments: &[Vec<Vec<Change>>],
    at_once: usize,
    (creating, idle): (u32, u32),
) -> Duration {
    let steps = environments.iter().map(|batches| {
        let mut known = HashSet::new();
        let mut steps = 0;
        for batch in batches {
            let subjects: HashSet<&Subject> = batch.iter().map(|change| &change.subject).collect();
            let rounds = u32::try_from(subjects.len().div_ceil(at_once)).unwrap();
            let all_known = subjects.iter().all(|subject| known.contains(subject));
            steps += rounds * if all_known { idle } else { creating };
            known.extend(subjects);
        }
        steps
    });
    LATENCY * steps.max().unwrap_or_default()
}

/// `batches[n]` are the batches that environment `n` gets, one after the other.
async fn run(
    name: &'static str,
    users: usize,
    subjects_at_once: usize,
    chains: (u32, u32),
    batches: impl Fn(&[OktaUserId]) -> Vec<Vec<Vec<Change>>>,
) -> Run {
    let world = World::new(users).await;
    let environments = batches(&world.users);
    let bound = bound(&environments, subjects_at_once, chains);
    let mut workers = Vec::new();
    for _ in &environments {
        workers.push(world.worker(subjects_at_once).await);
    }
    world.forget();
    world.set_latency(LATENCY);
    let begun = Instant::now();
    let each = workers
        .iter()
        .zip(&environments)
        .map(|(worker, batches)| async move {
            for batch in batches {
                work(worker, batch).await;
            }
        });
    futures_util::future::join_all(each).await;
    let time = begun.elapsed();
    assert_eq!(
        world.anypoint.world().users.len(),
        users,
        "every user has one account"
    );
    let (okta, anypoint) = (world.okta.traffic(), world.anypoint.traffic());
    Run {
        name,
        time,
        bound,
        call: world.call(),
        okta: okta.log().len(),
        anypoint: anypoint.log().len(),
        table: world.slow.calls.load(Ordering::Relaxed),
        peak: (
            okta.peak_concurrency().0,
            anypoint.peak_concurrency().0,
            anypoint.peak_concurrency().1,
        ),
    }
}

/// Ten changes of one user in each batch: what SQS FIFO hands out of a backlog, because it fills a
/// batch from one message group first.
fn one_user_a_batch(users: &[OktaUserId]) -> Vec<Vec<Vec<Change>>> {
    let share = users.len().div_ceil(ENVIRONMENTS);
    let environments = users.chunks(share);
    environments
        .map(|users| {
            let batch = |user| (0..CHANGES_A_USER).map(|_| change(user)).collect();
            users.iter().map(batch).collect()
        })
        .collect()
}

/// Ten users in each batch, ten times over: what arrives spread out.
fn ten_users_a_batch(users: &[OktaUserId]) -> Vec<Vec<Vec<Change>>> {
    let share = users.len().div_ceil(ENVIRONMENTS);
    let environments = users.chunks(share);
    environments
        .map(|users| {
            let round = || {
                users
                    .chunks(BATCH)
                    .map(|users| users.iter().map(change).collect())
            };
            (0..CHANGES_A_USER).flat_map(|_| round()).collect()
        })
        .collect()
}

/// One message at a time, one after the other.
fn one_by_one(users: &[OktaUserId]) -> Vec<Vec<Vec<Change>>> {
    let all = users
        .iter()
        .flat_map(|user| std::iter::repeat_n(user, CHANGES_A_USER));
    vec![all.map(|user| vec![change(user)]).collect()]
}

#[tokio::main]
async fn main() -> Result<(), OverBudget> {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let users: usize = argument.unwrap_or(100);
    let changes = users * CHANGES_A_USER;
    let (creating, idle) = chains().await;
    let at_once = Pace::QUEUED.subjects_at_once;
    println!(
        "{changes} changes of {users} users, 20 ms a call. Calls that wait for one another: {creating} in a \
         look that creates an account, {idle} in one that finds nothing to do."
    );
    let chains = (creating, idle);
    let runs = [
        run(
            "batches of one user's changes",
            users,
            at_once,
            chains,
            one_user_a_batch,
        )
        .await,
        run(
            "batches of ten users",
            users,
            at_once,
            chains,
            ten_users_a_batch,
        )
        .await,
        run("one by one", users, 1, chains, one_by_one).await,
    ];
    let slowest = runs[runs.len() - 1].time;
    let mut sheet = Sheet::new(&[
        "way",
        "time",
        "bound",
        "time/bound",
        "a call took",
        "time/bound at that",
        "faster",
        "calls",
        "Okta",
        "Anypoint",
        "table",
        "peak Okta",
        "peak Anypoint",
        "peak writes",
    ]);
    for run in &runs {
        let ratio = |over: Duration, under: Duration| over.as_secs_f64() / under.as_secs_f64();
        let of_bound = ratio(run.time, run.bound);
        let of_real_bound = of_bound / ratio(run.call, LATENCY);
        let call_ms = run.call.as_secs_f64() * 1000.0;
        let numbers = [
            format!("{:.1} s", run.time.as_secs_f64()),
            format!("{:.1} s", run.bound.as_secs_f64()),
            format!("{of_bound:.2}"),
            format!("{call_ms:.1} ms"),
            format!("{of_real_bound:.2}"),
            format!("{:.1} x", ratio(slowest, run.time)),
            (run.okta + run.anypoint + run.table).to_string(),
            run.okta.to_string(),
            run.anypoint.to_string(),
            run.table.to_string(),
            run.peak.0.to_string(),
            run.peak.1.to_string(),
            run.peak.2.to_string(),
        ];
        let mut limit = Limit::at_most(of_bound, MAX_TIMES, "x bound");
        if of_real_bound <= MAX_TIMES {
            limit = limit.unless(|| format!("a call took {call_ms:.1} ms, not 20"));
        }
        sheet.row(run.name, numbers, &[limit]);
    }
    println!(
        "The first two ways: {ENVIRONMENTS} batches at once (WorkerConcurrency), {at_once} subjects at once in \
         each. bound = calls that wait for one another x 20 ms x rounds of looks: ten users at {at_once} at once are \
         three rounds. A call takes longer than 20 ms because the servers on this machine compute, too; \
         \"time/bound at that\" has the time that a call took in place of 20 ms."
    );
    sheet.print()
}
