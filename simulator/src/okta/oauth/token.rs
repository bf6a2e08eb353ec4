//! `POST /oauth2/v1/token` of the org authorization server.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::world::OktaWorld;
use super::jwt::{self, Jwt};
use super::{AccessToken, fresh};
use crate::call::{Call, Reply};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Gives out a token for a client assertion (RFC 7523, 2.2), bound to the key of a proof if there is one.
///
/// The assertion is used up even if the proof is then refused, so that each try needs a new one.
pub(in crate::okta) fn token(world: &mut OktaWorld, call: &mut Call, base: &str) -> Reply {
    match give(world, call, base) {
        Ok(reply) => reply,
        Err(Refused {
            status,
            error,
            description,
            nonce,
        }) => {
            let reply = Reply::json(
                status,
                json!({"error": error, "error_description": description}),
            );
            match nonce {
                Some(nonce) => reply.with("dpop-nonce", nonce),
                None => reply,
            }
        }
    }
}

struct Refused {
    status: u16,
    error: &'static str,
    description: String,
    nonce: Option<String>,
}

fn refuse<T>(
    status: u16,
    error: &'static str,
    description: impl Into<String>,
) -> Result<T, Refused> {
    Err(Refused {
        status,
        error,
        description: description.into(),
        nonce: None,
    })
}

fn give(world: &mut OktaWorld, call: &mut Call, base: &str) -> Result<Reply, Refused> {
    if call.method != "POST" {
        call.note("tokens are fetched with POST");
        return refuse(405, "invalid_request", "The method is not POST.");
    }
    let is_form = call
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form && !call.body.is_empty() {
        call.note("a token request is a form");
        return refuse(400, "invalid_request", "The request is not a form.");
    }
    // Okta reads them from the query too, where the Python SDK 2 puts them.
    let form = call.json_or_form().unwrap_or_default();
    let query = call.query.clone();
    let in_query = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let field = |name: &str| {
        let in_form = form[name].as_str();
        in_form.or_else(|| in_query(name)).unwrap_or_default()
    };
    if field("grant_type") != "client_credentials" {
        call.note("grant_type is not client_credentials");
        return refuse(
            400,
            "unsupported_grant_type",
            "The grant_type is not supported.",
        );
    }
    if field("client_assertion_type") != ASSERTION_TYPE {
        return refuse(
            401,
            "invalid_client",
            "The client_assertion_type is invalid.",
        );
    }
    let url = format!("{base}/oauth2/v1/token");
    let client_id = authenticate(world, field("client_assertion"), &url)?;
    let key = possession(world, call, &client_id, &url)?;

    let asked: BTreeSet<String> = field("scope").split(' ').map(str::to_owned).collect();
    let granted = &world.oauth.apps[&client_id].scopes;
    if field("scope").is_empty() || !asked.is_subset(granted) {
        return refuse(
            400,
            "invalid_scope",
            "One or more scopes are not configured for the authorization server resource.",
        );
    }
    let value = fresh();
    let kind = if key.is_some() { "DPoP" } else { "Bearer" };
    let lifetime_s = world.oauth.token_lifetime_s;
    let answer = json!({"token_type": kind, "expires_in": lifetime_s, "access_token": value, "scope": field("scope")});
    let token = AccessToken {
        scopes: asked,
        expires_ms: world
            .clock
            .now_ms()
            .saturating_add(lifetime_s.saturating_mul(1000)),
        key,
    };
    let bound = token.key.is_some();
    world.oauth.tokens.insert(value, token);
    let reply = Reply::json(200, answer);
    Ok(match bound {
        true => reply.with("dpop-nonce", world.oauth.token_nonce.as_str()),
        false => reply,
    })
}

/// The app that signed an assertion which is good and was not used before.
fn authenticate(world: &mut OktaWorld, assertion: &str, url: &str) -> Result<String, Refused> {
    let invalid = |description: &str| refuse(401, "invalid_client", description);
    let Some(jwt) = Jwt::read(assertion) else {
        return invalid("The client_assertion is not a JWT.");
    };
    let client_id = jwt.claim("sub").unwrap_or_default().to_owned();
    let Some(app) = world.oauth.apps.get(&client_id).filter(|app| app.active) else {
        return invalid("Invalid value for 'client_id' parameter.");
    };
    let key_id = &jwt.header["kid"];
    let named = app
        .keys
        .iter()
        .find(|key| !key_id.is_null() && key["kid"] == *key_id);
    let Some(key) = named else {
        return invalid("The client_assertion JWT kid is invalid.");
    };
    if !jwt.is_signed_by(key) {
        return invalid("The client_assertion signature is invalid.");
    }
    if jwt.claim("iss") != Some(&client_id) {
        return invalid("The issuer of the client_assertion is invalid.");
    }
    if jwt.claim("aud") != Some(url) {
        return invalid("The audience of the client_assertion is invalid.");
    }
    if !jwt.is_in_force(world.clock.now_ms().div_euclid(1000)) {
        return invalid("The client_assertion token is expired or issued in the future.");
    }
    if let Some(id) = jwt.claim("jti")
        && !world
            .oauth
            .used
            .insert(format!("assertion {client_id} {id}"))
    {
        return invalid("The client_assertion token was already used.");
    }
    Ok(client_id)
}

/// The key that the token is to be bound to: that of the proof, which an app may demand.
fn possession(
    world: &mut OktaWorld,
    call: &Call,
    client_id: &str,
    url: &str,
) -> Result<Option<String>, Refused> {
    if call.header("dpop").is_none() {
        return match world.oauth.apps[client_id].require_dpop {
            true => refuse(
                400,
                "invalid_dpop_proof",
                "The DPoP proof JWT header is missing.",
            ),
            false => Ok(None),
        };
    }
    let now_s = world.clock.now_ms().div_euclid(1000);
    let proof = match jwt::proof(call, url, now_s) {
        Ok(proof) => proof,
        Err(why) => return refuse(400, "invalid_dpop_proof", format!("The DPoP proof: {why}.")),
    };
    if !world.oauth.used.insert(format!("proof {}", proof.id)) {
        return refuse(400, "invalid_dpop_proof", "The DPoP proof: already used.");
    }
    if proof.nonce.as_ref() != Some(&world.oauth.token_nonce) {
        return Err(Refused {
            status: 400,
            error: "use_dpop_nonce",
            description: "Authorization server requires nonce in DPoP proof.".to_owned(),
            nonce: Some(world.oauth.token_nonce.clone()),
        });
    }
    Ok(Some(proof.key))
}
