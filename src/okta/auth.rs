//! How we prove to Okta who we are.

use std::fmt;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use crate::http::{Call, CallError, CallErrorKind};

/// The credentials of one Okta org.
#[derive(Clone)]
pub enum Credentials {
    /// An API token, sent as `Authorization: SSWS …` (Okta, "Create an API token").
    ApiToken(SecretString),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiToken(_) => f.write_str("ApiToken(…)"),
        }
    }
}

impl Credentials {
    /// The same call, signed.
    pub(super) fn sign(&self, call: Call) -> Result<Call, CallError> {
        match self {
            Self::ApiToken(token) => {
                let value = format!("SSWS {}", token.expose_secret());
                let mut value = HeaderValue::from_str(&value).map_err(|_| {
                    let what = "the API token has characters that no token has".to_owned();
                    call.error(CallErrorKind::Unauthorized(what))
                })?;
                value.set_sensitive(true);
                Ok(call.header(AUTHORIZATION, value))
            }
        }
    }
}
