//! What a run has done so far. The run fills it in as it goes, so it is right however the run ends.

use http::StatusCode;

use super::step::Applied;
use crate::failure::Failure;
use crate::http::CallError;
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::ledger::EndState;
use crate::store::Memory;

/// A user or group that the worker looks at next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FollowUp {
    /// A user, because of a membership in this group. Lists may still show it as it was before.
    Member(OktaUserId, OktaGroupId),
    /// A subject as a whole.
    Subject(Subject),
    /// A subject that the next run would not find again, so it follows also after a failure. It is a user whose account
    /// another user adopted, or a group whose team a user's run created or adopted.
    Once(Subject),
}

impl FollowUp {
    /// The subject, if the next run would not find it again.
    pub(crate) fn owed(&self) -> Option<&Subject> {
        match self {
            Self::Once(subject) => Some(subject),
            Self::Subject(_) | Self::Member(..) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What was done, in order.
    pub(crate) applied: Vec<Applied>,
    /// Writes whose answers did not arrive, so they may have been done.
    unconfirmed: Vec<Applied>,
    /// The write at Anypoint that has no answer yet.
    under_way: Option<Applied>,
    pub(crate) follow_ups: Vec<FollowUp>,
    rest_is_done: bool,
    /// What the next run has to know. `None` until the work has begun.
    pub(crate) memory: Option<Memory>,
    /// What a dry run that fails would do before.
    pub(crate) planned: Vec<String>,
    /// How the changes end if nothing fails. `None`: they are done.
    pub(crate) end: Option<EndState>,
}

impl Progress {
    /// Notes a write at Anypoint before it is made, because the run can end before its answer comes.
    pub(super) fn begin(&mut self, what: Applied) {
        let before = self.under_way.replace(what);
        self.unconfirmed.extend(before);
    }

    /// Notes the answer to the write that began last.
    pub(super) fn end<T>(&mut self, answer: Result<T, CallError>) -> Result<T, CallError> {
        match &answer {
            Ok(_) => {
                let done = self.under_way.take();
                let more = done.and_then(|done| match self.applied.last_mut() {
                    Some(last) => last.with_more(done),
                    None => Some(done),
                });
                self.applied.extend(more);
            }
            Err(error) if changed_nothing(error) => self.end_refused(),
            Err(_) => {}
        }
        answer
    }

    /// The write that ended last changed these attributes only. None: it changed nothing.
    pub(super) fn end_with(&mut self, fields: Vec<&'static str>) {
        let what = self.applied.pop();
        let changed = what.filter(|_| !fields.is_empty());
        self.applied.extend(changed.map(|what| what.of(fields)));
    }

    /// Whether the write that began last may have been done.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The write that began last was not done.
    pub(super) fn end_refused(&mut self) {
        self.under_way = None;
    }

    /// The write that began last was done, and made the object of this id.
    pub(super) fn end_made(&mut self, id: impl ToString) {
        let made = self.under_way.take().map(|what| what.with_id(id));
        self.applied.extend(made);
    }

    /// Writes whose answers did not arrive, so they may have been done.
    pub(crate) fn in_doubt(&self) -> impl Iterator<Item = &Applied> {
        self.unconfirmed.iter().chain(&self.under_way)
    }

    pub(super) fn follow(&mut self, next: FollowUp) {
        if !self.follow_ups.contains(&next) {
            self.follow_ups.push(next);
        }
    }

    /// The subjects that the next run would not find again.
    pub(crate) fn owed(&self) -> impl Iterator<Item = &Subject> {
        self.follow_ups.iter().filter_map(FollowUp::owed)
    }

    pub(super) fn follow_group(&mut self, group: &OktaGroupId) {
        self.follow(FollowUp::Subject(Subject::Group(group.clone())));
    }

    /// The run fails because of one part, after the rest is done. Follow-ups do not wait for that part.
    pub(super) fn did_the_rest(&mut self) {
        self.rest_is_done = true;
    }

    /// The subjects to look at next. A run that was cut short is repeated and finds most of them again, or it failed for
    /// good and leads to nothing.
    pub(crate) fn next(&self, result: &Result<(), Failure>) -> Vec<FollowUp> {
        let is_cut_short = result.is_err() && !self.rest_is_done;
        let follow_ups = self.follow_ups.iter();
        follow_ups
            .filter(|next| !is_cut_short || matches!(next, FollowUp::Once(_)))
            .cloned()
            .collect()
    }

    /// Whether the changes wait for another look.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.end, Some(EndState::Waiting { .. }))
    }

    /// Makes the changes wait for another look at `until_ms`, because of what this look saw.
    pub(super) fn wait_until(&mut self, until_ms: i64, seen: &str) {
        let (until_ms, seen) = match self.end.take() {
            Some(EndState::Waiting {
                until_ms: before_ms,
                seen: before,
            }) => (before_ms.max(until_ms), format!("{before}; {seen}")),
            _ => (until_ms, seen.to_owned()),
        };
        self.end = Some(EndState::Waiting { until_ms, seen });
    }
}

/// Whether Anypoint refused the call. A 429 can follow an attempt that got no answer.
fn changed_nothing(error: &CallError) -> bool {
    error
        .status()
        .is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}
