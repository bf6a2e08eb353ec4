//! A change: the hint that one subject has to be looked at again.

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{ActorId, EventUuid, OktaGroupId, Subject};
use crate::ledger::Work;

/// The event type of work that the program finds itself (reconcile, follow-up, an operator's push).
pub(crate) const RECONCILE_EVENT_TYPE: &str = "reconcile";

/// One change, ready to be queued. Its JSON form is the body of a queue message; it holds opaque
/// identifiers only, no names or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The event's uuid: the key of idempotence.
    pub uuid: EventUuid,
    /// Okta's event type, or `reconcile`.
    pub event_type: String,
    /// What has to be looked at.
    pub subject: Subject,
    /// When Okta published the event, RFC 3339.
    pub published: String,
    /// The group of a membership event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<OktaGroupId>,
    /// The Okta actor behind the event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<ActorId>,
    /// What a reconcile did not find, when it queued this change: its first look.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        default,
        deserialize_with = "none_if_null"
    )]
    pub planned: Vec<String>,
    /// Why an operator asked for it. It stays in this process: no queue carries it.
    #[serde(skip)]
    pub reason: Option<String>,
}

fn none_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Change {
    /// Work that the program found itself, under a fresh uuid, published at `now_ms`.
    pub fn found(subject: Subject, now_ms: i64) -> Self {
        Self {
            uuid: EventUuid::fresh(),
            event_type: RECONCILE_EVENT_TYPE.to_owned(),
            subject,
            published: crate::clock::rfc3339(now_ms),
            group: None,
            actor: None,
            planned: Vec::new(),
            reason: None,
        }
    }

    /// The same change, about the user's membership in `group`: a read of it may still show the past.
    #[must_use]
    pub(crate) fn in_group(mut self, group: OktaGroupId) -> Self {
        self.group = Some(group);
        self
    }

    /// When it was published by Okta's clock, which may be ahead of ours, in milliseconds since the epoch;
    /// `now_ms` when that cannot be read.
    pub fn published_ms(&self, now_ms: i64) -> i64 {
        let at: Option<jiff::Timestamp> = self.published.parse().ok();
        at.map_or(now_ms, jiff::Timestamp::as_millisecond)
    }

    /// What the ledger claims for this change.
    pub fn work(&self) -> Work {
        Work {
            id: self.uuid.to_string(),
            kind: self.event_type.clone(),
            subject: self.subject.to_string(),
            published: self.published.clone(),
            actor: self.actor.as_ref().map(ToString::to_string),
            reason: self.reason.clone(),
        }
    }
}
