//! A burst of events: nothing lost, nothing doubled, bounded memory. `SERVE_BURST=10000` for more.

use std::collections::HashMap;
use std::time::Instant;

use futures_util::StreamExt as _;
use okta_anypoint::simulator::okta::LogEvent;

use super::Remotes;

/// Events of one delivery.
const EACH: usize = 10;
/// Deliveries at once.
const AT_ONCE: usize = 16;
/// A user costs no memory once its events are done.
const PEAK_MIB: u64 = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_burst_is_taken_and_worked_off() {
    let burst: usize = std::env::var("SERVE_BURST").map_or(1_000, |text| text.parse().unwrap());
    let remotes = Remotes::start().await;
    let mut events: Vec<LogEvent> = Vec::new();
    for n in 0..burst / 2 {
        let user = remotes.user(&format!("user{n}"));
        events.extend(remotes.assign(&user));
        let mut okta = remotes.okta.world();
        events.extend(
            okta.update_profile(&user, &[("lastName", format!("Name{n}").into())])
                .unwrap(),
        );
    }
    assert_eq!(events.len(), burst);
    let serve = remotes.serve_deliveries_only();

    let begun = Instant::now();
    let deliver = |events: Vec<LogEvent>| {
        let (remotes, serve) = (&remotes, &serve);
        async move {
            let begun = Instant::now();
            let status = remotes.deliver(serve, &events).await;
            (status, begun.elapsed())
        }
    };
    let chunks: Vec<Vec<LogEvent>> = events.chunks(EACH).map(<[_]>::to_vec).collect();
    let answers: Vec<_> = futures_util::stream::iter(chunks)
        .map(deliver)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let received = begun.elapsed();
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
    let refused = answers
        .iter()
        .filter(|(status, _)| *status != Some(204))
        .count();
    assert_eq!(refused, 0, "{answers:?}");
    serve.settled(&remotes).await;
    let worked = begun.elapsed();

    super::status::pictures("load", &["/"], &serve, &remotes);
    let overview = serve.overview(&remotes).await;
    let done = overview["events"]["done"].as_u64().unwrap();
    let mut made: HashMap<String, u32> = HashMap::new();
    for call in remotes.anypoint.traffic().writes() {
        if call.path.ends_with("/users") && call.status < 300 {
            *made
                .entry(call.body.unwrap()["username"].to_string())
                .or_default() += 1;
        }
    }
    let doubled = made.values().filter(|count| **count > 1).count();
    let peak = serve.peak_kib() / 1024;
    println!(
        "burst of {burst}: received {:.0} events/s (slowest answer {slowest:?}), worked off {:.0} events/s, \
         lost {}, doubled {doubled}, peak RSS {peak} MiB",
        burst as f64 / received.as_secs_f64(),
        burst as f64 / worked.as_secs_f64(),
        burst as u64 - done,
    );
    assert_eq!((done, doubled, made.len()), (burst as u64, 0, burst / 2));
    for n in 0..burst / 2 {
        let anypoint = remotes.anypoint.world();
        let account = anypoint.user_by_username(&format!("user{n}"));
        assert_eq!(account.unwrap().last_name, format!("Name{n}"));
    }
    assert!(peak <= PEAK_MIB, "{peak} MiB");
}
