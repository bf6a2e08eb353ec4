//! Demonstrating proof of possession (RFC 9449): a token that is useless without our key.
//!
//! The key is a fresh P-256 key of this process, not the app's registered one: it signs with every
//! call, so it is the faster kind; it never leaves memory; and a token bound to it dies with
//! the process, while one bound to the registered key could be used by anybody who gets that key.

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderValue};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use url::Url;

use super::key::{BadKey, PrivateKey, base64url};
use crate::http::Call;

/// Makes proofs, and remembers the nonce that the other side last gave.
pub(super) struct Prover {
    key: PrivateKey,
    nonce: Mutex<Option<String>>,
}

impl Prover {
    pub fn new(key: PrivateKey) -> Self {
        Self {
            key,
            nonce: Mutex::new(None),
        }
    }

    /// A prover with the same key and a nonce of its own: the token endpoint and the API give out
    /// different ones (RFC 9449, 8.2).
    pub(crate) fn sibling(&self) -> Self {
        Self::new(self.key.clone())
    }

    /// The call with a new proof in its `DPoP` header; `token` when there is one already.
    pub(crate) fn prove(
        &self,
        call: Call,
        now_s: i64,
        token: Option<&str>,
    ) -> Result<Call, BadKey> {
        let mut claims = json!({
            "htm": call.method.as_str(),
            "htu": target(&call.url),
            "iat": now_s,
            "jti": uuid::Uuid::new_v4().to_string(),
        });
        if let Some(token) = token {
            let hash = digest(&SHA256, token.as_bytes());
            claims["ath"] = Value::from(base64url(hash));
        }
        let nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nonce) = nonce.as_deref() {
            claims["nonce"] = Value::from(nonce);
        }
        let header = json!({"typ": "dpop+jwt", "jwk": self.key.public_jwk()});
        let proof = self.key.sign_jwt(header, &claims)?;
        let proof = HeaderValue::try_from(proof).map_err(|_| BadKey)?;
        Ok(call.header(http::HeaderName::from_static("dpop"), proof))
    }

    /// Remembers the nonce of an answer; every answer may bring a new one (RFC 9449, 8.2).
    pub fn answered(&self, headers: &HeaderMap) {
        let given = headers.get("dpop-nonce").and_then(|v| v.to_str().ok());
        if let Some(given) = given {
            let mut nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner);
            *nonce = Some(given.to_owned());
        }
    }
}

/// `htu`: the address without query and fragment (RFC 9449, 4.2).
fn target(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
