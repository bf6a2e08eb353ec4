//! Between the Lambda Runtime API and the library: event shapes in, answers out. Decides nothing.

pub mod http;
pub mod sqs;

use std::process::ExitCode;
use std::time::Duration;

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::clock::{Clock, SystemClock};
use crate::deadline::Deadline;
use crate::failure::{Cause, Failure, Side};
use crate::telemetry::{ALWAYS_LOGGED, Metrics, start_logging};

/// No function may run longer than this (AWS Lambda, "Quotas").
const MAX_RUN: Duration = Duration::from_secs(15 * 60);
/// Left for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);

/// Runs a function's program to its end; an error is logged in words.
pub async fn main(program: impl Future<Output = Result<(), Error>>) -> ExitCode {
    start_logging();
    match program.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(target: ALWAYS_LOGGED, "the program stops: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives each event to `work`, with the time by which it has to be over. `expected` says what the events are.
///
/// # Errors
/// When the Lambda Runtime API fails.
pub async fn answer_events<T: DeserializeOwned, A: Serialize>(
    expected: &str,
    metrics: &Metrics,
    work: impl AsyncFn(T, Deadline) -> Result<A, Failure>,
) -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        let deadline = deadline(&event.context, &SystemClock)?.earlier_by(MARGIN);
        let answer = match event.payload.read(expected) {
            Ok(event) => work(event, deadline).await,
            Err(failure) => Err(failure),
        };
        metrics.flush(SystemClock.now_ms());
        answer
    }))
    .await
}

/// How long this invocation may still run, at most [`MAX_RUN`]: a runtime may name a time decades ahead.
///
/// A missing or past time is an error: a run that had no time for anything would look like a success.
fn deadline(context: &Context, clock: &dyn Clock) -> Result<Deadline, Failure> {
    let until_ms = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    match u64::try_from(until_ms.saturating_sub(clock.now_ms())) {
        Ok(left) if left > 0 => Ok(Deadline::within(Duration::from_millis(left).min(MAX_RUN))),
        _ => Err(Failure::retryable(
            Side::Program,
            "the invocation's deadline (Lambda-Runtime-Deadline-Ms) is missing or past",
        )
        .because(Cause::OutOfTime)
        .advising(
            "Compare the clocks of the runtime and of this function, and raise its time-out.",
        )),
    }
}

impl From<Failure> for Diagnostic {
    /// Under the name that the Lambda console shows as the error's type.
    fn from(failure: Failure) -> Self {
        let error_type = match failure.side {
            Side::Okta => "OktaFailure",
            Side::Anypoint => "AnypointFailure",
            Side::Table => "TableFailure",
            Side::Queue => "QueueFailure",
            Side::Settings => "SettingsFailure",
            Side::Program => "ProgramFailure",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: failure.to_string(),
        }
    }
}

/// The payload of an invocation, not read yet; `None` when it is not JSON.
///
/// Taking it never fails. `lambda_runtime` 1.5.0 answers for a payload that it cannot read, and the error's type is then
/// the name of a Rust type. One text that cannot be read, such as half of a surrogate pair, is enough for that.
#[derive(Debug)]
struct Payload(Option<Box<RawValue>>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Box::deserialize(deserializer).ok()))
    }
}

impl Payload {
    /// The event, as `T`. An error quotes nothing of it.
    fn read<T: DeserializeOwned>(&self, expected: &str) -> Result<T, Failure> {
        let event = self.0.as_deref().map_or("", RawValue::get);
        serde_json::from_str(event).map_err(|_| {
            Failure::permanent(
                Side::Program,
                "the function was invoked with an event that it does not know",
                format!("invoke it with {expected}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_missing_or_past_deadline_is_an_error_and_a_far_one_is_cut() {
        let now_ms = 1_772_442_904_000;
        let of = |deadline: u64| {
            let mut context = Context::default();
            context.deadline = deadline;
            super::deadline(&context, &ManualClock::at(now_ms))
        };
        let now = u64::try_from(now_ms).unwrap();
        for useless in [0, now - 1, now] {
            let failure = of(useless).unwrap_err();
            assert!(failure.to_string().contains("deadline"), "{failure}");
        }
        let minute = of(now + 60_000).unwrap().remaining();
        assert!(minute > Duration::from_secs(59) && minute <= Duration::from_secs(60));
        for ahead in [now + 10_u64.pow(12), u64::MAX] {
            assert!(of(ahead).unwrap().remaining() <= MAX_RUN, "{ahead}");
        }
    }
}
