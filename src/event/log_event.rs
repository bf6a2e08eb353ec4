//! One event, as Okta writes it in deliveries and in the System Log.
//!
//! Real payloads vary more than the documentation says: any of `target`, `actor`, `outcome` can be
//! null or missing, previews write `Success`, values can be of other types. An event that cannot be read is
//! ignored; its neighbours are not.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::change::Change;
use super::types::{SubjectRule, rule_for_log};
use crate::ids::{ActorId, EventUuid, OktaAppId, OktaGroupId, OktaUserId, Subject};

words! {
    /// Why an event is acknowledged and not acted upon.
    pub enum Ignored {
        /// It is no event, or lacks a usable id or type.
        Malformed = "malformed",
        /// Its type does not concern us.
        OtherType = "other_type",
        /// The action it reports did not succeed.
        NotSuccessful = "not_successful",
        /// It is about another app.
        OtherApp = "other_app",
        /// It names no user or group with a usable id.
        NoSubject = "no_subject",
    }
}

/// What a list of events came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What has to be looked at, in the order of the events.
    pub changes: Vec<Change>,
    /// Why the other events were ignored, one entry each.
    pub ignored: Vec<Ignored>,
    /// Those of them that may concern us and cannot be read: they lack a usable id or type, or name no user or group. `None`
    /// is one without a usable id.
    pub unreadable: Vec<Option<EventUuid>>,
}

/// Reads events of the System Log, where the types of both lists act. `now` (RFC 3339) stands in for
/// an unreadable time of publication.
pub fn read_log_events(events: &[Box<RawValue>], app: &OktaAppId, now: &str) -> Reading {
    let mut reading = Reading::default();
    for event in events {
        let text = event.get();
        let event = serde_json::from_str(text).or_else(|_| LogEvent::read_odd(text));
        reading.add(event, app, now, rule_for_log);
    }
    reading
}

impl Reading {
    /// Adds an event, if it is one.
    pub(super) fn add(
        &mut self,
        event: serde_json::Result<LogEvent<'_>>,
        app: &OktaAppId,
        now: &str,
        rule: fn(&str) -> Option<SubjectRule>,
    ) {
        let Ok(event) = event else {
            self.ignored.push(Ignored::Malformed);
            self.unreadable.push(None);
            return;
        };
        match event.meaning(app, now, rule) {
            Ok(change) => self.changes.push(change),
            Err(reason) => {
                self.ignored.push(reason);
                if matches!(reason, Ignored::Malformed | Ignored::NoSubject) {
                    let uuid = event.uuid.get().and_then(|id| EventUuid::parse(id).ok());
                    self.unreadable.push(uuid);
                }
            }
        }
    }
}

/// An event with a list of targets, each an object. Allowing for anything else costs a second pass over them, so only
/// [`LogEvent::read_odd`] does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogEvent<'a, Targets = Vec<RawTarget<'a>>> {
    #[serde(borrow, default)]
    uuid: Text<'a>,
    #[serde(borrow, default)]
    event_type: Text<'a>,
    #[serde(borrow, default)]
    published: Text<'a>,
    #[serde(borrow, default)]
    outcome: Lenient<RawOutcome<'a>>,
    #[serde(borrow, default)]
    actor: Lenient<RawActor<'a>>,
    target: Targets,
}

#[derive(Deserialize)]
struct RawActor<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
}

#[derive(Deserialize)]
struct RawOutcome<'a> {
    #[serde(borrow, default)]
    result: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct RawTarget<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(rename = "type", borrow, default)]
    kind: Text<'a>,
}

impl<'a> LogEvent<'a> {
    /// Reads an event with anything in the place of its targets, and leaves out the odd ones.
    pub(super) fn read_odd(text: &'a str) -> serde_json::Result<Self> {
        type AnyTargets<'a> = Option<Lenient<Vec<Lenient<RawTarget<'a>>>>>;
        let event: LogEvent<'a, AnyTargets<'a>> = serde_json::from_str(text)?;
        let targets = event.target.and_then(|targets| targets.0);
        Ok(Self {
            uuid: event.uuid,
            event_type: event.event_type,
            published: event.published,
            outcome: event.outcome,
            actor: event.actor,
            target: targets
                .into_iter()
                .flatten()
                .filter_map(|target| target.0)
                .collect(),
        })
    }

    fn meaning(
        &self,
        app: &OktaAppId,
        now: &str,
        rule: fn(&str) -> Option<SubjectRule>,
    ) -> Result<Change, Ignored> {
        let event_type = self.event_type.get().ok_or(Ignored::Malformed)?;
        let uuid = self.uuid.get().ok_or(Ignored::Malformed)?;
        let uuid = EventUuid::parse(uuid).map_err(|_| Ignored::Malformed)?;
        let rule = rule(event_type).ok_or(Ignored::OtherType)?;
        let succeeded = self
            .outcome
            .get()
            .and_then(|outcome| outcome.result.get())
            .is_some_and(|result| result.eq_ignore_ascii_case("SUCCESS"));
        if !succeeded {
            return Err(Ignored::NotSuccessful);
        }
        let of_our_app = matches!(rule, SubjectRule::UserOfOurApp | SubjectRule::GroupOfOurApp);
        if of_our_app && !self.targets("AppInstance").any(|id| id == app.as_str()) {
            return Err(Ignored::OtherApp);
        }
        let subject = match rule {
            SubjectRule::User | SubjectRule::UserOfOurApp => self
                .targets("User")
                .find_map(|id| OktaUserId::parse(id).ok())
                .map(Subject::User),
            SubjectRule::Group | SubjectRule::GroupOfOurApp => self
                .targets("UserGroup")
                .find_map(|id| OktaGroupId::parse(id).ok())
                .map(Subject::Group),
        };
        let published = self
            .published
            .get()
            .filter(|text| is_time(text, now))
            .unwrap_or(now);
        let subject = subject.ok_or(Ignored::NoSubject)?;
        let group = match &subject {
            Subject::User(_) => self
                .targets("UserGroup")
                .find_map(|id| OktaGroupId::parse(id).ok()),
            Subject::Group(_) => None,
        };
        let actor = self.actor.get().and_then(|actor| actor.id.get());
        Ok(Change {
            uuid,
            event_type: event_type.to_owned(),
            subject,
            published: published.to_owned(),
            group,
            actor: actor.and_then(|id| ActorId::parse(id).ok()),
            planned: Vec::new(),
            reason: None,
        })
    }

    /// The ids of all targets of a type; the order of targets is not to be relied on.
    fn targets<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s str> {
        self.target
            .iter()
            .filter(move |target| target.kind.get() == Some(kind))
            .filter_map(|target| target.id.get())
    }
}

/// How far Okta's clock may be ahead of this machine's.
const MAX_AHEAD: Duration = Duration::from_mins(5);

/// Whether `text` is a time, and nothing else, at which an event that is here `now` can have been published. The parser
/// accepts annotations of any length behind a time (RFC 9557), and the text is stored and shown as it is.
fn is_time(text: &str, now: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (true, Some(at)) = (text.bytes().all(plain) && text.len() <= 40, time(text)) else {
        return false;
    };
    time(now).is_none_or(|now| at <= now + MAX_AHEAD)
}

/// A value; `None` when it is missing, null, or of an unexpected type.
struct Lenient<T>(Option<T>);

impl<T> Lenient<T> {
    fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}

/// Text, borrowed when it has no escapes; `None` for null and every other type.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> de::Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map
                    .next_entry::<de::IgnoredAny, de::IgnoredAny>()?
                    .is_some()
                {}
                Ok(Text(None))
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}
