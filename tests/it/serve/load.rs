//! A burst, a steady load, and a burst while the file is locked. Nothing is lost or duplicated, and memory is bounded.
//! A slow disk refuses a delivery now and then, which is why only most of a burst has to be accepted at once.
//! `cargo bench --bench load` runs more of each.

use std::time::Duration;

use super::measure::{EACH, Figures, Load, run};

/// A user takes no memory once its events are done.
const PEAK_MIB: u64 = 128;

/// Runs a load without faults.
async fn loaded(events: usize, load: Load) -> Figures {
    let figures = run(events, load).await;
    let rate = |time: Duration| figures.events as f64 / time.as_secs_f64();
    println!(
        "{load:?}: {:.0} events/s taken (slowest answer {:?}), then {} left; {:.0} events/s done; {} refused, {} of \
         these recorded; peak {} MiB",
        rate(figures.taken),
        figures.slowest,
        figures.backlog,
        rate(figures.worked_off),
        figures.refused,
        figures.refused_and_recorded,
        figures.peak_mib
    );
    assert_eq!(figures.faults(), 0, "{figures:?}");
    assert!(figures.peak_mib <= PEAK_MIB, "{figures:?}");
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_is_accepted_and_completed() {
    let events = 1_000;
    assert!(loaded(events, Load::Burst).await.refused < events / EACH / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_steady_load_is_completed() {
    let events = 200;
    assert!(loaded(events, Load::Steady(100)).await.refused < events / EACH / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_that_cannot_be_recorded_is_refused_and_accepted_later() {
    let until_one_is_refused = Load::BurstOnHeldFile(Duration::ZERO);
    let figures = loaded(200, until_one_is_refused).await;
    assert!(figures.refused > 0);
    // A write that waits its turn ends without a record. A slow disk may finish a commit that had begun.
    assert!(
        figures.refused_and_recorded < figures.refused,
        "{figures:?}"
    );
}
