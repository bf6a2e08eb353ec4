//! The envelope of an event-hook delivery.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::log_event::{LogEvent, Reading};
use super::types::rule_for_hook;
use crate::ids::OktaAppId;

/// The body is not an event-hook delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not an Okta event-hook delivery")]
pub struct NotADelivery;

/// `eventType` of every delivery (Okta, "Event hooks: request body").
const ENVELOPE: &str = "com.okta.event_hook";

/// The envelope, with each of its events read as an `E`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<E> {
    event_type: String,
    data: Data<E>,
}

#[derive(Deserialize)]
struct Data<E> {
    events: Option<Vec<E>>,
}

impl<E> Envelope<E> {
    fn events(self) -> Result<Vec<E>, NotADelivery> {
        if self.event_type == ENVELOPE {
            Ok(self.data.events.unwrap_or_default())
        } else {
            Err(NotADelivery)
        }
    }
}

/// Reads the body of a delivery. An event that cannot be read is counted and does not stop the others: when one is odd,
/// each is read on its own.
///
/// # Errors
/// When the body is not JSON in UTF-8, is not of type `com.okta.event_hook`, or holds no list of events.
pub fn read_delivery(body: &[u8], app: &OktaAppId, now: &str) -> Result<Reading, NotADelivery> {
    let body = str::from_utf8(body).map_err(|_| NotADelivery)?;
    let mut reading = Reading::default();
    if let Ok(envelope) = serde_json::from_str::<Envelope<LogEvent<'_>>>(body) {
        for event in envelope.events()? {
            reading.add(Ok(event), app, now, rule_for_hook);
        }
    } else {
        let envelope: Envelope<&RawValue> = serde_json::from_str(body).map_err(|_| NotADelivery)?;
        for event in envelope.events()? {
            reading.add(LogEvent::read_odd(event.get()), app, now, rule_for_hook);
        }
    }
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
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
    fn an_odd_event_is_ignored_and_does_not_stop_the_others() {
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

    /// Okta's clock may be a little ahead of this machine's. A time that is far ahead is not used.
    #[test]
    fn a_publication_far_in_the_future_counts_as_now() {
        for (published, kept) in [
            ("2026-03-02T09:19:14Z", "2026-03-02T09:19:14Z"),
            ("2026-03-02T09:21:14Z", NOW),
            ("9999-12-31T00:00:00Z", NOW),
        ] {
            let mut event = event("user.lifecycle.create", all_targets());
            event["published"] = json!(published);
            let reading = read(json!([event])).unwrap();
            assert_eq!(reading.changes[0].published, kept);
        }
    }

    #[test]
    fn a_publication_with_trailing_text_counts_as_now() {
        for behind in [
            "[u-ca=planted]",
            "[Europe/Vienna]",
            " \u{1b}[2J",
            &"0".repeat(40),
        ] {
            let mut event = event("user.lifecycle.create", all_targets());
            event["published"] = json!(format!("2026-03-02T09:15:04Z{behind}"));
            let reading = read(json!([event])).unwrap();
            assert_eq!(reading.changes[0].published, NOW, "{behind}");
        }
    }

    /// JSON may spell any character as an escape.
    #[test]
    fn json_escapes_are_decoded() {
        let plain = event("user.lifecycle.create", all_targets());
        let escaped = plain
            .to_string()
            .replace("lifecycle.", r"lifecycle\u002e")
            .replace("SUCCESS", r"\u0053UCCESS")
            .replace("00uUSER1", r"00u\u0055SER1")
            .replace("2026-", r"2026\u002d");
        assert_eq!(escaped.matches(r"\u").count(), 4, "{escaped}");
        let reading = read_texts(&[escaped]).unwrap();
        assert_eq!(reading.changes.len(), 1);
        assert_eq!(Ok(reading), read(json!([plain])));
    }

    #[test]
    fn a_value_of_another_type_counts_as_missing() {
        for odd in [
            json!(null),
            json!(true),
            json!(-7),
            json!(7),
            json!(0.5),
            json!([1, [2]]),
            json!({"at": {"ms": 1}}),
        ] {
            let mut event = event("user.lifecycle.create", all_targets());
            event["published"] = odd.clone();
            let reading = read(json!([event])).unwrap();
            assert_eq!(reading.ignored, [], "{odd}");
            assert_eq!(reading.changes[0].published, NOW, "{odd}");
        }
    }

    #[test]
    fn a_body_that_is_not_a_delivery_is_refused() {
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
        let latin_1 = empty.replace('1', "\u{e9}").into_bytes();
        let latin_1: Vec<u8> = latin_1.into_iter().filter(|byte| *byte != 0xc3).collect();
        assert_eq!(read_delivery(&latin_1, &app(), NOW), Err(NotADelivery));
    }

    #[test]
    fn types_of_the_log_act_only_when_read_from_the_log() {
        let event = event("application.user_membership.change_username", all_targets());
        assert_eq!(read(json!([event])).unwrap().ignored, [Ignored::OtherType]);
        let raw = RawValue::from_string(event.to_string()).unwrap();
        let reading = read_log_events(&[raw], &app(), NOW);
        assert_eq!(reading.changes[0].subject.to_string(), "user#00uUSER1");
    }

    /// An event as text: fields that are missing, duplicated, in any order, and with any value.
    fn any_event() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "null",
            "7",
            "1e999",
            "true",
            r#""text""#,
            r#""\ud800""#,
            "[]",
            "[[[[]]]]",
            "{}",
            r#"{"id":"00uUSER9","id":"00uUSER9","type":"User","result":"SUCCESS","result":1}"#,
            r#"["00uUSER9","User"]"#,
        ]);
        let odd = odd.prop_map(str::to_owned).boxed();
        let usually = |usual: &str| {
            let usual = usual.to_owned();
            prop_oneof![19 => Just(usual), 1 => odd.clone()].boxed()
        };
        let target = usually(r#"{"id":"00uUSER1","type":"User","displayName":"\ud800"}"#);
        let app = usually(r#"{"type":"AppInstance","id":"0oaAPP1","detailEntry":null}"#);
        let target = prop_oneof![9 => target, 9 => app, 2 => odd.clone()];
        let targets = prop::collection::vec(target, 0..4)
            .prop_map(|targets| format!("[{}]", targets.join(",")));
        let types = prop_oneof![
            9 => Just(r#""user.lifecycle.create""#.to_owned()),
            9 => Just(r#""application.user_membership.add""#.to_owned()),
            2 => odd.clone(),
        ];
        let field = |name: &'static str, value: BoxedStrategy<String>| {
            let field = value.prop_map(move |value| format!("\"{name}\":{value}"));
            let times = prop_oneof![1 => Just(0), 18 => Just(1_usize), 1 => Just(2)];
            times.prop_flat_map(move |times| prop::collection::vec(field.clone(), times))
        };
        let fields = (
            field("uuid", usually(r#""0f8e2c10-0000-11f1-8000-000000000001""#)),
            field("eventType", types.boxed()),
            field("published", usually(r#""2026-03-02T09:15:04.120Z""#)),
            field("outcome", usually(r#"{"result":"SUCCESS","reason":null}"#)),
            field(
                "target",
                prop_oneof![9 => targets, 1 => odd.clone()].boxed(),
            ),
            field("actor", odd.clone()),
        );
        let event = fields
            .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
            .prop_shuffle()
            .prop_map(|fields| format!("{{{}}}", fields.join(",")));
        prop_oneof![19 => event, 1 => odd]
    }

    fn read_texts(events: &[String]) -> Result<Reading, NotADelivery> {
        let events = events.join(",");
        let body = format!(r#"{{"data":{{"events":[{events}]}},"eventType":"{ENVELOPE}"}}"#);
        read_delivery(body.as_bytes(), &app(), NOW)
    }

    proptest::proptest! {
        #[test]
        fn a_delivery_reads_each_event_as_if_it_were_alone(
            events in prop::collection::vec(any_event(), 0..5),
        ) {
            let mut alone = Reading::default();
            for event in &events {
                alone.add(LogEvent::read_odd(event), &app(), NOW, rule_for_hook);
            }
            let together = read_texts(&events);
            prop_assert_eq!(together.as_ref(), Ok(&alone));
            let log = events.iter().cloned().map(RawValue::from_string);
            let log = log.collect::<Result<Vec<_>, _>>().unwrap();
            prop_assert_eq!(&read_log_events(&log, &app(), NOW), &alone);
            // Next to something that is no event at all, each is read on its own.
            alone.ignored.push(Ignored::Malformed);
            alone.unreadable.push(None);
            let with_odd_one = [events, vec!["null".to_owned()]].concat();
            prop_assert_eq!(read_texts(&with_odd_one), Ok(alone));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(body: Vec<u8>, text in "\\PC*") {
            let _ = read_delivery(&body, &app(), NOW);
            let _ = read_delivery(text.as_bytes(), &app(), NOW);
        }
    }
}
