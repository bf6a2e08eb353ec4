//! Whether a request comes from Okta: it carries the shared secret.
//!
//! The gate is the outermost layer: it looks at one header, and drops a request without an accepted secret
//! before a byte of its body is read. The service behind it takes [`Admitted`] requests, which nothing else makes.
//!
//! The comparison takes the same time whatever is sent. It compares tags of equal length in constant time, made with a
//! key that is random in every process. So a caller cannot learn from the time where a comparison ended. Every accepted
//! secret is compared, even after a match.
//!
//! Secrets that come from a secret store are read again, at most once a minute, when a request
//! brings a value that is none of them: it may have been rotated a moment ago.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use tokio::time::timeout_at;
use tower::{Layer, Service, ServiceExt as _};

use super::{ANSWER_TIME, Answer, empty};
use crate::deadline::Deadline;
use crate::secrets::Renewable;
use crate::telemetry::Tally;

/// How long a request may wait for the secrets to be read again: it still has to be answered, and
/// its events made durable, before Okta gives up.
const MAX_RENEWAL: Duration = Duration::from_millis(1_000);

/// Holds the accepted secrets. Clones share them.
#[derive(Clone)]
pub struct Gate(Arc<Accepted>);

struct Accepted {
    header: HeaderName,
    keyed: Hmac<Sha256>,
    secrets: Renewable<Vec<SecretString>>,
    refusals: Refusals,
}

/// Requests without the right secret. Their senders cannot fill the log: one line a minute reports them.
#[derive(Default)]
pub struct Refusals {
    total: AtomicU64,
    unsaid: Tally,
}

impl Refusals {
    /// How many there were since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        Self::say(self.unsaid.one_more());
    }

    /// Logs the refusals that were not logged yet, if a line is due.
    #[cfg(feature = "local")]
    pub(crate) fn say_rest(&self) {
        Self::say(self.unsaid.rest());
    }

    fn say(requests: Option<u64>) {
        if let Some(requests) = requests {
            tracing::warn!(requests, "refused requests without the right secret");
        }
    }
}

/// A request that carried the right secret. Only [`Gate::admit`] makes one.
pub struct Admitted<B> {
    request: Request<B>,
    deadline: Deadline,
}

impl<B> Admitted<B> {
    /// The method.
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// What the server attached to the request.
    #[cfg(feature = "local")]
    pub(crate) fn extensions(&self) -> &http::Extensions {
        self.request.extensions()
    }

    /// The body, unread.
    pub(crate) fn into_body(self) -> B {
        self.request.into_body()
    }

    /// The moment by which the answer has to be there.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }
}

impl Gate {
    /// A gate that accepts any of `secrets` in `header`.
    ///
    /// # Errors
    /// When the system gives no randomness, or refuses it as a key.
    pub fn new(
        header: HeaderName,
        secrets: impl Into<Renewable<Vec<SecretString>>>,
    ) -> Result<Self, String> {
        let key: [u8; 32] = rand::random();
        let keyed = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Accepted {
            header,
            keyed,
            secrets: secrets.into(),
            refusals: Refusals::default(),
        })))
    }

    /// The requests that it refused.
    pub fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// The request, if it carries an accepted secret, to be answered by `deadline`.
    pub async fn admit<B>(&self, request: Request<B>, deadline: Deadline) -> Option<Admitted<B>> {
        let given = request.headers().get(&self.0.header).cloned();
        let given = given.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let secrets = self.0.secrets.fresh(Deadline::within(MAX_RENEWAL)).await;
        let mut is_accepted = self.0.accepts(&secrets, given);
        if !is_accepted && !given.is_empty() {
            let renewal = Deadline::within(MAX_RENEWAL);
            if let Some(newer) = self.0.secrets.renew(&secrets, renewal).await {
                is_accepted = self.0.accepts(&newer, given);
            }
        }
        is_accepted.then_some(Admitted { request, deadline })
    }
}

impl Accepted {
    fn accepts(&self, secrets: &[SecretString], given: &[u8]) -> bool {
        secrets.iter().fold(false, |found, secret| {
            let secret = secret.expose_secret().as_bytes();
            let mac = self.keyed.clone().chain_update(given);
            // No secret is empty; if one were, a request without the header would carry it.
            found | (mac.verify_slice(&tag(&self.keyed, secret)).is_ok() & !secret.is_empty())
        })
    }
}

fn tag(keyed: &Hmac<Sha256>, value: &[u8]) -> Vec<u8> {
    keyed
        .clone()
        .chain_update(value)
        .finalize()
        .into_bytes()
        .to_vec()
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            gate: self.clone(),
            inner,
        }
    }
}

/// Answers 401 to requests without the secret, and gives the others to `S`, which has [`ANSWER_TIME`].
#[derive(Clone)]
pub struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Admitted<B>, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    /// Always ready, so a stranger never waits for `S`. An admitted request waits for it later.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let deadline = Deadline::within(ANSWER_TIME);
        let Self { gate, inner } = self.clone();
        Box::pin(async move {
            let Some(admitted) = gate.admit(request, deadline).await else {
                gate.refusals().one_more();
                return Ok(empty(StatusCode::UNAUTHORIZED));
            };
            match timeout_at(deadline.instant(), inner.oneshot(admitted)).await {
                Ok(answer) => answer,
                Err(_) => {
                    tracing::error!("a delivery could not be made durable in time");
                    Ok(empty(StatusCode::SERVICE_UNAVAILABLE))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;

    use super::*;
    use crate::failure::Failure;
    use crate::secrets::ValueSource;

    /// A secret store in which the secret was just rotated; counts how often it is read.
    #[derive(Clone, Default)]
    struct Rotated(Arc<AtomicUsize>);

    #[async_trait]
    impl ValueSource<Vec<SecretString>> for Rotated {
        async fn read(&self, _: Deadline) -> Result<Vec<SecretString>, Failure> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(vec!["new".into(), "old".into()])
        }
    }

    /// A request without a value causes no call to the store, and neither does one with a known value.
    #[tokio::test]
    async fn the_secrets_are_read_again_for_an_unknown_value_only() {
        let store = Rotated::default();
        let secrets = Renewable::new(vec![SecretString::from("old")], store.clone());
        let gate = Gate::new(http::header::AUTHORIZATION, secrets).unwrap();
        for (given, admitted, reads) in [
            (Some("old"), true, 0),
            (None, false, 0),
            (Some(""), false, 0),
            (Some("new"), true, 1),
            (Some("old"), true, 1),
        ] {
            let mut request = Request::new(());
            if let Some(given) = given {
                let headers = request.headers_mut();
                headers.insert("authorization", given.parse().unwrap());
            }
            let soon = Deadline::within(ANSWER_TIME);
            let is_admitted = gate.admit(request, soon).await.is_some();
            assert_eq!(is_admitted, admitted, "{given:?}");
            assert_eq!(store.0.load(Ordering::SeqCst), reads, "{given:?}");
        }
    }
}
