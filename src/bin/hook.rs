//! The Lambda behind the HTTP API: Okta's verification and deliveries.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::Error;
use okta_anypoint::aws::{Limits, for_lambda};
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::lambda::{self, http::Function};
use okta_anypoint::provision::Changes;
use okta_anypoint::queue::{Queue, SqsQueue};
use okta_anypoint::receiver::{Gate, Receiver};
use okta_anypoint::settings::{HookSettings, Needs, Reader, queue_url};
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::wiring::{self, WorkSettings};
use okta_anypoint::worker::Pace;
use tower::ServiceExt as _;

/// The time for making a delivery durable, or refusing it. The rest of Okta's 3 s is for the way back.
const TIME: Duration = Duration::from_millis(2_300);

/// The time for reading secrets from Secrets Manager during start-up.
const SECRETS_TIME: Duration = Duration::from_secs(5);

enum Destination {
    /// To the queue of this URL.
    Queue(String),
    /// Nowhere: they are applied inline.
    Inline(Box<WorkSettings>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(run()).await
}

async fn run() -> Result<(), Error> {
    let needs = match Reader::from_env().optional("QUEUE_URL") {
        Some(_) => Needs::HOOK,
        None => Needs::BOTH,
    };
    let mut reader = wiring::reader(for_lambda, needs, SECRETS_TIME).await?;
    let hook = HookSettings::read(&mut reader);
    let destination = match queue_url(&mut reader) {
        Some(Some(url)) => Some(Destination::Queue(url)),
        Some(None) => inline(&mut reader).map(|work| Destination::Inline(Box::new(work))),
        None => None,
    };
    let (hook, destination) = reader.finish(hook.zip(destination))?;

    let sdk = for_lambda(Limits::within(TIME)).await;
    let metrics = Arc::new(Metrics::for_lambda("hook"));
    let queue: Arc<dyn Queue> = match destination {
        Destination::Queue(url) => {
            let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), url, TIME);
            let cold = queue.clone();
            tokio::spawn(async move { cold.warm_up().await });
            Arc::new(queue)
        }
        Destination::Inline(work) => {
            let ports = work.ports(&sdk)?;
            wiring::warm_up(&ports, TIME);
            wiring::inline(&ports, &metrics, Pace::INLINE, TIME)
        }
    };
    let gate = Gate::new(hook.header, hook.secrets)?;
    let clock = Arc::new(SystemClock);
    let receiver = Receiver::new(gate, hook.app, queue, clock, metrics.clone());

    let flushed = move |answer| {
        metrics.flush(SystemClock.now_ms());
        answer
    };
    lambda_runtime::run(Function::from(receiver).map_response(flushed)).await
}

fn inline(reader: &mut Reader<'_>) -> Option<WorkSettings> {
    let work = WorkSettings::read(reader);
    let is_paused = |work: &WorkSettings| work.engine.policy.changes == Changes::Pause;
    if work.as_ref().is_some_and(is_paused) {
        // Okta would repeat a delivery once, and then forget it.
        reader.report(
            "CHANGES",
            "is `pause`",
            "a queue (QUEUE_URL) that keeps events, or `apply` or `report`",
        );
    }
    work
}
