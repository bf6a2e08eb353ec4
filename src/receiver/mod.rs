//! HTTP in, changes out: verification and deliveries, as a [`tower::Service`] over [`http::Request`].
//!
//! ```text
//!  Request<B> ──▶ Gated (secret, time) ──▶ Admitted<B> ──▶ Deliveries (body, queue) ──▶ Answer
//! ```
//!
//! The same service runs in `lambda_http` and on hyper in `serve`. It is made of two parts that the types
//! keep in order: only [`Gate::admit`] makes an [`Admitted`] request, and only [`Deliveries`] reads its body.
//! The changes of a delivery are made durable through the [`Queue`] port; whether that is SQS, the embedded
//! database, or applying them inline, is not known here.
//!
//! An answer comes within [`ANSWER_TIME`], always. Not guaranteed: that a 503 means that nothing was
//! recorded. Okta's retry and catch-up send the events again, and the ledger makes that harmless.

mod deliveries;
mod gate;

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use tower::Layer as _;

use crate::clock::Clock;
use crate::ids::OktaAppId;
use crate::queue::Queue;
use crate::telemetry::Metrics;

pub use deliveries::Deliveries;
pub use gate::{Admitted, Gate, Gated, Refusals};

/// Okta gives up after 3 s (Okta, "Event hooks: timeout and retry"); the way back needs some of it.
pub const ANSWER_TIME: Duration = Duration::from_millis(2_450);
/// The largest body that is read, in bytes after base64 decoding.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// An answer. Its body never holds internal text.
pub type Answer = Response<String>;

/// Answers Okta. Clones share everything.
pub type Receiver = Gated<Deliveries>;

impl Receiver {
    /// A receiver that accepts events about `app` from requests that `gate` admits, and hands them to `queue`.
    pub fn new(
        gate: Gate,
        app: OktaAppId,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        gate.layer(Deliveries::new(app, queue, clock, metrics))
    }
}

/// An answer without headers and body.
fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests;
