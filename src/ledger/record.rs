//! The records of events, as people and reports see them.

use serde::{Deserialize, Serialize};

use crate::failure::Class;

words! {
    /// The state of a record, as the table spells it.
    pub enum Status {
        /// Claimed, without a result yet.
        InProgress = "in_progress",
        /// Done. Final.
        Done = "done",
        /// Failed. `error_class` says whether a retry may succeed.
        Failed = "failed",
        /// Waits for a second look, which is due at `waits_until_ms`.
        Waiting = "waiting",
        /// The brake holds it. An operator's approval, or a later look at the subject, settles it.
        Held = "held",
        /// It failed or was held, and a later look at the subject, or an operator, settled it.
        Resolved = "resolved",
    }
}

impl Status {
    /// The state with that word. `None` for any other word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether an operator has to act.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Failed | Self::Held)
    }
}

/// One record of the ledger, as people and reports see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The record's key: the work's id, or `<id>#<subject>` if another subject already has that id.
    pub id: String,
    /// Its state.
    pub status: Status,
    /// The kind of work.
    pub event_type: String,
    /// The subject.
    pub subject: String,
    /// When it was published, RFC 3339.
    pub published: String,
    /// How often it was claimed.
    pub attempts: u32,
    /// When the record was last written, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// When the record expires, seconds since the epoch.
    pub expires_at: i64,
    /// When the lease ends, milliseconds since the epoch. Only while in progress.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease_until_ms: Option<i64>,
    /// What failed and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Whether a retry may succeed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_class: Option<Class>,
    /// The cause, a stable word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<String>,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub applied: Option<Vec<String>>,
    /// The id of the actor at Okta.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<String>,
    /// Why an operator asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When the second look is due, milliseconds since the epoch. Only while waiting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_until_ms: Option<i64>,
    /// What the first look saw. Only while waiting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_for: Option<String>,
    /// `true` if it was only planned (`CHANGES=report`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dry_run: Option<bool>,
    /// What would be done, for a dry run or a held record. Of a dry run that failed, what it would do before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned: Option<Vec<String>>,
    /// Why the brake holds it. Only while held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_for: Option<String>,
    /// The event whose look settled it, or `operator`. Only when resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolved_by: Option<String>,
}

/// The state of a dry run in lists for people.
pub const DRY_RUN: &str = "dry run";

/// The `resolved_by` of a record that an operator dismissed.
pub const BY_OPERATOR: &str = "operator";

impl Record {
    /// The work's id, without the subject that the key may have.
    pub fn uuid(&self) -> &str {
        self.id.split('#').next().unwrap_or(&self.id)
    }

    /// Whether it was only planned, and nothing was done.
    pub fn is_dry_run(&self) -> bool {
        self.status == Status::Done && self.dry_run == Some(true)
    }

    /// Whether a repetition of the event is only acknowledged.
    pub(crate) fn is_final(&self) -> bool {
        match self.status {
            Status::Done | Status::Held | Status::Resolved => true,
            Status::Failed => self.error_class != Some(Class::Retryable),
            Status::InProgress | Status::Waiting => false,
        }
    }

    /// Whether its run ended without a result. The next claim continues it.
    pub fn is_cut_off(&self, now_ms: i64) -> bool {
        let is_over = self
            .lease_until_ms
            .is_none_or(|until_ms| until_ms <= now_ms);
        self.status == Status::InProgress && is_over
    }

    /// Its state as lists show it. A dry run is not shown as done.
    pub fn state(&self) -> &'static str {
        if self.is_dry_run() {
            DRY_RUN
        } else {
            self.status.as_str()
        }
    }
}

/// Which records to list. Every field narrows the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records in this state.
    pub status: Option<Status>,
    /// Only records about this subject.
    pub subject: Option<String>,
    /// Only records written at or after this time, milliseconds since the epoch.
    pub updated_since_ms: Option<i64>,
}

impl Filter {
    /// All records in a state.
    pub fn with_status(status: Status) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}
