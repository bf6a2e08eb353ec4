//! Pages: `limit`, an opaque `after`, and one `Link` header a relation (Okta API, pagination).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::super::refusal::Refusal;
use crate::call::{Call, Reply};

/// The page size asked for. More than the largest is taken for the largest, though no document says so.
pub(super) fn limit(
    call: &mut Call,
    default: usize,
    smallest: usize,
    largest: usize,
) -> Result<usize, Refusal> {
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
                return Err(Refusal::invalid("limit", cause).outside());
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

/// Cuts a list, ordered by key, down to one page.
pub(super) fn cut<'a, T: 'a>(
    call: &mut Call,
    items: impl Iterator<Item = (&'a String, T)>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<T>, Option<String>) {
    let mut taken = Vec::new();
    let mut last: Option<&String> = None;
    for (key, item) in items {
        if after.is_some_and(|after| key.as_str() <= after) {
            continue;
        }
        if !call.shows(key) {
            continue;
        }
        if taken.len() == limit {
            return (taken, last.cloned());
        }
        last = Some(key);
        taken.push(item);
    }
    (taken, None)
}
