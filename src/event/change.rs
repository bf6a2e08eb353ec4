//! A change: the hint that one subject has to be looked at again.

use serde::{Deserialize, Serialize};

use crate::ids::{EventUuid, Subject};
use crate::ledger::Work;

/// The event type of work that the program finds itself (reconcile, follow-up, an operator's push).
pub const RECONCILE_EVENT_TYPE: &str = "reconcile";

/// One change, ready to be queued. Its JSON form is the body of a queue message; it holds opaque
/// identifiers only, no names or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The event's uuid: the key of idempotence.
    pub uuid: EventUuid,
    /// Okta's event type, or [`RECONCILE_EVENT_TYPE`].
    pub event_type: String,
    /// What has to be looked at.
    pub subject: Subject,
    /// When Okta published the event, RFC 3339.
    pub published: String,
}

impl Change {
    /// Work that the program found itself, under a fresh uuid, published at `now_ms`.
    pub fn found(subject: Subject, now_ms: i64) -> Self {
        Self {
            uuid: EventUuid::fresh(),
            event_type: RECONCILE_EVENT_TYPE.to_owned(),
            subject,
            published: crate::clock::rfc3339(now_ms),
        }
    }

    /// What the ledger claims for this change.
    pub fn work(&self) -> Work {
        Work {
            id: self.uuid.to_string(),
            kind: self.event_type.clone(),
            subject: self.subject.to_string(),
            published: self.published.clone(),
        }
    }
}
