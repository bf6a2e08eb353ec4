//! Service apps, their tokens, and who may do what with them (Okta, "Implement OAuth for Okta with a service app" and
//! "Configure OAuth 2.0 Demonstrating Proof-of-Possession").
//!
//! Everything is really verified: signatures, claims, single use, nonces, the binding of a token to its key, scopes.

mod access;
mod jwt;
mod token;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
