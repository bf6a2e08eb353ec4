//! How fast the receiver starts and answers, and how much memory it takes, against the least that a
//! Rust function on Lambda can do (`minimal.rs`).
//!
//! `cargo bench --bench hook` builds both as they are deployed, then runs them in turn as processes that
//! talk to a Runtime API and an SQS queue on loopback. Cold is from the start of the process to the
//! answer to its first delivery, which was waiting when it started; warm is one delivery after another
//! to a process that runs. Neither has the TLS handshake that a real queue asks for.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../built.rs"]
mod built;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/runtime_api.rs"]
mod runtime_api;
mod stand_in;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use built::{built, peak_mib};
use comfy_table::{Table as Sheet, presets};
use runtime_api::{Lambda, sample};
use serde_json::Value;
use stand_in::StandIn;

/// Processes of each kind that are started, and deliveries that each kind answers warm.
const COLD_RUNS: usize = 40;
const WARM_RUNS: usize = 600;
/// Deliveries that nobody measures, before the warm ones.
const WARMING_UP: usize = 50;
/// Long enough on any machine; a run that takes longer is no measurement but a defect.
const PATIENCE: Duration = Duration::from_secs(60);

/// The budgets: times as multiples of the minimal function's, memory in MiB.
const MOST_TIMES: f64 = 1.15;
const MOST_MIB: f64 = 10.0;

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

    /// From the start of a process to its first answer, and the most memory it had, in MiB.
    async fn cold(&self, delivery: &Value) -> (Duration, f64) {
        let began = Instant::now();
        let function = self.start().await;
        answered(&function, delivery).await;
        (began.elapsed(), peak_mib(function.pid()))
    }
}

async fn answered(function: &Lambda, delivery: &Value) {
    let answer = function.invoke(delivery.clone(), PATIENCE).await;
    let answer = answer.unwrap_or_else(|failed| panic!("{failed:?}\n{}", function.output()));
    assert_eq!(answer["statusCode"], 204, "{}", function.output());
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
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
    let delivery = sample("06-user-assigned");

    let programs = [&minimal, &ours, &ours_with_arn];
    let mut cold = programs.map(|_| Vec::new());
    let mut peak = programs.map(|_| 0_f64);
    for run in 0..=COLD_RUNS {
        for (index, program) in programs.iter().enumerate() {
            let (time, mib) = program.cold(&delivery).await;
            // The first of each reads its file from the disk.
            if run > 0 {
                cold[index].push(time);
            }
            peak[index] = peak[index].max(mib);
        }
    }
    let mut warm = programs.map(|_| Vec::new());
    let functions = [minimal.start().await, ours.start().await];
    for run in 0..WARMING_UP + WARM_RUNS {
        for (index, function) in functions.iter().enumerate() {
            let began = Instant::now();
            answered(function, &delivery).await;
            if run >= WARMING_UP {
                warm[index].push(began.elapsed());
            }
        }
    }
    for (index, function) in functions.iter().enumerate() {
        peak[index] = peak[index].max(peak_mib(function.pid()));
    }

    let mut sheet = Sheet::new();
    sheet
        .load_style(presets::ASCII_MARKDOWN)
        .set_header(["what", "ours", "bound", "ratio", "budget"]);
    let mut is_over = false;
    let mut times = |what: &str, ours: Duration, bound: Duration| {
        let ratio = ours.as_secs_f64() / bound.as_secs_f64();
        is_over |= ratio > MOST_TIMES;
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        let budget = format!("{MOST_TIMES}");
        sheet.add_row([
            what.to_owned(),
            ms(ours),
            ms(bound),
            format!("{ratio:.2}"),
            budget,
        ]);
    };
    let bound = median(&mut cold[0]);
    times("cold", median(&mut cold[1]), bound);
    times("warm", median(&mut warm[1]), median(&mut warm[0]));
    let mib = |mib: f64| format!("{mib:.1} MiB");
    let ratio = format!("{:.2}", peak[1] / peak[0]);
    let budget = format!("{MOST_MIB} MiB");
    sheet.add_row([
        "peak memory".to_owned(),
        mib(peak[1]),
        mib(peak[0]),
        ratio,
        budget,
    ]);
    println!("{sheet}");
    println!(
        "medians of {COLD_RUNS} starts and {WARM_RUNS} deliveries; with the secret in Secrets Manager, \
         which the minimal function has none of: cold {:.2} ms, peak {}",
        median(&mut cold[2]).as_secs_f64() * 1e3,
        mib(peak[2]),
    );
    if is_over || peak[1] > MOST_MIB {
        println!("over budget");
        std::process::exit(1);
    }
}
