//! The end of a run: the results of its claims, its subject's earlier records, and the memo.

use super::{AuditEntry, Claim, Status};
use crate::failure::Failure;

/// The result of a claimed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The writes in order. They are added to those of earlier claims.
    pub applied: Vec<String>,
    /// What a dry run that failed would do before, in order.
    pub planned: Vec<String>,
    /// How it ended.
    pub state: EndState,
}

/// How a claimed change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndState {
    /// It is done.
    Done,
    /// It failed, for now or for good.
    Failed(Failure),
    /// It waits for a second look.
    Waiting {
        /// When that look is due, in milliseconds since the epoch.
        until_ms: i64,
        /// What the first look saw, in words.
        seen: String,
    },
    /// The run looked and planned, and wrote nothing at a remote (`CHANGES=report`).
    Planned {
        /// What would be done, in order.
        steps: Vec<String>,
    },
    /// It would take away more than the brake allows.
    Held {
        /// What would be done, in order.
        steps: Vec<String>,
        /// Why it is held, in words.
        why: String,
    },
}

impl Ending {
    /// The state that the record gets.
    pub fn status(&self) -> Status {
        match self.state {
            EndState::Done | EndState::Planned { .. } => Status::Done,
            EndState::Failed(_) => Status::Failed,
            EndState::Waiting { .. } => Status::Waiting,
            EndState::Held { .. } => Status::Held,
        }
    }
}

/// The end of one owner's work on a subject.
#[derive(Debug, Default)]
pub struct Conclusion {
    /// The results of the claims.
    pub claims: Vec<(Claim, Ending)>,
    /// The memo for the next owner.
    pub memo: Memo,
    /// Records of the subject that failed or were held earlier and are settled now.
    pub resolved: Vec<Resolved>,
    /// What the run changed at a remote.
    pub audit: Vec<AuditEntry>,
}

impl Conclusion {
    /// The end of a run without claims, with these audit entries. The memo stays as it is.
    pub fn auditing(audit: Vec<AuditEntry>) -> Self {
        Self {
            audit,
            ..Self::default()
        }
    }

    /// The end of these claims. The memo stays as it is.
    pub fn of(claims: Vec<(Claim, Ending)>) -> Self {
        Self {
            claims,
            ..Self::default()
        }
    }
}

/// A record that something other than its own claim settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The record's key.
    pub id: String,
    /// The event whose look settled it, or [`BY_OPERATOR`](super::BY_OPERATOR).
    pub by: String,
}

/// What happens to a lease's memo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Memo {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is replaced. `None` removes it.
    Write(Option<String>),
}

/// The result of a write of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The record was written.
    Written,
    /// Another owner took over meanwhile. The record stays as it is.
    Superseded,
}

/// The failure's text, short enough for a record.
pub(super) fn error_text(failure: &Failure) -> String {
    const MAX_BYTES: usize = 2_000;
    let mut text = failure.to_string();
    if text.len() > MAX_BYTES {
        let cut = (0..=MAX_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        text.push('…');
    }
    text
}

/// Logs a write that was refused because another run owns the record.
pub(super) fn warn_superseded(id: &str, wanted: Status) {
    tracing::warn!(
        event = id,
        status = wanted.as_str(),
        "another owner took the record over; it stays as it is"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Side;

    #[test]
    fn a_long_error_is_cut_between_two_characters() {
        let text = |message: String| error_text(&Failure::retryable(Side::Okta, message));
        let before = text(String::new()).len();
        let longest = 2_000 - before;
        assert!(text("x".repeat(longest)).ends_with("xx"));
        let cut = text("x".repeat(longest + 1));
        assert!(cut.ends_with("x…") && cut.chars().count() == 2_001);
        let cut = text("x".repeat(longest - 1) + "é");
        assert!(cut.ends_with("xx…") && cut.chars().count() == 2_000);
    }
}
