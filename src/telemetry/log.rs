//! Log set-up.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Crates that print requests with their headers and bodies when they are asked for details. They are
/// held at `warn` whatever the level.
const HELD: [&str; 16] = [
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_dynamodb",
    "aws_sdk_secretsmanager",
    "aws_sdk_sqs",
    "aws_sigv4",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "hyper",
    "hyper_util",
    "lambda_runtime",
    "lambda_runtime_api_client",
    "reqwest",
    "rustls",
    "tower",
];

/// Starts logging JSON lines to standard error at the level of `AWS_LAMBDA_LOG_LEVEL`, else
/// `RUST_LOG` (a level, or `target=level,…`), else `info`. Does nothing when logging was started
/// before. A panic becomes one line without its own words: they may quote data.
pub fn start_logging() {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    if !start(lines.with_filter(filter(LevelFilter::INFO))) {
        return;
    }
    silence_panics();
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`, which calls code of others that panics at bad input; `None` when it did. Such a panic is
/// no defect of this program, and is not logged as one.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.ok()
}

/// A panic says where it happened, and nothing of its own.
fn silence_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if CATCHING.get() {
            return;
        }
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            place = place.as_deref().unwrap_or("unknown"),
            "a defect: the program panicked"
        );
    }));
}

/// As [`start_logging`], with lines for people, and from `default` (a level) on when no variable asks.
pub fn start_logging_for_people(default: &str) {
    let default = default.parse().unwrap_or(LevelFilter::WARN);
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_writer(std::io::stderr);
    if start(lines.with_filter(filter(default))) {
        silence_panics();
    }
}

/// Whether logging was not started before.
fn start(lines: impl Layer<tracing_subscriber::Registry> + Send + Sync) -> bool {
    let started = tracing_subscriber::registry().with(lines).try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    started.is_ok()
}

fn filter(default: LevelFilter) -> Targets {
    let asked = ["AWS_LAMBDA_LOG_LEVEL", "RUST_LOG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|level| !level.trim().is_empty())
        .and_then(|asked| asked.to_lowercase().parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(default));
    HELD.iter().fold(asked, |filter, name| {
        filter.with_target(*name, LevelFilter::WARN)
    })
}
