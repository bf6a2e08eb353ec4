//! Random histories. People change Okta, and Anypoint by hand. Events come in any order, repeatedly, or not at all.
//! When everything is quiet, Anypoint must equal Okta, and the program must not have touched anything it does not own.
//!
//! Each history has a seed. A failure prints it, with the shortest history that still fails. `PROPERTY_SEED=n` plays
//! only that seed. `PROPERTY_SECONDS=600` plays as many histories as fit, from new seeds.

mod counts;
mod faults;
mod hand;
mod history;
mod killing;
mod lambdas;
mod lies;
mod model;
mod rig;
mod secrets;
mod wronged;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use okta_anypoint::provision::{Policy, TeamRemoval};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use counts::Counts;
use history::{FaultsPlayed, History, Kinds, history};
use rig::Rig;

/// The minimum number of histories. They are always the same, unless a time is given.
const MIN_HISTORIES: u64 = 6;
/// The same for histories through the binaries, which take longer.
const MIN_BINARIES: u64 = 2;
/// Concurrent histories.
const AT_ONCE: usize = 2;
/// How long one history may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);
/// The maximum number of steps of a history, and of every fourth one without a fixed seed.
const STEPS: usize = 60;
const LONG_STEPS: usize = 400;

/// Plays a history, lets it come to rest, and returns what is wrong then.
async fn play(history: &History, kinds: Kinds) -> (Counts, Vec<String>) {
    let mut rig = Rig::new(history, kinds).await;
    rig.play(&history.steps).await;
    rig.quiet().await;
    rig.counts.permanent += rig.check_records().await;

    if !kinds.lost && rig.counts.permanent == 0 && rig.problems.is_empty() {
        // Every event is done, so there must be nothing left to do.
        rig.let_time_pass();
        rig.world.anypoint().let_reads_catch_up();
        let before = rig.successful_writes();
        rig.look_at_all(0).await;
        let wrote = rig.successful_writes() - before;
        if wrote > 0 {
            let writes = rig.last_writes(wrote);
            rig.problems
                .push(format!("the events alone were not enough: {writes:#?}"));
        }
    }

    rig.run_schedules().await;
    rig.looks(history.lag as usize + 1).await;
    rig.let_time_pass();
    let before = rig.successful_writes();
    let last_looks = rig.looks(0).await;
    if rig.successful_writes() > before {
        let writes = rig.last_writes(rig.successful_writes() - before);
        rig.problems
            .push(format!("agreement is written again: {writes:#?}"));
    }
    let end = rig.end(&history.policy, last_looks).await;
    let model = model::check(&end, kinds.faults == FaultsPlayed::None);
    rig.counts.refusals += model.refusals;
    rig.problems.extend(model.problems);
    rig.check_traffic();
    rig.check_losses_and_audit().await;
    if !rig.problems.is_empty() {
        rig.tell_writes();
    }
    rig.counts.histories = 1;
    rig.counts.longest = rig.counts.steps;
    (rig.counts, rig.problems)
}

/// `PROPERTY_SEED=n PROPERTY_TRACE=1` shows what the program does in that history, and does not look for a shorter one.
fn trace() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let ours = Targets::new()
        .with_target("it", LevelFilter::DEBUG)
        .with_target("okta_anypoint", LevelFilter::DEBUG);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let told = tracing_subscriber::registry().with(lines).with(ours);
    let _ = told.try_init();
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn property(name: &str, kinds: Kinds, tame: fn(&mut Policy)) {
    let one = number("PROPERTY_SEED");
    let seconds = number("PROPERTY_SECONDS");
    let first = one.unwrap_or_else(|| match seconds {
        Some(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .wrapping_mul(1_000_000),
        None => 1,
    });
    if number("PROPERTY_TRACE").is_some() {
        trace();
    }
    let least = if kinds.binaries {
        MIN_BINARIES
    } else {
        MIN_HISTORIES
    };
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or_default());
    let next = AtomicU64::new(0);
    let total = Mutex::new(Counts::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            let over = match one {
                Some(_) => n > 0,
                None if seconds.is_none() => n >= least,
                None => n >= least && Instant::now() > until,
            };
            if over || !failures.lock().unwrap().is_empty() {
                return;
            }
            match play_seed(first + n, kinds, tame) {
                Ok(counts) => *total.lock().unwrap() += counts,
                Err(failure) => failures
                    .lock()
                    .unwrap()
                    .push(format!("PROPERTY_SEED={}: {failure}", first + n)),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap();
    let total = total.into_inner().unwrap();
    println!("{name}: {}", total.summary());
    // What `tools/campaign` reads.
    println!("figures: {}", serde_json::to_string(&total).unwrap());
    assert!(failures.is_empty(), "{name}\n{}", failures.join("\n\n"));
}

fn steps(seed: u64) -> usize {
    let is_fixed = seed <= MIN_HISTORIES;
    if !is_fixed && seed.is_multiple_of(4) {
        LONG_STEPS
    } else {
        STEPS
    }
}

fn play_seed(seed: u64, kinds: Kinds, tame: fn(&mut Policy)) -> Result<Counts, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: 1,
        failure_persistence: None,
        // A trace shows one history, not three hundred.
        max_shrink_iters: if number("PROPERTY_TRACE").is_some() {
            0
        } else {
            300
        },
        max_shrink_time: 25_000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let counts = Mutex::new(Counts::default());
    let outcome = runner.run(&history(kinds, steps(seed)), |mut history| {
        tame(&mut history.policy);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let played = async { tokio::time::timeout(PATIENCE, play(&history, kinds)).await };
        let (counted, problems) = runtime
            .block_on(played)
            .unwrap_or_else(|_| (Counts::default(), vec!["does not end".to_owned()]));
        *counts.lock().unwrap() = counted;
        match problems.is_empty() {
            true => Ok(()),
            false => Err(TestCaseError::fail(problems.join("\n"))),
        }
    });
    match outcome {
        Ok(()) => Ok(counts.into_inner().unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

const ALL: Kinds = Kinds {
    by_hand: true,
    usernames: true,
    lost: true,
    faults: FaultsPlayed::None,
    wild_names: true,
    racing: true,
    binaries: false,
};

#[test]
fn histories_end_in_sync() {
    property("histories", ALL, |_| {});
}

#[test]
fn histories_with_faults_end_in_sync() {
    let kinds = Kinds {
        faults: FaultsPlayed::All,
        ..ALL
    };
    property("histories with faults", kinds, |_| {});
}

/// The fault campaign: through the deployed binaries, with faults at every remote, throttled and lost calls to the table
/// and the queue, repeated messages, and killed workers.
#[test]
fn histories_through_the_binaries_end_in_sync() {
    let kinds = Kinds {
        faults: FaultsPlayed::All,
        binaries: true,
        ..ALL
    };
    property("histories through the binaries", kinds, |_| {});
}

/// No event is lost, and nobody changes Anypoint by hand.
const EVENTS_ALONE: Kinds = Kinds {
    by_hand: false,
    usernames: false,
    lost: false,
    faults: FaultsPlayed::None,
    wild_names: false,
    racing: false,
    binaries: false,
};

fn without_team_removal(policy: &mut Policy) {
    if policy.team_removal == TeamRemoval::Delete {
        policy.team_removal = TeamRemoval::Empty;
    }
}

#[test]
fn events_alone_are_enough() {
    property("events alone", EVENTS_ALONE, without_team_removal);
}

/// Every accepted event is applied in the end, whatever faults occur, without an extra look or schedule.
#[test]
fn events_through_the_binaries_are_enough() {
    let kinds = Kinds {
        faults: FaultsPlayed::Honest,
        binaries: true,
        ..EVENTS_ALONE
    };
    property(
        "events alone through the binaries",
        kinds,
        without_team_removal,
    );
}
