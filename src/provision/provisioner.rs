//! The provisioner: what it works through, one subject's turn, and what has come of it.
//!
//! A [`Turn`] brings the lease, what the changes announce, and the deadline. [`Progress`] is filled while
//! the work goes on, so that it is right however the work ends: what was done, who has to be looked at
//! next, what the next run has to know, and what the changes still wait for.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;

use super::brake::{Brake, Held};
use super::evidence::{Announced, Evidence, Finding};
use super::ports::Ports;
use super::step::{Applied, Step};
use crate::anypoint::Anypoint;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::CallError;
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::ledger::{Lease, Recorded};
use crate::store::{Memory, Recalled};

/// How long after a first read the second one follows, where there is no queue to wait in.
pub(super) const REREAD_AFTER: Duration = Duration::from_millis(500);

/// Where a second look happens, when one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondLook {
    /// In the same run, a moment later: there is no queue to wait in.
    AtOnce,
    /// When the change comes back from the queue.
    Later,
}

/// Users and groups that have to be looked at next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FollowUp {
    /// A user, because of a membership: what is read of it may be the past.
    Member(OktaUserId, OktaGroupId),
    /// A subject as a whole.
    Subject(Subject),
    /// A user whose account became another user's. Only the run that took it knows of it.
    Freed(OktaUserId),
}

impl FollowUp {
    /// Whether the next run would not find it again.
    fn is_known_here_only(&self) -> bool {
        matches!(self, Self::Freed(_))
    }
}

/// What a change still waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// When the second look is due, in milliseconds since the epoch.
    pub until_ms: i64,
    /// What the first look saw, in words.
    pub seen: String,
}

/// What has come of the work on a subject. It is filled while the work goes on, so that it is there
/// however the work ends.
#[derive(Debug, Default)]
pub struct Progress {
    /// What was done, in order.
    pub applied: Vec<Applied>,
    /// What may have been done: the answers did not arrive.
    unconfirmed: Vec<Applied>,
    /// The write at Anypoint that has no answer yet.
    under_way: Option<Applied>,
    /// Who has to be looked at next.
    pub follow_ups: Vec<FollowUp>,
    /// What the next run has to know. `None` until the work has begun.
    pub memory: Option<Memory>,
    /// What the changes still wait for.
    pub wait: Option<Wait>,
    /// What would be done, in order, when nothing is to be done (`CHANGES=report`).
    pub planned: Option<Vec<String>>,
    /// What the brake held back.
    pub held: Option<Held>,
    /// The app username of the account that the run is about.
    pub username: Option<String>,
    /// Why steps were taken, by action.
    pub reasons: HashMap<String, String>,
}

impl Progress {
    /// Notes a write at Anypoint before it is made: the run can end before its answer comes.
    pub(super) fn begin(&mut self, what: Applied) {
        let before = self.under_way.replace(what);
        self.unconfirmed.extend(before);
    }

    /// What became of the write that was begun last: done, refused, or not known.
    pub(super) fn settle<T>(&mut self, result: Result<T, CallError>) -> Result<T, CallError> {
        match &result {
            Ok(_) => self.applied.extend(self.under_way.take()),
            Err(error) if changed_nothing(error) => self.refused(),
            Err(_) => {}
        }
        result
    }

    /// Whether the write that was begun last may have been done.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The write that was begun last was not done.
    pub(super) fn refused(&mut self) {
        self.under_way = None;
    }

    /// What became of the write that was begun last is known after all.
    pub(super) fn settle_as(&mut self, done: Applied) {
        self.under_way = None;
        self.applied.push(done);
    }

    /// What may have been done: the answers did not arrive.
    pub(crate) fn in_doubt(&self) -> impl Iterator<Item = &Applied> {
        self.unconfirmed.iter().chain(&self.under_way)
    }

    /// Remembers why the steps of a plan follow.
    pub(super) fn because_of(&mut self, steps: &[Step]) {
        for step in steps {
            self.reasons
                .insert(step.action.to_string(), step.reason.to_string());
        }
    }

    pub(super) fn follow(&mut self, next: FollowUp) {
        if !self.follow_ups.contains(&next) {
            self.follow_ups.push(next);
        }
    }

    /// Who has to be looked at next after a run that ended so. A run that failed comes again, and finds most of them
    /// again.
    pub fn next(&self, result: &Result<(), Failure>) -> Vec<FollowUp> {
        let follow_ups = self.follow_ups.iter();
        follow_ups
            .filter(|next| result.is_ok() || next.is_known_here_only())
            .cloned()
            .collect()
    }

    /// Notes that the look has to be repeated at `until_ms`, because of what it saw.
    pub(super) fn wait_until(&mut self, until_ms: i64, seen: String) {
        match &mut self.wait {
            Some(wait) => {
                wait.until_ms = wait.until_ms.max(until_ms);
                wait.seen = format!("{}; {seen}", wait.seen);
            }
            None => self.wait = Some(Wait { until_ms, seen }),
        }
    }
}

/// Whether Anypoint refused the call. A 429 can follow an attempt that got no answer.
fn changed_nothing(error: &CallError) -> bool {
    error
        .status()
        .is_some_and(|status| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}

/// What the table says of a subject, beside its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Of a user.
    User(Recalled),
    /// Of a group: its link is read with the rest.
    Group,
}

/// One subject's turn: what is asked, and by when.
pub struct Turn<'a> {
    /// The permission.
    pub lease: &'a Lease,
    /// What the table says.
    pub known: Known,
    /// What the changes announce.
    pub announced: Announced,
    /// Groups of the user whose memberships may be read as they were before.
    pub distrusted: Vec<OktaGroupId>,
    /// Where a second look happens.
    pub second_look: SecondLook,
    /// Whether the brake counts what is taken away.
    pub brake: Brake,
    /// By when it has to end.
    pub deadline: Deadline,
}

/// Looks, plans and applies. Cheap to clone.
#[derive(Clone)]
pub struct Provisioner {
    pub(super) ports: Ports,
}

impl Provisioner {
    /// A provisioner that works through `ports`.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// What [`Turn::known`] asks for.
    ///
    /// # Errors
    /// When the table fails.
    pub(crate) async fn recall(&self, subject: &Subject) -> Result<Known, Failure> {
        Ok(match subject {
            Subject::User(user) => Known::User(self.ports.store.recall_user(user).await?),
            Subject::Group(_) => Known::Group,
        })
    }

    /// Makes Anypoint agree with Okta for `subject`.
    ///
    /// # Errors
    /// The first failure that stopped it; what was done before stays done and stands in `progress`.
    pub fn provision<'a>(
        &'a self,
        subject: &'a Subject,
        turn: Turn<'a>,
        progress: &'a mut Progress,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        if self.ports.policy.excluded.names(subject) {
            tracing::info!(%subject, "subject is excluded");
            return Box::pin(async { Ok(()) });
        }
        let now_ms = self.ports.clock.now_ms();
        let memory = Memory::of(turn.lease, now_ms);
        let evidence = Evidence::new(
            turn.announced,
            &memory.first_seen,
            now_ms,
            self.ports.policy.confirm.0,
        );
        let memory = progress.memory.insert(memory).clone();
        let mut work = Work {
            look: Look {
                ports: &self.ports,
                deadline: turn.deadline,
            },
            lease: turn.lease,
            second_look: turn.second_look,
            brake: turn.brake,
            distrusted: turn.distrusted,
            evidence,
            memory,
            progress,
        };
        match (subject, turn.known) {
            (Subject::User(user), Known::User(recalled)) => {
                Box::pin(async move { work.provision_user(user, recalled).await })
            }
            (Subject::User(user), Known::Group) => Box::pin(async move {
                let recalled = work.look.ports.store.recall_user(user).await?;
                work.provision_user(user, recalled).await
            }),
            (Subject::Group(group), _) => {
                Box::pin(async move { work.provision_group(group).await })
            }
        }
    }

    /// A look, by itself: it reads and changes nothing.
    pub fn look(&self, deadline: Deadline) -> Look<'_> {
        Look {
            ports: &self.ports,
            deadline,
        }
    }
}

/// The reads of one look, by when they have to end.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    pub(super) ports: &'a Ports,
    pub(super) deadline: Deadline,
}

/// The work on one subject: a look, the permission to write, what is known and what has come of it.
pub(super) struct Work<'a> {
    pub(super) look: Look<'a>,
    pub(super) lease: &'a Lease,
    pub(super) second_look: SecondLook,
    pub(super) brake: Brake,
    pub(super) distrusted: Vec<OktaGroupId>,
    pub(super) evidence: Evidence,
    pub(super) memory: Memory,
    pub(super) progress: &'a mut Progress,
}

impl<'a> Work<'a> {
    pub(super) fn ports(&self) -> &'a Ports {
        self.look.ports
    }

    /// Anypoint, for a write: only while the lease is held.
    ///
    /// # Errors
    /// Retryable, when the lease is over.
    pub(super) fn anypoint(&self) -> Result<&'a Anypoint, Failure> {
        self.lease.check()?;
        Ok(&self.look.ports.anypoint)
    }

    /// Asks whether these people may lose their access now. `Some`: why not.
    pub(super) async fn held(&self, people: &[String]) -> Result<Option<String>, Failure> {
        self.brake.holds(self.ports(), people).await
    }

    pub(super) fn applied(&mut self, what: Applied) {
        self.progress.applied.push(what);
    }

    /// Keeps the memory for the next run. It is written with the record, so this costs nothing.
    pub(super) fn keep_memory(&mut self) {
        self.progress.memory = Some(self.memory.clone());
    }

    /// Writes the memory now: what follows must not happen without it.
    ///
    /// # Errors
    /// When the table fails, or the lease is over.
    pub(super) async fn write_memory(&mut self) -> Result<(), Failure> {
        self.keep_memory();
        let text = self.memory.to_text();
        match self.ports().ledger.write_memo(self.lease, text).await? {
            Recorded::Written => Ok(()),
            Recorded::Superseded => Err(self.lease.lost()),
        }
    }

    /// Remembers what this look did not show.
    pub(super) fn remember(&mut self, findings: &[Finding]) {
        self.memory.first_seen = self.evidence.remember(findings);
        self.keep_memory();
    }

    /// Waits a moment before a second read, if it has to happen in this run and there is time for it.
    pub(super) async fn pause_for_second_read(&self) -> bool {
        let enough = self.look.deadline.remaining() > REREAD_AFTER * 2;
        if self.second_look == SecondLook::Later || !enough {
            return false;
        }
        tokio::time::sleep(REREAD_AFTER).await;
        true
    }
}
