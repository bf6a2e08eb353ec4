//! `/metrics`: what is counted since the start, and what the file says now, in Prometheus' text format
//! (Prometheus, "Exposition formats", version 0.0.4).
//!
//! On Lambda the same counts go to CloudWatch. No ids and no names: numbers, states and fixed words only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use serde_json::Value;

use crate::failure::{Class, Side};
use crate::schedule::Task;
use crate::telemetry::{Metric, Metrics};
use crate::worker::Late;

use super::door::DoorCounts;
use super::numbers::{Numbers, Paused};

/// In front of every name.
const PREFIX: &str = "okta_anypoint";
/// Upper bounds of the histogram of ages, in seconds. Okta's own delay is seconds to an hour.
const AGES: [u64; 9] = [1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400];
/// Families that have no line before their first reason or action.
const EMPTY_AT_FIRST: [Metric; 2] = [Metric::Ignored(""), Metric::Applied("")];
/// Failures by class and cause. Their sum by class is there from the start: an alert sees the first one.
const BY_CAUSE: &str = "failed_by_cause_total";

/// The codes that a delivery is answered with (`crate::receiver`).
const ANSWERS: [StatusCode; 7] = [
    StatusCode::OK,
    StatusCode::NO_CONTENT,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// What was counted since the start.
#[derive(Debug)]
pub(crate) struct Totals {
    metrics: Arc<Metrics>,
    started_ms: i64,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    sums: BTreeMap<Metric, u64>,
    failed: BTreeMap<&'static str, u64>,
    answers: BTreeMap<u16, u64>,
    ages: [u64; AGES.len()],
    aged: u64,
    age_ms: u64,
}

/// Counted from the start on, so that the first one is seen as an increase.
fn from_the_start() -> impl Iterator<Item = Metric> {
    let others = [
        Metric::Held,
        Metric::Received,
        Metric::Duplicate,
        Metric::Superseded,
        Metric::Waiting,
    ];
    let sides = [Side::Okta, Side::Anypoint].map(Metric::SideRefuses);
    let late = Late::ALL.map(|late| Metric::RemovalLate(late.as_str()));
    let completed = Task::ALL.map(|task| Metric::RunCompleted(task.as_str()));
    let stopped = Task::ALL.map(|task| Metric::RunStopped(task.as_str()));
    let tasks = completed.into_iter().chain(stopped);
    others.into_iter().chain(sides).chain(late).chain(tasks)
}

impl Totals {
    /// Totals of `metrics`, from `started_ms` on.
    pub fn new(metrics: Arc<Metrics>, started_ms: i64) -> Self {
        let sums = from_the_start().map(|metric| (metric, 0)).collect();
        let failed = Class::ALL.map(|class| (class.as_str(), 0));
        let answers = ANSWERS.map(|status| (status.as_u16(), 0));
        Self {
            metrics,
            started_ms,
            counted: Mutex::new(Counted {
                sums,
                failed: failed.into(),
                answers: answers.into(),
                ..Counted::default()
            }),
        }
    }

    /// Adds what was gathered since the last time, so that it does not pile up.
    pub fn collect(&self) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (metric, values) in self.metrics.take() {
            if metric == Metric::AgeMs {
                values.into_iter().for_each(|age_ms| counted.age(age_ms));
                continue;
            }
            // This is a state, and `/metrics` reads it from the file.
            if matches!(metric, Metric::CredentialEndsInDays(_)) {
                continue;
            }
            let sum = values.iter().sum::<u64>();
            *counted.sums.entry(metric).or_default() += sum;
            if let Metric::Failed(class, _) = metric {
                *counted.failed.entry(class.as_str()).or_default() += sum;
            }
        }
    }

    /// Counts an answer to a delivery.
    pub fn answered(&self, status: StatusCode) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.answers.entry(status.as_u16()).or_default() += 1;
    }

    /// Everything as text, with `now` from the file and `door` from the hook's address.
    pub fn text(&self, now: &Numbers, paused: Paused, door: &DoorCounts) -> String {
        self.collect();
        let mut page = Page::default();
        page.family("build_info", "gauge", "The version that runs.");
        page.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let (help, started_s) = ("When the program started.", self.started_ms / 1_000);
        page.one("start_time_seconds", "gauge", help, started_s);
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.write(&mut page);
        drop(counted);
        write_door(door, &mut page);
        write_numbers(now, paused, &mut page);
        page.0
    }
}

impl Counted {
    fn age(&mut self, age_ms: u64) {
        self.aged += 1;
        self.age_ms += age_ms;
        for (most, count) in AGES.iter().zip(&mut self.ages) {
            *count += u64::from(age_ms <= most * 1_000);
        }
    }

    fn write(&self, page: &mut Page) {
        let counted = self.sums.keys().copied();
        let families: BTreeMap<_, _> = EMPTY_AT_FIRST
            .into_iter()
            .chain(counted)
            .map(|metric| (metric.name(), metric))
            .collect();
        for (family, one) in families {
            let name = match one {
                Metric::Failed(..) => continue,
                _ => format!("{}_total", snake(family)),
            };
            page.family(&name, "counter", one.help());
            for (metric, sum) in self.sums.iter().filter(|(m, _)| m.name() == family) {
                page.metric(&name, *metric, *sum);
            }
        }
        let help = "Events that failed; class permanent: for good.";
        page.family("failed_total", "counter", help);
        for (class, sum) in &self.failed {
            page.line("failed_total", &[("class", class)], sum);
        }
        let help = "Events that failed, by class and cause.";
        page.family(BY_CAUSE, "counter", help);
        for (metric, sum) in &self.sums {
            if let Metric::Failed(..) = metric {
                page.metric(BY_CAUSE, *metric, *sum);
            }
        }
        page.family("age_seconds", "histogram", Metric::AgeMs.help());
        for (most, count) in AGES.iter().zip(self.ages) {
            page.line("age_seconds_bucket", &[("le", &most.to_string())], count);
        }
        page.line("age_seconds_bucket", &[("le", "+Inf")], self.aged);
        let sum = format!("{}.{:03}", self.age_ms / 1_000, self.age_ms % 1_000);
        page.line("age_seconds_sum", &[], sum);
        page.line("age_seconds_count", &[], self.aged);
        let (name, help) = ("http_answers_total", "Answers to deliveries, by status.");
        page.family(name, "counter", help);
        for (status, count) in &self.answers {
            page.line(name, &[("code", &status.to_string())], count);
        }
    }
}

/// Read for each request, so the values exist from the start and are current.
fn write_door(door: &DoorCounts, page: &mut Page) {
    let connections = &door.connections;
    let help = "Open connections to the hook's address.";
    page.one("connections", "gauge", help, connections.open);
    let help = "How many connections the hook's address may have at once.";
    page.one("connection_places", "gauge", help, connections.max);
    let help = "Idle connections that were closed for new ones.";
    page.one("evicted_total", "counter", help, connections.evicted);
    let (failures, unreadable) = (connections.accept_failures, connections.unreadable);
    let help = "How often the system did not give a connection: too many open files.";
    page.one("accept_failures_total", "counter", help, failures);
    let help = "Connections that ended with something that is no HTTP/1 request; answered with 400, 414 or 431.";
    page.one("unreadable_requests_total", "counter", help, unreadable);
    let help = "Requests without the secret.";
    page.one("refused_total", "counter", help, door.refused);
}

fn write_numbers(now: &Numbers, paused: Paused, page: &mut Page) {
    let queue = &now.queue;
    let by_state = [
        ("waiting", queue.waiting),
        ("postponed", queue.postponed),
        ("in_flight", queue.in_flight),
        ("dead", queue.dead),
    ];
    let help = "Changes in the queue, by state.";
    page.gauges("queue_messages", help, "state", &by_state);
    let help = "The age of the oldest change in the queue; 0 when it is empty.";
    let age_s = queue.oldest_age_ms.unwrap_or(0) / 1_000;
    page.one("queue_oldest_age_seconds", "gauge", help, age_s);
    let by = [
        ("setting", i64::from(paused.by_setting)),
        ("command", i64::from(paused.by_command)),
    ];
    let help = "Whether changes are paused: 1, else 0; by setting (CHANGES) or command (okta-anypoint pause).";
    page.gauges("paused", help, "by", &by);
    let by_state = [
        ("in_progress", now.events.in_progress),
        ("done", now.events.done),
        ("dry_run", now.events.dry_run),
        ("failed_retryable", now.events.failed_retryable),
        ("failed_permanent", now.events.failed_permanent),
        ("held", now.events.held),
        ("waiting", now.events.waiting),
    ];
    let help = "Records of events, by state.";
    page.gauges("records", help, "state", &by_state);
    let help = "Links, by kind and by how they came to be.";
    page.family("links", "gauge", help);
    for link in &now.links {
        let labels = [
            ("kind", link.kind.as_str()),
            ("origin", link.origin.as_str()),
        ];
        page.line("links", &labels, link.count);
    }
    write_runs(now, page);
    let of_okta = Metric::CredentialEndsInDays(Side::Okta);
    let name = snake(of_okta.name());
    page.family(&name, "gauge", of_okta.help());
    let token = now.credential.as_ref().and_then(|noted| noted.life.token());
    if let Some(token) = token {
        page.metric(&name, of_okta, token.days_left(now.at_ms));
    }
}

/// What of a task's last report can be a number.
type OfRun = fn(&Value) -> Option<i64>;

fn write_runs(now: &Numbers, page: &mut Page) {
    let families: [(&str, &str, OfRun); 3] = [
        (
            "task_last_run_timestamp_seconds",
            "When the last run of a task began.",
            |report| {
                let began: jiff::Timestamp = report["started_at"].as_str()?.parse().ok()?;
                Some(began.as_second())
            },
        ),
        (
            "task_last_run_stopped",
            "Whether the last run of a task was stopped: 1, else 0.",
            |report| Some(i64::from(report["outcome"] == "stopped")),
        ),
        (
            "task_last_run_problems",
            "What the last run of a task left to a person.",
            |report| i64::try_from(report["problems"].as_array()?.len()).ok(),
        ),
    ];
    for (name, help, value) in families {
        page.family(name, "gauge", help);
        for report in &now.reports {
            let mut tasks = Task::ALL.into_iter();
            let task = tasks.find(|task| report["task"] == task.as_str());
            if let (Some(task), Some(value)) = (task, value(report)) {
                page.line(name, &[("task", task.as_str())], value);
            }
        }
    }
}

/// The text so far. Label values are fixed words: none needs to be escaped.
#[derive(Default)]
struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, metric: Metric, sum: u64) {
        let dimensions = metric.dimensions();
        let labels: Vec<_> = dimensions.iter().map(|(label, _)| snake(label)).collect();
        let labels = labels.iter().zip(&dimensions);
        let labels: Vec<_> = labels
            .map(|(label, (_, value))| (label.as_str(), *value))
            .collect();
        self.line(name, &labels, sum);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}\n"
        );
    }

    /// A family of one line.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    /// A gauge for each value of a label.
    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, i64)]) {
        self.family(name, "gauge", help);
        for (value, number) in values {
            self.line(name, &[(label, value)], number);
        }
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "{PREFIX}_{name}");
        for (position, (label, value)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }
}

/// `RunCompleted` as `run_completed`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for (position, character) in name.chars().enumerate() {
        if character.is_ascii_uppercase() && position > 0 {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_grow_and_ages_fall_into_their_buckets() {
        let metrics = Arc::new(Metrics::new("serve"));
        let totals = Totals::new(Arc::clone(&metrics), 5_000);
        let text = || {
            let (numbers, door) = (Numbers::default(), DoorCounts::default());
            totals.text(&numbers, Paused::default(), &door)
        };
        metrics.count(Metric::Received, 2);
        assert!(text().contains("okta_anypoint_received_total 2\n"));
        metrics.count(Metric::Received, 3);
        metrics.count(Metric::Applied("create_account"), 1);
        metrics.measure(Metric::AgeMs, 4_200);
        metrics.measure(Metric::AgeMs, 90_000_000);
        totals.answered(StatusCode::NO_CONTENT);
        let text = text();
        for line in [
            "okta_anypoint_received_total 5",
            "okta_anypoint_failed_total{class=\"permanent\"} 0",
            "okta_anypoint_applied_total{action=\"create_account\"} 1",
            "okta_anypoint_age_seconds_bucket{le=\"1\"} 0",
            "okta_anypoint_age_seconds_bucket{le=\"5\"} 1",
            "okta_anypoint_age_seconds_bucket{le=\"86400\"} 1",
            "okta_anypoint_age_seconds_bucket{le=\"+Inf\"} 2",
            "okta_anypoint_age_seconds_sum 90004.200",
            "okta_anypoint_http_answers_total{code=\"204\"} 1",
            "okta_anypoint_start_time_seconds 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
