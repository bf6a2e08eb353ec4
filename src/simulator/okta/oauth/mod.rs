//! Service apps, their tokens, and who may do what with them (Okta, "Implement OAuth for Okta with a service app" and
//! "Configure OAuth 2.0 Demonstrating Proof-of-Possession").
//!
//! Everything is really verified: signatures, claims, single use, nonces, the binding of a token to its key, scopes.

mod access;
mod jwt;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::world::OktaWorld;

pub(super) use access::admit;
pub(super) use token::token;

/// An app that may get tokens by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceApp {
    /// `0oa…`
    pub client_id: String,
    /// Its registered public keys: JWKs with `kid`.
    pub keys: Vec<Value>,
    /// The scopes granted to it.
    pub scopes: BTreeSet<String>,
    /// Whether tokens are given only for a proof of possession (Okta's default for new apps).
    pub require_dpop: bool,
    /// Whether it is active.
    pub active: bool,
}

/// Service apps and what was given to them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct OAuth {
    /// By client id.
    pub apps: BTreeMap<String, ServiceApp>,
    /// How long a token lasts; an hour at Okta.
    pub token_lifetime_s: i64,
    /// Whether the API wants a nonce in proofs too (RFC 9449, 9; Okta does not say that it does).
    pub api_wants_nonce: bool,
    pub(super) tokens: BTreeMap<String, AccessToken>,
    /// Every `jti` seen, with its kind: each is good for one use.
    pub(super) used: BTreeSet<String>,
    pub(super) token_nonce: String,
    pub(super) api_nonce: String,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            apps: BTreeMap::new(),
            token_lifetime_s: 3600,
            api_wants_nonce: false,
            tokens: BTreeMap::new(),
            used: BTreeSet::new(),
            token_nonce: fresh(),
            api_nonce: fresh(),
        }
    }
}

/// A token that was given out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AccessToken {
    pub scopes: BTreeSet<String>,
    pub expires_ms: i64,
    /// The thumbprint of the key it is bound to (RFC 9449, 6).
    pub key: Option<String>,
}

fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl OktaWorld {
    /// Adds an active service app with one key.
    pub fn add_service_app(
        &mut self,
        client_id: &str,
        key_id: &str,
        public_jwk: Value,
        scopes: &[&str],
    ) {
        let mut key = public_jwk;
        key["kid"] = Value::from(key_id);
        let app = ServiceApp {
            client_id: client_id.to_owned(),
            keys: vec![key],
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            require_dpop: false,
            active: true,
        };
        self.oauth.apps.insert(client_id.to_owned(), app);
    }

    /// Every token given out so far is refused from now on.
    pub fn revoke_tokens(&mut self) {
        for token in self.oauth.tokens.values_mut() {
            token.expires_ms = 0;
        }
    }

    /// Every token given out so far, also those that are over: what must not show anywhere.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.oauth.tokens.keys().map(String::as_str)
    }

    /// Both nonces change, as they do once a day.
    pub fn change_nonces(&mut self) {
        self.oauth.token_nonce = fresh();
        self.oauth.api_nonce = fresh();
    }
}
