//! Private keys as they come from Okta's console, from OpenSSL or from a secret.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// A private key that signs RS256 (RSA) or ES256 (EC P-256). Cheap to clone, and never shown.
#[derive(Clone)]
pub struct PrivateKey(Arc<Kind>);

enum Kind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// Text that is no usable private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of a supported kind")]
pub struct BadKey;

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, …)", self.algorithm())
    }
}

impl PrivateKey {
    /// Reads PEM (PKCS#8, PKCS#1, SEC1) or a JWK. The line breaks of PEM may be written as `\n`, as
    /// happens in variables.
    ///
    /// # Errors
    /// When it is neither, lacks a part (a JWK needs all private ones, an EC key its public one), is of
    /// another kind than RSA and P-256, or is an RSA key outside 2048 to 4096 bits.
    pub fn parse(text: &SecretString) -> Result<Self, BadKey> {
        let text = text.expose_secret().trim();
        if text.starts_with('{') {
            return Self::from_jwk(&serde_json::from_str(text).map_err(|_| BadKey)?);
        }
        let text = text.replace("\\r", "").replace("\\n", "\n");
        match PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| BadKey)? {
            PrivateKeyDer::Pkcs1(der) => Self::rsa(RsaKeyPair::from_der(der.secret_pkcs1_der())),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                Self::rsa(RsaKeyPair::from_pkcs8(der)).or_else(|_| Self::p256(der))
            }
            PrivateKeyDer::Sec1(der) => Self::p256(&pkcs8_of_sec1(der.secret_sec1_der())?),
            _ => Err(BadKey),
        }
    }

    /// A fresh P-256 key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, BadKey> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
        Self::p256(der.map_err(|_| BadKey)?.as_ref())
    }

    /// `RS256` or `ES256`.
    pub fn algorithm(&self) -> &'static str {
        match &*self.0 {
            Kind::Rsa(_) => "RS256",
            Kind::P256(_) => "ES256",
        }
    }

    /// The public half as a JWK (RFC 7517) with the members that its thumbprint is made of, which is
    /// what Okta asks for when a key is registered.
    pub fn public_jwk(&self) -> Value {
        match &*self.0 {
            Kind::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": base64url(public.n), "e": base64url(public.e)})
            }
            Kind::P256(pair) => {
                // An uncompressed point: 4, then both coordinates (SEC 1, 2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
        }
    }

    /// `claims` under `header`, signed, in the compact form (RFC 7515, 7.1); `header` gets its `alg` here.
    ///
    /// # Errors
    /// When the key does not work. For RSA that can show only now: its parts may contradict each other.
    pub(super) fn sign_jwt(&self, mut header: Value, claims: &Value) -> Result<String, BadKey> {
        header["alg"] = Value::from(self.algorithm());
        let signed = [header.to_string(), claims.to_string()].map(base64url);
        let signed = signed.join(".");
        let signature = self.sign(signed.as_bytes()).ok_or(BadKey)?;
        Ok(format!("{signed}.{}", base64url(signature)))
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &*self.0 {
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .ok()?;
                Some(signature)
            }
            Kind::P256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
        }
    }

    fn rsa(pair: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Self, BadKey> {
        let pair = pair.map_err(|_| BadKey)?;
        Ok(Self(Arc::new(Kind::Rsa(pair))))
    }

    fn p256(pkcs8: &[u8]) -> Result<Self, BadKey> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new());
        Ok(Self(Arc::new(Kind::P256(pair.map_err(|_| BadKey)?))))
    }

    /// RFC 7518, 6.2.2 and 6.3.2.
    fn from_jwk(jwk: &Value) -> Result<Self, BadKey> {
        let part = |name: &str| {
            let text = jwk[name].as_str().ok_or(BadKey)?;
            URL_SAFE_NO_PAD
                .decode(text.trim_end_matches('='))
                .map_err(|_| BadKey)
        };
        match jwk["kty"].as_str() {
            Some("RSA") => Self::rsa(RsaKeyPair::from_components(&KeyPairComponents {
                public_key: PublicKeyComponents {
                    n: part("n")?,
                    e: part("e")?,
                },
                d: part("d")?,
                p: part("p")?,
                q: part("q")?,
                dP: part("dp")?,
                dQ: part("dq")?,
                qInv: part("qi")?,
            })),
            Some("EC") if jwk["crv"] == "P-256" => {
                let point = [vec![4], part("x")?, part("y")?].concat();
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &part("d")?,
                    &point,
                    &SystemRandom::new(),
                );
                Ok(Self(Arc::new(Kind::P256(pair.map_err(|_| BadKey)?))))
            }
            _ => Err(BadKey),
        }
    }
}

/// A SEC1 key in the frame that ring reads: `PrivateKeyInfo` (RFC 5208, 5) with version 0, the algorithm
/// `ecPublicKey` on `prime256v1`, and the key as an octet string.
fn pkcs8_of_sec1(sec1: &[u8]) -> Result<Vec<u8>, BadKey> {
    const VERSION_AND_ALGORITHM: &[u8] = &[
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let inner = [VERSION_AND_ALGORITHM, &der(0x04, sec1)?].concat();
    der(0x30, &inner)
}

/// One DER element; a P-256 key is far below the 64 KiB that two length bytes reach.
fn der(tag: u8, content: &[u8]) -> Result<Vec<u8>, BadKey> {
    let length = u16::try_from(content.len()).map_err(|_| BadKey)?;
    let [high, low] = length.to_be_bytes();
    let mut element = match (high, low) {
        (0, ..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    element.extend_from_slice(content);
    Ok(element)
}

/// `bytes` as base64url without padding, as JWKs and JWSs write them (RFC 7515, 2).
pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    macro_rules! data {
        ($name:literal) => {
            include_str!(concat!("../../../tests/it/data/test-only-", $name))
        };
    }

    fn parse(text: &str) -> Result<PrivateKey, BadKey> {
        PrivateKey::parse(&text.to_owned().into())
    }

    const RSA: [&str; 3] = [
        data!("rsa.pkcs8.pem"),
        data!("rsa.pkcs1.pem"),
        data!("rsa.jwk.json"),
    ];
    const P256: [&str; 3] = [
        data!("p256.pkcs8.pem"),
        data!("p256.sec1.pem"),
        data!("p256.jwk.json"),
    ];

    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        for (forms, algorithm) in [(RSA, "RS256"), (P256, "ES256")] {
            let first = parse(forms[0]).unwrap().public_jwk();
            for text in forms {
                let key = parse(text).unwrap();
                assert_eq!(key.algorithm(), algorithm);
                assert_eq!(key.public_jwk(), first);
                let in_one_line = text.trim().replace('\n', "\\n");
                if !text.starts_with('{') {
                    assert_eq!(parse(&in_one_line).unwrap().public_jwk(), first);
                    let windows = text.trim().replace('\n', "\\r\\n");
                    assert_eq!(parse(&windows).unwrap().public_jwk(), first);
                }
            }
        }
    }

    #[test]
    fn signatures_verify_with_the_public_key() {
        let verify = |jwk: &Value, signature: &[u8]| {
            let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            if jwk["kty"] == "RSA" {
                let key = PublicKeyComponents {
                    n: part("n"),
                    e: part("e"),
                };
                let algorithm = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
                return key.verify(algorithm, b"message", signature).is_ok();
            }
            let point = [vec![4], part("x"), part("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(b"message", signature).is_ok()
        };
        let fresh = PrivateKey::generate().unwrap();
        let keys = [RSA[0], RSA[2], P256[1], P256[2]].map(|text| parse(text).unwrap());
        for key in keys.iter().chain([&fresh]) {
            let mut signature = key.sign(b"message").unwrap();
            assert!(verify(&key.public_jwk(), &signature));
            signature[10] ^= 1;
            assert!(!verify(&key.public_jwk(), &signature));
        }
    }

    #[test]
    fn text_that_is_no_usable_private_key_is_refused() {
        let without = |part: &str, jwk: &str| {
            let mut jwk: Value = serde_json::from_str(jwk).unwrap();
            jwk.as_object_mut().unwrap().remove(part);
            jwk.to_string()
        };
        let mut other_half: Value = serde_json::from_str(P256[2]).unwrap();
        let fresh = PrivateKey::generate().unwrap().public_jwk();
        other_half["x"] = fresh["x"].clone();
        other_half["y"] = fresh["y"].clone();
        for text in [
            "",
            "secret",
            "{}",
            "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
            data!("p384.sec1.pem"),
            data!("rsa.public.pem"),
            &RSA[0][..500],
            &RSA[0].replace("PRIVATE", "ENCRYPTED PRIVATE"),
            &without("p", RSA[2]),
            &without("d", P256[2]),
            &without("y", P256[2]),
            &without("crv", P256[2]),
            &other_half.to_string(),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_private_is_shown() {
        for text in [RSA[2], P256[2]] {
            let key = parse(text).unwrap();
            let jwk: Value = serde_json::from_str(text).unwrap();
            let shown = format!("{key:?} {}", key.public_jwk());
            for part in ["d", "p", "q", "dp", "dq", "qi"] {
                let private = jwk[part].as_str();
                assert!(private.is_none_or(|private| !shown.contains(private)));
            }
        }
    }
}
