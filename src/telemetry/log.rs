//! Log set-up.

use tracing_subscriber::EnvFilter;

/// Starts logging JSON lines to standard error at the level of `AWS_LAMBDA_LOG_LEVEL`, else
/// `RUST_LOG`, else `info`. Does nothing when logging was started before.
///
/// The AWS SDK and the HTTP stack are held at `warn` whatever the level: at `debug` they print
/// requests with their headers and bodies.
pub fn start_logging() {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter("info"))
        .with_writer(std::io::stderr)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// As [`start_logging`], with lines for people, and from `default` (a level) on when no variable asks.
pub fn start_logging_for_people(default: &str) {
    let started = tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr)
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

fn filter(default: &str) -> EnvFilter {
    let asked = ["AWS_LAMBDA_LOG_LEVEL", "RUST_LOG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|level| !level.trim().is_empty())
        .unwrap_or_else(|| default.to_owned());
    let filter =
        EnvFilter::try_new(asked.to_lowercase()).unwrap_or_else(|_| EnvFilter::new(default));
    let quiet_crates = [
        "aws_config",
        "aws_credential_types",
        "aws_runtime",
        "aws_sdk_dynamodb",
        "aws_sdk_secretsmanager",
        "aws_sdk_sqs",
        "aws_sigv4",
        "aws_smithy_http_client",
        "aws_smithy_runtime",
        "aws_smithy_runtime_api",
        "h2",
        "hyper",
        "hyper_util",
        "lambda_runtime",
        "lambda_runtime_api_client",
        "reqwest",
        "rustls",
        "tower",
    ];
    quiet_crates.iter().fold(filter, |filter, name| {
        match format!("{name}=warn").parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        }
    })
}
