//! What every AWS client shares: one HTTPS client, time limits that fit a deadline, and what an
//! SDK error means.
//!
//! Endpoints, region and credentials follow the SDK's own variables (`AWS_ENDPOINT_URL_DYNAMODB`,
//! `AWS_REGION`, `AWS_ACCESS_KEY_ID` …). A Lambda function reads these and nothing else; the command
//! line also knows profiles and the other places where the SDK looks for credentials.

mod connector;
mod denial;
mod environment;
mod failure;
#[cfg(feature = "local")]
pub mod inspect;
pub(crate) mod table;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use connector::Connectors;
pub(crate) use failure::{AwsCall, explain};

/// How long one AWS call may take, retries included, and how that time is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the connection is established.
    pub connect: Duration,
    /// One attempt.
    pub attempt: Duration,
    /// All attempts of one call.
    pub operation: Duration,
    /// The most attempts of one call.
    pub attempts: u32,
}

impl Limits {
    /// Limits for a call that has to be over within `deadline`.
    ///
    /// An attempt gets half of it, so that one lost answer leaves time for another attempt.
    pub fn within(deadline: Duration) -> Self {
        Self {
            connect: (deadline / 3).min(Duration::from_secs(3)),
            attempt: (deadline / 2).min(Duration::from_secs(5)),
            operation: deadline,
            attempts: if deadline < Duration::from_secs(5) {
                3
            } else {
                5
            },
        }
    }
}

/// Where a program's AWS configuration comes from: [`load`] or [`for_lambda`].
pub type Source = fn(Limits) -> BoxFuture<'static, SdkConfig>;

/// What all AWS clients of a Lambda function share: what the SDK's variables say, and nothing else.
pub fn for_lambda(limits: Limits) -> BoxFuture<'static, SdkConfig> {
    std::future::ready(environment::configuration(limits)).boxed()
}

/// What all AWS clients of the command line share, profiles and metadata services included. Call it
/// once.
pub fn load(limits: Limits) -> BoxFuture<'static, SdkConfig> {
    loader(limits).load().boxed()
}

/// The loader behind [`load`], for callers that set something first.
pub fn loader(limits: Limits) -> ConfigLoader {
    aws_config::defaults(behavior())
        .http_client(Connectors::default())
        .timeout_config(timeouts(limits))
        .retry_config(retries(limits))
        .stalled_stream_protection(no_second_limit())
}

fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn timeouts(limits: Limits) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .operation_attempt_timeout(limits.attempt)
        .operation_timeout(limits.operation)
        .build()
}

/// The SDK's watch over slow transfers is for streams of any length. Here every body is small, and the limit of the
/// attempt covers it.
fn no_second_limit() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}

fn retries(limits: Limits) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(limits.attempts)
        // The SDK's first pause is up to a second. DynamoDB and SQS recover faster than that.
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff((limits.operation / 4).min(Duration::from_secs(5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_fits_into_the_deadline() {
        for ms in [500, 2_000, 5_000, 60_000] {
            let deadline = Duration::from_millis(ms);
            let limits = Limits::within(deadline);
            assert!(limits.connect < limits.attempt, "{limits:?}");
            assert!(limits.attempt * 2 <= deadline, "{limits:?}");
            assert_eq!(limits.operation, deadline);
        }
    }
}
