//! Log set-up.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal as _, Stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::Layer;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::visible::OneLine;
use crate::clock::{Clock as _, SystemClock, rfc3339};

/// The prefix of this package's log targets. Other crates never log below `warn`, even if `RUST_LOG` names them: at
/// `debug` and below some print requests with their headers and bodies.
const OURS: &str = "okta_anypoint";

/// The target of errors that no log level hides: why a program stops at its start.
pub(crate) const ALWAYS_LOGGED: &str = "okta_anypoint::stop";

/// How log entries look (`LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl LogFormat {
    /// What `LOG_FORMAT` says; `None` when it is unset.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn asked() -> Result<Option<Self>, &'static str> {
        match std::env::var("LOG_FORMAT").ok().as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some("text") => Ok(Some(Self::Text)),
            Some("json") => Ok(Some(Self::Json)),
            Some(_) => Err("one of `text`, `json`; unset: text on a terminal, else json"),
        }
    }
}

/// Starts logging to standard error, as text on a terminal and else as JSON, or as `LOG_FORMAT` says; at the level of
/// `AWS_LAMBDA_LOG_LEVEL`, else `RUST_LOG` (a level, or `target=level,…`), else `info`. Does nothing when logging was
/// started before. A panic becomes one entry without its own words: they may quote data.
pub fn start_logging() {
    let default = if io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    match LogFormat::asked().ok().flatten().unwrap_or(default) {
        LogFormat::Json => start_json(LevelFilter::INFO),
        LogFormat::Text => start(lines().with_timer(Clock), LevelFilter::INFO),
    }
}

/// As [`start_logging`] for a command: text without times, from `default` (a level) on when no variable asks, unless
/// `LOG_FORMAT` is `json`.
pub fn start_logging_for_people(default: &str) {
    let default = default.parse().unwrap_or(LevelFilter::WARN);
    if LogFormat::asked() == Ok(Some(LogFormat::Json)) {
        return start_json(default);
    }
    start(lines().without_time(), default);
}

fn start_json(default: LevelFilter) {
    let lines = lines().json().flatten_event(true);
    start(
        lines.with_current_span(false).with_span_list(false),
        default,
    );
}

fn lines() -> Layer<Registry, DefaultFields, Format, fn() -> OneLine<Stderr>> {
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(|| OneLine(io::stderr()))
}

/// The time of day in UTC: a terminal shows what happens now.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let now = rfc3339(SystemClock.now_ms());
        w.write_str(now.get(11..19).unwrap_or(&now))
    }
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`, or `None` if it panicked. It is for third-party code that panics at bad input: such a panic is
/// no defect of this program, and is not logged as one.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.ok()
}

/// Logs where a panic happened, and not its message, which may quote data.
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

/// Starts logging, unless it was started before.
fn start(lines: impl tracing_subscriber::Layer<Registry> + Send + Sync, default: LevelFilter) {
    let lines = lines.with_filter(filter(default));
    if tracing_subscriber::registry()
        .with(lines)
        .try_init()
        .is_ok()
    {
        silence_panics();
    } else {
        tracing::debug!("logging was started before");
    }
}

fn filter(default: LevelFilter) -> impl Filter<Registry> {
    let asked = ["AWS_LAMBDA_LOG_LEVEL", "RUST_LOG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|level| !level.trim().is_empty())
        .and_then(|asked| levels(&asked))
        .unwrap_or_else(|| Targets::new().with_default(default));
    let quiet = filter_fn(|metadata| {
        *metadata.level() <= Level::WARN || metadata.target().split("::").next() == Some(OURS)
    });
    let always = filter_fn(|metadata| metadata.target() == ALWAYS_LOGGED);
    asked
        .and(quiet.with_max_level_hint(LevelFilter::TRACE))
        .or(always.with_max_level_hint(LevelFilter::ERROR))
}

/// What a variable asks for. `FATAL` is a level of Lambda's, and not of these programs: errors are their highest.
fn levels(asked: &str) -> Option<Targets> {
    match asked.trim().to_lowercase().as_str() {
        "fatal" => Some(Targets::new().with_default(LevelFilter::ERROR)),
        asked => asked.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_level_shows_errors() {
        for fatal in ["FATAL", " fatal "] {
            let levels = levels(fatal).unwrap();
            let shows = |level| levels.would_enable("okta_anypoint::worker", level);
            assert!(shows(&Level::ERROR) && !shows(&Level::WARN), "{fatal}");
        }
    }
}
