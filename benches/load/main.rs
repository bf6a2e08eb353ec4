//! What the real `serve` makes of a burst of 10,000 events, of a steady run, and of a burst while another
//! process holds its file; and what the functions make of the same, with a queue that is out of reach.
//!
//! `cargo bench --bench load`, or `cargo bench --bench load -- 1000` for another number of events, and
//! `-- serve`, `-- functions` or `-- waiting` for one part of it: `waiting` is what `serve` does in a second while up to
//! 300,000 messages wait in its file. The simulated Okta and Anypoint, the queue and the
//! sender run on the same machine, in this process, and share its processors with what is measured, as
//! does DynamoDB Local; they answer without delay.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

#[path = "../built.rs"]
mod built;
mod fifo;
#[path = "../../tests/it/serve/measure.rs"]
mod measure;
mod pair;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/planted.rs"]
mod planted;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/serve/rig.rs"]
mod rig;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which use all of it"
)]
#[path = "../../tests/it/runtime_api/mod.rs"]
mod runtime_api;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/servers.rs"]
mod servers;
#[path = "../sheet.rs"]
mod sheet;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/tenant.rs"]
mod tenant;
mod waiting;

use std::time::Duration;

use measure::{AT_ONCE, EACH, Figures, Load};
use pair::{HOOKS, PairLoad, WORKERS};
use sheet::{Limit, OverBudget, Sheet};

/// Events a second in the steady run.
const PACE: usize = 100;
/// How long the file is held, or the queue out of reach.
const HELD: Duration = Duration::from_secs(6);
/// How much longer 1,000 changes may take when 300,000 messages wait than when only they do. Other work of the machine
/// makes as much difference.
const SLOWER: f64 = 1.3;
/// When an answer has to be there; Okta waits for three seconds.
const SLOWEST_MS: u128 = 2_600;

#[tokio::main]
async fn main() -> Result<(), OverBudget> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let events: usize = number.unwrap_or(10_000);
    let parts = ["serve", "functions", "waiting"];
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let is_asked = |part: &str| asked(part) || !parts.iter().any(|part| asked(part));
    let processors = std::thread::available_parallelism().unwrap();
    println!(
        "{events} events of {} users, {EACH} a delivery, on {processors} processors; serve: at most {AT_ONCE} \
         deliveries at once; functions: {HOOKS} hooks, {WORKERS} workers.",
        events / 2
    );
    let mut sheet = Sheet::new(&[
        "load",
        "taken",
        "events/s taken",
        "slowest answer",
        "left when taken",
        "worked off",
        "events/s done",
        "503",
        "503 but recorded",
        "lost",
        "duplicated",
        "wrong",
        "peak RSS",
    ]);
    if is_asked("serve") {
        for (name, load) in [
            ("serve, burst".to_owned(), Load::Burst),
            (format!("serve, {PACE} events/s"), Load::Steady(PACE)),
            (
                format!("serve, burst, file held {} s", HELD.as_secs()),
                Load::BurstOnHeldFile(HELD),
            ),
        ] {
            let figures = measure::run(events, load).await;
            let peak = format!("{} MiB", figures.peak_mib);
            add(&mut sheet, &name, &figures, peak);
        }
    }
    if is_asked("functions") {
        for (name, load) in [
            ("functions, burst".to_owned(), PairLoad::Burst),
            (
                format!("functions, {PACE} events/s"),
                PairLoad::Steady(PACE),
            ),
            (
                format!("functions, burst, queue away {} s", HELD.as_secs()),
                PairLoad::BurstWithoutQueue(HELD),
            ),
        ] {
            let pair = pair::run(events, load).await;
            let peak = format!(
                "hook {:.1}, worker {:.1} MiB",
                pair.hook_mib, pair.worker_mib
            );
            add(&mut sheet, &name, &pair.figures, peak);
        }
    }
    let loads = sheet.print();
    if is_asked("waiting") {
        many_waiting().await?;
    }
    loads
}

/// Does `serve` do as much in a second when many messages wait?
async fn many_waiting() -> Result<(), OverBudget> {
    let mut sheet = Sheet::new(&["messages that wait", "done/s", "file", "peak RSS"]);
    let mut slowest_allowed = 0;
    for waiting in waiting::WAITING {
        let waited = waiting::run(waiting).await;
        let each_second = waited.each_second();
        if slowest_allowed == 0 {
            slowest_allowed = (waited.took.as_millis() as f64 * SLOWER) as u128;
        }
        let took = waited.took.as_millis();
        let numbers = [
            format!("{each_second:.0}"),
            format!("{} MiB", waited.file_mib),
            format!("{} MiB", waited.peak_mib),
        ];
        let limit = Limit::at_most(took, slowest_allowed, "ms for 1,000 changes");
        sheet.row(&waited.waiting.to_string(), numbers, &[limit]);
    }
    sheet.print()
}

fn add(sheet: &mut Sheet, name: &str, figures: &Figures, peak: String) {
    let rate = |time: Duration| format!("{:.0}", figures.events as f64 / time.as_secs_f64());
    let numbers = [
        format!("{:.1} s", figures.taken.as_secs_f64()),
        rate(figures.taken),
        format!("{} ms", figures.slowest.as_millis()),
        figures.backlog.to_string(),
        format!("{:.1} s", figures.worked_off.as_secs_f64()),
        rate(figures.worked_off),
        figures.refused.to_string(),
        figures.refused_and_recorded.to_string(),
        figures.lost.to_string(),
        figures.doubled.to_string(),
        figures.wrong.to_string(),
        peak,
    ];
    let limits = [
        Limit::at_most(figures.slowest.as_millis(), SLOWEST_MS, "ms an answer"),
        Limit::at_most(figures.faults(), 0, "lost, duplicated or wrong"),
    ];
    sheet.row(name, numbers, &limits);
}
