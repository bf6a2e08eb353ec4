//! Who may come in with a token, and for what.

use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::jwt;
use crate::call::{Call, Reply};

/// Admits a request with a service app's token; else the answer to it. `base` is the org's address as the caller reaches it.
pub(in crate::okta) fn admit(
    world: &mut OktaWorld,
    call: &Call,
    base: &str,
) -> Result<(), Box<Reply>> {
    if call.header("authorization").is_none() {
        return Err(Box::new(Refusal::invalid_session().reply()));
    }
    let (kind, value) = call
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    let now_ms = world.clock.now_ms();
    let token = world.oauth.tokens.get(value).cloned();
    let Some(token) = token.filter(|token| token.expires_ms > now_ms) else {
        return Err(invalid(kind, "invalid_token"));
    };
    match (kind, &token.key) {
        ("Bearer", None) => {}
        ("DPoP", Some(key)) => {
            let url = format!("{base}{}", call.path);
            let proof = jwt::proof(call, &url, now_ms.div_euclid(1000))
                .map_err(|_| invalid(kind, "invalid_dpop_proof"))?;
            let is_ours = proof.key == *key && proof.token_hash == Some(jwt::hash(value));
            let is_new = world.oauth.used.insert(format!("proof {}", proof.id));
            if !is_ours || !is_new {
                return Err(invalid(kind, "invalid_dpop_proof"));
            }
            if world.oauth.api_wants_nonce && proof.nonce.as_ref() != Some(&world.oauth.api_nonce) {
                let nonce = world.oauth.api_nonce.clone();
                let refused = *invalid(kind, "use_dpop_nonce");
                return Err(Box::new(refused.with("dpop-nonce", nonce)));
            }
        }
        // A bound token needs its proof, and an unbound one must not come as `DPoP`.
        _ => return Err(invalid(kind, "invalid_token")),
    }
    match needed(call) {
        Some(any) if !any.iter().any(|&scope| token.scopes.contains(scope)) => {
            let reply = Refusal::no_permission().reply();
            Err(Box::new(reply.with(
                "www-authenticate",
                "Bearer error=\"insufficient_scope\"",
            )))
        }
        _ => Ok(()),
    }
}

fn invalid(kind: &str, error: &str) -> Box<Reply> {
    let reply = Refusal::invalid_token().reply();
    let kind = if kind == "DPoP" { kind } else { "Bearer" };
    Box::new(reply.with("www-authenticate", format!("{kind} error=\"{error}\"")))
}

/// The scopes of which a request needs one (Okta API, per operation).
fn needed(call: &Call) -> Option<&'static [&'static str]> {
    let segments = call.segments();
    let reads = call.method == "GET";
    let resource = segments.get(2).map(String::as_str).unwrap_or_default();
    Some(match (resource, reads) {
        ("users", true) => &["okta.users.read", "okta.users.manage"],
        ("users", false) => &["okta.users.manage"],
        ("groups", true) => &["okta.groups.read", "okta.groups.manage"],
        ("groups", false) => &["okta.groups.manage"],
        ("apps", true) => &["okta.apps.read", "okta.apps.manage"],
        ("apps", false) => &["okta.apps.manage"],
        ("api-tokens", true) => &["okta.apiTokens.read", "okta.apiTokens.manage"],
        ("logs", _) => &["okta.logs.read"],
        ("eventHooks", true) => &["okta.eventHooks.read", "okta.eventHooks.manage"],
        ("eventHooks", false) => &["okta.eventHooks.manage"],
        ("org", _) => &["okta.orgs.read", "okta.orgs.manage"],
        _ => return None,
    })
}
