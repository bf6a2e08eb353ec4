//! One token for all callers of a remote: fetched once, shared, renewed early.
//!
//! Remotes differ in how a token is fetched and shown: that is a [`TokenScheme`]. The rest is the same for all
//! and is here. One fetch runs at a time, a refused token is renewed once, and no token goes to another host.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};
use url::{Origin, Url};

use super::call::{Call, RemoteAnswer};
use super::error::{CallError, CallErrorKind};
use super::transport::{HttpClient, Signer};
use crate::deadline::Deadline;
use crate::failure::Side;

/// What is assumed when the answer does not say how long the token lasts.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(55 * 60);
/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(120);

/// The pause between a refusal and the same call once more.
const REFUSAL_PAUSE: Duration = Duration::from_millis(500);
/// How long a refused sign-in stands for all callers.
const REFUSAL_STANDS: Duration = Duration::from_secs(5);
/// How long an operation asks for no new token after one that did not help it.
const TOKEN_STAYS: Duration = Duration::from_secs(60);

/// A token as it was fetched.
pub(crate) struct Fetched {
    pub value: SecretString,
    /// The word before it in `Authorization`.
    pub kind: &'static str,
    pub lifetime: Duration,
}

/// How one remote's tokens are fetched and shown.
#[async_trait]
pub(crate) trait TokenScheme: Send + Sync {
    async fn fetch(&self, deadline: Deadline) -> Result<Fetched, CallError>;

    /// A token in place of one that was refused; `None` when there can be no other.
    async fn replace(
        &self,
        _refused: &Token,
        deadline: Deadline,
    ) -> Result<Option<Fetched>, CallError> {
        self.fetch(deadline).await.map(Some)
    }

    /// Whether a refusal (401, 403) can be the token's fault.
    fn is_expiry(&self, _refused: &CallError) -> bool {
        true
    }

    /// What a call with `token` needs besides its `Authorization`, made for every attempt.
    fn prove(&self, _token: &Token, call: Call) -> Result<Call, CallError> {
        Ok(call)
    }

    /// Sees every answer.
    fn answered(&self, _headers: &HeaderMap) {}
}

/// A token, with a number that tells it from its predecessors.
#[derive(Clone)]
pub(crate) struct Token {
    pub value: SecretString,
    /// The word before it in `Authorization`.
    pub kind: &'static str,
    generation: u64,
    renew_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} #{})", self.kind, self.generation)
    }
}

/// Sends calls with the current token. Clones share it.
#[derive(Clone)]
pub(crate) struct Session {
    http: HttpClient,
    side: Side,
    origin: Origin,
    scheme: Arc<dyn TokenScheme>,
    current: Arc<Mutex<Current>>,
}

impl Session {
    /// A session with the remote at `base_url`; its tokens go nowhere else.
    pub(crate) fn new(
        http: HttpClient,
        side: Side,
        base_url: &Url,
        scheme: Arc<dyn TokenScheme>,
    ) -> Self {
        Self {
            http,
            side,
            origin: base_url.origin(),
            scheme,
            current: Arc::default(),
        }
    }

    /// Fetches a token ahead of need, so that the first call does not wait for it. A failure shows at
    /// that call.
    pub(crate) async fn warm_up(&self, deadline: Deadline) {
        if let Err(error) = self.sign_in(deadline).await {
            tracing::debug!("no token yet: {error}");
        }
    }

    /// Fetches a token unless there is one.
    pub(crate) async fn sign_in(&self, deadline: Deadline) -> Result<(), CallError> {
        let current = self.lock("fetch a token", deadline).await?;
        self.token(current, deadline).await.map(|_| ())
    }

    /// Sends a call with the current token. A refusal (401, 403) is not believed at once: after a pause
    /// the same call goes out once more, with a new token where there can be one. A demand for
    /// another nonce (RFC 9449, 8 and 9) is met once.
    pub(crate) async fn send(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        if call.url.origin() != self.origin {
            let what = "a token for another host".to_owned();
            return Err(call.error(CallErrorKind::Unreadable(what)));
        }
        let current = self.lock(call.operation, deadline).await?;
        let was_unhelpful = current.unhelpful.contains_key(call.operation);
        let token = self.token(current, deadline).await?;
        let refused = match self.send_as(call, &token, deadline).await {
            Err(error) if error.is_refusal() => error,
            other => {
                if was_unhelpful && other.is_ok() {
                    let mut current = self.lock(call.operation, deadline).await?;
                    current.unhelpful.remove(call.operation);
                }
                return other;
            }
        };
        if !pause_after_refusal(deadline).await {
            return Err(refused);
        }
        let mut newer = None;
        if self.scheme.is_expiry(&refused) {
            let current = self.lock(call.operation, deadline).await?;
            newer = self
                .successor(current, &token, call, &refused, deadline)
                .await?;
        }
        let answer = self
            .send_as(call, newer.as_ref().unwrap_or(&token), deadline)
            .await;
        if let (Err(error), Some(newer)) = (&answer, &newer)
            && error.is_refusal()
        {
            let mut current = self.lock(call.operation, deadline).await?;
            current.note_unhelpful(newer, call, error);
        }
        answer
    }

    async fn send_as(
        &self,
        call: &Call,
        token: &Token,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        let signer = WithToken {
            scheme: &*self.scheme,
            token,
        };
        let mut answer = self.http.send_signed(call, &signer, deadline).await;
        if matches!(&answer, Err(error) if error.code() == Some("use_dpop_nonce")) {
            answer = self.http.send_signed(call, &signer, deadline).await;
        }
        if call.method != Method::GET {
            answer.as_ref().map_err(Clone::clone)?.check_written(call)?;
        }
        answer
    }

    async fn lock(
        &self,
        operation: &'static str,
        deadline: Deadline,
    ) -> Result<MutexGuard<'_, Current>, CallError> {
        let locked = timeout_at(deadline.instant(), self.current.lock()).await;
        locked.map_err(|_| CallError {
            side: self.side,
            operation,
            kind: CallErrorKind::OutOfTime,
            retry_after: None,
        })
    }

    /// The current token, or a new one. A refused sign-in is tried once more after a pause, and then
    /// stands for all callers for a while.
    async fn token(
        &self,
        mut current: MutexGuard<'_, Current>,
        deadline: Deadline,
    ) -> Result<Token, CallError> {
        let now = Instant::now();
        if let Some(token) = current.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.clone());
        }
        if let Some((_, refusal)) = current.refusal.as_ref().filter(|(until, _)| now < *until) {
            return Err(refusal.clone());
        }
        let mut asked_at = Instant::now();
        let mut fetched = self.scheme.fetch(deadline).await;
        if matches!(&fetched, Err(error) if error.is_refusal())
            && pause_after_refusal(deadline).await
        {
            asked_at = Instant::now();
            fetched = self.scheme.fetch(deadline).await;
        }
        current.refusal = match &fetched {
            Err(error) if error.is_refusal() => {
                Some((Instant::now() + REFUSAL_STANDS, error.clone()))
            }
            _ => None,
        };
        Ok(current.keep(fetched?, asked_at))
    }

    /// A token other than `refused`. Of many callers with a refused token, only one fetches. Nobody fetches soon
    /// after a new token did not help the same operation against the same refusal. Other operations still may:
    /// they need other scopes, and the token may have died since.
    async fn successor(
        &self,
        mut current: MutexGuard<'_, Current>,
        refused: &Token,
        call: &Call,
        refusal: &CallError,
        deadline: Deadline,
    ) -> Result<Option<Token>, CallError> {
        let newer = |token: &&Token| token.generation != refused.generation;
        if let Some(token) = current.token.as_ref().filter(newer) {
            return Ok(Some(token.clone()));
        }
        let asked_at = Instant::now();
        let unhelpful = current.unhelpful.get(call.operation);
        if unhelpful.is_some_and(|(until, of)| asked_at < *until && *of == refusal.status()) {
            return Ok(None);
        }
        let fetched = self.scheme.replace(refused, deadline).await?;
        Ok(fetched.map(|fetched| current.keep(fetched, asked_at)))
    }
}

/// What all callers share.
#[derive(Default)]
struct Current {
    token: Option<Token>,
    /// The last refused sign-in, and until when it is not tried again.
    refusal: Option<(Instant, CallError)>,
    /// By operation: until when, and against which status, a new token is known not to help.
    unhelpful: HashMap<&'static str, (Instant, Option<StatusCode>)>,
}

impl Current {
    fn keep(&mut self, fetched: Fetched, asked_at: Instant) -> Token {
        let margin = MARGIN.min(fetched.lifetime / 5);
        let token = Token {
            value: fetched.value,
            kind: fetched.kind,
            generation: self.token.as_ref().map_or(0, |token| token.generation) + 1,
            renew_at: asked_at + fetched.lifetime.saturating_sub(margin),
        };
        self.token = Some(token.clone());
        token
    }

    /// Notes that `token`, fetched because of a refusal, did not help `call`.
    fn note_unhelpful(&mut self, token: &Token, call: &Call, refusal: &CallError) {
        let is_current = |current: &Token| current.generation == token.generation;
        if self.token.as_ref().is_some_and(is_current) {
            let until = Instant::now() + TOKEN_STAYS;
            self.unhelpful
                .insert(call.operation, (until, refusal.status()));
        }
    }
}

/// Waits before a refused call goes out again; false, at once, when there is no time for both.
async fn pause_after_refusal(deadline: Deadline) -> bool {
    if deadline.remaining() < REFUSAL_PAUSE * 2 {
        return false;
    }
    tokio::time::sleep(REFUSAL_PAUSE).await;
    true
}

/// Signs each attempt with a token.
struct WithToken<'a> {
    scheme: &'a dyn TokenScheme,
    token: &'a Token,
}

impl Signer for WithToken<'_> {
    fn sign(&self, call: Call) -> Result<Call, CallError> {
        let value = format!("{} {}", self.token.kind, self.token.value.expose_secret());
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            let what = "the token has characters that no token has".to_owned();
            call.error(CallErrorKind::Unauthorized(what))
        })?;
        value.set_sensitive(true);
        let call = self.scheme.prove(self.token, call)?;
        Ok(call.header(AUTHORIZATION, value))
    }

    fn answered(&self, _status: StatusCode, headers: &HeaderMap, _body: &[u8]) {
        self.scheme.answered(headers);
    }
}

/// What a token endpoint answers (RFC 6749, 5.1).
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    pub(crate) token_type: String,
    #[serde(default)]
    expires_in: Value,
}

impl TokenAnswer {
    /// The token, to be shown behind the word `kind`.
    pub(crate) fn into_fetched(self, kind: &'static str) -> Fetched {
        Fetched {
            value: self.access_token.into(),
            kind,
            lifetime: lifetime(&self.expires_in),
        }
    }
}

/// `expires_in` is a number in some sources, text in others, and missing in one.
fn lifetime(expires_in: &Value) -> Duration {
    let seconds = expires_in
        .as_f64()
        .or_else(|| {
            expires_in
                .as_str()
                .and_then(|text| text.trim().parse().ok())
        })
        .filter(|seconds| (1.0..=86_400.0).contains(seconds));
    seconds.map_or(ASSUMED_LIFETIME, Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;

    /// A scheme that must not be asked.
    struct Untouched;

    #[async_trait]
    impl TokenScheme for Untouched {
        async fn fetch(&self, _: Deadline) -> Result<Fetched, CallError> {
            panic!("a token was fetched");
        }
    }

    #[tokio::test]
    async fn a_call_to_another_origin_gets_no_token() {
        let http = HttpClient::new(Arc::new(SystemClock)).unwrap();
        let base = "https://eu1.anypoint.mulesoft.com".parse().unwrap();
        let session = Session::new(http, Side::Anypoint, &base, Arc::new(Untouched));
        for url in [
            "https://anypoint.mulesoft.com/accounts",
            "https://eu1.anypoint.mulesoft.com.example.com/",
            "https://eu1.anypoint.mulesoft.com:8443/",
            "http://eu1.anypoint.mulesoft.com/",
        ] {
            let call = Call::new(Side::Anypoint, "test", Method::GET, url.parse().unwrap());
            let deadline = Deadline::within(Duration::from_secs(1));
            let error = session.send(&call, deadline).await.unwrap_err();
            assert!(error.to_string().contains("another host"), "{error}");
        }
    }

    #[test]
    fn every_spelling_of_a_lifetime_is_read() {
        for (given, seconds) in [
            (json!(3600), 3600),
            (json!("600"), 600),
            (json!(null), 3300),
            (json!("soon"), 3300),
            (json!(-1), 3300),
        ] {
            assert_eq!(lifetime(&given), Duration::from_secs(seconds), "{given}");
        }
    }
}
