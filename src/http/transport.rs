//! Sends calls.

use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, Method, StatusCode};
use secrecy::ExposeSecret;

use super::call::{Call, Payload, RemoteAnswer, Repeat};
use super::error::{CallError, CallErrorKind};
use super::finality::Finality;
use super::hints::{error_code, pause_asked_for, quota, until_the_minute_ends};
use super::network::Network;
use super::throttle::Throttle;
use super::tls::is_about_certificate;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::failure::Side;

/// The longest one attempt may take, whatever the deadline.
const MAX_ATTEMPT: Duration = Duration::from_secs(15);
/// Between two attempts, beside what the remote asks for.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// Attempts at one call at the most, however long the deadline.
const MAX_ATTEMPTS: usize = 6;
/// An answer larger than this is refused (a page of 500 Anypoint users is a few megabytes).
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Makes each attempt's own copy of a call, and sees what comes back.
///
/// Proofs that a remote takes only once (a client assertion, a DPoP proof) must not be sent again by
/// a retry; so signing belongs to the attempt, not to the call.
pub(crate) trait Signer: Sync {
    /// The call as it is sent this time.
    ///
    /// # Errors
    /// When it cannot be signed; nothing is sent then.
    fn sign(&self, call: Call) -> Result<Call, CallError>;

    /// Sees each answer, good or bad, before it is interpreted.
    fn answered(&self, _status: StatusCode, _headers: &HeaderMap, _body: &[u8]) {}
}

/// Sends calls as they are.
struct Unsigned;

impl Signer for Unsigned {
    fn sign(&self, call: Call) -> Result<Call, CallError> {
        Ok(call)
    }
}

/// The shared client: a connection pool, the retry rules, and the pauses that remotes ask for. Cheap
/// to clone; clones share all three.
#[derive(Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    clock: Arc<dyn Clock>,
    throttle: Throttle,
}

impl HttpClient {
    /// A client that uses the [`Network`] of this process and follows no redirects.
    ///
    /// # Errors
    /// The variable of the network that is at fault.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, String> {
        let network = Network::for_process().map_err(|error| error.to_string())?;
        let inner = network
            .client_builder()?
            .connect_timeout(Duration::from_secs(5))
            .pool_idle_timeout(Duration::from_secs(50))
            .user_agent(concat!("okta-anypoint/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            inner,
            clock,
            throttle: Throttle::default(),
        })
    }

    /// The present time, in milliseconds since the epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Sends `call` until it succeeds (any 2xx), fails for good, or `deadline` is near.
    ///
    /// A 401 is answered at once: the owner of the token decides what it means.
    ///
    /// # Errors
    /// The last error, with the pause that the remote asked for.
    pub(crate) async fn send(
        &self,
        call: &Call,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        self.send_signed(call, &Unsigned, deadline).await
    }

    /// Sends `call` as [`HttpClient::send`] does, signed anew by `signer` for every attempt.
    ///
    /// # Errors
    /// The last error, with the pause that the remote asked for.
    pub(crate) async fn send_signed(
        &self,
        call: &Call,
        signer: &dyn Signer,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        let mut backoff = BACKOFF;
        let mut attempt = 1;
        let mut server_faults = 0;
        loop {
            self.throttle.pass(call.side, deadline).await;
            let mut error = match self.attempt(call, signer, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_server_fault() {
                server_faults += 1;
                error.retry_after = self.presumed_pause(&error, server_faults);
            }
            let is_presumed = error.retry_after.is_some() && server_faults > 0;
            let own_pause = backoff.pause();
            let mut pause = error.retry_after.unwrap_or_default() + own_pause;
            if is_presumed && deadline.remaining() <= pause {
                // The pause is only presumed, so a caller that cannot wait that long asks again soon.
                pause = own_pause;
            }
            if error.is_throttling() {
                self.throttle
                    .stop(call.side, error.retry_after.unwrap_or(pause));
            }
            // What one more attempt needs to be worth it.
            let worth_it = deadline.remaining() > pause + Duration::from_millis(50);
            let has_another_way =
                error.is_server_fault() && server_faults >= call.max_server_faults;
            if attempt >= MAX_ATTEMPTS || has_another_way || !may_repeat(call, &error) || !worth_it
            {
                return Err(error);
            }
            tracing::debug!(
                call.operation = call.operation,
                call.attempt = attempt,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "will try again: {}",
                error.kind
            );
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// How long a 503 that gives no reason and no hint is presumed to last. Anypoint answers so when the
    /// calls of the minute are used up (MuleSoft knowledge base, 001116018): until the next window that
    /// an answer named before, when few calls were left; the second time until the minute ends.
    fn presumed_pause(&self, error: &CallError, server_faults: usize) -> Option<Duration> {
        let is_bare = error.status() == Some(StatusCode::SERVICE_UNAVAILABLE);
        if error.side != Side::Anypoint || !is_bare {
            return None;
        }
        let minute = || until_the_minute_ends(&HeaderMap::new(), self.clock.now_ms());
        self.throttle
            .until_next_window(error.side)
            .or_else(|| (server_faults > 1).then(minute))
    }

    async fn attempt(
        &self,
        call: &Call,
        signer: &dyn Signer,
        deadline: Deadline,
    ) -> Result<RemoteAnswer, CallError> {
        let time = deadline.remaining().min(MAX_ATTEMPT);
        if time.is_zero() {
            return Err(call.error(CallErrorKind::OutOfTime));
        }
        match tokio::time::timeout(time, self.exchange(call, signer)).await {
            Ok(result) => result,
            Err(_) => Err(call.error(CallErrorKind::TimedOut)),
        }
    }

    async fn exchange(&self, call: &Call, signer: &dyn Signer) -> Result<RemoteAnswer, CallError> {
        let signed = signer.sign(call.clone())?;
        let mut request = self
            .inner
            .request(signed.method, signed.url)
            .headers(signed.headers)
            .header(ACCEPT, "application/json");
        request = match &signed.body {
            Some(Payload::Json(body)) => request.json(body),
            Some(Payload::Form(fields)) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (name, value.expose_secret()))
                    .collect();
                request.form(&fields)
            }
            // Okta answers 411 to a POST or PUT without a length (Okta API, "Design principles").
            None if matches!(call.method, Method::POST | Method::PUT) => {
                request.header(http::header::CONTENT_LENGTH, 0)
            }
            None => request,
        };
        let mut response = request.send().await.map_err(|error| lost(call, &error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(call, &error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(call.error(CallErrorKind::Unreadable("too large".to_owned())));
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        signer.answered(status, &headers, &body);
        self.throttle
            .note(call.side, quota(&headers, self.clock.now_ms()));
        if status.is_success() {
            return Ok(RemoteAnswer { headers, body });
        }
        let code = error_code(&headers, &body);
        if status == StatusCode::NOT_FOUND && !is_from_service(call.side, code.as_deref(), &body) {
            return Err(call.error(CallErrorKind::NotTheServices404));
        }
        let finality = Finality::of(call.side, &call.method, status, &body);
        let mut error = call.error(CallErrorKind::Status {
            status,
            code,
            finality,
        });
        if error.is_transient() {
            error.retry_after = pause_asked_for(status, &headers, self.clock.now_ms());
        }
        Err(error)
    }
}

/// Whether a 404 can be the service's own word about the object asked for. Okta's 404 names the error. Anypoint
/// documents no such mark: a page in HTML is not its own. After any other 404, the client reads the organization before
/// it believes that the object is absent.
fn is_from_service(side: Side, code: Option<&str>, body: &[u8]) -> bool {
    match side {
        Side::Okta => code == Some("E0000007"),
        _ => !body.trim_ascii_start().starts_with(b"<"),
    }
}

fn lost(call: &Call, error: &reqwest::Error) -> CallError {
    let kind = if error.is_timeout() {
        CallErrorKind::TimedOut
    } else if is_about_certificate(error) {
        CallErrorKind::Certificate
    } else {
        CallErrorKind::Connection
    };
    call.error(kind)
}

fn may_repeat(call: &Call, error: &CallError) -> bool {
    let refused = matches!(
        error.status(),
        Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    );
    let allowed = match call.repeat {
        Repeat::Always => true,
        Repeat::OnlyIfRefused => refused,
        Repeat::Never => false,
    };
    allowed && error.is_transient()
}
