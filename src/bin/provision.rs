//! The Lambda behind the queue: applies changes.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use okta_anypoint::aws::for_lambda;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::failure::Failure;
use okta_anypoint::lambda::{self, Payload, sqs::BatchHandler, sqs::SqsEvent};
use okta_anypoint::queue::{Queue, Redelivery, SqsQueue};
use okta_anypoint::settings::{EngineSettings, Needs};
use okta_anypoint::telemetry::{Metrics, start_logging};
use okta_anypoint::wiring;
use okta_anypoint::worker::{Pace, Worker};

/// One AWS call, retries included.
const AWS_TIME: Duration = Duration::from_secs(10);
/// Left for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging();
    lambda::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::for_lambda("provision"));

    let mut reader = wiring::reader(for_lambda, Needs::CREDENTIALS, AWS_TIME).await?;
    let engine = EngineSettings::read(&mut reader);
    let table = reader.text("TABLE_NAME", "the name of the DynamoDB table");
    let queue_url = reader.optional("QUEUE_URL");
    let (engine, table) = reader.finish(engine.zip(table))?;

    let sdk = wiring::aws(for_lambda, AWS_TIME).await;
    let table = wiring::dynamodb_table(&sdk, &table, engine.kept, &clock);
    let ports = wiring::ports(&engine, &table, &clock)?;
    let queue =
        queue_url.map(|url| Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, AWS_TIME)));
    let (anypoint, cold) = (ports.anypoint.clone(), table.clone());
    tokio::spawn(async move { anypoint.warm_up(Deadline::within(AWS_TIME)).await });
    tokio::spawn(async move { cold.warm_up().await });
    let worker = Worker::new(
        ports,
        queue.clone().map(|queue| queue as Arc<dyn Queue>),
        metrics.clone(),
        Pace::QUEUED,
    );
    let handler = BatchHandler::new(
        worker,
        table.ledger,
        queue.map(|queue| queue as Arc<dyn Redelivery>),
        clock.clone(),
        metrics.clone(),
    );

    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        let deadline = lambda::deadline(&event.context, clock.as_ref())?.earlier_by(MARGIN);
        let batch: SqsEvent = event.payload.read("a batch of SQS messages")?;
        let answer = handler.handle(&batch, deadline).await;
        metrics.flush(clock.now_ms());
        Ok::<_, Failure>(answer)
    }))
    .await
}
