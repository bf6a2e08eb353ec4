//! What an import did for one account, for the counts of its summary and for the audit trail.

use std::borrow::Cow;

use super::job::Job;
use crate::http::CallError;
use crate::ids::OktaUserId;
use crate::ledger::{AuditEntry, Lease};

/// The `event_type` of an import's audit entries.
pub(super) const IMPORT: &str = "import";

/// What Okta said to the writes of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Nothing,
    /// It accepted those that were made.
    Accepted,
    /// It refused the right to one.
    Refused,
}

/// What was done for one account.
pub(super) struct Done<'w> {
    job: &'w Job,
    /// Names of counts. Each occurrence counts one.
    pub(super) counts: Vec<&'static str>,
    pub(super) written: Written,
    entries: Vec<AuditEntry>,
    /// Whether the audit trail has everything that was done, be it nothing.
    pub(super) is_on_record: bool,
    /// The Okta user, once there is one.
    pub(super) user: Option<OktaUserId>,
}

impl<'w> Done<'w> {
    pub(super) fn nothing_of(job: &'w Job) -> Self {
        Self {
            job,
            counts: Vec::new(),
            written: Written::Nothing,
            entries: Vec::new(),
            is_on_record: false,
            user: None,
        }
    }

    pub(super) fn count(&mut self, name: &'static str) {
        self.counts.push(name);
    }

    /// Counts a write that Okta accepted.
    pub(super) fn count_written(&mut self, name: &'static str) {
        self.count(name);
        self.written = Written::Accepted;
    }

    /// Remembers whether a failed write was refused.
    pub(super) fn note_refusal(&mut self, error: &CallError) {
        if error.is_refusal() {
            self.written = Written::Refused;
        }
    }

    /// Adds a change. [`Done::audit`] sets its subject and time.
    pub(super) fn change(&mut self, action: &'static str, id: impl ToString) -> &mut AuditEntry {
        self.entries.push(AuditEntry {
            action: action.to_owned(),
            id: Some(id.to_string()),
            username: Some(self.job.account.username.clone()),
            why: self.job.reason(action).map(Cow::into_owned),
            event_type: Some(IMPORT.to_owned()),
            ..AuditEntry::default()
        });
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    /// Adds a failed write if it may have been done.
    pub(super) fn doubt(&mut self, action: &'static str, id: impl ToString, error: &CallError) {
        self.note_refusal(error);
        if !error.is_about_this_call() && !error.is_refusal() {
            self.unanswered(action, id);
        }
    }

    /// Adds a write that may have been done, because its answer is missing.
    pub(super) fn unanswered(&mut self, action: &'static str, id: impl ToString) {
        let entry = self.change(AuditEntry::INTERRUPTED, id);
        entry.why = Some(format!("{action} was not answered and may have been done"));
    }

    /// The audit entries of the run.
    pub(super) fn audit(&mut self, lease: &Lease, now_ms: i64) -> Vec<AuditEntry> {
        let found = "the previous run was cut off; an import noticed it";
        let interrupted = AuditEntry::for_interrupted(lease, found, now_ms);
        let entries = std::mem::take(&mut self.entries).into_iter();
        let entries = entries.map(|entry| AuditEntry {
            at_ms: now_ms,
            subject: lease.subject().to_owned(),
            ..entry
        });
        interrupted.into_iter().chain(entries).collect()
    }
}

pub(super) fn from_to(entry: &mut AuditEntry, before: &str, after: &str) {
    entry.before = Some(before.to_owned());
    entry.after = Some(after.to_owned());
}
