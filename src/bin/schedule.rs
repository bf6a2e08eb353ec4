//! The Lambda that EventBridge Scheduler runs: catch-up, reconcile, import. Its input is what the template tells
//! Scheduler to send, so no type of `aws_lambda_events` describes it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::Error;
use okta_anypoint::aws::{Limits, for_lambda};
use okta_anypoint::lambda;
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::schedule::{Invocation, Scheduler};
use okta_anypoint::settings::{Needs, ScheduleSettings, queue_url};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::{self, WorkSettings};
use okta_anypoint::worker::Pace;
use serde_json::Value;

/// One AWS call, retries included.
const AWS_TIME: Duration = Duration::from_secs(20);
/// One page of changes that are applied inline because there is no queue.
const INLINE_TIME: Duration = Duration::from_secs(600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(run()).await
}

async fn run() -> Result<(), Error> {
    let mut reader = wiring::reader(for_lambda, Needs::CREDENTIALS, AWS_TIME).await?;
    let settings = WorkSettings::read(&mut reader);
    let schedule = ScheduleSettings::read(&mut reader);
    let queue_url = queue_url(&mut reader);
    let ((settings, schedule), queue_url) = reader.finish(settings.zip(schedule).zip(queue_url))?;

    let sdk = for_lambda(Limits::within(AWS_TIME)).await;
    let ports = settings.ports(&sdk)?;
    let metrics = Arc::new(Metrics::for_lambda("schedule"));
    let queue: Arc<dyn Queue> = match queue_url {
        Some(url) => Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, AWS_TIME)),
        None => wiring::inline(&ports, &metrics, Pace::QUEUED, INLINE_TIME),
    };
    let scheduler = Scheduler::new(ports, queue, schedule, metrics.clone());

    let expected = "a task, such as {\"task\":\"catch_up\"}";
    lambda::answer_events(expected, &metrics, async |event: Value, deadline| {
        let Invocation { task, mode } = Invocation::parse(&event)?;
        scheduler.run(task, mode, deadline).await
    })
    .await
}
