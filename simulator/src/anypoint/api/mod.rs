//! The HTTP face of the control plane: tokens, scopes, which path leads where.

mod members;
mod query;
mod render;
mod teams;
mod users;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::world::{AnypointWorld, Mail, NATIVE};
use crate::call::{Call, Reply};
use crate::cell::WorldCell;
use crate::fault::Refused;
use crate::model::Model;

/// Request bodies above this are refused (the validation layer's default).
const MAX_BODY_BYTES: usize = 100 * 1024;

/// The control plane as a server model.
pub(super) struct Anypoint {
    pub cell: WorldCell<AnypointWorld>,
    pub page_cap: Option<usize>,
}

type Answer = Result<Reply, Refusal>;

impl Model for Anypoint {
    async fn answer(&self, call: &mut Call) -> Reply {
        call.page_cap = call.page_cap.or(self.page_cap);
        let past = match call.method == "GET" {
            true => self.cell.past(call.past),
            false => None,
        };
        let answer = if let Some(mut past) = past {
            call.was_past = true;
            // The state that is read is past, but the tokens are the present ones.
            past.tokens.clone_from(&self.cell.guard().tokens);
            answer(&mut past, call)
        } else if call.method == "GET" || call.path.ends_with("/oauth2/token") {
            answer(self.cell.guard().quietly(), call)
        } else {
            answer(&mut self.cell.guard(), call)
        };
        let reply = answer.unwrap_or_else(|refusal| {
            if refusal.undocumented {
                call.note(refusal.to_string());
            }
            refusal.reply(call)
        });
        with_common_headers(reply)
    }

    fn absent(&self, call: &Call) -> Reply {
        with_common_headers(Refusal::missing("Resource").reply(call))
    }

    fn refused(&self, call: &Call, refused: Refused) -> Reply {
        with_common_headers(match refused {
            Refused::Credentials | Refused::Session => Refusal::unauthorized().reply(call),
            Refused::Right => Refusal::forbidden().reply(call),
            Refused::SignIn => invalid_client(),
        })
    }

    fn broken(&self, call: &Call) -> Reply {
        with_common_headers(Refusal::internal().reply(call))
    }

    fn world(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&*self.cell.guard())
    }

    fn replace_world(&self, world: Value) -> serde_json::Result<()> {
        let mut new: AnypointWorld = serde_json::from_value(world)?;
        let mut guard = self.cell.guard();
        new.tokens = std::mem::take(&mut guard.tokens);
        *guard = new;
        Ok(())
    }

    fn advance(&self, time: Duration) {
        self.cell.guard().quietly().clock.advance(time);
    }
}

/// The answer with the headers that all answers have.
fn with_common_headers(reply: Reply) -> Reply {
    let reset = jiff::Timestamp::now().as_second() + 60;
    reply
        .with("x-ratelimit-limit", "1000")
        .with("x-ratelimit-remaining", "999")
        .with("x-ratelimit-reset", reset.to_string())
}

fn answer(world: &mut AnypointWorld, call: &mut Call) -> Answer {
    let segments = call.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["accounts", "api", rest @ ..] = segments.as_slice() else {
        return unknown();
    };
    if let Some((name, _)) = call.query.iter().find(|(_, value)| value.is_empty()) {
        return Err(Refusal::parameter(name, "minLength", "must not be empty"));
    }
    if call.body.len() > MAX_BODY_BYTES {
        return Err(Refusal::too_large());
    }
    let method = call.method.clone();
    match (method.as_str(), rest) {
        ("POST", ["v2", "oauth2", "token"]) => return token(world, call),
        ("POST", ["recover", "password"]) => return recover(world, call),
        ("GET", ["username", name]) => {
            return match world.username_taken(name) {
                true => ok(json!({})),
                false => Err(Refusal::missing("Username")),
            };
        }
        _ => {}
    }
    authenticate(world, call)?;
    match (method.as_str(), rest) {
        ("GET", ["me"]) => ok(render::me(world)),
        ("GET", ["users", "me"]) => ok(render::creator(world)),
        (_, ["organizations", org, rest @ ..]) => {
            if *org != world.org_id {
                return Err(Refusal::missing("Organization"));
            }
            in_organization(world, call, rest)
        }
        _ => unknown(),
    }
}

pub(super) fn administer(world: &mut AnypointWorld, mut call: Call) -> Result<(), Refusal> {
    let segments = call.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    people_and_teams(world, &mut call, &segments).map(drop)
}

fn in_organization(world: &mut AnypointWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let read = call.method == "GET";
    let has = |scope: &str| world.scopes.contains(scope) || world.scopes.contains("full");
    match rest {
        ["users", ..] if has("edit:orgusers") || (read && has("read:orgusers")) => {}
        ["teams", ..] if has("admin:access_controls") => {}
        ["teams", ..] if read && has("view:access_controls") => {}
        // Documented for writes on teams: 401, not 403, for a missing permission.
        ["teams", ..] if !read => return Err(Refusal::unauthorized()),
        [] | ["environments" | "identityProviderSettings"] if !read => return unknown(),
        [] | ["environments" | "identityProviderSettings"] if has("read:organization") => {}
        [] | ["users" | "teams", ..] | ["environments" | "identityProviderSettings"] => {
            return Err(Refusal::forbidden());
        }
        _ => {}
    }
    match rest {
        [] => ok(render::whole_organization(world)),
        ["environments"] => ok(render::environments(world)),
        ["identityProviderSettings"] => ok(
            json!({"allow_new_non_sso_users": world.native_accounts, "bypass_expiration": false}),
        ),
        _ => people_and_teams(world, call, rest),
    }
}

fn people_and_teams(world: &mut AnypointWorld, call: &mut Call, rest: &[&str]) -> Answer {
    match rest {
        ["users", rest @ ..] => users::answer(world, call, rest),
        ["teams", team, "members", rest @ ..] => members::answer(world, call, team, rest),
        ["teams", rest @ ..] => teams::answer(world, call, rest),
        _ => unknown(),
    }
}

fn ok(value: Value) -> Answer {
    Ok(Reply::json(200, value))
}

fn unknown() -> Answer {
    Err(Refusal::missing("Resource").undocumented())
}

fn wrong_method() -> Answer {
    Err(Refusal::wrong_method("Method not supported for this resource").undocumented())
}

fn authenticate(world: &AnypointWorld, call: &Call) -> Result<(), Refusal> {
    let (scheme, token) = call
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    let ends = world.tokens.get(token).copied().unwrap_or_default();
    match scheme.eq_ignore_ascii_case("bearer") && ends > world.clock.now_ms() {
        true => Ok(()),
        false => Err(Refusal::unauthorized()),
    }
}

fn invalid_client() -> Reply {
    let error =
        json!({"error": "invalid_client", "error_description": "Client authentication failed"});
    Reply::json(401, error)
}

fn token(world: &mut AnypointWorld, call: &mut Call) -> Answer {
    let body = call.json_or_form().unwrap_or_default();
    let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if field("grant_type") != "client_credentials" {
        call.note("grant_type is not client_credentials");
        return Ok(Reply::json(400, json!({"error": "unsupported_grant_type"})));
    }
    if field("client_id") != world.client_id || field("client_secret") != world.client_secret {
        return Ok(invalid_client());
    }
    let token = uuid::Uuid::new_v4().to_string();
    let lifetime = i64::try_from(world.token_lifetime_s).unwrap_or(i64::MAX / 1000);
    let ends = world
        .clock
        .now_ms()
        .saturating_add(lifetime.saturating_mul(1000));
    world.tokens.insert(token.clone(), ends);
    let answer = json!({"access_token": token, "expires_in": world.token_lifetime_s, "token_type": "bearer"});
    ok(answer)
}

fn recover(world: &mut AnypointWorld, call: &mut Call) -> Answer {
    let body = object(call)?;
    let username = required_text(&body, "username")?;
    let fits = |user: &&super::world::AnypointUser| {
        user.idprovider_id == NATIVE
            && user.username.eq_ignore_ascii_case(username)
            && !username.contains('@')
    };
    if let Some(user) = world.users.values().find(fits) {
        let mail = Mail {
            username: user.username.clone(),
            email: user.email.clone(),
            at_ms: world.clock.now_ms(),
        };
        world.mails.push(mail);
    }
    Ok(Reply::text(200, "text/plain; charset=utf-8", "OK"))
}

/// A JSON body, sent as JSON.
fn json_body(call: &Call) -> Result<Value, Refusal> {
    let is_json = call
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/json"));
    call.json().filter(|_| is_json).ok_or_else(Refusal::body)
}

fn object(call: &Call) -> Result<Map<String, Value>, Refusal> {
    match json_body(call)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::body()),
    }
}

fn array(call: &Call) -> Result<Vec<Value>, Refusal> {
    match json_body(call)? {
        Value::Array(items) => Ok(items),
        _ => Err(Refusal::body()),
    }
}

fn required_text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match body.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(Value::String(_)) => Err(Refusal::field(name, "minLength", "must not be empty")),
        Some(_) => Err(Refusal::field(name, "type", "must be a string")),
        None => {
            let message = format!("must have required property '{name}'");
            Err(Refusal::field(name, "required", message))
        }
    }
}
