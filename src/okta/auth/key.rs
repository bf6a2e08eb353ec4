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

use super::jws::base64url;

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

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
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
