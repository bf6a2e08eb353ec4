//! HTTP in, changes out: verification and deliveries. Knows nothing of Lambda or of axum.
//!
//! A request becomes an answer in steps that the types enforce: only [`Gate::admit`] makes an
//! [`Admitted`] request, and only that shows its method and body. The changes of a delivery are made
//! durable through the [`Queue`] port; whether that is SQS, the embedded database, or applying them
//! in place, is not known here.
//!
//! An answer comes within [`ANSWER_TIME`], always. Not guaranteed: that a 503 means that nothing was
//! recorded. Okta's retry and catch-up send the events again, and the ledger makes that harmless.

mod gate;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::json;

use crate::clock::{Clock, rfc3339};
use crate::deadline::Deadline;
use crate::event::{NotADelivery, Reading, read_delivery};
use crate::ids::OktaAppId;
use crate::queue::Queue;
use crate::telemetry::{Metric, Metrics};

pub use gate::{Admitted, Gate};

/// Okta gives up after 3 s (Okta, "Event hooks: timeout and retry"); the way back needs some of it.
pub const ANSWER_TIME: Duration = Duration::from_millis(2_450);
/// What is left of it when the queue has to be done, so that what was begun in place can still be recorded.
const ANSWERING: Duration = Duration::from_millis(150);
/// The largest body that is read, in bytes after base64 decoding.
pub const LARGEST_BODY: usize = 1024 * 1024;
/// The header of Okta's one-time verification (Okta, "Event hooks: one-time verification request").
const CHALLENGE: &str = "x-okta-verification-challenge";

/// A request as it came. Header names are looked up in any case.
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Finds the value of a header by its lower-case name.
    pub header: &'a (dyn Fn(&str) -> Option<&'a [u8]> + Sync),
    /// The body.
    pub body: Body<'a>,
}

/// A body as it came.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// The bytes themselves.
    Plain(&'a [u8]),
    /// Base64 of the bytes.
    Base64(&'a str),
}

/// An answer. Its body never holds internal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, with lower-case names.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: String,
}

impl Answer {
    /// An answer without headers and body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: &[],
            body: String::new(),
        }
    }
}

/// Answers requests.
pub struct Receiver {
    gate: Gate,
    app: OktaAppId,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Receiver {
    /// A receiver that admits what `gate` admits and hands the events of `app` to `queue`.
    pub fn new(
        gate: Gate,
        app: OktaAppId,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            gate,
            app,
            queue,
            clock,
            metrics,
        }
    }

    /// The answer to a request that needs no body for it, or must not have its body read; `None` when
    /// the body decides. The body of `request` is not looked at.
    pub async fn answer_to_head(&self, request: &Request<'_>) -> Option<Answer> {
        match self.gate.admit(request).await {
            Some(admitted) => self.without_body(&admitted),
            None => Some(refused()),
        }
    }

    /// Answers one request, within [`ANSWER_TIME`].
    pub async fn answer(&self, request: &Request<'_>) -> Answer {
        self.answer_by(request, Deadline::within(ANSWER_TIME)).await
    }

    /// Answers one request by `deadline`; a delivery that is not durable by then is refused.
    pub async fn answer_by(&self, request: &Request<'_>, deadline: Deadline) -> Answer {
        let Some(admitted) = self.gate.admit(request).await else {
            return refused();
        };
        if let Some(answer) = self.without_body(&admitted) {
            return answer;
        }
        match tokio::time::timeout_at(deadline.instant(), self.delivery(&admitted, deadline)).await
        {
            Ok(answer) => answer,
            Err(_) => {
                tracing::error!("a delivery could not be made durable in time");
                Answer::empty(503)
            }
        }
    }

    /// The answer to an admitted request that is not a delivery.
    fn without_body(&self, admitted: &Admitted<'_, '_>) -> Option<Answer> {
        match admitted.method() {
            "POST" => None,
            "GET" => Some(verification(admitted)),
            _ => Some(Answer {
                status: 405,
                headers: &[("allow", "GET, POST")],
                body: String::new(),
            }),
        }
    }

    async fn delivery(&self, admitted: &Admitted<'_, '_>, deadline: Deadline) -> Answer {
        let reading = match self.read(admitted.body()) {
            Ok(reading) => reading,
            Err(answer) => return answer,
        };
        self.metrics.count(
            Metric::Received,
            reading.changes.len() + reading.ignored.len(),
        );
        for reason in &reading.ignored {
            self.metrics.count(Metric::Ignored(reason.as_str()), 1);
        }
        if reading.changes.is_empty() {
            return Answer::empty(204);
        }
        let sent = self
            .queue
            .send_by(&reading.changes, deadline.earlier_by(ANSWERING));
        match sent.await {
            Ok(()) => Answer::empty(204),
            Err(failure) => {
                tracing::error!(
                    events = reading.changes.len(),
                    "a delivery was not taken: {failure}"
                );
                Answer::empty(503)
            }
        }
    }

    fn read(&self, body: Body<'_>) -> Result<Reading, Answer> {
        let decoded;
        let bytes = match body {
            Body::Plain(bytes) => bytes,
            Body::Base64(text) => {
                decoded = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .map_err(|_| Answer::empty(400))?;
                &decoded
            }
        };
        if bytes.len() > LARGEST_BODY {
            return Err(Answer::empty(413));
        }
        read_delivery(bytes, &self.app, &rfc3339(self.clock.now_ms())).map_err(|NotADelivery| {
            tracing::warn!("refused a body that is not an event-hook delivery");
            Answer::empty(400)
        })
    }
}

fn refused() -> Answer {
    tracing::warn!("refused a request without the right secret");
    Answer::empty(401)
}

fn verification(admitted: &Admitted<'_, '_>) -> Answer {
    let challenge = admitted
        .header(CHALLENGE)
        .and_then(|value| std::str::from_utf8(value).ok())
        .filter(|value| !value.trim().is_empty());
    match challenge {
        Some(challenge) => Answer {
            status: 200,
            headers: &[("content-type", "application/json")],
            body: json!({"verification": challenge}).to_string(),
        },
        None => Answer::empty(400),
    }
}

#[cfg(test)]
mod tests;
