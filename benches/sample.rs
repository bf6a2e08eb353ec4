//! What the benches read: a delivery of real size.

use serde_json::{Value, json};

/// A delivery with the event of the sample in which a user is assigned, under `events` uuids.
pub fn delivery(events: usize) -> Vec<u8> {
    let sample = include_str!("../events/06-user-assigned.json");
    let request: Value = serde_json::from_str(sample).unwrap();
    let mut body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    let event = body["data"]["events"][0].clone();
    let events = (0..events).map(|n| {
        let mut event = event.clone();
        event["uuid"] = json!(format!("b1fae790-1619-11f1-af2d-{n:012}"));
        event
    });
    body["data"]["events"] = events.collect();
    body.to_string().into_bytes()
}
