//! Whether a request comes from Okta: it carries the shared secret.
//!
//! The gate is the outermost layer: it looks at one header, and drops a request without an accepted secret
//! before a byte of its body is read. The service behind it takes [`Admitted`] requests, which nothing else makes.
//!
//! The comparison takes the same time whatever is sent. It compares tags of equal length in constant time, made with a
//! key that is random in every process. So a caller cannot learn from the time where a comparison ended. Every accepted
//! secret is compared, even after a match.
//!
//! Secrets that come from a secret store are read again when a request brings a value that is none of them: it may
//! have been rotated a moment ago. A budget bounds these reads. The gate remembers the latest wrong values, so a sender
//! who repeats one does not use up the budget.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::secrets::{Caller, Renewable};
use crate::telemetry::Tally;

/// How long a request may wait for the secrets to be read again: it still has to be answered, and
/// its events made durable, before Okta gives up.
const MAX_RENEWAL: Duration = Duration::from_millis(1_000);

/// Wrong values that are remembered. A sender of ever new ones pushes others out. Then only the budget bounds the reads.
const MAX_WRONG: usize = 64;

/// Holds the accepted secrets. Clones share them.
#[derive(Clone)]
pub struct Gate(Arc<Accepted>);

struct Accepted {
    header: HeaderName,
    keyed: Hmac<Sha256>,
    secrets: Renewable<Vec<SecretString>>,
    /// Tags of the values that the newest secrets refused, the latest last.
    wrong: Mutex<VecDeque<Vec<u8>>>,
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
            wrong: Mutex::default(),
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
            let tag = tag(&self.0.keyed, given);
            let caller = match self.0.wrong().contains(&tag) {
                true => Caller::Refused,
                false => Caller::New,
            };
            let renewal = Deadline::within(MAX_RENEWAL);
            let renewed = self.0.secrets.renew_for(caller, &secrets, renewal);
            if let Some(newer) = renewed.await {
                is_accepted = self.0.accepts(&newer, given);
                if !is_accepted {
                    self.0.remember_wrong(tag);
                }
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

    fn wrong(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_wrong(&self, tag: Vec<u8>) {
        let mut wrong = self.wrong();
        if wrong.contains(&tag) {
            return;
        }
        wrong.push_back(tag);
        if wrong.len() > MAX_WRONG {
            wrong.pop_front();
        }
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
    use crate::secrets::{Budget, ValueSource};

    /// A secret store; counts how often it is read.
    #[derive(Clone, Default)]
    struct Store {
        values: Arc<Mutex<Vec<&'static str>>>,
        reads: Arc<AtomicUsize>,
    }

    impl Store {
        fn put(&self, values: &[&'static str]) {
            *self.values.lock().unwrap() = values.to_vec();
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }
    }

    #[async_trait]
    impl ValueSource<Vec<SecretString>> for Store {
        async fn read(&self, _: Deadline) -> Result<Vec<SecretString>, Failure> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let values = self.values.lock().unwrap();
            Ok(values.iter().map(|value| (*value).into()).collect())
        }
    }

    async fn admits(gate: &Gate, given: Option<&str>) -> bool {
        let mut request = Request::new(());
        if let Some(given) = given {
            let headers = request.headers_mut();
            headers.insert("authorization", given.parse().unwrap());
        }
        let soon = Deadline::within(ANSWER_TIME);
        gate.admit(request, soon).await.is_some()
    }

    /// A request without a value causes no call to the store, and neither does one with a known value.
    #[tokio::test]
    async fn the_secrets_are_read_again_for_an_unknown_value_only() {
        let store = Store::default();
        store.put(&["new", "old"]);
        let secrets = Renewable::new(vec![SecretString::from("old")], store.clone());
        let gate = Gate::new(http::header::AUTHORIZATION, secrets).unwrap();
        for (given, admitted, reads) in [
            (Some("old"), true, 0),
            (None, false, 0),
            (Some(""), false, 0),
            (Some("new"), true, 1),
            (Some("old"), true, 1),
        ] {
            assert_eq!(admits(&gate, given).await, admitted, "{given:?}");
            assert_eq!(store.reads(), reads, "{given:?}");
        }
    }

    /// A sender who repeats one wrong value delays no rotation.
    #[tokio::test(start_paused = true)]
    async fn a_repeated_wrong_value_leaves_the_budget_to_others() {
        let every = Duration::from_secs(10);
        let budget = Budget { every, burst: 3 };
        let store = Store::default();
        store.put(&["old"]);
        let secrets = vec![SecretString::from("old")];
        let secrets = Renewable::with_budget(secrets, store.clone(), budget);
        let gate = Gate::new(http::header::AUTHORIZATION, secrets).unwrap();
        for _ in 0..100 {
            assert!(!admits(&gate, Some("wrong")).await);
        }
        assert_eq!(store.reads(), 1);
        for rotated in ["second", "third"] {
            store.put(&[rotated]);
            assert!(admits(&gate, Some(rotated)).await, "{rotated}");
            assert!(!admits(&gate, Some("wrong")).await);
        }
        assert_eq!(store.reads(), 3);

        // A rotation to that very value is seen ten seconds after the last read.
        store.put(&["wrong"]);
        assert!(!admits(&gate, Some("wrong")).await);
        tokio::time::advance(every).await;
        assert!(admits(&gate, Some("wrong")).await);

        for n in 0..=MAX_WRONG {
            assert!(!admits(&gate, Some(&format!("another {n}"))).await);
            tokio::time::advance(every).await;
        }
        assert_eq!(gate.0.wrong().len(), MAX_WRONG);
    }
}
