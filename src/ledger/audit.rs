//! The audit trail: what a run changed at a remote, why, and who asked for it.
//!
//! Each write has one entry. A run appends its entries in the transaction that records it, so that either both are stored
//! or neither. The next run after one that was cut off writes an entry [`INTERRUPTED`](AuditEntry::INTERRUPTED), because
//! the writes of that run may lack their own entries. Entries have opaque ids, app usernames and the names of
//! changed attributes, never values.

use serde::{Deserialize, Serialize};

use super::Lease;
use crate::clock::rfc3339;
use crate::counted::counted;

/// One change, or the discovery of an interrupted run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it was recorded, milliseconds since the epoch.
    pub at_ms: i64,
    /// The subject: `user#<id>` or `group#<id>`.
    pub subject: String,
    /// The action's name.
    pub action: String,
    /// The account or team.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The app username, if the change is about a user's account.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// The state before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<String>,
    /// The state after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<String>,
    /// The names of changed attributes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
    /// How many people it was about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<usize>,
    /// Their accounts, at most a hundred.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ids: Vec<String>,
    /// Why the run did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// The uuid of the event that asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<String>,
    /// That event's type, or `import` if an import did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event_type: Option<String>,
    /// The Okta actor's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// The operator's reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl AuditEntry {
    /// The action of an entry about a run that was cut off.
    pub const INTERRUPTED: &str = "interrupted";
    /// The state after a change that may have been done, because its answer did not arrive.
    pub const NOT_KNOWN: &str = "not known";
    /// The most ids in one entry.
    pub(crate) const MAX_IDS: usize = 100;

    /// An entry about the subject of a lease.
    pub fn new(lease: &Lease, action: &str, now_ms: i64) -> Self {
        Self {
            at_ms: now_ms,
            subject: lease.subject().to_owned(),
            action: action.to_owned(),
            ..Self::default()
        }
    }

    /// The entry about a previous owner that never gave the lease back. `found` says who noticed.
    pub fn for_interrupted(lease: &Lease, found: &str, now_ms: i64) -> Option<Self> {
        lease.took_over().then(|| Self {
            why: Some(found.to_owned()),
            ..Self::new(lease, Self::INTERRUPTED, now_ms)
        })
    }

    /// How many people it was about, in words.
    pub fn people(&self) -> Option<String> {
        self.count.map(|count| counted(count, "person", "people"))
    }

    /// Writes the entry to the log, without the username, which can be a person's name.
    pub fn log(&self) {
        let fields = (!self.fields.is_empty()).then(|| self.fields.join(", "));
        tracing::info!(
            target: "okta_anypoint::audit",
            subject = self.subject,
            action = self.action,
            id = self.id,
            before = self.before,
            after = self.after,
            fields,
            count = self.count,
            why = self.why,
            event = self.event,
            event_type = self.event_type,
            actor = self.actor,
            reason = self.reason,
            "audit"
        );
    }
}

/// The month of a moment, `yyyy-mm`. Audit items are kept by month.
pub(crate) fn month_of(epoch_ms: i64) -> String {
    rfc3339(epoch_ms).chars().take(7).collect()
}

/// The months from one moment to another, both included.
pub(crate) fn months(since_ms: i64, until_ms: i64) -> Vec<String> {
    const DAY_MS: i64 = 86_400_000;
    let mut months = Vec::new();
    let mut at_ms = since_ms.min(until_ms);
    while at_ms < until_ms {
        push_new(&mut months, month_of(at_ms));
        at_ms = at_ms.saturating_add(DAY_MS);
    }
    push_new(&mut months, month_of(until_ms));
    months
}

fn push_new(months: &mut Vec<String>, month: String) {
    if months.last() != Some(&month) {
        months.push(month);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_no_gap() {
        let at = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            at.as_millisecond()
        };
        let between = |since, until| months(at(since), at(until));
        assert_eq!(
            between("2025-11-30T23:59:59Z", "2026-02-01T00:00:00Z"),
            ["2025-11", "2025-12", "2026-01", "2026-02"]
        );
        assert_eq!(
            between("2026-02-03T00:00:00Z", "2026-02-03T00:00:00Z"),
            ["2026-02"]
        );
    }
}
