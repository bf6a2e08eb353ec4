//! `/api/v1/logs` (Okta API, System Log): polling and bounded requests.

use super::super::log::{ACTOR, LogEvent, Target};
use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::paging::{after, limit, page};
use super::{Answer, base, expression};
use crate::call::Call;
use crate::clock::{iso, parse_iso};

/// Without `since`, a request looks this far back.
const DEFAULT_SPAN_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How far back `since` may be.
const MAX_SPAN_MS: i64 = 180 * 24 * 60 * 60 * 1000;

pub(super) fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query("since until after filter q limit sortOrder");
    let now = world.clock.now_ms();
    let since = time(call, "since")?.unwrap_or(now - DEFAULT_SPAN_MS);
    let until = time(call, "until")?;
    if since < now - MAX_SPAN_MS {
        return Err(Refusal::invalid("since", "since: more than 180 days ago").undocumented());
    }
    let known = "eventType uuid outcome.result published actor.id target.id target.type";
    let filter = expression(call.query("filter"), known)?;
    let limit = limit(call, 100, 0..=1000)?;
    let newest_first = match call.query("sortOrder") {
        None | Some("ASCENDING") => false,
        Some("DESCENDING") => true,
        Some(_) => {
            return Err(
                Refusal::invalid("sortOrder", "sortOrder: ASCENDING or DESCENDING").undocumented(),
            );
        }
    };
    let start = match after(call)? {
        None => 0,
        Some(text) => text.parse::<usize>().map_err(|_| Refusal::bad_cursor())?,
    };
    let matches = |event: &LogEvent| {
        event.published_ms >= since
            && until.is_none_or(|until| event.published_ms < until)
            && filter
                .as_ref()
                .is_none_or(|filter| filter.matches_any(&|name| attributes(event, name)))
    };
    let base = base(world, call);

    // Polling: in the order of persistence, and there is always a next page.
    if until.is_none() && !newest_first {
        let mut items = Vec::new();
        let mut position = start.min(world.log.len());
        for event in world.log.iter().skip(position) {
            if items.len() == limit {
                break;
            }
            position += 1;
            if matches(event) {
                items.push(event.to_json());
            }
        }
        return Ok(page(call, &base, items, Some(position.to_string())));
    }

    let mut found: Vec<&LogEvent> = world.log.iter().filter(|event| matches(event)).collect();
    found.sort_by_key(|event| event.published_ms);
    if newest_first {
        found.reverse();
    }
    let items: Vec<_> = found
        .iter()
        .skip(start)
        .take(limit)
        .map(|event| event.to_json())
        .collect();
    let end = start + items.len();
    let next = (end < found.len()).then(|| end.to_string());
    Ok(page(call, &base, items, next))
}

fn time(call: &Call, name: &str) -> Result<Option<i64>, Refusal> {
    match call.query(name) {
        None => Ok(None),
        Some(text) => match parse_iso(text) {
            Some(ms) => Ok(Some(ms)),
            None => {
                Err(Refusal::invalid(name, format!("{name}: not an ISO 8601 time")).undocumented())
            }
        },
    }
}

/// The values of an attribute; an event has several targets.
fn attributes(event: &LogEvent, name: &str) -> Vec<String> {
    let of_targets = |value: fn(&Target) -> &String| event.targets.iter().map(value).cloned();
    match name {
        "eventType" => vec![event.event_type.clone()],
        "uuid" => vec![event.uuid.clone()],
        "outcome.result" => vec![event.outcome.clone()],
        "published" => vec![iso(event.published_ms)],
        "actor.id" => vec![ACTOR.to_owned()],
        "target.id" => of_targets(|target| &target.id).collect(),
        "target.type" => of_targets(|target| &target.kind).collect(),
        _ => Vec::new(),
    }
}
