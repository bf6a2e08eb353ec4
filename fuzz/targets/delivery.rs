//! The body of a delivery, and pages of the System Log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use okta_anypoint::event::{HOOK_EVENT_TYPES, read_delivery, read_log_events};
use okta_anypoint::ids::OktaAppId;
use serde_json::value::RawValue;

const NOW: &str = "2026-03-02T09:15:14Z";

fuzz_target!(|body: &[u8]| {
    let Ok(app) = OktaAppId::parse("0oaANYPOINT1demo") else {
        return;
    };
    if let Ok(reading) = read_delivery(body, &app, NOW) {
        for change in &reading.changes {
            assert!(HOOK_EVENT_TYPES.contains(&change.event_type.as_str()));
            // What goes to the queue can be read back.
            let message = serde_json::to_string(change).expect("a change is JSON");
            let read = serde_json::from_str(&message).expect("a message is a change");
            assert_eq!(change, &read);
        }
    }
    if let Ok(events) = serde_json::from_slice::<Vec<Box<RawValue>>>(body) {
        let reading = read_log_events(&events, &app, NOW);
        assert_eq!(reading.changes.len() + reading.ignored.len(), events.len());
    }
});
