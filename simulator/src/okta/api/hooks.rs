//! `/api/v1/eventHooks` (Okta API, Event Hooks); the verification call is made in the module above.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::filter::Condition;
use super::super::objects::{EventHook, HookFilters};
use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::{Answer, base, no_such_endpoint, object, ok, render};
use crate::call::{Call, Reply};

/// At most this many active hooks in an org.
const MAX_ACTIVE: usize = 25;

/// Event types a hook may subscribe to, by Okta's catalogue of May 2026 and its later release notes.
const ELIGIBLE: &str = include_str!("eligible.txt");

/// Where the list above is complete. Types that Okta has added elsewhere since are taken, and noted.
const KNOWN_NAMESPACES: [&str; 5] = ["application", "event_hook", "group", "policy", "user"];

fn is_eligible(call: &mut Call, event_type: &str) -> bool {
    if ELIGIBLE.lines().any(|known| known == event_type) {
        return true;
    }
    let namespace = event_type.split('.').next().unwrap_or_default();
    let may_be_new = event_type.contains('.') && !KNOWN_NAMESPACES.contains(&namespace);
    if may_be_new {
        call.note(format!("the event type {event_type} is not known"));
    }
    may_be_new
}

pub(super) fn answer(world: &mut OktaWorld, call: &mut Call, rest: &[&str]) -> Answer {
    let method = call.method.clone();
    let base = base(world, call);
    match (method.as_str(), rest) {
        ("GET", []) => {
            let hooks = world.hooks.values();
            ok(hooks.map(|hook| render::hook(hook, &base)).collect())
        }
        ("POST", []) => {
            let mut hook = read(call, None, world.hook_filters)?;
            let active = world.hooks.values().filter(|hook| hook.active).count();
            if active >= MAX_ACTIVE {
                let cause = "The maximum number of active event hooks is reached";
                return Err(Refusal::invalid("eventHook", cause));
            }
            let now = world.clock.tick();
            hook.id = world.new_id("who");
            hook.created = now;
            hook.last_updated = now;
            let answer = render::hook(&hook, &base);
            world.hooks.insert(hook.id.clone(), hook);
            ok(answer)
        }
        ("GET", [id]) => ok(render::hook(find(world, id)?, &base)),
        ("PUT", [id]) => {
            let now = world.clock.tick();
            let old = find(world, id)?.clone();
            let mut hook = read(call, Some(&old), world.hook_filters)?;
            let same_channel = hook.uri == old.uri
                && hook.headers == old.headers
                && hook.auth_key == old.auth_key
                && hook.auth_value == old.auth_value;
            hook.verified = old.verified && same_channel;
            hook.last_updated = now;
            let answer = render::hook(&hook, &base);
            world.hooks.insert(hook.id.clone(), hook);
            ok(answer)
        }
        ("DELETE", [id]) => {
            if find(world, id)?.active {
                let cause = "An active event hook cannot be deleted";
                return Err(Refusal::invalid("eventHook", cause));
            }
            world.hooks.remove(*id);
            Ok(Reply::empty(204))
        }
        ("POST", [id, "lifecycle", verb @ ("activate" | "deactivate")]) => {
            let now = world.clock.tick();
            let hook = Refusal::unless_found(world.hooks.get_mut(*id), "Webhook", id)?;
            hook.active = *verb == "activate";
            hook.last_updated = now;
            ok(render::hook(hook, &base))
        }
        _ => no_such_endpoint(),
    }
}

fn find<'a>(world: &'a OktaWorld, id: &str) -> Result<&'a EventHook, Refusal> {
    Refusal::unless_found(world.hooks.get(id), "Webhook", id)
}

/// A hook from a request body. A secret that is left out stays as it was.
fn read(
    call: &mut Call,
    old: Option<&EventHook>,
    filters: HookFilters,
) -> Result<EventHook, Refusal> {
    let body = object(call)?;
    let read_only = "id status verificationStatus created createdBy lastUpdated _links";
    call.documented_fields(
        &body,
        &format!("{read_only} name description events channel"),
    );
    let blank = |field: &str| Refusal::blank(field).undocumented();
    let text = |value: &Value, path: &str| Some(value.pointer(path)?.as_str()?.to_owned());
    let whole = Value::Object(body);
    let name = text(&whole, "/name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| blank("name"))?;
    let uri = text(&whole, "/channel/config/uri").ok_or_else(|| blank("channel.config.uri"))?;
    if url::Url::parse(&uri).is_err() {
        return Err(Refusal::invalid("channel.config.uri", "uri: not an address").undocumented());
    }
    if text(&whole, "/channel/type").as_deref() != Some("HTTP")
        || text(&whole, "/channel/version").is_none()
    {
        return Err(blank("channel"));
    }
    let list = |path: &str| Some(whole.pointer(path)?.as_array()?.iter());
    let events = list("/events/items").ok_or_else(|| blank("events"))?;
    let events = events.filter_map(Value::as_str);
    let events: Vec<String> = events.map(str::to_owned).collect();
    if events.is_empty() || text(&whole, "/events/type").as_deref() != Some("EVENT_TYPE") {
        return Err(blank("events"));
    }
    if let Some(other) = events.iter().find(|event| !is_eligible(call, event)) {
        let cause = format!("{other} is not eligible for event hooks");
        return Err(Refusal::invalid("events", cause).undocumented());
    }
    let filter = whole.pointer("/events/filter");
    let filter = match filter.filter(|filter| !filter.is_null()) {
        None => BTreeMap::new(),
        Some(filter) => match filters {
            HookFilters::Kept => read_filter(filter, &events)?,
            HookFilters::Dropped => BTreeMap::new(),
            HookFilters::Refused => {
                let text = "The event hook filter is not available for this organization";
                return Err(Refusal::invalid("events", text));
            }
        },
    };
    let headers = list("/channel/config/headers").into_iter().flatten();
    let pair = |header: &Value| Some((text(header, "/key")?, text(header, "/value")?));
    let auth = |name: &str| text(&whole, &format!("/channel/config/authScheme/{name}"));
    let kept = |new: Option<String>, old: Option<&String>| {
        new.or_else(|| old.cloned()).unwrap_or_default()
    };
    Ok(EventHook {
        id: old.map(|old| old.id.clone()).unwrap_or_default(),
        name,
        description: text(&whole, "/description"),
        active: match text(&whole, "/status") {
            Some(status) => status == "ACTIVE",
            None => old.is_none_or(|old| old.active),
        },
        verified: false,
        events,
        filter,
        uri,
        headers: headers.filter_map(pair).collect(),
        auth_key: kept(auth("key"), old.map(|old| &old.auth_key)),
        auth_value: kept(auth("value"), old.map(|old| &old.auth_value)),
        created: old.map(|old| old.created).unwrap_or_default(),
        last_updated: 0,
    })
}

/// The expressions of a filter by event type. One that is not understood is refused; one for a type that the hook is not
/// subscribed to as well.
fn read_filter(filter: &Value, events: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let refuse = |text: String| Refusal::invalid("events.filter", text).undocumented();
    let kind = filter.get("type");
    if kind.is_some_and(|kind| kind != "EXPRESSION_LANGUAGE") {
        return Err(refuse("The type has to be EXPRESSION_LANGUAGE".to_owned()));
    }
    let map = filter.get("eventFilterMap").and_then(Value::as_array);
    let map = map.ok_or_else(|| refuse("eventFilterMap is missing".to_owned()))?;
    let mut found = BTreeMap::new();
    for mapped in map {
        let event = mapped.get("event").and_then(Value::as_str);
        let expression = mapped.pointer("/condition/expression");
        let (Some(event), Some(expression)) = (event, expression.and_then(Value::as_str)) else {
            return Err(refuse("An event or its expression is missing".to_owned()));
        };
        if !events.iter().any(|subscribed| subscribed == event) {
            return Err(refuse(format!("{event} is not subscribed to")));
        }
        Condition::parse(expression).map_err(|fault| refuse(format!("{event}: {fault}")))?;
        found.insert(event.to_owned(), expression.to_owned());
    }
    Ok(found)
}
