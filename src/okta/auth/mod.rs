//! How we prove to Okta who we are: an API token, or an OAuth service app with `private_key_jwt`
//! and, when the app demands it, DPoP.
//!
//! The two kinds of JWT that this needs are signed with ring, which TLS already brings along, and the
//! compact form of JWS is [`PrivateKey::sign_jwt`]. The usual crate, `jsonwebtoken`, was
//! weighed: it wants aws-lc-rs or the RustCrypto stack as a second crypto provider, or a provider
//! written by us, which would be this code plus its traits, a second `sha2` and a second `base64`.

mod dpop;
mod key;
mod refusal;
mod scopes;
mod tokens;

use std::fmt;

use secrecy::SecretString;

pub use key::{BadKey, PrivateKey};
pub use scopes::Scopes;
pub(super) use tokens::OktaTokens;

/// The credentials of one Okta org.
#[derive(Clone)]
pub enum Credentials {
    /// An API token, sent as `Authorization: SSWS …` (Okta, "Create an API token").
    ApiToken(SecretString),
    /// A service app (Okta, "Implement OAuth for Okta with a service app").
    ServiceApp {
        /// The app's client id (`0oa…`).
        client_id: String,
        /// The private half of a key that is registered at the app.
        key: PrivateKey,
        /// The `kid` of the public half there.
        key_id: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiToken(_) => f.write_str("ApiToken(…)"),
            Self::ServiceApp {
                client_id,
                key,
                key_id,
            } => f
                .debug_struct("ServiceApp")
                .field("client_id", client_id)
                .field("key", key)
                .field("key_id", key_id)
                .finish(),
        }
    }
}
