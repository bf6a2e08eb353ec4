//! Reading a delivery of 100 events of real size, next to what `serde_json` needs for the same fields when
//! nothing may be odd; and bodies of 1 MiB that are made to be slow.
//!
//! `cargo bench --bench delivery` (some seconds). Both readers take turns; the times are medians.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod sample;
mod sheet;

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use okta_anypoint::event::read_delivery;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::receiver::MAX_BODY_BYTES;
use serde::Deserialize;

use sheet::{Limit, OverBudget, Sheet};

const EVENTS: usize = 100;
const TURNS: usize = 400;
const NOW: &str = "2026-03-02T09:15:14Z";
/// The budgets: time as a multiple of serde_json's, and for a hostile body.
const MAX_TIMES: f64 = 1.3;
const HOSTILE_MS: f64 = 100.0;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    uuid: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    published: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Outcome<'a>,
    #[serde(borrow)]
    target: Vec<Target<'a>>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    result: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Target<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// A sum over all of the peer's fields, so that none is optimized away.
fn weight(envelope: &Envelope<'_>) -> usize {
    let of_event = |event: &Event<'_>| {
        let targets = event.target.iter();
        event.uuid.len()
            + event.event_type.len()
            + event.published.len()
            + event.outcome.result.len()
            + targets.map(|t| t.id.len() + t.kind.len()).sum::<usize>()
    };
    envelope.event_type.len() + envelope.data.events.iter().map(of_event).sum::<usize>()
}

/// Bodies of the largest size that is read.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |before: &str, unit: &str, after: &str| {
        let room = MAX_BODY_BYTES - before.len() - after.len();
        let body = [before, &unit.repeat(room / unit.len()), after].concat();
        body.into_bytes()
    };
    let events = r#"{"eventType":"com.okta.event_hook","data":{"events":["#;
    let target = r#"{"eventType":"com.okta.event_hook","data":{"events":[{"uuid":"u","eventType":"user.lifecycle.create","outcome":{"result":"SUCCESS"},"target":["#;
    vec![
        ("nested lists", filled(events, "[", "")),
        ("nested objects", filled(events, r#"{"a":"#, "")),
        (
            "one text of escapes",
            filled(r#"{"eventType":""#, r"\u0041", r#""}"#),
        ),
        ("empty events", filled(events, "{},", "{}]}}")),
        (
            "targets without an id",
            filled(target, r#"{"type":"User"},"#, "{}]}]}}"),
        ),
        (
            "one key again and again",
            filled("{", r#""data":1,"#, r#""x":1}"#),
        ),
        ("a long number", filled(r#"{"eventType":"#, "9", "}")),
        ("white space", filled("", " ", "{}")),
        ("no JSON at all", filled("", "\u{0}", "")),
    ]
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> Result<(), OverBudget> {
    let app = OktaAppId::parse("0oaANYPOINT1demo").unwrap();
    let body = sample::delivery(EVENTS);
    let ours = || read_delivery(&body, &app, NOW).unwrap();
    assert_eq!(ours().changes.len(), EVENTS);
    let peer = || weight(&serde_json::from_slice::<Envelope<'_>>(&body).unwrap());
    let (mut of_ours, mut of_peer) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        of_ours.push(timed(ours));
        of_peer.push(timed(peer));
    }
    let (ours, peer) = (median(of_ours), median(of_peer));
    let rate = |time: Duration| body.len() as f64 / time.as_secs_f64() / 1e6;
    let us = |time: Duration| format!("{:.0} µs", time.as_secs_f64() * 1e6);

    let ratio = ours.as_secs_f64() / peer.as_secs_f64();
    let mut sheet = Sheet::new(&[
        "100 events",
        "bytes",
        "ours",
        "serde_json",
        "ratio",
        "MB/s, ours",
        "MB/s, serde_json",
    ]);
    let numbers = [
        body.len().to_string(),
        us(ours),
        us(peer),
        format!("{ratio:.2}"),
        format!("{:.0}", rate(ours)),
        format!("{:.0}", rate(peer)),
    ];
    let limit = Limit::at_most(ratio, MAX_TIMES, "x serde_json");
    sheet.row("an assignment each", numbers, &[limit]);
    let normal = sheet.print();

    let mut sheet = Sheet::new(&["hostile body of 1 MiB", "time"]);
    for (what, body) in hostile() {
        assert!(body.len() <= MAX_BODY_BYTES && body.len() > MAX_BODY_BYTES - 64);
        let times = (0..9).map(|_| timed(|| read_delivery(&body, &app, NOW)));
        let ms = median(times.collect()).as_secs_f64() * 1e3;
        let limit = Limit::at_most(ms, HOSTILE_MS, "ms");
        sheet.row(what, [format!("{ms:.2} ms")], &[limit]);
    }
    sheet.print().and(normal)
}
