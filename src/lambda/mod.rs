//! Between the Lambda Runtime API and the library: event shapes in, answers out. Decides nothing.

pub mod http;
pub mod sqs;

use std::process::ExitCode;
use std::time::Duration;

use lambda_runtime::{Context, Diagnostic, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

/// How long this invocation may still run.
pub fn deadline(context: &Context, clock: &dyn Clock) -> Deadline {
    let until_ms = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    let left = u64::try_from(until_ms.saturating_sub(clock.now_ms())).unwrap_or(0);
    Deadline::within(Duration::from_millis(left))
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

/// What a function was invoked with, as `T`.
///
/// # Errors
/// When it is something else. The error quotes nothing of it.
pub fn event<T: DeserializeOwned>(payload: Value, expected: &str) -> Result<T, Failure> {
    serde_json::from_value(payload).map_err(|_| {
        Failure::permanent(
            Side::Program,
            "the function was invoked with an event that it does not know",
            format!("invoke it with {expected}"),
        )
    })
}

/// The exit code of a program that ended so; its error is logged in words.
pub fn exit_code(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the program stops: {error}");
            ExitCode::FAILURE
        }
    }
}
