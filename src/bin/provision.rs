//! The Lambda behind the queue: applies changes.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::Error;
use okta_anypoint::aws::{Limits, for_lambda};
use okta_anypoint::lambda::{self, sqs::BatchHandler, sqs::SqsEvent};
use okta_anypoint::queue::{Queue, Redelivery, SqsQueue};
use okta_anypoint::settings::{Needs, queue_url};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::{self, WorkSettings};
use okta_anypoint::worker::{Pace, Worker};

/// One AWS call, retries included.
const AWS_TIME: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(run()).await
}

async fn run() -> Result<(), Error> {
    let mut reader = wiring::reader(for_lambda, Needs::CREDENTIALS, AWS_TIME).await?;
    let settings = WorkSettings::read(&mut reader);
    let queue_url = queue_url(&mut reader);
    let (settings, queue_url) = reader.finish(settings.zip(queue_url))?;

    let sdk = for_lambda(Limits::within(AWS_TIME)).await;
    let ports = settings.ports(&sdk)?;
    wiring::warm_up(&ports, AWS_TIME);
    let queue =
        queue_url.map(|url| Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, AWS_TIME)));
    let follow_ups = queue.clone().map(|queue| queue as Arc<dyn Queue>);
    let redelivery = queue.map(|queue| queue as Arc<dyn Redelivery>);
    let metrics = Arc::new(Metrics::for_lambda("provision"));
    let worker = Worker::new(ports, follow_ups, metrics.clone(), Pace::QUEUED);
    let handler = BatchHandler::new(worker, redelivery);

    let expected = "a batch of SQS messages";
    lambda::answer_events(expected, &metrics, async |batch: SqsEvent, deadline| {
        Ok(handler.handle(&batch, deadline).await)
    })
    .await
}
