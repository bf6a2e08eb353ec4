//! What an administrator does with service apps and their tokens.

use serde_json::Value;

use super::{ServiceApp, fresh};
use crate::okta::world::OktaWorld;

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

    /// Every token given out so far, expired ones included. A test checks that none of them shows anywhere.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.oauth.tokens.keys().map(String::as_str)
    }

    /// Both nonces change, as they do once a day.
    pub fn change_nonces(&mut self) {
        self.oauth.token_nonce = fresh();
        self.oauth.api_nonce = fresh();
    }
}
