//! Whether a request comes from Okta: it carries the shared secret.
//!
//! The comparison takes equal time whatever is sent: tags of equal length are compared in constant
//! time, made with a key that is random in every process, so that nothing about the secret can be
//! learned from where a comparison ends. Every accepted secret is compared, also after a match.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Body, Request};

/// Holds what is accepted.
pub struct Gate {
    header: HeaderName,
    keyed: Hmac<Sha256>,
    accepted: Vec<Vec<u8>>,
}

/// A request that carried the right secret. Only [`Gate::admit`] makes one.
pub struct Admitted<'r, 'a>(&'r Request<'a>);

impl<'a> Admitted<'_, 'a> {
    /// The method.
    pub fn method(&self) -> &'a str {
        self.0.method
    }

    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        (self.0.header)(name)
    }

    /// The body, still encoded.
    pub fn body(&self) -> Body<'a> {
        self.0.body
    }
}

impl Gate {
    /// A gate that accepts any of `secrets` in `header`.
    ///
    /// # Errors
    /// When the system gives no randomness, or refuses it as a key.
    pub fn new(header: HeaderName, secrets: &[SecretString]) -> Result<Self, String> {
        let key: [u8; 32] = rand::random();
        let keyed = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
        let accepted = secrets
            .iter()
            .map(|secret| tag(&keyed, secret.expose_secret().as_bytes()))
            .collect();
        Ok(Self {
            header,
            keyed,
            accepted,
        })
    }

    /// The request, if it carries an accepted secret.
    pub fn admit<'r, 'a>(&self, request: &'r Request<'a>) -> Option<Admitted<'r, 'a>> {
        let given = (request.header)(self.header.as_str()).unwrap_or_default();
        let is_accepted = self.accepted.iter().fold(false, |found, tag| {
            let mac = self.keyed.clone().chain_update(given);
            found | mac.verify_slice(tag).is_ok()
        });
        is_accepted.then_some(Admitted(request))
    }
}

fn tag(keyed: &Hmac<Sha256>, value: &[u8]) -> Vec<u8> {
    keyed
        .clone()
        .chain_update(value)
        .finalize()
        .into_bytes()
        .to_vec()
}
