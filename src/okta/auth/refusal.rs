//! Why Okta refused a token, in words that say what to change.
//!
//! Okta's `error_description` tells apart what `error` lumps together. Known phrases of it choose one
//! of our sentences; it is never repeated.

use http::HeaderMap;
use serde_json::Value;

use crate::http::{CallErrorKind, parse_http_date};

/// A difference of clocks that explains a refused assertion.
const SKEW_S: i64 = 60;

/// What the last refusal of a token request said beyond its code.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenRefusal {
    /// How far our clock is ahead of Okta's.
    ahead_s: Option<i64>,
    hint: Hint,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Hint {
    #[default]
    None,
    KeyId,
    Signature,
    Time,
}

impl TokenRefusal {
    pub fn of(headers: &HeaderMap, body: &[u8], now_s: i64) -> Self {
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = body["error_description"].as_str().unwrap_or_default();
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
        let hint = if says(&["kid", "jwk"]) {
            Hint::KeyId
        } else if says(&["signature"]) {
            Hint::Signature
        } else if says(&["expired", "future", "iat", "exp"]) {
            Hint::Time
        } else {
            Hint::None
        };
        Self {
            ahead_s: date.and_then(parse_http_date).map(|theirs| now_s - theirs),
            hint,
        }
    }

    /// The refusal `code` of a token for `client_id` and `scopes`.
    pub fn explain(&self, code: &str, scopes: &str) -> CallErrorKind {
        let skew = self.ahead_s.filter(|ahead| ahead.abs() > SKEW_S);
        let about_time = matches!(code, "invalid_client" | "invalid_dpop_proof")
            && matches!(self.hint, Hint::None | Hint::Time);
        let (cause, fix) = match (code, self.hint, skew) {
            (_, _, Some(ahead)) if about_time => (
                format!(
                    "Okta refused the service app ({code}); this machine's clock is {} s {} Okta's",
                    ahead.abs(),
                    if ahead > 0 { "ahead of" } else { "behind" }
                ),
                "Set this machine's clock (NTP); Okta accepts only signatures made at the present time."
                    .to_owned(),
            ),
            ("invalid_client", Hint::KeyId, _) => (
                "Okta refused the service app (invalid_client): it has no key with this id".to_owned(),
                "Set OKTA_KEY_ID to the id (kid) of an active key under the app's General > Client \
                 Credentials > Public Keys, or add the public half of OKTA_PRIVATE_KEY there."
                    .to_owned(),
            ),
            ("invalid_client", Hint::Signature, _) => (
                "Okta refused the service app (invalid_client): OKTA_PRIVATE_KEY is not the private \
                 half of the key OKTA_KEY_ID"
                    .to_owned(),
                "Set OKTA_PRIVATE_KEY and OKTA_KEY_ID to the two halves of one key pair.".to_owned(),
            ),
            ("invalid_client", ..) => (
                "Okta refused the service app (invalid_client)".to_owned(),
                "Check that OKTA_CLIENT_ID is an active API Services app of the org OKTA_ORG_URL, that \
                 its client authentication is public key / private key, and that OKTA_KEY_ID and \
                 OKTA_PRIVATE_KEY are an active key of it."
                    .to_owned(),
            ),
            ("invalid_scope", ..) => (
                format!("Okta did not grant the service app all of: {scopes}"),
                format!("Grant these under the app's Okta API Scopes (a super admin can): {scopes}."),
            ),
            ("unauthorized_client" | "unsupported_grant_type" | "access_denied", ..) => (
                format!("Okta does not let this app get tokens by itself ({code})"),
                "Make OKTA_CLIENT_ID an API Services app with the grant type Client Credentials, and \
                 assign it an admin role that can read users, groups and apps."
                    .to_owned(),
            ),
            _ => (
                format!("Okta refused a token ({code})"),
                "Look for the refused token request in Okta's System Log, which names the reason."
                    .to_owned(),
            ),
        };
        CallErrorKind::SignIn { cause, fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: &str, description: &str, date: &str, now_s: i64) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert("date", date.parse().unwrap());
        let body = serde_json::json!({"error": code, "error_description": description});
        let refusal = TokenRefusal::of(&headers, body.to_string().as_bytes(), now_s);
        match refusal.explain(code, "okta.users.read") {
            CallErrorKind::SignIn { cause, fix } => (cause, fix),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_cause_has_its_own_words() {
        const DATE: &str = "Mon, 02 Mar 2026 09:15:04 GMT";
        const NOW_S: i64 = 1_772_442_904;
        for (code, description, now_s, cause_has, fix_has) in [
            (
                "invalid_client",
                "The client_assertion JWT kid is invalid.",
                NOW_S,
                "no key with this id",
                "OKTA_KEY_ID",
            ),
            (
                "invalid_client",
                "The client_assertion signature is invalid.",
                NOW_S,
                "not the private half",
                "OKTA_PRIVATE_KEY",
            ),
            (
                "invalid_client",
                "Something new about ann@acme.example.",
                NOW_S,
                "(invalid_client)",
                "OKTA_CLIENT_ID",
            ),
            (
                "invalid_client",
                "The client_assertion token is expired.",
                NOW_S - 900,
                "900 s behind",
                "clock",
            ),
            (
                "invalid_dpop_proof",
                "",
                NOW_S + 400,
                "400 s ahead of",
                "clock",
            ),
            // A skewed clock is not blamed for what it cannot cause.
            (
                "invalid_client",
                "The client_assertion signature is invalid.",
                NOW_S + 400,
                "not the private half",
                "OKTA_PRIVATE_KEY",
            ),
            (
                "invalid_scope",
                "",
                NOW_S + 400,
                "okta.users.read",
                "Okta API Scopes",
            ),
            ("unauthorized_client", "", NOW_S, "by itself", "grant type"),
            ("whatever", "", NOW_S, "whatever", "System Log"),
        ] {
            let (cause, fix) = explained(code, description, DATE, now_s);
            assert!(cause.contains(cause_has), "{code} {description}: {cause}");
            assert!(fix.contains(fix_has), "{code} {description}: {fix}");
            assert!(!cause.contains("ann@") && !fix.contains("ann@"));
        }
    }
}
