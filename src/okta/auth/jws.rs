//! JWS in its compact form (RFC 7515, 7.1).

use serde_json::Value;

use super::key::{PrivateKey, base64url};

/// `claims` under `header`, signed; `header` gets its `alg` here. `None` when the key does not work,
/// which for RSA can show only now: its parts may contradict each other.
pub(super) fn sign(key: &PrivateKey, mut header: Value, claims: &Value) -> Option<String> {
    header["alg"] = Value::from(key.algorithm());
    let mut token = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&base64url(signature));
    Some(token)
}
