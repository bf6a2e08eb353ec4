//! What the real `serve` makes of a burst of 10,000 events, of a steady run, and of a burst while another
//! process holds its file.
//!
//! `cargo bench --bench load`, or `cargo bench --bench load -- 1000` for another number of events. The
//! simulated Okta and Anypoint and the sender run on the same machine, in this process, and share its
//! processors with `serve`; they answer without delay.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/it/serve/measure.rs"]
mod measure;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/serve/rig.rs"]
mod rig;
mod sheet;

use std::time::Duration;

use measure::{AT_ONCE, EACH, Load, run};
use sheet::{Limit, OverBudget, Sheet};

/// Events a second in the steady run.
const PACE: usize = 100;
/// How long the file is held.
const HELD: Duration = Duration::from_secs(6);
/// When an answer has to be there; Okta waits for three seconds.
const SLOWEST_MS: u128 = 2_600;

#[tokio::main]
async fn main() -> Result<(), OverBudget> {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let events: usize = argument.unwrap_or(10_000);
    let processors = std::thread::available_parallelism().unwrap();
    println!(
        "{events} events of {} users, {EACH} a delivery, at most {AT_ONCE} deliveries at once, on {processors} \
         processors.",
        events / 2
    );
    let steady = format!("{PACE} events/s");
    let held = format!("burst, file held {} s", HELD.as_secs());
    let loads = [
        ("burst", Load::Burst),
        (steady.as_str(), Load::Steady(PACE)),
        (held.as_str(), Load::BurstOnHeldFile(HELD)),
    ];
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
        "doubled",
        "wrong",
        "peak RSS",
    ]);
    for (name, load) in loads {
        let figures = run(events, load).await;
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
            format!("{} MiB", figures.peak_mib),
        ];
        let limits = [
            Limit::at_most(figures.slowest.as_millis(), SLOWEST_MS, "ms an answer"),
            Limit::at_most(
                figures.faults(),
                0,
                "lost, doubled, wrong, or 503 but recorded",
            ),
        ];
        sheet.row(name, numbers, &limits);
    }
    sheet.print()
}
