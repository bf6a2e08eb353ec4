//! Between the Lambda Runtime API and the library: event shapes in, answers out. Decides nothing.

pub mod http;
pub mod sqs;

use std::process::ExitCode;
use std::time::Duration;

use lambda_runtime::{Context, Error};

use crate::clock::Clock;
use crate::deadline::Deadline;

/// How long this invocation may still run.
pub fn deadline(context: &Context, clock: &dyn Clock) -> Deadline {
    let until_ms = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    let left = u64::try_from(until_ms.saturating_sub(clock.now_ms())).unwrap_or(0);
    Deadline::within(Duration::from_millis(left))
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
