//! The connected app's token: fetched once, shared, renewed early.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::deadline::Deadline;
use crate::failure::Side;
use crate::http::{Call, CallError, CallErrorKind, HttpClient};

/// What is assumed when the answer does not say how long the token lasts.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(55 * 60);
/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(120);

/// The connected app's id and secret.
#[derive(Clone)]
pub(super) struct ConnectedApp {
    pub client_id: String,
    pub client_secret: SecretString,
}

/// A token, with a number that tells it from its predecessors.
#[derive(Clone)]
pub(super) struct Token {
    pub value: SecretString,
    generation: u64,
    renew_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(#{})", self.generation)
    }
}

/// Gives out one token to all callers; one fetch at a time.
#[derive(Clone)]
pub(super) struct TokenSource {
    http: HttpClient,
    url: Url,
    app: ConnectedApp,
    current: Arc<Mutex<Option<Token>>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

impl TokenSource {
    pub fn new(http: HttpClient, url: Url, app: ConnectedApp) -> Self {
        Self {
            http,
            url,
            app,
            current: Arc::new(Mutex::new(None)),
        }
    }

    /// The current token, or a new one.
    pub async fn token(&self, deadline: Deadline) -> Result<Token, CallError> {
        let mut current = self.current.lock().await;
        if let Some(token) = current
            .as_ref()
            .filter(|token| Instant::now() < token.renew_at)
        {
            return Ok(token.clone());
        }
        let generation = current.as_ref().map_or(0, |token| token.generation) + 1;
        let token = self.fetch(generation, deadline).await?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// A token other than `refused`. Of many callers whose token was refused, one fetches.
    pub async fn renew(&self, refused: &Token, deadline: Deadline) -> Result<Token, CallError> {
        {
            let mut current = self.current.lock().await;
            if let Some(token) = current
                .as_mut()
                .filter(|t| t.generation == refused.generation)
            {
                token.renew_at = Instant::now();
            }
        }
        self.token(deadline).await
    }

    /// `POST /v2/oauth2/token`, client credentials (Anypoint, "Connected apps").
    async fn fetch(&self, generation: u64, deadline: Deadline) -> Result<Token, CallError> {
        let asked_at = Instant::now();
        let call = Call::new(
            Side::Anypoint,
            "fetch a token",
            Method::POST,
            self.url.clone(),
        )
        .json(json!({
            "grant_type": "client_credentials",
            "client_id": self.app.client_id,
            "client_secret": self.app.client_secret.expose_secret(),
        }));
        let answer =
            self.http
                .send(&call, deadline)
                .await
                .map_err(|error| match error.status() {
                    Some(
                        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                    ) => {
                        let code = error
                            .code()
                            .unwrap_or("client id or secret refused")
                            .to_owned();
                        call.error(CallErrorKind::Unauthorized(code))
                    }
                    _ => error,
                })?;
        let answer: TokenAnswer = answer.json(&call)?;
        let lifetime = lifetime(&answer.expires_in);
        let margin = MARGIN.min(lifetime / 5);
        Ok(Token {
            value: answer.access_token.into(),
            generation,
            renew_at: asked_at + lifetime.saturating_sub(margin),
        })
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
    use super::*;

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
