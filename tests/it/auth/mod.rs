//! Signing in: the real clients against simulators that verify each request, and secrets in moto.

mod dpop;
mod origins;
mod refusals;
mod rotation;
mod service_app;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use okta_anypoint::clock::{Clock, ManualClock, SystemClock};
use okta_anypoint::http::{CallError, HttpClient};
use okta_anypoint::ids::OktaUserId;
use okta_anypoint::okta::{Credentials, Okta, PrivateKey};
use okta_anypoint::simulator::traffic::RecordedRequest;
use serde_json::Value;

use crate::tenant::{APP, Tenant};
use crate::world::soon;

const CLIENT: &str = "0oaSERVICE";
const KEY_ID: &str = "key-1";
const READ: [&str; 3] = ["okta.users.read", "okta.apps.read", "okta.groups.read"];

const RSA_PEM: &str = include_str!("../data/test-only-rsa.pkcs8.pem");
const RSA_JWK: &str = include_str!("../data/test-only-rsa.jwk.json");
const P256_PEM: &str = include_str!("../data/test-only-p256.sec1.pem");
const P256_JWK: &str = include_str!("../data/test-only-p256.jwk.json");

fn key(text: &str) -> PrivateKey {
    PrivateKey::parse(&text.to_owned().into()).unwrap()
}

fn service_app(key: &PrivateKey) -> Credentials {
    Credentials::ServiceApp {
        client_id: CLIENT.to_owned(),
        key: key.clone(),
        key_id: KEY_ID.to_owned(),
    }
}

/// An org with one user and one service app whose key is `key`.
struct Org {
    tenant: Tenant,
    user: OktaUserId,
}

impl Deref for Org {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl Org {
    async fn new(key: &PrivateKey) -> Self {
        let tenant = Tenant::new().await;
        let key = key.public_jwk();
        let mut world = tenant.okta.world();
        world.add_service_app(CLIENT, KEY_ID, key, &READ);
        drop(world);
        let user = tenant.person("lin@acme.example", "Lin", "Example");
        Self {
            user: OktaUserId::parse(user).unwrap(),
            tenant,
        }
    }

    /// An org whose app demands DPoP.
    async fn with_dpop(key: &PrivateKey) -> Self {
        let org = Self::new(key).await;
        let mut world = org.okta.world();
        world.oauth.apps.get_mut(CLIENT).unwrap().require_dpop = true;
        drop(world);
        org
    }

    /// Reads the user; it must be there.
    async fn look(&self, okta: &Okta) -> Result<(), CallError> {
        okta.user(&self.user, soon()).await.map(|found| {
            assert!(found.is_some());
        })
    }

    fn token_requests(&self) -> Vec<RecordedRequest> {
        let mut log = self.okta.traffic().log();
        log.retain(|request| request.path == "/oauth2/v1/token");
        log
    }

    fn api_requests(&self) -> Vec<RecordedRequest> {
        let mut log = self.okta.traffic().log();
        log.retain(|request| request.path.starts_with("/api/"));
        log
    }

    fn statuses(&self) -> Vec<u16> {
        let log = self.okta.traffic().log();
        log.iter().map(|request| request.status).collect()
    }
}

fn header<'a>(request: &'a RecordedRequest, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

/// The claims of a request's proof.
fn proof(request: &RecordedRequest) -> Option<Value> {
    use base64::Engine;
    let claims = header(request, "dpop")?.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims);
    Some(serde_json::from_slice(&claims.unwrap()).unwrap())
}

/// A stopped clock, `ahead_s` seconds ahead.
fn clock_ahead(ahead_s: i64) -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(SystemClock.now_ms() + ahead_s * 1000))
}
