//! What admitted requests ask for: Okta's one-time verification, and deliveries.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::time::timeout_at;
use tower::Service;

use super::{Admitted, Answer, MAX_BODY_BYTES, empty};
use crate::clock::{Clock, rfc3339};
use crate::deadline::Deadline;
use crate::event::{NotADelivery, Reading, read_delivery};
use crate::ids::OktaAppId;
use crate::queue::Queue;
use crate::telemetry::{Metric, Metrics};

/// The body has to be here this long before the answer is due, so that its changes can still be made durable.
const WRITING: Duration = Duration::from_millis(750);
/// The queue has to be done this long before the answer is due, so that changes begun inline can still be recorded.
pub(super) const ANSWERING: Duration = Duration::from_millis(150);
/// The header of Okta's one-time verification (Okta, "Event hooks: one-time verification request").
const CHALLENGE: &str = "x-okta-verification-challenge";

/// Answers admitted requests. Clones share everything.
#[derive(Clone)]
pub struct Deliveries(Arc<Parts>);

struct Parts {
    app: OktaAppId,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Deliveries {
    /// Reads events about `app`, and hands them to `queue`.
    pub fn new(
        app: OktaAppId,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Parts {
            app,
            queue,
            clock,
            metrics,
        }))
    }
}

impl<B> Service<Admitted<B>> for Deliveries
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, admitted: Admitted<B>) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move {
            let answered = match *admitted.method() {
                Method::POST => parts.delivery(admitted).await,
                Method::GET => verification(admitted.headers()),
                _ => Err(StatusCode::METHOD_NOT_ALLOWED),
            };
            Ok(answered.unwrap_or_else(refusal))
        })
    }
}

impl Parts {
    async fn delivery<B>(&self, admitted: Admitted<B>) -> Result<Answer, StatusCode>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let deadline = admitted.deadline();
        let body = in_time(admitted.into_body(), deadline.earlier_by(WRITING)).await?;
        let reading = self.read(body.as_ref())?;
        self.metrics.count(
            Metric::Received,
            reading.changes.len() + reading.ignored.len(),
        );
        for reason in &reading.ignored {
            self.metrics.count(Metric::Ignored(reason.as_str()), 1);
        }
        if reading.changes.is_empty() {
            return Ok(empty(StatusCode::NO_CONTENT));
        }
        let sent = self
            .queue
            .send_by(&reading.changes, deadline.earlier_by(ANSWERING));
        match sent.await {
            Ok(()) => Ok(empty(StatusCode::NO_CONTENT)),
            Err(failure) => {
                self.metrics.count(Metric::NotQueued(failure.cause), 1);
                tracing::error!(
                    events = reading.changes.len(),
                    "could not queue the delivery: {failure}"
                );
                Err(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    fn read(&self, body: &[u8]) -> Result<Reading, StatusCode> {
        read_delivery(body, &self.app, &rfc3339(self.clock.now_ms())).map_err(|NotADelivery| {
            tracing::warn!("refused a body that is not an event-hook delivery");
            StatusCode::BAD_REQUEST
        })
    }
}

/// The body, if it is not too large and here by `deadline`.
async fn in_time<B>(body: B, deadline: Deadline) -> Result<impl AsRef<[u8]>, StatusCode>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > MAX_BODY_BYTES) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match timeout_at(
        deadline.instant(),
        Limited::new(body, MAX_BODY_BYTES).collect(),
    )
    .await
    {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => {
            tracing::warn!("a delivery did not arrive in time, or there are too many at once");
            Err(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Okta's challenge, sent back.
fn verification(headers: &HeaderMap) -> Result<Answer, StatusCode> {
    let challenge = headers
        .get(CHALLENGE)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .filter(|value| !value.trim().is_empty())
        .ok_or(StatusCode::BAD_REQUEST)?;
    let mut answer = Answer::new(json!({"verification": challenge}).to_string());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    Ok(answer)
}

fn refusal(status: StatusCode) -> Answer {
    let mut answer = empty(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = HeaderValue::from_static("GET, POST");
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}
