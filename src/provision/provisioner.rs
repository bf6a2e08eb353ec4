//! The provisioner: it looks at one subject at a time, plans and applies.

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::announced::Announced;
use super::brake::Brake;
use super::evidence::Evidence;
use super::ports::Ports;
use super::progress::Progress;
use super::run::Run;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::ledger::Lease;
use crate::store::{Memory, Recalled};

/// Where a second look happens, when one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondLook {
    /// In the same run, a moment later, because there is no queue to wait in.
    AtOnce,
    /// When the change comes back from the queue.
    Later,
}

/// A subject, and what the table says of it apart from its lease.
#[derive(Debug)]
pub(crate) enum Known {
    User(OktaUserId, Recalled),
    /// Its link is read with the rest.
    Group(OktaGroupId),
    /// Its id excludes it, so nothing is read.
    Excluded,
}

/// The input of one run.
pub(crate) struct Turn<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) known: Known,
    pub(crate) announced: Announced,
    /// Groups of the user whose memberships may be read as they were before.
    pub(crate) distrusted: Vec<OktaGroupId>,
    pub(crate) second_look: SecondLook,
    pub(crate) brake: Brake,
    pub(crate) deadline: Deadline,
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
        if self.ports.policy.excluded.names(subject) {
            return Ok(Known::Excluded);
        }
        Ok(match subject {
            Subject::User(user) => {
                Known::User(user.clone(), self.ports.store.recall_user(user).await?)
            }
            Subject::Group(group) => Known::Group(group.clone()),
        })
    }

    /// Brings one subject in sync.
    ///
    /// # Errors
    /// The first failure that stopped it. `progress` says what was done before.
    pub(crate) fn provision<'a>(
        &'a self,
        turn: Turn<'a>,
        progress: &'a mut Progress,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let now_ms = self.ports.clock.now_ms();
        let mut memory = Memory::of(turn.lease, now_ms);
        let announced = turn.announced;
        let announced = announced.after(&memory, self.ports.policy.suspended);
        memory.note_granted(announced.granted(), now_ms);
        let confirm = self.ports.policy.confirm.0;
        let mut run = Run {
            look: self.look(turn.deadline),
            lease: turn.lease,
            second_look: turn.second_look,
            brake: turn.brake,
            distrusted: turn.distrusted,
            evidence: Evidence::new(announced, &memory.first_seen, now_ms, confirm),
            memory,
            progress,
            mail_refused: None,
            undone: None,
        };
        Box::pin(async move {
            match turn.known {
                Known::User(user, recalled) => {
                    run.keep_memory();
                    run.provision_user(&user, recalled).await
                }
                Known::Group(group) => {
                    run.keep_memory();
                    run.provision_group(&group).await
                }
                Known::Excluded => {
                    tracing::info!(subject = %run.lease.subject(), "subject is excluded");
                    Ok(())
                }
            }
        })
    }

    /// A look, which reads and changes nothing.
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

/// Reads that run at the same time. Both remotes have rate limits.
const AT_ONCE: usize = 5;

/// The answers of `reads`, in the same order. The first failure ends it.
pub(super) async fn few_at_once<T, E>(
    reads: Vec<impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    stream::iter(reads).buffered(AT_ONCE).try_collect().await
}
