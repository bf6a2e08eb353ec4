//! Time, calls and memory of a catch-up on a day's worth of System Log: 400,000 events, the most event
//! hook deliveries that Okta makes a day; in one run, and in runs that are too short for it.
//!
//! `cargo bench --bench catch_up` (about two minutes). Okta is the simulator with 25 ms on each call,
//! the cursor is kept in the embedded database. The queue takes everything at once and checks that each
//! event comes exactly once, so what is measured is reading; sending is SQS's own time. The catch-up
//! runs in a process of its own, on one thread, as in Lambda.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod child;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use comfy_table::{Cell, CellAlignment, Table as Sheet, presets};
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::{OktaAppId, OrganizationId};
use okta_anypoint::okta::{Credentials, Okta};
use okta_anypoint::provision::{Policy, Provisioner};
use okta_anypoint::queue::Queue;
use okta_anypoint::schedule::{Outcome, Scheduler, Task};
use okta_anypoint::settings::{DeactivationLimit, ImportMode, ReconcileMode, ScheduleSettings};
use okta_anypoint::simulator::okta::{LogEvent, OktaOptions, OktaSimulator, Target};
use okta_anypoint::sqlite::Database;
use okta_anypoint::store::SqliteStore;
use okta_anypoint::telemetry::Metrics;
use serde_json::{Value, json};

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

/// Takes everything, and sees to it that nothing is missing, doubled or out of order.
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

/// Catches up in this process, which was started for it.
async fn catch_up(task: &Value) -> Value {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = HttpClient::new(clock.clone()).unwrap();
    let database = Database::open(Path::new(task["database"].as_str().unwrap())).unwrap();
    let okta = task["okta"].as_str().unwrap();
    let provisioner = Provisioner {
        okta: Okta::new(
            http.clone(),
            okta.parse().unwrap(),
            Credentials::ApiToken("simulated-okta-token".to_owned().into()),
        ),
        // Not asked anything.
        anypoint: Anypoint::new(
            http,
            okta.parse().unwrap(),
            OrganizationId::parse("none").unwrap(),
            "none".to_owned(),
            "none".to_owned().into(),
        ),
        store: Arc::new(SqliteStore::new(database, clock.clone())),
        policy: Arc::new(Policy::default()),
        app: OktaAppId::parse("0oaAPP1").unwrap(),
        clock,
    };
    let settings = ScheduleSettings {
        import: ImportMode::Off,
        reconcile: ReconcileMode::Apply,
        limit: DeactivationLimit::Percent(20.0),
    };
    let tally = Arc::new(Tally::default());
    let metrics = Arc::new(Metrics::new("bench"));
    let scheduler = Scheduler::new(provisioner, tally.clone(), settings, metrics);
    let time = Duration::from_secs(task["run_s"].as_u64().unwrap());
    let begun = Instant::now();
    let mut runs = 0;
    loop {
        let run = scheduler.run(Task::CatchUp, None, Deadline::within(time));
        runs += 1;
        match run.await.unwrap().outcome {
            Outcome::Completed => break,
            Outcome::Continues => {}
            other => panic!("a run ended as {other:?}"),
        }
    }
    let time = begun.elapsed();
    let events = task["events"].as_u64().unwrap();
    assert_eq!(tally.0.load(Ordering::Relaxed), events);
    json!({
        "time_s": time.as_secs_f64(),
        "cpu_s": child::cpu().as_secs_f64(),
        "memory_mib": child::peak_memory_mib(),
        "runs": runs,
    })
}

async fn measure((events, run): (u64, Duration)) -> (Value, usize) {
    let free = "127.0.0.1:0".parse().unwrap();
    let okta = OktaSimulator::start(free, OktaOptions::default())
        .await
        .unwrap();
    fill(&okta, events);
    okta.traffic().set_latency(LATENCY);
    let folder = tempfile::tempdir().unwrap();
    let task = json!({
        "okta": okta.base_url(),
        "database": folder.path().join("bench.db"),
        "events": events,
        "run_s": run.as_secs(),
    });
    let found = child::run(&task).await;
    (found, okta.traffic().log().len())
}

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(task) = child::task() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        println!("{}", runtime.block_on(catch_up(&task)));
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sheet = Sheet::new();
    sheet.load_style(presets::ASCII_MARKDOWN).set_header([
        "events",
        "time of a run",
        "runs",
        "calls",
        "time",
        "events/s",
        "CPU",
        "peak memory",
    ]);
    for way in WAYS {
        let (found, calls) = runtime.block_on(measure(way));
        let number = |name: &str| found[name].as_f64().unwrap();
        let numbers = [
            way.0.to_string(),
            format!("{} s", way.1.as_secs()),
            found["runs"].to_string(),
            calls.to_string(),
            format!("{:.1} s", number("time_s")),
            format!("{:.0}", way.0 as f64 / number("time_s")),
            format!("{:.1} s", number("cpu_s")),
            format!("{:.1} MiB", number("memory_mib")),
        ];
        sheet.add_row(numbers.map(|n| Cell::new(n).set_alignment(CellAlignment::Right)));
    }
    println!("{sheet}");
    println!(
        "25 ms a call, 1,000 events a page, one page after the other (each names the next). Every event \
         was sent once, in order; memory does not grow with the log."
    );
}
