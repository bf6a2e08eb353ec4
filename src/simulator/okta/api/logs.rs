//! `/api/v1/logs` (Okta API, System Log): polling and bounded requests.

use super::super::expression::Expression;
use super::super::log::LogEvent;
use super::super::refusal::Refusal;
use super::super::world::OktaWorld;
use super::paging::{after, limit, page};
use super::{Answer, base};
use crate::simulator::call::Call;
use crate::simulator::clock::parse_iso;

/// Without `since`, a request looks this far back.
const DEFAULT_SPAN_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How far back `since` may be.
const LARGEST_SPAN_MS: i64 = 180 * 24 * 60 * 60 * 1000;

pub(super) fn list(world: &OktaWorld, call: &mut Call) -> Answer {
    call.documented_query(&[
        "since",
        "until",
        "after",
        "filter",
        "q",
        "limit",
        "sortOrder",
    ]);
    let now = world.clock.now_ms();
    let since = time(call, "since")?.unwrap_or(now - DEFAULT_SPAN_MS);
    let until = time(call, "until")?;
    if since < now - LARGEST_SPAN_MS {
        return Err(Refusal::invalid("since", "since: more than 180 days ago").outside());
    }
    let filter = call
        .query("filter")
        .map(Expression::parse)
        .transpose()
        .map_err(Refusal::bad_search)?;
    let known = |name: &&str| matches!(*name, "eventType" | "uuid" | "outcome.result");
    if let Some(unknown) = filter
        .iter()
        .flat_map(Expression::attributes)
        .find(|name| !known(name))
    {
        return Err(Refusal::bad_search(format!("unknown attribute {unknown}")));
    }
    let limit = limit(call, 100, 0, 1000)?;
    let newest_first = match call.query("sortOrder") {
        None | Some("ASCENDING") => false,
        Some("DESCENDING") => true,
        Some(_) => {
            return Err(
                Refusal::invalid("sortOrder", "sortOrder: ASCENDING or DESCENDING").outside(),
            );
        }
    };
    let start = match after(call)? {
        None => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Refusal::invalid("after", "Invalid cursor").outside())?,
    };
    let matches = |event: &LogEvent| {
        event.published_ms >= since
            && until.is_none_or(|until| event.published_ms < until)
            && filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&|name| attribute(event, name)))
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
            None => Err(Refusal::invalid(name, format!("{name}: not an ISO 8601 time")).outside()),
        },
    }
}

fn attribute(event: &LogEvent, name: &str) -> Option<String> {
    match name {
        "eventType" => Some(event.event_type.clone()),
        "uuid" => Some(event.uuid.clone()),
        "outcome.result" => Some(event.outcome.clone()),
        _ => None,
    }
}
