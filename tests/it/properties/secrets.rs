//! What messages, items and log lines must not show: credentials, passwords, tokens, and personal data.

use crate::world::{SECRET, World};

const OKTA_TOKEN: &str = "simulated-okta-token";
pub const PRIVATE_KEY: &str = include_str!("../data/test-only-p256.sec1.pem");

/// The beginnings of every signed assertion, for any order of its header fields.
const ASSERTIONS: [&str; 3] = ["eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi"];
/// A part of every address, and a last name, in lower case.
const PERSONAL: [&str; 2] = ["@acme.example", "drifted"];

/// All secrets of a history.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Collected at the end, when all passwords and tokens are known.
    pub fn of(world: &World) -> Self {
        let mut secrets = vec![
            OKTA_TOKEN.to_owned(),
            SECRET.to_owned(),
            world.anypoint().client_secret.clone(),
        ];
        secrets.extend(ASSERTIONS.map(str::to_owned));
        secrets.extend(world.anypoint().tokens().map(str::to_owned));
        secrets.extend(world.okta.world().tokens().map(str::to_owned));
        let key = PRIVATE_KEY.lines().filter(|line| !line.starts_with('-'));
        secrets.extend(key.map(str::to_owned));
        for call in world.anypoint.traffic().writes() {
            let password = call.body.and_then(|body| body.get("password").cloned());
            secrets.extend(password.and_then(|password| Some(password.as_str()?.to_owned())));
        }
        Self(secrets)
    }

    /// The first of them in `text`.
    pub fn first_in(&self, text: &str) -> Option<&str> {
        let lower = text.to_lowercase();
        let personal = PERSONAL.into_iter().find(|word| lower.contains(word));
        let secret = self.0.iter().map(String::as_str);
        personal.or_else(|| secret.into_iter().find(|secret| text.contains(secret)))
    }
}
