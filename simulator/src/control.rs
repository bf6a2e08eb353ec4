//! `/_simulator/…`: commands to a simulator from outside, about faults, the world, the requests so far, and time.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::call::Reply;
use super::model::Model;
use super::traffic::{Fault, FaultId, Traffic};

const PREFIX: &str = "/_simulator";

/// What `GET /_simulator` says.
const USES: [(&str, &str); 10] = [
    (
        "GET /_simulator/faults",
        "every fault that was set, and how many answers it changed",
    ),
    (
        "POST /_simulator/faults",
        "sets a fault, or a list of them; answers with the ids",
    ),
    ("DELETE /_simulator/faults", "removes all faults"),
    ("DELETE /_simulator/faults/ID", "removes one fault"),
    ("GET /_simulator/world", "the whole state"),
    (
        "PATCH /_simulator/world",
        "changes the state by a JSON merge patch (RFC 7396)",
    ),
    ("GET /_simulator/requests", "the requests so far"),
    (
        "GET /_simulator/unexpected",
        "what the vendor does not document about these requests",
    ),
    ("DELETE /_simulator/requests", "forgets both"),
    (
        "POST /_simulator/clock",
        "lets time pass: {\"advance_ms\": 60000}",
    ),
];

pub(super) fn is_command(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn answer<M: Model>(
    model: &M,
    traffic: &Traffic,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Reply {
    let parts: Vec<&str> = path
        .split('/')
        .skip(2)
        .filter(|part| !part.is_empty())
        .collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", []) => {
            let uses: serde_json::Map<_, _> = USES
                .iter()
                .map(|(call, what)| ((*call).to_owned(), Value::from(*what)))
                .collect();
            Reply::json(200, uses.into())
        }
        ("GET", ["faults"]) => shown(&traffic.faults()),
        ("POST", ["faults"]) => match faults(body) {
            Ok(faults) => {
                let ids: Vec<FaultId> = faults.into_iter().map(|f| traffic.inject(f)).collect();
                Reply::json(201, json!({"ids": ids}))
            }
            Err(error) => wrong(format!("not a fault: {error}")),
        },
        ("DELETE", ["faults"]) => {
            traffic.remove_all_faults();
            Reply::empty(204)
        }
        ("DELETE", ["faults", id]) => match id.parse() {
            Ok(id) => {
                traffic.remove_fault(FaultId::from_number(id));
                Reply::empty(204)
            }
            Err(_) => wrong("the id of a fault is a number"),
        },
        ("GET", ["world"]) => match model.world() {
            Ok(world) => Reply::json(200, world),
            Err(error) => wrong(error.to_string()),
        },
        ("PATCH", ["world"]) => match patched(model, body) {
            Ok(()) => Reply::empty(204),
            Err(error) => wrong(format!("not a change of the world: {error}")),
        },
        ("GET", ["requests"]) => shown(&traffic.log()),
        ("GET", ["unexpected"]) => shown(&traffic.unexpected()),
        ("DELETE", ["requests"]) => {
            traffic.clear();
            Reply::empty(204)
        }
        ("POST", ["clock"]) => {
            let asked: Value = serde_json::from_slice(body).unwrap_or_default();
            match asked["advance_ms"].as_u64() {
                Some(ms) => {
                    let time = Duration::from_millis(ms);
                    traffic.advance(time);
                    model.advance(time);
                    Reply::empty(204)
                }
                None => wrong("expected {\"advance_ms\": NUMBER}"),
            }
        }
        _ => Reply::json(
            404,
            json!({"error": "nothing is here; GET /_simulator shows what there is"}),
        ),
    }
}

fn shown(what: &impl serde::Serialize) -> Reply {
    match serde_json::to_value(what) {
        Ok(value) => Reply::json(200, value),
        Err(error) => wrong(error.to_string()),
    }
}

fn wrong(why: impl Into<String>) -> Reply {
    Reply::json(400, json!({"error": why.into()}))
}

fn faults(body: &[u8]) -> serde_json::Result<Vec<Fault>> {
    match serde_json::from_slice(body)? {
        Value::Array(faults) => faults.into_iter().map(serde_json::from_value).collect(),
        fault => serde_json::from_value(fault).map(|fault| vec![fault]),
    }
}

fn patched<M: Model>(model: &M, body: &[u8]) -> serde_json::Result<()> {
    let mut world = model.world()?;
    merge(&mut world, serde_json::from_slice(body)?);
    model.replace_world(world)
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(&name);
            }
            value => merge(fields.entry(name).or_insert(Value::Null), value),
        }
    }
}
