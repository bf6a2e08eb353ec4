//! Metrics in CloudWatch's embedded metric format: one JSON line on standard output, no API call
//! (Amazon CloudWatch, "Embedded metric format specification").

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::failure::{Cause, Class, Side};

/// The namespace of every metric.
const NAMESPACE: &str = "OktaAnypoint";
/// Values in one array at the most (the format's limit).
const MAX_VALUES_PER_LINE: usize = 100;

/// What is counted or measured, with its dimensions beside `Function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Received,
    NotQueued(Cause),
    Ignored(&'static str),
    Duplicate,
    Applied(&'static str),
    Failed(Class, Cause),
    Waiting,
    Held,
    SideRefuses(Side),
    RemovalLate(&'static str),
    Superseded,
    /// In milliseconds.
    AgeMs,
    CredentialEndsInDays(Side),
    RunCompleted(&'static str),
    RunStopped(&'static str),
}

impl Metric {
    /// Its name, and what it is, for people who read the figures.
    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Received => ("Received", "Events received."),
            Self::NotQueued(_) => ("NotQueued", "Deliveries that could not be queued."),
            Self::Ignored(_) => ("Ignored", "Events acknowledged and not acted upon."),
            Self::Duplicate => (
                "Duplicate",
                "Events that were done already, or had failed for good.",
            ),
            Self::Applied(_) => ("Applied", "Actions carried out."),
            Self::Failed(..) => ("Failed", "Events that failed; class permanent: for good."),
            Self::Waiting => ("Waiting", "Events that wait for a second look."),
            Self::Held => (
                "Held",
                "Events that the brake held: people would lose access.",
            ),
            Self::SideRefuses(_) => (
                "SideRefuses",
                "Calls that a side refuses to everybody: credentials or rights.",
            ),
            Self::RemovalLate(_) => (
                "RemovalLate",
                "Announced removals that are not done although their event is old.",
            ),
            Self::Superseded => (
                "Superseded",
                "Results that came too late, because another owner had taken over.",
            ),
            Self::AgeMs => ("AgeMs", "From an event's publication until it was applied."),
            Self::CredentialEndsInDays(_) => (
                "CredentialEndsInDays",
                "Days until the credential ends, if the side says when.",
            ),
            Self::RunCompleted(_) => ("RunCompleted", "Scheduled runs that ended well."),
            Self::RunStopped(_) => (
                "RunStopped",
                "Scheduled runs that a limit or an unreadable source stopped.",
            ),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.described().0
    }

    #[cfg(feature = "local")]
    pub(crate) fn help(self) -> &'static str {
        self.described().1
    }

    /// The dimensions beside `Function`; each is a set of its own.
    pub(crate) fn dimensions(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::NotQueued(cause) => vec![("Cause", cause.as_str())],
            Self::Ignored(reason) => vec![("Reason", reason)],
            Self::Applied(action) => vec![("Action", action)],
            Self::Failed(class, cause) => {
                vec![("Class", class.as_str()), ("Cause", cause.as_str())]
            }
            Self::SideRefuses(side) | Self::CredentialEndsInDays(side) => {
                vec![("Side", side.as_str())]
            }
            Self::RemovalLate(cause) => vec![("Cause", cause)],
            Self::RunCompleted(task) | Self::RunStopped(task) => vec![("Task", task)],
            Self::Received
            | Self::Duplicate
            | Self::Superseded
            | Self::Waiting
            | Self::Held
            | Self::AgeMs => Vec::new(),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::AgeMs => "Milliseconds",
            Self::CredentialEndsInDays(_) => "None",
            _ => "Count",
        }
    }
}

/// Gathers metrics until they are written.
#[derive(Debug)]
pub struct Metrics {
    function: String,
    values: Mutex<BTreeMap<Metric, Vec<u64>>>,
}

impl Metrics {
    /// Metrics of the program `function` (dimension `Function`).
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            function: function.into(),
            values: Mutex::default(),
        }
    }

    /// Metrics of a Lambda function: under the name that it has on AWS, which the alarms of the
    /// template watch and which keeps two deployments apart; elsewhere under its program's name.
    pub fn for_lambda(program: &str) -> Self {
        let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME");
        Self::new(name.unwrap_or_else(|_| program.to_owned()))
    }

    pub(crate) fn count(&self, metric: Metric, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = values.entry(metric).or_default();
        match counts.first_mut() {
            Some(sum) => *sum += count,
            None => counts.push(count),
        }
    }

    pub(crate) fn measure(&self, metric: Metric, value: u64) {
        self.values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(metric)
            .or_default()
            .push(value);
    }

    /// Takes everything gathered so far: one sum of each count, and each measured value.
    pub(crate) fn take(&self) -> BTreeMap<Metric, Vec<u64>> {
        std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes everything gathered so far, as lines to be written to standard output at `now_ms`.
    pub fn take_lines(&self, now_ms: i64) -> Vec<String> {
        self.take()
            .iter()
            .flat_map(|(metric, values)| values.chunks(MAX_VALUES_PER_LINE).map(|v| (*metric, v)))
            .map(|(metric, values)| self.line(metric, values, now_ms).to_string())
            .collect()
    }

    /// Writes everything gathered so far to standard output.
    pub fn flush(&self, now_ms: i64) {
        use std::io::Write;
        let lines = self.take_lines(now_ms);
        let mut out = std::io::stdout().lock();
        for line in lines {
            // A reader that closed our output does not want metrics.
            let _ = writeln!(out, "{line}");
        }
    }

    fn line(&self, metric: Metric, values: &[u64], now_ms: i64) -> Value {
        let mut line = Map::new();
        line.insert("Function".to_owned(), json!(self.function));
        // Both with and without another dimension, so that one alarm can watch the sum.
        let mut sets = vec![json!(["Function"])];
        for (name, value) in metric.dimensions() {
            line.insert(name.to_owned(), json!(value));
            sets.push(json!(["Function", name]));
        }
        let value = if let [one] = values {
            json!(one)
        } else {
            json!(values)
        };
        line.insert(metric.name().to_owned(), value);
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now_ms,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": sets,
                    "Metrics": [{"Name": metric.name(), "Unit": metric.unit()}],
                }],
            }),
        );
        Value::Object(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_the_embedded_metric_format() {
        let metrics = Metrics::new("hook");
        metrics.count(Metric::Received, 2);
        metrics.count(Metric::Received, 3);
        metrics.count(Metric::Ignored("other_app"), 1);
        (0..101).for_each(|age| metrics.measure(Metric::AgeMs, age));
        let lines: Vec<Value> = metrics
            .take_lines(1_772_442_904_000)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let with = |name: &str| {
            lines
                .iter()
                .filter(|line| !line[name].is_null())
                .collect::<Vec<_>>()
        };
        assert_eq!(with("Received")[0]["Received"], 5);
        let ignored = with("Ignored")[0];
        assert_eq!(ignored["Reason"], "other_app");
        assert_eq!(
            ignored["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["Function"], ["Function", "Reason"]])
        );
        assert_eq!(
            with("AgeMs").len(),
            2,
            "an array holds 100 values at the most"
        );
        assert!(metrics.take_lines(0).is_empty(), "nothing is written twice");
    }
}
