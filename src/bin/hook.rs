//! The Lambda behind the HTTP API: Okta's verification and deliveries.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::Error;
use okta_anypoint::aws::for_lambda;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::lambda::{self, http::Function};
use okta_anypoint::provision::Changes;
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::settings::{EngineSettings, HookSettings, Needs, Reader};
use okta_anypoint::telemetry::{Metrics, start_logging};
use okta_anypoint::wiring;
use okta_anypoint::worker::Pace;
use tower::ServiceExt as _;

/// Within this a delivery is made durable, or refused; the rest of Okta's 3 s is for the way back.
const TIME: Duration = Duration::from_millis(2_300);

/// Within this the secrets are read during start-up, if they are in Secrets Manager.
const SECRETS_TIME: Duration = Duration::from_secs(5);

/// Where changes go.
enum Target {
    /// To this queue.
    Queue(String),
    /// Nowhere: they are applied inline, and recorded in this table.
    Inline(Box<EngineSettings>, String),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging();
    lambda::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::for_lambda("hook"));

    let needs = match Reader::from_env().optional("QUEUE_URL") {
        Some(_) => Needs::HOOK,
        None => Needs::BOTH,
    };
    let mut reader = wiring::reader(for_lambda, needs, SECRETS_TIME).await?;
    let hook = HookSettings::read(&mut reader);
    let target = match reader.optional("QUEUE_URL") {
        Some(url) => Some(Target::Queue(url)),
        None => {
            let engine = EngineSettings::read(&mut reader);
            if engine
                .as_ref()
                .is_some_and(|engine| engine.policy.changes == Changes::Pause)
            {
                // Okta would repeat a delivery once, and then forget it.
                reader.report(
                    "CHANGES",
                    "is `pause`",
                    "a queue (QUEUE_URL) that keeps events, or `apply` or `report`",
                );
            }
            let table = reader.text("TABLE_NAME", "the name of the DynamoDB table");
            engine
                .zip(table)
                .map(|(engine, table)| Target::Inline(Box::new(engine), table))
        }
    };
    let (hook, target) = reader.finish(hook.zip(target))?;

    let sdk = wiring::aws(for_lambda, TIME).await;
    let queue: Arc<dyn Queue> = match target {
        Target::Queue(url) => {
            let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, TIME);
            let cold = queue.clone();
            tokio::spawn(async move { cold.warm_up().await });
            Arc::new(queue)
        }
        Target::Inline(engine, table) => {
            let table = wiring::dynamodb_table(&sdk, &table, engine.kept, &clock);
            let ports = wiring::ports(&engine, &table, &clock)?;
            let (anypoint, cold) = (ports.anypoint.clone(), table.clone());
            tokio::spawn(async move { anypoint.warm_up(Deadline::within(TIME)).await });
            tokio::spawn(async move { cold.warm_up().await });
            wiring::inline(&ports, &metrics, Pace::INLINE, TIME)
        }
    };
    let gate = Gate::new(hook.auth.header, &hook.auth.secrets)?;
    let receiver = Receiver::new(gate, hook.app, queue, clock.clone(), metrics.clone());

    let flushed = move |answer| {
        metrics.flush(clock.now_ms());
        answer
    };
    lambda_runtime::run(Function::from(receiver).map_response(flushed)).await
}
