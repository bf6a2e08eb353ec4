//! The envelope of an event-hook delivery.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::log_event::Reading;
use crate::ids::OktaAppId;

/// The body is not an event-hook delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not an Okta event-hook delivery")]
pub struct NotADelivery;

/// `eventType` of every delivery (Okta, "Event hooks: request body").
const ENVELOPE: &str = "com.okta.event_hook";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    event_type: String,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
}

/// Reads the body of a delivery. Each event is read on its own: one that cannot be read is counted
/// and stops no other.
///
/// # Errors
/// When the body is not JSON, is not of type `com.okta.event_hook`, or holds no list of events.
pub fn read_delivery(body: &[u8], app: &OktaAppId, now: &str) -> Result<Reading, NotADelivery> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| NotADelivery)?;
    if envelope.event_type != ENVELOPE {
        return Err(NotADelivery);
    }
    let mut reading = Reading::default();
    for event in envelope.data.events.unwrap_or_default() {
        reading.read_hook_event(event.get(), app, now);
    }
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Ignored, read_log_events};

    const NOW: &str = "2026-03-02T09:15:14Z";

    fn app() -> OktaAppId {
        OktaAppId::parse("0oaAPP1").unwrap()
    }

    fn event(event_type: &str, targets: Value) -> Value {
        json!({
            "uuid": "0f8e2c10-0000-11f1-8000-000000000001",
            "published": "2026-03-02T09:15:04.120Z",
            "eventType": event_type,
            "outcome": {"result": "SUCCESS", "reason": null},
            "target": targets,
        })
    }

    fn all_targets() -> Value {
        json!([
            {"id": "0uaASSIGN1", "type": "AppUser", "alternateId": "unknown"},
            {"id": "0oaAPP1", "type": "AppInstance"},
            {"id": "00gGROUP1", "type": "UserGroup", "alternateId": "unknown"},
            {"id": "00uUSER1", "type": "User", "alternateId": "lin@acme.example"},
        ])
    }

    fn read(events: Value) -> Result<Reading, NotADelivery> {
        let body = json!({"eventType": ENVELOPE, "data": {"events": events}});
        read_delivery(body.to_string().as_bytes(), &app(), NOW)
    }

    #[test]
    fn every_event_type_has_its_subject() {
        for event_type in crate::event::HOOK_EVENT_TYPES {
            let reading = read(json!([event(event_type, all_targets())])).unwrap();
            let about_group = event_type.starts_with("group.")
                && !event_type.starts_with("group.user_membership.");
            let subject = if about_group {
                "group#00gGROUP1"
            } else {
                "user#00uUSER1"
            };
            assert_eq!(
                reading.changes[0].subject.to_string(),
                subject,
                "{event_type}"
            );
            assert_eq!(reading.changes[0].event_type, event_type);
            assert_eq!(reading.changes[0].published, "2026-03-02T09:15:04.120Z");
        }
    }

    #[test]
    fn app_events_of_other_apps_are_ignored() {
        let other = json!([
            {"id": "0oaOTHER", "type": "AppInstance"},
            {"id": "00gGROUP1", "type": "UserGroup"},
            {"id": "00uUSER1", "type": "User"},
        ]);
        let none = json!([{"id": "00uUSER1", "type": "User"}, {"id": "00gG", "type": "UserGroup"}]);
        for event_type in [
            "application.user_membership.add",
            "group.application_assignment.remove",
        ] {
            for targets in [&other, &none] {
                let reading = read(json!([event(event_type, targets.clone())])).unwrap();
                assert_eq!(
                    reading.ignored,
                    [Ignored::OtherApp],
                    "{event_type} {targets}"
                );
            }
        }
    }

    #[test]
    fn odd_events_are_ignored_one_by_one_and_stop_no_other() {
        let good = event("user.lifecycle.create", all_targets());
        let with = |key: &str, value: Value| {
            let mut event = good.clone();
            event[key] = value;
            event
        };
        let cases = [
            (json!(null), Ignored::Malformed),
            (json!("text"), Ignored::Malformed),
            (json!([]), Ignored::Malformed),
            (json!({}), Ignored::Malformed),
            (with("uuid", json!(null)), Ignored::Malformed),
            (with("uuid", json!(7)), Ignored::Malformed),
            (with("uuid", json!("a b")), Ignored::Malformed),
            (with("eventType", json!(["x"])), Ignored::Malformed),
            (
                with("eventType", json!("user.session.start")),
                Ignored::OtherType,
            ),
            (with("outcome", json!(null)), Ignored::NotSuccessful),
            (with("outcome", json!("SUCCESS")), Ignored::NotSuccessful),
            (
                with("outcome", json!({"result": "FAILURE"})),
                Ignored::NotSuccessful,
            ),
            (
                with("outcome", json!({"result": {}})),
                Ignored::NotSuccessful,
            ),
            (with("target", json!(null)), Ignored::NoSubject),
            (with("target", json!({"id": "00u"})), Ignored::NoSubject),
            (
                with("target", json!([null, 1, {"type": "User"}])),
                Ignored::NoSubject,
            ),
            (
                with("target", json!([{"type": "User", "id": "../x"}])),
                Ignored::NoSubject,
            ),
        ];
        for (odd, reason) in cases {
            let reading = read(json!([odd, good])).unwrap();
            assert_eq!(reading.ignored, [reason], "{odd}");
            assert_eq!(reading.changes.len(), 1, "{odd}");
        }
    }

    #[test]
    fn a_preview_with_nulls_and_mixed_case_is_read() {
        let mut preview = event("user.lifecycle.create", all_targets());
        preview["outcome"]["result"] = json!("Success");
        preview["published"] = json!("yesterday");
        preview["actor"] = json!(null);
        preview["debugContext"] = json!(null);
        let reading = read(json!([preview])).unwrap();
        assert_eq!(reading.changes[0].published, NOW);
    }

    #[test]
    fn what_is_no_delivery_is_refused() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "not json",
            "{\"eventType\":\"com.okta.event_hook\"",
            r#"{"eventType":"com.okta.event_hook"}"#,
            r#"{"eventType":"com.okta.event_hook","data":null}"#,
            r#"{"eventType":"com.okta.event_hook","data":{"events":{}}}"#,
            r#"{"eventType":"com.okta.inline","data":{"events":[]}}"#,
            r#"{"data":{"events":[]}}"#,
        ] {
            assert_eq!(
                read_delivery(body.as_bytes(), &app(), NOW),
                Err(NotADelivery),
                "{body}"
            );
        }
        let empty = r#"{"eventType":"com.okta.event_hook","data":{"events":[]},"new":1}"#;
        assert_eq!(
            read_delivery(empty.as_bytes(), &app(), NOW),
            Ok(Reading::default())
        );
    }

    #[test]
    fn types_of_the_log_act_only_when_read_from_the_log() {
        let event = event("application.user_membership.change_username", all_targets());
        assert_eq!(read(json!([event])).unwrap().ignored, [Ignored::OtherType]);
        let raw = RawValue::from_string(event.to_string()).unwrap();
        let reading = read_log_events(&[raw], &app(), NOW);
        assert_eq!(reading.changes[0].subject.to_string(), "user#00uUSER1");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body: Vec<u8>, text in "\\PC*") {
            let _ = read_delivery(&body, &app(), NOW);
            let _ = read_delivery(text.as_bytes(), &app(), NOW);
        }
    }
}
