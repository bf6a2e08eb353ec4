//! A burst, a steady load, and a burst while the file is locked. Nothing is lost or duplicated, memory is bounded, and
//! a 503 means that nothing was recorded. `cargo bench --bench load` runs more of each.

use std::time::Duration;

use super::measure::{Load, run};

/// A user takes no memory once its events are done.
const PEAK_MIB: u64 = 128;

/// Runs a load. Returns the number of 503 answers.
async fn loaded(events: usize, load: Load) -> usize {
    let figures = run(events, load).await;
    let rate = |time: Duration| figures.events as f64 / time.as_secs_f64();
    println!(
        "{load:?}: {:.0} events/s taken (slowest answer {:?}), then {} left; {:.0} events/s done; {} refused; \
         peak {} MiB",
        rate(figures.taken),
        figures.slowest,
        figures.backlog,
        rate(figures.worked_off),
        figures.refused,
        figures.peak_mib
    );
    assert_eq!(figures.faults(), 0, "{figures:?}");
    assert!(figures.peak_mib <= PEAK_MIB, "{figures:?}");
    figures.refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_is_accepted_and_completed() {
    assert_eq!(loaded(1_000, Load::Burst).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_steady_load_is_completed() {
    assert_eq!(loaded(200, Load::Steady(100)).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_that_cannot_be_recorded_is_refused_and_accepted_later() {
    let until_one_is_refused = Load::BurstOnHeldFile(Duration::ZERO);
    assert!(loaded(200, until_one_is_refused).await > 0);
}
