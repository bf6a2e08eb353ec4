//! Time, calls and memory of a catch-up on a day's worth of System Log: 400,000 events, the most event
//! hook deliveries that Okta makes a day; in one run, and in runs that are too short for it.
//!
//! `cargo bench --bench catch_up` (about two minutes). Okta is the simulator with 25 ms on each call,
//! the cursor is kept in the embedded database. The queue takes everything at once and checks that each
//! event comes exactly once, so what is measured is reading; sending is SQS's own time. The catch-up
//! runs in a process of its own, on one thread, as in Lambda; so does the bound, which asks for the same
//! pages and throws them away.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod child;
mod remotes;
mod sheet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{Mode, RunOutcome, Scheduler, Task};
use okta_anypoint::settings::{DeactivationLimit, ImportMode, ScheduleSettings};
use okta_anypoint::simulator::anypoint::{AnypointOptions, AnypointSimulator};
use okta_anypoint::simulator::okta::{LogEvent, OktaOptions, OktaSimulator, Target};
use okta_anypoint::sqlite::Database;
use okta_anypoint::telemetry::Metrics;
use serde::{Deserialize, Serialize};
use url::Url;

use child::Cost;
use remotes::{Remotes, embedded};
use sheet::{Limit, OverBudget, Sheet};

const LATENCY: Duration = Duration::from_millis(25);
/// The time-out of the `schedule` Lambda in the template.
const WHOLE_RUN: Duration = Duration::from_secs(900);
/// Ten seconds of it are kept free: eight that a page wants, two to wrap up.
const SHORT_RUN: Duration = Duration::from_secs(14);
const WAYS: [(u64, Duration); 3] = [
    (40_000, WHOLE_RUN),
    (400_000, WHOLE_RUN),
    (400_000, SHORT_RUN),
];
/// Time of one long run as a multiple of the pages' own: they cannot be read at once. Memory in MiB, for
/// any length of log and any number of runs.
const MAX_TIMES: f64 = 1.3;
const MAX_MIB: f64 = 32.0;
/// Events of this many users.
const USERS: u64 = 10_000;
/// Between one event and the next.
const GAP_MS: i64 = 200;

/// A log of `events` profile changes in the last day, numbered in their uuids.
fn fill(okta: &OktaSimulator, events: u64) {
    let mut world = okta.world();
    let from_ms = world.clock.now_ms() - (events as i64 + 1) * GAP_MS;
    world.log = (0..events)
        .map(|n| {
            let user = n % USERS;
            let login = format!("user-{user}@acme.example");
            LogEvent {
                uuid: format!("00000000-0000-4000-8000-{n:012}"),
                published_ms: from_ms + n as i64 * GAP_MS,
                event_type: "user.account.update_profile".to_owned(),
                outcome: "SUCCESS".to_owned(),
                targets: vec![Target {
                    id: format!("00u{user:017}"),
                    kind: "User".to_owned(),
                    alternate_id: login,
                    display_name: "Ann Example".to_owned(),
                }],
                debug: Vec::new(),
                by_job: false,
            }
        })
        .collect();
}

/// Takes everything, and checks that nothing is missing, duplicated or out of order.
#[derive(Default)]
struct Tally(AtomicU64);

#[async_trait]
impl Queue for Tally {
    async fn send(&self, changes: &[Change]) -> Result<(), Failure> {
        for change in changes {
            let (_, number) = change.uuid.as_str().rsplit_once('-').unwrap();
            let expected = self.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(number.parse(), Ok(expected));
        }
        Ok(())
    }
}

/// What a child is asked to do.
#[derive(Serialize, Deserialize)]
enum Asked {
    CatchUp(CatchUp),
    Pages(Pages),
}

#[derive(Serialize, Deserialize)]
struct CatchUp {
    remotes: Remotes,
    database: PathBuf,
    events: u64,
    run: Duration,
}

/// This many pages of the log: the first at this address, each other at the link of the one before.
#[derive(Serialize, Deserialize)]
struct Pages {
    first: String,
    number: usize,
}

#[derive(Serialize, Deserialize)]
struct Found {
    runs: usize,
    cost: Cost,
}

async fn as_asked(asked: Asked) -> Found {
    match asked {
        Asked::CatchUp(task) => catch_up(task).await,
        Asked::Pages(pages) => only_read(pages).await,
    }
}

/// Receives every page whole and discards it.
async fn only_read(pages: Pages) -> Found {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    let mut address = pages.first;
    for _ in 0..pages.number {
        let call = client
            .get(address)
            .header("authorization", "SSWS simulated-okta-token");
        let page = call.send().await.unwrap().error_for_status().unwrap();
        let links = page.headers().get_all("link").iter();
        let mut links = links.map(|link| link.to_str().unwrap());
        let next = links.find(|link| link.contains("rel=\"next\"")).unwrap();
        address = next[1..next.find('>').unwrap()].to_owned();
        page.bytes().await.unwrap();
    }
    let cost = Cost::since(begun);
    Found { runs: 1, cost }
}

/// Catches up in this process, which was started for it.
async fn catch_up(task: CatchUp) -> Found {
    let database = Database::open(Path::new(&task.database)).unwrap();
    let table = embedded(database);
    let settings = ScheduleSettings {
        import: ImportMode::Off,
        reconcile: Mode::Apply,
        limit: DeactivationLimit::Percent(20.0),
    };
    let tally = Arc::new(Tally::default());
    let metrics = Arc::new(Metrics::new("bench"));
    let ports = task.remotes.ports(&table);
    let scheduler = Scheduler::new(ports, tally.clone(), settings, metrics);
    let begun = Instant::now();
    let mut runs = 0;
    loop {
        let run = scheduler.run(Task::CatchUp, None, Deadline::within(task.run));
        runs += 1;
        match run.await.unwrap().outcome {
            RunOutcome::Completed => break,
            RunOutcome::Continues => {}
            other => panic!("a run ended as {other:?}"),
        }
    }
    let cost = Cost::since(begun);
    assert_eq!(tally.0.load(Ordering::Relaxed), task.events);
    Found { runs, cost }
}

/// The result of a catch-up, how many calls it made, and how long their pages alone take.
async fn measure(events: u64, run: Duration) -> (Found, usize, Duration) {
    let free = "127.0.0.1:0".parse().unwrap();
    let okta = OktaSimulator::start(free, OktaOptions::default())
        .await
        .unwrap();
    // A catch-up does not call it.
    let anypoint = AnypointSimulator::start(free, AnypointOptions::default())
        .await
        .unwrap();
    fill(&okta, events);
    okta.traffic().set_latency(LATENCY);
    let folder = tempfile::tempdir().unwrap();
    let task = CatchUp {
        remotes: Remotes::of(&okta, &anypoint),
        database: folder.path().join("bench.db"),
        events,
        run,
    };
    let found = child::run(&Asked::CatchUp(task)).await;
    let log = okta.traffic().log();
    let first = &log[0];
    let at = format!("{}{}", okta.base_url(), first.path);
    let pages = Pages {
        first: Url::parse_with_params(&at, &first.query).unwrap().into(),
        number: log.len(),
    };
    let bare: Found = child::run(&Asked::Pages(pages)).await;
    (found, log.len(), bare.cost.time)
}

fn main() -> Result<(), OverBudget> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if child::is_done(as_asked) {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sheet = Sheet::new(&[
        "events",
        "time of a run",
        "runs",
        "calls",
        "bound",
        "time",
        "time/bound",
        "events/s",
        "CPU",
        "peak memory",
    ]);
    for (events, run) in WAYS {
        let (Found { runs, cost }, calls, bound) = runtime.block_on(measure(events, run));
        let ratio = cost.time.as_secs_f64() / bound.as_secs_f64();
        let numbers = [
            format!("{} s", run.as_secs()),
            runs.to_string(),
            calls.to_string(),
            format!("{:.1} s", bound.as_secs_f64()),
            format!("{:.1} s", cost.time.as_secs_f64()),
            format!("{ratio:.2}"),
            format!("{:.0}", events as f64 / cost.time.as_secs_f64()),
            format!("{:.1} s", cost.cpu.as_secs_f64()),
            format!("{:.1} MiB", cost.peak_mib),
        ];
        let memory = Limit::at_most(cost.peak_mib, MAX_MIB, "MiB");
        let mut limits = vec![memory];
        if runs == 1 {
            limits.insert(0, Limit::at_most(ratio, MAX_TIMES, "x bound"));
        }
        sheet.row(&events.to_string(), numbers, &limits);
    }
    println!(
        "25 ms a call, 1,000 events a page, one page after the other (each names the next). Every event \
         was sent once, in order. bound = the same pages, asked for by a client that throws them away."
    );
    sheet.print()
}
