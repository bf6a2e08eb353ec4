//! Proof of possession, with a simulator that verifies every proof.

use std::collections::BTreeSet;

use okta_anypoint::simulator::traffic::Fault;

use super::*;

#[tokio::test]
async fn the_client_learns_the_nonce_once() {
    for key in [RSA_PEM, P256_JWK].map(key) {
        let org = Org::with_dpop(&key).await;
        let okta = org.client(service_app(&key));
        org.look(&okta).await.unwrap();
        // No proof; a proof without the nonce; both; then the call.
        assert_eq!(org.statuses(), [400, 400, 200, 200]);
        let api = &org.api_requests()[0];
        assert_eq!(header(api, "authorization"), Some("DPoP [redacted]"));

        // The next token takes one request, until the nonce changes.
        org.okta.world().revoke_tokens();
        org.okta.traffic().clear();
        org.look(&okta).await.unwrap();
        assert_eq!(org.statuses(), [401, 200, 200]);
        org.okta.world().revoke_tokens();
        org.okta.world().change_nonces();
        org.okta.traffic().clear();
        org.look(&okta).await.unwrap();
        assert_eq!(org.statuses(), [401, 400, 200, 200]);
    }
}

#[tokio::test]
async fn every_call_page_and_retry_has_its_own_proof() {
    let key = key(P256_PEM);
    let org = Org::with_dpop(&key).await;
    for n in 0..5 {
        let mail = format!("user{n}@acme.example");
        let user = org.okta.world().create_user(&mail, "A", "B", &mail, None);
        let user = user.unwrap().id;
        org.okta.world().assign(APP, &user).unwrap();
    }
    let okta = org.client(service_app(&key));
    // Two lost answers, and pages of two.
    let lost = Fault::status("/users", 503, "{}").after_effect().times(2);
    org.okta.traffic().inject(lost);
    org.okta.traffic().inject(Fault::new(
        "/users",
        okta_anypoint::simulator::traffic::FaultKind::ShortPage(2),
    ));
    let app = okta_anypoint::ids::OktaAppId::parse(APP).unwrap();
    let found = okta.list_app_users(&app, &[], soon()).await.unwrap().items;
    assert_eq!(found.len(), 5);

    let requests = org.api_requests();
    assert_eq!(requests.len(), 5, "{requests:?}");
    let proofs: Vec<Value> = requests.iter().map(|r| proof(r).unwrap()).collect();
    let ids: BTreeSet<&str> = proofs.iter().map(|p| p["jti"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    for (request, proof) in requests.iter().zip(&proofs) {
        assert_eq!(proof["htm"], "GET");
        let url = format!("{}{}", org.okta.base_url(), request.path);
        assert_eq!(proof["htu"], url);
        assert_eq!(proof["ath"].as_str().unwrap().len(), 43);
    }
    assert!(requests.iter().any(|r| !r.query.is_empty()));
}

#[tokio::test]
async fn an_api_that_demands_a_nonce_gets_it() {
    let key = key(P256_PEM);
    let org = Org::with_dpop(&key).await;
    org.okta.world().oauth.api_wants_nonce = true;
    let okta = org.client(service_app(&key));
    org.look(&okta).await.unwrap();
    org.look(&okta).await.unwrap();
    assert_eq!(org.statuses(), [400, 400, 200, 401, 200, 200]);
    // The token endpoint's nonce is another one than the API's.
    let token = proof(&org.token_requests()[2]).unwrap();
    let call = proof(&org.api_requests()[1]).unwrap();
    assert_ne!(token["nonce"], call["nonce"]);
}

/// A simulator that accepts every proof would prove nothing.
#[tokio::test]
async fn stolen_and_stale_proofs_are_refused() {
    let key = key(P256_PEM);
    let org = Org::with_dpop(&key).await;
    let okta = org.client(service_app(&key));
    org.look(&okta).await.unwrap();
    let seen = org.api_requests().remove(0);
    let seen_proof = header(&seen, "dpop").unwrap().to_owned();

    // The log hides tokens, so the thief fetches one with the key.
    let thief = Thief::new(&org, &key);
    let token = thief.token().await;
    let path = format!("/api/v1/users/{}", org.user);
    let with = |proof: Option<String>, kind: &'static str| {
        let token = token.clone();
        let (thief, path) = (&thief, &path);
        async move { thief.get(path, kind, &token, proof).await }
    };
    let good = || thief.proof("GET", &path, Some(&token), 0);
    assert_eq!(with(Some(good()), "DPoP").await, 200);
    let used = good();
    assert_eq!(with(Some(used.clone()), "DPoP").await, 200);
    assert_eq!(with(Some(used), "DPoP").await, 401, "replayed");
    assert_eq!(with(Some(seen_proof), "DPoP").await, 401, "another token's");
    let other_key = thief.proof_with(&thief.app_key, "GET", &path, Some(&token), 0, None);
    assert_eq!(with(Some(other_key), "DPoP").await, 401, "another key");
    assert_eq!(with(None, "DPoP").await, 401, "no proof");
    assert_eq!(with(None, "Bearer").await, 401, "bound, but shown alone");
    for (proof, why) in [
        (thief.proof("POST", &path, Some(&token), 0), "method"),
        (thief.proof("GET", "/api/v1/users", Some(&token), 0), "path"),
        (thief.proof("GET", &path, Some("other"), 0), "other token"),
        (thief.proof("GET", &path, None, 0), "no token"),
        (thief.proof("GET", &path, Some(&token), -900), "old"),
        (thief.proof("GET", &path, Some(&token), 900), "early"),
    ] {
        assert_eq!(with(Some(proof), "DPoP").await, 401, "{why}");
    }
}

/// A second client, written for the test, so that the product does not check itself.
struct Thief<'a> {
    org: &'a Org,
    app_key: ring::signature::EcdsaKeyPair,
    proof_key: ring::signature::EcdsaKeyPair,
    http: reqwest::Client,
}

impl<'a> Thief<'a> {
    fn new(org: &'a Org, registered: &PrivateKey) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let thief = Self {
            org,
            app_key: fresh(),
            proof_key: fresh(),
            http: reqwest::Client::new(),
        };
        let mut world = org.okta.world();
        let app = world.oauth.apps.get_mut(CLIENT).unwrap();
        assert_eq!(app.keys[0]["x"], registered.public_jwk()["x"]);
        let mut second = jwk(&thief.app_key);
        second["kid"] = "key-2".into();
        app.keys.push(second);
        drop(world);
        thief
    }

    fn proof(&self, method: &str, path: &str, token: Option<&str>, shift_s: i64) -> String {
        self.proof_with(&self.proof_key, method, path, token, shift_s, None)
    }

    fn proof_with(
        &self,
        key: &ring::signature::EcdsaKeyPair,
        method: &str,
        path: &str,
        token: Option<&str>,
        shift_s: i64,
        nonce: Option<&str>,
    ) -> String {
        let url = format!("{}{path}", self.org.okta.base_url());
        let mut claims = serde_json::json!({
            "htm": method, "htu": url, "iat": now_s() + shift_s, "jti": uuid::Uuid::new_v4().to_string(),
        });
        if let Some(token) = token {
            let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
            claims["ath"] = encode(hash).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let header = serde_json::json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(key)});
        sign(key, &header, &claims)
    }

    async fn token(&self) -> String {
        let (status, _, nonce) = self.ask(None, "a").await;
        assert_eq!(status, 400);
        // The same assertion again: its jti is used up.
        let (status, answer, _) = self.ask(nonce.as_deref(), "a").await;
        assert_eq!((status, &answer["error"]), (401, &"invalid_client".into()));
        let (status, answer, _) = self.ask(nonce.as_deref(), "b").await;
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, nonce: Option<&str>, jti: &str) -> (u16, Value, Option<String>) {
        let url = format!("{}/oauth2/v1/token", self.org.okta.base_url());
        let claims = serde_json::json!({
            "iss": CLIENT, "sub": CLIENT, "aud": url, "jti": jti, "exp": now_s() + 60,
        });
        let header = serde_json::json!({"alg": "ES256", "kid": "key-2"});
        let assertion = sign(&self.app_key, &header, &claims);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "okta.users.read"),
            ("client_assertion_type", kind),
            ("client_assertion", &assertion),
        ];
        let proof = self.proof_with(&self.proof_key, "POST", "/oauth2/v1/token", None, 0, nonce);
        let request = self.http.post(&url).form(&form).header("dpop", proof);
        let answer = request.send().await.unwrap();
        let nonce = answer.headers().get("dpop-nonce");
        let nonce = nonce.map(|nonce| nonce.to_str().unwrap().to_owned());
        (
            answer.status().as_u16(),
            answer.json().await.unwrap(),
            nonce,
        )
    }

    async fn get(&self, path: &str, kind: &str, token: &str, proof: Option<String>) -> u16 {
        let url = format!("{}{path}", self.org.okta.base_url());
        let request = self
            .http
            .get(url)
            .header("authorization", format!("{kind} {token}"));
        let request = match proof {
            Some(proof) => request.header("dpop", proof),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    }
}

fn now_s() -> i64 {
    SystemClock.now_ms() / 1000
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn fresh() -> ring::signature::EcdsaKeyPair {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap()
}

fn jwk(key: &ring::signature::EcdsaKeyPair) -> Value {
    use ring::signature::KeyPair;
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    serde_json::json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
}

fn sign(key: &ring::signature::EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let random = ring::rand::SystemRandom::new();
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(signature))
}
