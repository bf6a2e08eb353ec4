//! The connected app's token.

use std::fmt;

use async_trait::async_trait;
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use crate::deadline::Deadline;
use crate::failure::Side;
use crate::http::{Call, CallError, CallErrorKind, Fetched, HttpClient, TokenAnswer, TokenScheme};
use crate::secrets::Renewable;

/// The connected app's id and secret.
#[derive(Clone)]
pub struct ConnectedApp {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

impl fmt::Debug for ConnectedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectedApp({}, …)", self.client_id)
    }
}

/// Fetches tokens for the connected app.
pub(super) struct ConnectedAppTokens {
    pub http: HttpClient,
    pub url: Url,
    pub app: Renewable<ConnectedApp>,
}

#[async_trait]
impl TokenScheme for ConnectedAppTokens {
    async fn fetch(&self, deadline: Deadline) -> Result<Fetched, CallError> {
        let app = self.app.current();
        match self.fetch_for(&app, deadline).await {
            Err(error) if error.is_about_credentials() => {
                match self.app.renew(&app, deadline).await {
                    Some(app) => self.fetch_for(&app, deadline).await,
                    None => Err(error),
                }
            }
            other => other,
        }
    }
}

impl ConnectedAppTokens {
    /// `POST /v2/oauth2/token`, client credentials (Anypoint, "Connected apps").
    async fn fetch_for(
        &self,
        app: &ConnectedApp,
        deadline: Deadline,
    ) -> Result<Fetched, CallError> {
        let call = Call::new(
            Side::Anypoint,
            "fetch a token",
            Method::POST,
            self.url.clone(),
        )
        .json(json!({
            "grant_type": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret.expose_secret(),
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
        Ok(answer.into_fetched("Bearer"))
    }
}
