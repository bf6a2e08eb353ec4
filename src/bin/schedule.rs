//! The Lambda that EventBridge Scheduler runs: catch-up, reconcile, import. Its input is what the template tells
//! Scheduler to send, so no type of `aws_lambda_events` describes it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use okta_anypoint::aws::for_lambda;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::lambda::{self, Payload};
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::schedule::{Invocation, Scheduler};
use okta_anypoint::settings::{EngineSettings, Needs, ScheduleSettings};
use okta_anypoint::telemetry::{Metrics, start_logging};
use okta_anypoint::wiring;
use okta_anypoint::worker::Pace;

/// One AWS call, retries included.
const AWS_TIME: Duration = Duration::from_secs(20);
/// Left for the answer itself.
const MARGIN: Duration = Duration::from_secs(1);
/// What the function is invoked with.
const EXPECTED: &str = "a task, such as {\"task\":\"catch_up\"}";
/// One page of changes that are applied in place because there is no queue.
const INLINE_TIME: Duration = Duration::from_secs(600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging();
    lambda::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::for_lambda("schedule"));

    let mut reader = wiring::reader(for_lambda, Needs::CREDENTIALS, AWS_TIME).await?;
    let engine = EngineSettings::read(&mut reader);
    let schedule = ScheduleSettings::read(&mut reader);
    let table = reader.text("TABLE_NAME", "the name of the DynamoDB table");
    let queue_url = reader.optional("QUEUE_URL");
    let ((engine, schedule), table) = reader.finish(engine.zip(schedule).zip(table))?;

    let sdk = wiring::aws(for_lambda, AWS_TIME).await;
    let table = wiring::dynamodb_table(&sdk, &table, engine.kept, &clock);
    let ports = wiring::ports(&engine, &table, &clock)?;
    let queue: Arc<dyn Queue> = match queue_url {
        Some(url) => Arc::new(SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, AWS_TIME)),
        None => wiring::inline(&ports, &metrics, Pace::QUEUED, INLINE_TIME),
    };
    let scheduler = Scheduler::new(ports, queue, schedule, metrics.clone());

    lambda_runtime::run(service_fn(async |event: LambdaEvent<Payload>| {
        let deadline = lambda::deadline(&event.context, clock.as_ref())?.earlier_by(MARGIN);
        let result = async {
            let invocation = Invocation::parse(&event.payload.read(EXPECTED)?)?;
            scheduler
                .run(invocation.task, invocation.mode, deadline)
                .await
        }
        .await;
        metrics.flush(clock.now_ms());
        result
    }))
    .await
}
