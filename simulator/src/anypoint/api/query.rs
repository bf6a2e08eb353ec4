//! `limit`, `offset`, filters, and the page they make.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use crate::call::{Call, Reply};

fn number(call: &Call, name: &str, default: usize) -> Result<usize, Refusal> {
    match call.query(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| Refusal::parameter(name, "type", "must be an integer")),
    }
}

/// Cuts a list down to the page asked for; the items not on it are not rendered.
pub(super) fn page<T>(
    call: &mut Call,
    mut items: Vec<T>,
    id: impl Fn(&T) -> &str,
    render: impl Fn(&T) -> Value,
) -> Result<Reply, Refusal> {
    let limit = number(call, "limit", 25)?;
    if !(1..=500).contains(&limit) {
        let message = "must be between 1 and 500";
        return Err(Refusal::parameter("limit", "maximum", message));
    }
    let offset = number(call, "offset", 0)?;
    let limit = limit.min(call.page_cap.unwrap_or(limit));
    items.retain(|item| call.shows(id(item)));
    let data: Vec<Value> = items.iter().skip(offset).take(limit).map(render).collect();
    Ok(Reply::json(
        200,
        json!({"data": data, "total": items.len()}),
    ))
}

/// A flag, refused if it is neither `true` nor `false`.
pub(super) fn flag(call: &Call, name: &str) -> Result<Option<bool>, Refusal> {
    match call.query(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Refusal::parameter(name, "type", "must be a boolean")),
    }
}

/// One of some words.
pub(super) fn word<'a>(
    call: &'a Call,
    name: &str,
    words: &[&str],
) -> Result<Option<&'a str>, Refusal> {
    match call.query(name) {
        Some(text) if !words.contains(&text) => {
            let message = format!("must be one of {}", words.join(", "));
            Err(Refusal::parameter(name, "enum", message))
        }
        other => Ok(other),
    }
}

/// An array parameter: comma-separated, repeated, or both. `None` if it is absent.
pub(super) fn list(call: &Call, name: &str) -> Option<Vec<String>> {
    let given = call.query.iter().filter(|(key, _)| key == name);
    let values: Vec<String> = given
        .flat_map(|(_, value)| value.split(',').map(str::to_owned))
        .collect();
    (!values.is_empty()).then_some(values)
}

/// Whether `text` contains `part`, ignoring case. `part` is in lower case.
pub(super) fn contains(text: &str, part: &str) -> bool {
    if text.is_ascii() && part.is_ascii() {
        return part.is_empty()
            || text
                .as_bytes()
                .windows(part.len())
                .any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    }
    text.to_lowercase().contains(part)
}
