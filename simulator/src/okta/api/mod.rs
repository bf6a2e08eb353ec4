//! The HTTP face of the org: who may come in, which path leads where.

mod apps;
mod groups;
mod hooks;
mod logs;
mod paging;
mod render;
mod users;

use std::time::Duration;

use serde_json::{Value, json};

use super::deliver;
use super::expression::Expression;
use super::oauth;
use super::objects::Profile;
use super::refusal::Refusal;
use super::world::OktaWorld;
use crate::call::{Call, Reply};
use crate::cell::WorldCell;
use crate::fault::Refused;
use crate::model::Model;

/// The org as a server model.
pub(super) struct Okta {
    pub cell: WorldCell<OktaWorld>,
    pub tokens: Vec<String>,
    pub page_cap: Option<usize>,
    pub client: reqwest::Client,
}

type Answer = Result<Reply, Refusal>;

impl Model for Okta {
    async fn answer(&self, call: &mut Call) -> Reply {
        let reply = match self.admit(call) {
            Err(reply) => *reply,
            Ok(()) => {
                let answer = match check(call) {
                    Err(refusal) => Err(refusal),
                    Ok(()) => self.route(call).await,
                };
                answer.unwrap_or_else(|refusal| {
                    if refusal.undocumented {
                        call.note(refusal.to_string());
                    }
                    refusal.reply()
                })
            }
        };
        self.with_common_headers(reply)
    }

    fn absent(&self, call: &Call) -> Reply {
        let id = call.segments().pop().unwrap_or_default();
        self.with_common_headers(Refusal::not_found("Resource", &id).reply())
    }

    fn refused(&self, _: &Call, refused: Refused) -> Reply {
        let reply = match refused {
            Refused::Credentials => Refusal::invalid_token().reply(),
            Refused::Session => Refusal::invalid_session().reply(),
            Refused::Right => Refusal::no_permission().reply(),
            Refused::SignIn => Reply::json(
                401,
                json!({"error": "invalid_client",
                       "error_description": "The client_assertion signature is invalid."}),
            ),
        };
        self.with_common_headers(reply)
    }

    fn broken(&self, _: &Call) -> Reply {
        self.with_common_headers(Refusal::new(500, "E0000009", "Internal Server Error").reply())
    }

    fn world(&self) -> serde_json::Result<Value> {
        serde_json::to_value(&*self.cell.guard())
    }

    fn replace_world(&self, world: Value) -> serde_json::Result<()> {
        let mut new: OktaWorld = serde_json::from_value(world)?;
        let mut guard = self.cell.guard();
        new.collect = guard.collect;
        new.outbox = std::mem::take(&mut guard.outbox);
        *guard = new;
        Ok(())
    }

    fn advance(&self, time: Duration) {
        self.cell.guard().quietly().clock.advance(time);
    }
}

impl Okta {
    /// The answer with the headers that all answers have.
    fn with_common_headers(&self, reply: Reply) -> Reply {
        let now =
            jiff::Timestamp::from_millisecond(self.cell.guard().clock.now_ms()).unwrap_or_default();
        let reset = now.as_second() + 60;
        reply
            .with(
                "date",
                now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            )
            .with(
                "x-okta-request-id",
                uuid::Uuid::new_v4().simple().to_string(),
            )
            .with("x-rate-limit-limit", "600")
            .with("x-rate-limit-remaining", "599")
            .with("x-rate-limit-reset", reset.to_string())
    }

    /// Admits a caller that has the right to this call, and answers token requests.
    fn admit(&self, call: &mut Call) -> Result<(), Box<Reply>> {
        call.page_cap = call.page_cap.or(self.page_cap);
        if call.path == "/.well-known/okta-organization" {
            return Ok(());
        }
        let mut guard = self.cell.guard();
        let world = guard.quietly();
        let base = base(world, call);
        if call.path == "/oauth2/v1/token" {
            return Err(Box::new(oauth::token(world, call, &base)));
        }
        let token = call
            .header("authorization")
            .and_then(|value| value.strip_prefix("SSWS"))
            // The Python SDK 3 sends no blank.
            .map(str::trim_start);
        match token {
            Some(token) if self.tokens.iter().any(|known| known == token) => Ok(()),
            Some(_) => Err(Box::new(Refusal::invalid_token().reply())),
            None => oauth::admit(world, call, &base),
        }
    }

    async fn route(&self, call: &mut Call) -> Answer {
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let ["api", "v1", "eventHooks", id, "lifecycle", "verify"] = segments.as_slice()
            && call.method == "POST"
        {
            let id = (*id).to_owned();
            return self.verify(&id).await;
        }
        if call.method == "GET" {
            return match self.cell.past(call.past) {
                Some(mut past) => {
                    call.was_past = true;
                    answer(&mut past, call, &segments)
                }
                None => answer(self.cell.guard().quietly(), call, &segments),
            };
        }
        answer(&mut self.cell.guard(), call, &segments)
    }

    async fn verify(&self, id: &str) -> Answer {
        let hook = self.cell.guard().hooks.get(id).cloned();
        let hook = Refusal::unless_found(hook, "Webhook", id)?;
        let is_verified = deliver::verify(&self.client, &hook).await;
        let mut world = self.cell.guard();
        let hook = world
            .hooks
            .get_mut(id)
            .filter(|now| now.uri == hook.uri && now.auth_value == hook.auth_value);
        match hook {
            Some(hook) if is_verified => {
                hook.verified = true;
                let hook = hook.clone();
                ok(render::hook(&hook, &world.base_url))
            }
            _ => {
                let cause = format!("Unable to verify event hook. Hook {id} execution failed");
                Err(Refusal::invalid("eventHook", cause))
            }
        }
    }
}

/// Checks the rules that hold for every request of the API.
fn check(call: &mut Call) -> Result<(), Refusal> {
    let sends = call.method == "POST" || call.method == "PUT";
    if sends
        && call.header("content-length").is_none()
        && call.header("transfer-encoding").is_none()
    {
        return Err(Refusal::new(411, "E0000003", "Content-Length is required").undocumented());
    }
    if call.query.iter().any(|(_, value)| value.is_empty()) {
        call.note("empty query parameter");
    }
    if std::str::from_utf8(&call.body).is_ok_and(|text| text.chars().any(|c| c.len_utf8() > 3)) {
        let cause = "Characters of four bytes are not allowed";
        return Err(Refusal::invalid("body", cause));
    }
    Ok(())
}

pub(super) fn administer(world: &mut OktaWorld, mut call: Call) -> Result<(), Refusal> {
    let segments = call.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    answer(world, &mut call, &segments).map(drop)
}

fn answer(world: &mut OktaWorld, call: &mut Call, segments: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), segments) {
        ("GET", [".well-known", "okta-organization"]) => ok(
            json!({"id": world.org_id, "_links": {"organization": {"href": base(world, call)}}, "pipeline": "idx"}),
        ),
        ("GET", ["api", "v1", "org"]) => ok(
            json!({"id": world.org_id, "companyName": "Acme", "status": "ACTIVE", "subdomain": "acme",
                   "_links": {"self": {"href": base(world, call)}}}),
        ),
        ("GET", ["api", "v1", "api-tokens"]) => {
            let (base, now_ms) = (base(world, call), world.clock.now_ms());
            let tokens = world.api_tokens.values();
            let tokens = tokens.map(|token| render::api_token(token, now_ms, &base));
            ok(tokens.collect())
        }
        ("GET", ["api", "v1", "logs"]) => logs::list(world, call),
        (_, ["api", "v1", "users", rest @ ..]) => users::answer(world, call, rest),
        (_, ["api", "v1", "groups", rest @ ..]) => groups::answer(world, call, rest),
        (_, ["api", "v1", "apps", rest @ ..]) => apps::answer(world, call, rest),
        (_, ["api", "v1", "eventHooks", rest @ ..]) => hooks::answer(world, call, rest),
        _ => Err(Refusal {
            status: 404,
            ..wrong_method()
        }
        .undocumented()),
    }
}

fn no_such_endpoint() -> Answer {
    Err(wrong_method().undocumented())
}

fn wrong_method() -> Refusal {
    let text = "The endpoint does not support the provided HTTP method";
    Refusal::new(405, "E0000022", text)
}

/// The org's address as this caller reaches it, perhaps through a proxy that ends TLS.
fn base(world: &OktaWorld, call: &Call) -> String {
    let first = |name: &str| {
        let value = call.header(name)?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let scheme = first("x-forwarded-proto").unwrap_or("http");
    match first("x-forwarded-host").or_else(|| first("host")) {
        Some(host) => format!("{scheme}://{host}"),
        None => world.base_url.clone(),
    }
}

fn ok(value: Value) -> Answer {
    Ok(Reply::json(200, value))
}

/// A parsed `filter` or `search` over the attributes `known`, which blanks separate. A name that ends with a dot stands for
/// all that begin with it.
fn expression(text: Option<&str>, known: &str) -> Result<Option<Expression>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let parsed = Expression::parse(text).map_err(Refusal::bad_search)?;
    let is_unknown = |name: &&str| {
        let is_it = |known: &str| known == *name || known.ends_with('.') && name.starts_with(known);
        !known.split(' ').any(is_it)
    };
    if let Some(unknown) = parsed.attributes().into_iter().find(is_unknown) {
        return Err(Refusal::bad_search(format!("unknown attribute {unknown}")));
    }
    Ok(Some(parsed))
}

/// The `q` of a call: one of an object's names has to begin with it.
struct Start(Option<String>);

impl Start {
    fn of(call: &Call) -> Self {
        Self(call.query("q").map(str::to_lowercase))
    }

    fn fits(&self, names: &[&str]) -> bool {
        let begins = |start: &String| {
            names
                .iter()
                .any(|name| name.to_lowercase().starts_with(start))
        };
        self.0.as_ref().is_none_or(begins)
    }
}

fn object(call: &Call) -> Result<Profile, Refusal> {
    match call.json() {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err(Refusal::malformed()),
    }
}

fn profile_of(body: &mut Profile) -> Result<Profile, Refusal> {
    match body.remove("profile") {
        Some(Value::Object(profile)) => Ok(profile),
        _ => Err(Refusal::malformed()),
    }
}

fn text_of(fields: &Profile, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}
