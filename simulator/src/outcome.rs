//! The answer to a call: the model's own, or what faults make of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::call::{Call, Content, Past, Reply};
use super::fault::{Absence, FaultKind, Links, Moment, RateHeaders};
use super::model::Model;
use super::strike::Strike;
use super::traffic::Traffic;

/// What the server sends.
pub(super) enum Sent {
    Reply(Reply),
    InHalves(Reply, Rest),
    Drop,
}

/// What becomes of the second half of a body.
pub(super) enum Rest {
    /// It comes after a pause.
    Late(Duration),
    /// The connection breaks instead.
    Never,
}

/// Asks the model, and plays the faults that strike this call.
pub(super) async fn run<M: Model>(model: &M, traffic: &Traffic, call: &mut Call) -> Sent {
    let mut strikes = traffic.strike(call);
    for strike in &strikes {
        prepare(strike, call).await;
    }
    let mut reply = match strikes.iter().all(needs_answer) {
        true => {
            let reply = model.answer(call).await;
            call.handled = Some(reply.status);
            reply
        }
        false => Reply::json(200, json!({"data": []})),
    };
    // A fault that changes an answer also changes one that another fault put in the place of the service's.
    strikes.sort_by_key(|strike| !strike.kind.replaces() && strike.allowance.is_none());
    let mut rest = None;
    let mut dropped = false;
    for strike in strikes {
        let (id, counts) = (strike.id, strike.allowance.is_none());
        let changed = match strike.kind {
            FaultKind::DropConnection => {
                dropped = true;
                true
            }
            FaultKind::TruncatedBody => {
                rest = Some(Rest::Never);
                true
            }
            FaultKind::SlowBody(pause) => {
                rest = Some(Rest::Late(pause));
                true
            }
            _ => bend(model, strike, call, &mut reply).await,
        };
        if !changed && counts {
            traffic.missed(id);
        }
    }
    match (dropped, rest) {
        (true, _) => Sent::Drop,
        (false, Some(rest)) => Sent::InHalves(reply, rest),
        (false, None) => Sent::Reply(reply),
    }
}

/// Whether the model is asked although this fault strikes.
fn needs_answer(strike: &Strike) -> bool {
    match &strike.kind {
        _ if strike.moment == Moment::AfterEffect => true,
        FaultKind::CallBudget { .. } => strike.allowance.as_ref().is_some_and(|a| a.left.is_some()),
        // Only an existing object can be denied, so the model has to say. Asking it has no effect.
        FaultKind::NotFound(_) => true,
        kind => !kind.replaces(),
    }
}

/// What has to be known before the model is asked.
async fn prepare(strike: &Strike, call: &mut Call) {
    match &strike.kind {
        FaultKind::StaleRead => call.past = Past::BeforeLastChange,
        FaultKind::Frozen => call.past = Past::When(strike.id),
        FaultKind::ShortPage(items) => call.page_cap = Some(*items),
        FaultKind::Lacks(ids) => call.hidden.extend(ids.iter().cloned()),
        FaultKind::MemberLag(lag) => call.member_lag = Some(*lag),
        FaultKind::Links(Links::Circle) => {
            call.without_offset = call.query("offset").is_some_and(|offset| offset != "0");
            call.query.retain(|(name, _)| name != "offset");
        }
        FaultKind::Delay(pause) if strike.moment == Moment::BeforeEffect => {
            tokio::time::sleep(*pause).await;
        }
        FaultKind::Held(hold) if strike.moment == Moment::BeforeEffect => hold.wait().await,
        _ => {}
    }
}

/// Changes an answer as the fault says. Returns whether it is another answer now.
async fn bend<M: Model>(model: &M, strike: Strike, call: &Call, reply: &mut Reply) -> bool {
    let exists = reply.status < 300;
    match strike.kind {
        FaultKind::Status {
            code,
            headers,
            body,
        } => {
            *reply = Reply::text(code, "application/json", body);
            for (name, value) in headers {
                reply.headers.push((name, value.into_bytes()));
            }
            true
        }
        FaultKind::WrongJson => {
            *reply = Reply::json(200, json!({"surprise": [1, "two", null]}));
            true
        }
        FaultKind::Delay(pause) => {
            if strike.moment == Moment::AfterEffect {
                tokio::time::sleep(pause).await;
            }
            true
        }
        FaultKind::Held(hold) => {
            if strike.moment == Moment::AfterEffect {
                hold.wait().await;
            }
            true
        }
        FaultKind::NotFound(absence) if exists => {
            *reply = match absence {
                Absence::Service => model.absent(call),
                Absence::Empty => Reply::empty(404),
                Absence::Object => Reply::json(404, json!({})),
                Absence::NoRoute => Reply::json(
                    404,
                    json!({"message": "no Route matched with those values"}),
                ),
                Absence::Text => Reply::text(404, "text/plain", "404 page not found"),
            };
            true
        }
        FaultKind::NotFound(_) => false,
        FaultKind::Refused(refused) | FaultKind::TokenDies(refused) => {
            *reply = model.refused(call, refused);
            true
        }
        FaultKind::CallBudget { calls, .. } => {
            let Some(allowance) = strike.allowance else {
                return false;
            };
            match allowance.left {
                None => *reply = Reply::empty(503),
                Some(left) => {
                    reply.set("x-ratelimit-limit", calls.to_string());
                    reply.set("x-ratelimit-remaining", left.to_string());
                    reply.set("x-ratelimit-reset", allowance.reset_s.to_string());
                }
            }
            true
        }
        FaultKind::PagesAbove(_) => {
            *reply = model.broken(call);
            true
        }
        FaultKind::EmptyList => exists && empty(reply),
        FaultKind::LostItem => exists && lose_last_item(reply),
        FaultKind::Lacks(_) | FaultKind::MemberLag(_) => exists && call.hid,
        FaultKind::StaleRead | FaultKind::Frozen => exists && call.was_past,
        FaultKind::ShortPage(_) => true,
        FaultKind::RateHeaders(form) => rate_headers(reply, form),
        FaultKind::Links(form) => links(call, reply, form),
        FaultKind::Changed { id, pointer, value } => {
            exists && edit(reply, id.as_deref(), &pointer, Some(&value))
        }
        FaultKind::Removed { id, pointer } => exists && edit(reply, id.as_deref(), &pointer, None),
        FaultKind::DropConnection | FaultKind::TruncatedBody | FaultKind::SlowBody(_) => true,
    }
}

/// The items of a list in either vendor's form.
fn items(content: &mut Content) -> Option<&mut Vec<Value>> {
    match content {
        Content::Json(Value::Array(items)) => Some(items),
        Content::Json(Value::Object(list)) => list.get_mut("data")?.as_array_mut(),
        _ => None,
    }
}

fn empty(reply: &mut Reply) -> bool {
    let Some(items) = items(&mut reply.content) else {
        return false;
    };
    let had = !items.is_empty();
    items.clear();
    if let Content::Json(list) = &mut reply.content
        && let Some(total) = list.get_mut("total")
    {
        *total = Value::from(0);
    }
    reply
        .headers
        .retain(|(name, value)| name != "link" || !is_next(value));
    had
}

/// Leaves out the last item of the list; its total stays.
fn lose_last_item(reply: &mut Reply) -> bool {
    items(&mut reply.content).is_some_and(|items| items.pop().is_some())
}

fn is_next(link: &[u8]) -> bool {
    link.ends_with(b"rel=\"next\"")
}

fn rate_headers(reply: &mut Reply, form: RateHeaders) -> bool {
    let is_rate =
        |name: &str| name.starts_with("x-rate-limit-") || name.starts_with("x-ratelimit-");
    let mut given = Vec::new();
    let mut changed = false;
    for (name, value) in reply.headers.drain(..) {
        if !is_rate(&name) {
            given.push((name, value));
            continue;
        }
        changed = true;
        let text = String::from_utf8_lossy(&value).into_owned();
        let later = match text.parse::<u64>() {
            Ok(reset_s) if name.ends_with("reset") => (reset_s + 60).to_string(),
            _ => text.clone(),
        };
        match form {
            RateHeaders::Twice => {
                given.push((name.clone(), value));
                given.push((name, later.into_bytes()));
            }
            RateHeaders::List => given.push((name, format!("{text}, {later}").into_bytes())),
        }
    }
    reply.headers = given;
    changed
}

fn links(call: &Call, reply: &mut Reply, form: Links) -> bool {
    if form == Links::Circle {
        return circle(call, reply);
    }
    let mut changed = false;
    for (name, value) in &mut reply.headers {
        if name != "link" || !is_next(value) {
            continue;
        }
        let before = value.clone();
        match form {
            Links::RawByte => value.insert(1, 0xff),
            Links::NoBracket => value.retain(|&byte| byte != b'>'),
            Links::TwoRelations => {
                value.truncate(value.len() - b"next\"".len());
                value.extend_from_slice(b"next last\"");
            }
            Links::DropExpand => {
                let text = String::from_utf8_lossy(value).into_owned();
                *value = without_parameter(&text, "expand").into_bytes();
            }
            Links::Circle => {}
        }
        changed |= *value != before;
    }
    changed
}

fn without_parameter(link: &str, parameter: &str) -> String {
    let Some((address, relation)) = link.split_once('>') else {
        return link.to_owned();
    };
    let Some((path, query)) = address.split_once('?') else {
        return link.to_owned();
    };
    let other = |pair: &&str| pair.split('=').next() != Some(parameter);
    let kept: Vec<&str> = query.split('&').filter(other).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{path}{mark}{}>{relation}", kept.join("&"))
}

/// The last page leads to the first. Anypoint has no links: its `offset` was taken away before it was asked.
fn circle(call: &Call, reply: &mut Reply) -> bool {
    if reply.headers.iter().any(|(_, value)| is_next(value)) {
        return false;
    }
    let own = reply
        .headers
        .iter()
        .find(|(name, value)| name == "link" && value.ends_with(b"rel=\"self\""));
    let Some((_, own)) = own else {
        return call.without_offset;
    };
    let first = String::from_utf8_lossy(own).replace("rel=\"self\"", "rel=\"next\"");
    let first = without_parameter(&first, "after");
    reply.headers.push(("link".to_owned(), first.into_bytes()));
    true
}

/// Gives an attribute another value, or takes it away.
fn edit(reply: &mut Reply, id: Option<&str>, pointer: &str, value: Option<&Value>) -> bool {
    let Some(id) = id else {
        if let Some(items) = items(&mut reply.content) {
            let mut changed = false;
            for item in items {
                changed |= put(item, pointer, value);
            }
            return changed;
        }
        return match &mut reply.content {
            Content::Json(object) => put(object, pointer, value),
            _ => false,
        };
    };
    match &mut reply.content {
        Content::Json(body) => edit_within(body, id, pointer, value),
        _ => false,
    }
}

/// Edits the objects with this id, wherever they stand.
fn edit_within(within: &mut Value, id: &str, pointer: &str, value: Option<&Value>) -> bool {
    let is_it = |name: &str| within.get(name).and_then(Value::as_str) == Some(id);
    if is_it("id") || is_it("team_id") || is_it("uuid") {
        return put(within, pointer, value);
    }
    let inner: Vec<&mut Value> = match within {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    let mut changed = false;
    for inner in inner {
        changed |= edit_within(inner, id, pointer, value);
    }
    changed
}

fn put(object: &mut Value, pointer: &str, value: Option<&Value>) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return false;
    };
    let Some(Value::Object(fields)) = object.pointer_mut(parent) else {
        return false;
    };
    let before = match value {
        Some(value) => fields.insert(name.to_owned(), value.clone()),
        None => fields.remove(name),
    };
    before.as_ref() != value
}
