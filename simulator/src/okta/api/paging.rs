//! Pages: `limit`, an opaque `after`, and one `Link` header per relation (Okta API, pagination).

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::super::refusal::Refusal;
use super::Answer;
use crate::call::{Call, Reply};

/// The page size asked for. A larger one than the largest counts as the largest, though no document says so.
pub(super) fn limit(
    call: &mut Call,
    default: usize,
    sizes: RangeInclusive<usize>,
) -> Result<usize, Refusal> {
    let (smallest, largest) = sizes.into_inner();
    let asked = match call.query("limit") {
        None => default,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (smallest..=largest).contains(&limit) => limit,
            Ok(limit) if limit > largest => {
                call.note(format!("limit {limit} is above {largest}"));
                largest
            }
            _ => {
                let cause = format!("The limit must be between {smallest} and {largest}");
                return Err(Refusal::invalid("limit", cause).undocumented());
            }
        },
    };
    Ok(asked.min(call.page_cap.unwrap_or(usize::MAX)).max(1))
}

/// What the `after` of this call stands for.
pub(super) fn after(call: &Call) -> Result<Option<String>, Refusal> {
    let Some(cursor) = call.query("after") else {
        return Ok(None);
    };
    let decoded = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded
        .as_deref()
        .and_then(|text| text.strip_prefix("after:"))
    {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Refusal::bad_cursor()),
    }
}

/// A page with its links; `next` is what the next page's `after` stands for.
pub(super) fn page(call: &Call, base: &str, items: Vec<Value>, next: Option<String>) -> Reply {
    let reply = Reply::json(200, Value::Array(items));
    let reply = reply.with("link", link(call, base, None, "self"));
    match next {
        None => reply,
        Some(next) => {
            let cursor = URL_SAFE_NO_PAD.encode(format!("after:{next}"));
            reply.with("link", link(call, base, Some(&cursor), "next"))
        }
    }
}

fn link(call: &Call, base: &str, after: Option<&str>, relation: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in &call.query {
        if after.is_none() || key != "after" {
            query.append_pair(key, value);
        }
    }
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("<{base}{}{mark}{query}>; rel=\"{relation}\"", call.path)
}

/// The page that the call asks for of a list, which is ordered by id.
pub(super) fn list<'a, T: 'a>(
    call: &mut Call,
    base: &str,
    (default, sizes): (usize, RangeInclusive<usize>),
    items: impl Iterator<Item = (&'a String, T)>,
    render: impl Fn(T) -> Value,
) -> Answer {
    let limit = limit(call, default, sizes)?;
    let after = after(call)?;
    let is_behind = |id: &String| after.as_ref().is_none_or(|after| id > after);
    let mut shown = Vec::new();
    let mut last: Option<&String> = None;
    let mut next = None;
    for (id, item) in items {
        if !is_behind(id) || !call.shows(id) {
            continue;
        }
        if shown.len() == limit {
            next = last.cloned();
            break;
        }
        last = Some(id);
        shown.push(render(item));
    }
    Ok(page(call, base, shown, next))
}
