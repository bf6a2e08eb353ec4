//! Whether a request comes from Okta: it carries the shared secret.
//!
//! The comparison takes equal time whatever is sent: tags of equal length are compared in constant
//! time, made with a key that is random in every process, so that nothing about the secret can be
//! learned from where a comparison ends. Every accepted secret is compared, also after a match.
//!
//! Secrets that come from a secret store are read again, at most once a minute, when a request
//! brings a value that is none of them: it may have been rotated a moment ago.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use std::time::Duration;

use super::{Body, Request};
use crate::deadline::Deadline;
use crate::secrets::Renewable;

/// How long a request may wait for the secrets to be read again: it still has to be answered, and
/// its events made durable, before Okta gives up.
const RENEWAL_TIME: Duration = Duration::from_millis(1_000);

/// Holds what is accepted.
pub struct Gate {
    header: HeaderName,
    keyed: Hmac<Sha256>,
    secrets: Renewable<Vec<SecretString>>,
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
    pub fn new(
        header: HeaderName,
        secrets: impl Into<Renewable<Vec<SecretString>>>,
    ) -> Result<Self, String> {
        let key: [u8; 32] = rand::random();
        let keyed = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
        Ok(Self {
            header,
            keyed,
            secrets: secrets.into(),
        })
    }

    /// The request, if it carries an accepted secret.
    pub async fn admit<'r, 'a>(&self, request: &'r Request<'a>) -> Option<Admitted<'r, 'a>> {
        let given = (request.header)(self.header.as_str()).unwrap_or_default();
        let secrets = self.secrets.current();
        let mut is_accepted = self.accepts(&secrets, given);
        if !is_accepted && !given.is_empty() {
            let deadline = Deadline::within(RENEWAL_TIME);
            if let Some(newer) = self.secrets.renew(&secrets, deadline).await {
                is_accepted = self.accepts(&newer, given);
            }
        }
        is_accepted.then_some(Admitted(request))
    }

    fn accepts(&self, secrets: &[SecretString], given: &[u8]) -> bool {
        secrets.iter().fold(false, |found, secret| {
            let secret = secret.expose_secret().as_bytes();
            let mac = self.keyed.clone().chain_update(given);
            // No secret is empty; if one were, a request without the header would carry it.
            found | (mac.verify_slice(&tag(&self.keyed, secret)).is_ok() & !secret.is_empty())
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::failure::Failure;
    use crate::secrets::Source;

    /// A secret store in which the secret was just rotated; counts how often it is read.
    #[derive(Clone, Default)]
    struct Rotated(Arc<AtomicUsize>);

    #[async_trait]
    impl Source<Vec<SecretString>> for Rotated {
        async fn read(&self, _: Deadline) -> Result<Vec<SecretString>, Failure> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(vec!["new".into(), "old".into()])
        }
    }

    /// Nobody from outside causes calls by sending nothing, and Okta causes none by sending what is known.
    #[tokio::test]
    async fn the_secrets_are_read_again_for_an_unknown_value_only() {
        let store = Rotated::default();
        let secrets = Renewable::new(vec![SecretString::from("old")], store.clone());
        let gate = Gate::new(HeaderName::from_static("authorization"), secrets).unwrap();
        for (given, admitted, reads) in [
            (Some("old"), true, 0),
            (None, false, 0),
            (Some(""), false, 0),
            (Some("new"), true, 1),
            (Some("old"), true, 1),
        ] {
            let header = |_: &str| given.map(str::as_bytes);
            let request = Request {
                method: "POST",
                header: &header,
                body: Body::Plain(b""),
            };
            assert_eq!(gate.admit(&request).await.is_some(), admitted, "{given:?}");
            assert_eq!(store.0.load(Ordering::SeqCst), reads, "{given:?}");
        }
    }
}
