//! Reading and verifying JWTs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::call::Call;

/// How far a time in a JWT may be from the present, either way. Okta names no number; five minutes are usual.
const TOLERANCE_S: i64 = 300;

/// A JWT whose signature is not verified yet.
pub(super) struct Jwt<'a> {
    pub header: Value,
    pub claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    pub fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        Some(Self {
            header: part(header)?,
            claims: part(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether `jwk` signed it, with RS256 or ES256 as its header says.
    pub fn is_signed_by(&self, jwk: &Value) -> bool {
        let part = |name: &str| {
            let text = jwk[name].as_str()?;
            URL_SAFE_NO_PAD.decode(text).ok()
        };
        let message = self.signed.as_bytes();
        match (self.header["alg"].as_str(), jwk["kty"].as_str()) {
            (Some("RS256"), Some("RSA")) => {
                let (Some(n), Some(e)) = (part("n"), part("e")) else {
                    return false;
                };
                RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature)
                    .is_ok()
            }
            (Some("ES256"), Some("EC")) => {
                let (Some(x), Some(y)) = (part("x"), part("y")) else {
                    return false;
                };
                let point = [vec![4], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, &self.signature)
                    .is_ok()
            }
            _ => false,
        }
    }

    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims[name].as_str()
    }

    /// Whether it was made now, give or take some minutes.
    pub fn is_fresh(&self, now_s: i64) -> bool {
        self.claims["iat"]
            .as_i64()
            .is_some_and(|at| (at - now_s).abs() <= TOLERANCE_S)
    }

    /// Whether its end is ahead, but no more than an hour.
    pub fn is_in_force(&self, now_s: i64) -> bool {
        let begins = self.claims["iat"].as_i64();
        let ends = self.claims["exp"].as_i64().unwrap_or_default();
        (now_s + 1..=now_s + 3600 + TOLERANCE_S).contains(&ends)
            && begins.is_none_or(|at| at <= now_s + TOLERANCE_S)
    }
}

/// What a proof proves.
pub(super) struct Proof {
    /// The thumbprint of its key.
    pub key: String,
    pub nonce: Option<String>,
    /// The proof's own id (`jti`).
    pub id: String,
    /// The hash of the token it comes with.
    pub token_hash: Option<String>,
}

/// The proof in a request's `DPoP` header (RFC 9449, 4.3), or what is wrong with it. Its nonce, its single use and its
/// token are not checked here.
pub(super) fn proof(call: &Call, url: &str, now_s: i64) -> Result<Proof, &'static str> {
    let mut given = call.headers.get_all("dpop").iter();
    let (Some(text), None) = (given.next(), given.next()) else {
        return Err("not exactly one DPoP header");
    };
    let text = text.to_str().map_err(|_| "not text")?;
    let jwt = Jwt::read(text).ok_or("not a JWT")?;
    let key = &jwt.header["jwk"];
    if jwt.header["typ"] != "dpop+jwt" {
        return Err("typ is not dpop+jwt");
    }
    if key.get("d").is_some() {
        return Err("the key in the header is a private one");
    }
    if !jwt.is_signed_by(key) {
        return Err("the signature is invalid");
    }
    if jwt.claim("htm") != Some(call.method.as_str()) {
        return Err("htm is another method");
    }
    if jwt.claim("htu").map(decoded) != Some(decoded(url)) {
        return Err("htu is another address");
    }
    if !jwt.is_fresh(now_s) {
        return Err("iat is not the present");
    }
    let id = jwt.claim("jti").ok_or("no jti")?.to_owned();
    let text = |name: &str| jwt.claim(name).map(str::to_owned);
    Ok(Proof {
        key: thumbprint(key),
        nonce: text("nonce"),
        id,
        token_hash: text("ath"),
    })
}

/// Clients and their libraries escape different characters, so the decoded texts are compared.
fn decoded(url: &str) -> String {
    percent_decode_str(url).decode_utf8_lossy().into_owned()
}

pub(super) fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// RFC 7638: the required members in alphabetical order, which is how `json!` prints them.
fn thumbprint(jwk: &Value) -> String {
    let members = match jwk["kty"].as_str() {
        Some("RSA") => json!({"e": jwk["e"], "kty": "RSA", "n": jwk["n"]}),
        _ => json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]}),
    };
    hash(&members.to_string())
}
