//! How fast the receiver starts and answers, and how much memory it takes, against the least that a
//! Rust function on Lambda can do (`minimal.rs`), built with our release profile and with Cargo's own.
//!
//! `cargo bench --bench hook` builds all of them, then runs them in turn as processes that
//! talk to a Runtime API and an SQS queue on loopback. Cold is from the start of the process to the
//! answer to its first delivery, which was waiting when it started; warm is one delivery after another
//! to a process that runs. Neither has the TLS handshake that a real queue asks for.
//!
//! `cargo bench --bench hook -- OTHER...` measures other builds of the receiver in the same turns.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../built.rs"]
mod built;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/planted.rs"]
mod planted;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which use all of it"
)]
#[path = "../../tests/it/runtime_api/mod.rs"]
mod runtime_api;
#[path = "../sheet.rs"]
mod sheet;
mod stand_in;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use built::{built, built_in, peak_mib};
use runtime_api::{Lambda, sample};
use serde_json::Value;
use sheet::{Limit, OverBudget, Sheet};
use stand_in::StandIn;

/// Processes of each kind that are started, and deliveries that each kind answers warm.
const COLD_RUNS: usize = 40;
const WARM_RUNS: usize = 600;
/// Unmeasured deliveries before the warm ones.
const WARMING_UP: usize = 50;
/// Long enough on any machine; a run that takes longer is no measurement but a defect.
const PATIENCE: Duration = Duration::from_secs(60);

/// The budgets: times as multiples of each minimal function's, memory in MiB.
const MAX_COLD: f64 = 0.70;
const MAX_WARM: f64 = 1.15;
const MAX_MIB: f64 = 10.0;
/// How many of the programs are minimal functions.
const BOUNDS: usize = 2;

/// One program and how it is run.
struct Program {
    binary: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Program {
    async fn start(&self) -> Lambda {
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Lambda::start_binary(&self.binary, &variables).await
    }

    /// From the start of a process to its first answer.
    async fn cold(&self, delivery: &Value) -> (Duration, Lambda) {
        let began = Instant::now();
        let function = self.start().await;
        answered(&function, delivery).await;
        (began.elapsed(), function)
    }
}

async fn answered(function: &Lambda, delivery: &Value) {
    let answer = function.invoke(delivery.clone(), PATIENCE).await;
    let answer = answer.unwrap_or_else(|failed| panic!("{failed:?}\n{}", function.output()));
    assert_eq!(answer["statusCode"], 204, "{}", function.output());
}

/// The time that all threads of the process have spent on a CPU.
fn cpu(function: &Lambda) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{}/task", function.pid())).unwrap();
    let each = threads.map(|thread| {
        let times = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        let on_cpu = times.split_whitespace().next().unwrap();
        Duration::from_nanos(on_cpu.parse().unwrap())
    });
    each.sum()
}

/// What was measured of one program.
#[derive(Default)]
struct Figures {
    cold: Vec<Duration>,
    cold_cpu: Vec<Duration>,
    warm: Vec<Duration>,
    /// Of all warm deliveries together.
    warm_cpu: Duration,
    peak_mib: f64,
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() -> Result<(), OverBudget> {
    let queue = StandIn::start().await;
    let shared = [
        ("AWS_ENDPOINT_URL", queue.url.clone()),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO".to_owned()),
        (
            "QUEUE_URL",
            format!("{}/123456789012/bench.fifo", queue.url),
        ),
    ];
    let minimal = Program {
        binary: built(["--example", "minimal_lambda"], "examples/minimal_lambda"),
        variables: shared.to_vec(),
    };
    let ordinary = Program {
        binary: built_in(
            "ordinary",
            ["--example", "minimal_lambda"],
            "examples/minimal_lambda",
        ),
        variables: shared.to_vec(),
    };
    let app = ("OKTA_APP_ID", "0oaANYPOINT1demo".to_owned());
    let binary = built(["--bin", "hook"], "hook");
    let secret = ("HOOK_SECRET", "demo-hook-secret".to_owned());
    let ours = Program {
        binary: binary.clone(),
        variables: [&shared[..], &[app.clone(), secret]].concat(),
    };
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hook-AbCdEf".to_owned();
    let ours_with_arn = Program {
        binary,
        variables: [&shared[..], &[app, ("HOOK_SECRET_ARN", arn)]].concat(),
    };
    let mut programs = vec![
        ("minimal, our profile".to_owned(), minimal),
        ("minimal, Cargo's profile".to_owned(), ordinary),
        ("ours".to_owned(), ours),
        ("secret in Secrets Manager".to_owned(), ours_with_arn),
    ];
    for other in std::env::args().skip(1).filter(|it| !it.starts_with("--")) {
        let program = Program {
            binary: PathBuf::from(&other),
            variables: programs[BOUNDS].1.variables.clone(),
        };
        programs.push((other, program));
    }
    let delivery = sample("06-user-assigned");

    let mut figures: Vec<Figures> = Vec::new();
    figures.resize_with(programs.len(), Figures::default);
    for run in 0..=COLD_RUNS {
        for ((_, program), figures) in programs.iter().zip(&mut figures) {
            let (time, function) = program.cold(&delivery).await;
            // The first of each reads its file from the disk.
            if run > 0 {
                figures.cold.push(time);
                figures.cold_cpu.push(cpu(&function));
            }
            figures.peak_mib = figures.peak_mib.max(peak_mib(function.pid()));
        }
    }
    let mut functions = Vec::new();
    for (_, program) in &programs {
        functions.push(program.start().await);
    }
    for run in 0..WARMING_UP + WARM_RUNS {
        for (function, figures) in functions.iter().zip(&mut figures) {
            let (began, cpu_before) = (Instant::now(), cpu(function));
            answered(function, &delivery).await;
            if run >= WARMING_UP {
                figures.warm.push(began.elapsed());
                figures.warm_cpu += cpu(function) - cpu_before;
            }
        }
    }
    for (function, figures) in functions.iter().zip(&mut figures) {
        figures.peak_mib = figures.peak_mib.max(peak_mib(function.pid()));
    }

    let ours = figures.split_off(BOUNDS);
    let bounds = figures;
    let mut sheet = Sheet::new(&[
        "receiver",
        "against",
        "cold",
        "bound",
        "ratio",
        "warm",
        "bound",
        "ratio",
        "peak memory",
        "bound",
        "CPU cold",
        "CPU warm",
    ]);
    for ((name, _), figures) in programs.iter().skip(BOUNDS).zip(&ours) {
        for ((against, _), bound) in programs.iter().zip(&bounds) {
            let ratio = |ours: Duration, bound: Duration| ours.as_secs_f64() / bound.as_secs_f64();
            let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            let mib = |mib: f64| format!("{mib:.1} MiB");
            let (cold, warm) = (median(&figures.cold), median(&figures.warm));
            let (bound_cold, bound_warm) = (median(&bound.cold), median(&bound.warm));
            let numbers = [
                against.clone(),
                ms(cold),
                ms(bound_cold),
                format!("{:.2}", ratio(cold, bound_cold)),
                ms(warm),
                ms(bound_warm),
                format!("{:.2}", ratio(warm, bound_warm)),
                mib(figures.peak_mib),
                mib(bound.peak_mib),
                ms(median(&figures.cold_cpu)),
                ms(figures.warm_cpu / WARM_RUNS as u32),
            ];
            let limits = [
                Limit::at_most(ratio(cold, bound_cold), MAX_COLD, "x cold"),
                Limit::at_most(ratio(warm, bound_warm), MAX_WARM, "x warm"),
                Limit::at_most(figures.peak_mib, MAX_MIB, "MiB"),
            ];
            sheet.row(name, numbers, &limits);
        }
    }
    println!(
        "Medians of {COLD_RUNS} starts and {WARM_RUNS} deliveries. The minimal functions have no secret to fetch."
    );
    sheet.print()
}
