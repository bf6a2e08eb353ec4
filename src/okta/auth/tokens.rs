//! Tokens for Okta: the API token as it is, or access tokens of the service app.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use super::dpop::Prover;
use super::key::{BadKey, PrivateKey};
use super::refusal::TokenRefusal;
use super::{Credentials, Scopes};
use crate::deadline::Deadline;
use crate::failure::Side;
use crate::http::{
    Call, CallError, CallErrorKind, Fetched, HttpClient, RemoteAnswer, Signer, Token, TokenAnswer,
    TokenScheme, address,
};
use crate::secrets::Renewable;

/// How long a client assertion is good for. Okta accepts up to an hour. The program uses it at once.
const ASSERTION_LIFETIME_S: i64 = 5 * 60;
/// The API token is looked up again this often, for it may have been renewed meanwhile.
const API_TOKEN_LIFETIME: Duration = Duration::from_secs(60);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DPOP: &str = "DPoP";

/// Gives out tokens for one org.
pub(in crate::okta) struct OktaTokens {
    http: HttpClient,
    url: Url,
    credentials: Renewable<Credentials>,
    scopes: Scopes,
    /// Made when the server first asks for a proof.
    provers: OnceLock<Provers>,
}

struct Provers {
    token: Prover,
    api: Prover,
}

impl OktaTokens {
    pub fn new(
        http: HttpClient,
        org_url: &Url,
        credentials: Renewable<Credentials>,
        scopes: Scopes,
    ) -> Self {
        Self {
            http,
            url: address(org_url, &["oauth2", "v1", "token"]),
            credentials,
            scopes,
            provers: OnceLock::new(),
        }
    }

    async fn fetch_for(
        &self,
        credentials: &Credentials,
        deadline: Deadline,
    ) -> Result<Fetched, CallError> {
        match credentials {
            Credentials::ApiToken(token) => Ok(Fetched {
                value: token.clone(),
                kind: "SSWS",
                lifetime: API_TOKEN_LIFETIME,
            }),
            Credentials::ServiceApp {
                client_id,
                key,
                key_id,
            } => {
                let request = TokenRequest {
                    tokens: self,
                    client_id,
                    key,
                    key_id,
                    refusal: Mutex::default(),
                };
                request.fetch(deadline).await
            }
        }
    }

    fn provers(&self) -> Result<&Provers, BadKey> {
        if let Some(provers) = self.provers.get() {
            return Ok(provers);
        }
        let token = Prover::new(PrivateKey::generate()?);
        let api = token.sibling();
        Ok(self.provers.get_or_init(|| Provers { token, api }))
    }

    fn now_s(&self) -> i64 {
        self.http.now_ms().div_euclid(1000)
    }
}

#[async_trait]
impl TokenScheme for OktaTokens {
    async fn fetch(&self, deadline: Deadline) -> Result<Fetched, CallError> {
        let credentials = self.credentials.current();
        match self.fetch_for(&credentials, deadline).await {
            Err(error) if error.is_about_credentials() => {
                match self.credentials.renew(&credentials, deadline).await {
                    Some(newer) => self.fetch_for(&newer, deadline).await,
                    None => Err(error),
                }
            }
            other => other,
        }
    }

    async fn replace(
        &self,
        refused: &Token,
        deadline: Deadline,
    ) -> Result<Option<Fetched>, CallError> {
        let credentials = self.credentials.current();
        let is_refused = match &*credentials {
            Credentials::ApiToken(token) => token.expose_secret() == refused.value.expose_secret(),
            Credentials::ServiceApp { .. } => false,
        };
        if !is_refused {
            return self.fetch(deadline).await.map(Some);
        }
        match self.credentials.renew(&credentials, deadline).await {
            Some(newer) => self.fetch_for(&newer, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    /// E0000015 is a 401 that a new token does not change (Okta, "Error codes").
    fn is_expiry(&self, refused: &CallError) -> bool {
        refused.code() != Some("E0000015")
    }

    fn prove(&self, token: &Token, call: Call) -> Result<Call, CallError> {
        if token.kind != DPOP {
            return Ok(call);
        }
        let refused = unsignable(&call);
        let provers = self.provers().map_err(&refused)?;
        let value = Some(token.value.expose_secret());
        provers
            .api
            .prove(call, self.now_s(), value)
            .map_err(refused)
    }

    fn answered(&self, headers: &HeaderMap) {
        if let Some(provers) = self.provers.get() {
            provers.api.answered(headers);
        }
    }
}

fn unsignable(call: &Call) -> impl Fn(BadKey) -> CallError + use<> {
    let call = Call::new(call.side, call.operation, Method::GET, call.url.clone());
    move |_| {
        call.error(CallErrorKind::SignIn {
            cause: "the private key cannot sign".to_owned(),
            fix:
                "Make a new key pair for the service app and set OKTA_PRIVATE_KEY and OKTA_KEY_ID \
                  to it."
                    .to_owned(),
        })
    }
}

/// One fetch of an access token: a new assertion, and if asked for a new proof, in every attempt.
struct TokenRequest<'a> {
    tokens: &'a OktaTokens,
    client_id: &'a str,
    key: &'a PrivateKey,
    key_id: &'a str,
    refusal: Mutex<TokenRefusal>,
}

impl TokenRequest<'_> {
    /// `POST /oauth2/v1/token`. A server that wants DPoP says so by refusing, first the missing proof
    /// and then the missing nonce (Okta, "Configure OAuth 2.0 Demonstrating Proof-of-Possession").
    async fn fetch(&self, deadline: Deadline) -> Result<Fetched, CallError> {
        let url = self.tokens.url.clone();
        let call = Call::new(Side::Okta, "fetch a token", Method::POST, url);
        let mut answer = self.send(&call, deadline).await;
        if is_refusal(&answer, "invalid_dpop_proof") && self.tokens.provers.get().is_none() {
            self.tokens.provers().map_err(unsignable(&call))?;
            answer = self.send(&call, deadline).await;
        }
        if is_refusal(&answer, "use_dpop_nonce") {
            answer = self.send(&call, deadline).await;
        }
        let answer: TokenAnswer = answer
            .map_err(|error| self.explain(&call, error))?
            .json(&call)?;
        let kind = match answer.token_type.eq_ignore_ascii_case(DPOP) {
            true => DPOP,
            false => "Bearer",
        };
        Ok(answer.into_fetched(kind))
    }

    async fn send(&self, call: &Call, deadline: Deadline) -> Result<RemoteAnswer, CallError> {
        self.tokens.http.send_signed(call, self, deadline).await
    }

    fn explain(&self, call: &Call, error: CallError) -> CallError {
        let refused = matches!(
            error.status(),
            Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        );
        if !refused {
            return error;
        }
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let code = error.code().unwrap_or("no code");
        call.error(refusal.explain(code, &self.tokens.scopes.as_text()))
    }
}

fn is_refusal(answer: &Result<RemoteAnswer, CallError>, code: &str) -> bool {
    matches!(answer, Err(error) if error.code() == Some(code))
}

impl Signer for TokenRequest<'_> {
    fn sign(&self, call: Call) -> Result<Call, CallError> {
        let now_s = self.tokens.now_s();
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.tokens.url.as_str(),
            "iat": now_s,
            "exp": now_s + ASSERTION_LIFETIME_S,
            "jti": uuid::Uuid::new_v4().to_string(),
        });
        let refused = unsignable(&call);
        let assertion = self.key.sign_jwt(json!({"kid": self.key_id}), &claims);
        let assertion = assertion.map_err(&refused)?;
        let text = |text: &str| SecretString::from(text.to_owned());
        let call = call.form(vec![
            ("grant_type", text("client_credentials")),
            ("scope", self.tokens.scopes.as_text().into()),
            ("client_assertion_type", text(ASSERTION_TYPE)),
            ("client_assertion", assertion.into()),
        ]);
        match self.tokens.provers.get() {
            Some(provers) => provers.token.prove(call, now_s, None).map_err(refused),
            None => Ok(call),
        }
    }

    fn answered(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        if let Some(provers) = self.tokens.provers.get() {
            provers.token.answered(headers);
        }
        if !status.is_success() {
            let refusal = TokenRefusal::of(headers, body, self.tokens.now_s());
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        }
    }
}
