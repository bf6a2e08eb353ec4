//! A run on one subject: its look, its lease, its evidence and its progress.

use std::future::Future;
use std::time::Duration;

use super::brake::Brake;
use super::evidence::Evidence;
use super::finding::Findings;
use super::ports::Ports;
use super::progress::Progress;
use super::provisioner::{Look, SecondLook};
use super::step::{Applied, Step};
use crate::failure::{Cause, Failure, Side};
use crate::http::CallError;
use crate::ids::{OktaGroupId, Subject};
use crate::ledger::{AuditEntry, Conclusion, EndState, Lease, Leased, Recorded, lease_within};
use crate::store::Memory;

/// How long after a first read the second one follows in the same run.
pub(crate) const REREAD_AFTER: Duration = Duration::from_millis(500);
/// Findings of one look that are remembered. A memory has to fit into an item of the table.
const MAX_REMEMBERED: usize = 3_000;

pub(super) struct Run<'a> {
    pub(super) look: Look<'a>,
    pub(super) lease: &'a Lease,
    pub(super) second_look: SecondLook,
    pub(super) brake: Brake,
    /// Groups of the user whose memberships may be read as they were before.
    pub(super) distrusted: Vec<OktaGroupId>,
    pub(super) evidence: Evidence,
    pub(super) memory: Memory,
    pub(super) progress: &'a mut Progress,
    /// Why Anypoint refused the reset mail. The link then says that it is owed, and the change comes back.
    pub(super) mail_refused: Option<Failure>,
    /// Why something about one team could not be done. The run reports it after the rest.
    pub(super) undone: Option<Failure>,
}

impl<'a> Run<'a> {
    pub(super) fn ports(&self) -> &'a Ports {
        self.look.ports
    }

    /// Makes one call that writes at Anypoint.
    ///
    /// # Errors
    /// The outer error: the lease is over, and the call was not made. The inner error is the call's own.
    pub(super) async fn write<T>(
        &mut self,
        what: Applied,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Result<T, CallError>, Failure> {
        self.write_under(self.lease, what, call).await
    }

    /// As [`Run::write`], under the lease on another subject.
    pub(super) async fn write_under<T>(
        &mut self,
        lease: &Lease,
        what: Applied,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Result<T, CallError>, Failure> {
        lease.check()?;
        self.progress.begin(what);
        let answer = call.await;
        Ok(self.progress.end(answer))
    }

    /// Leases a second subject. Waits if another run has it.
    ///
    /// # Errors
    /// Retryable, when the other run still has it.
    pub(super) async fn lease_other(
        &self,
        subject: Subject,
        patience: Duration,
    ) -> Result<Lease, Failure> {
        let (ledger, subject) = (&*self.ports().ledger, subject.to_string());
        match lease_within(ledger, &subject, self.look.deadline, patience).await? {
            Leased::Ours(lease) => Ok(lease),
            Leased::Busy { .. } => {
                let what = format!("another run works on {subject}; this change goes back");
                Err(Failure::retryable(Side::Program, what).because(Cause::Busy))
            }
        }
    }

    /// Gives a second lease back, and records in its subject's audit trail what was `done` under it. If the subject's
    /// last run was cut off, it records that too, because the next owner cannot know.
    pub(super) async fn give_back(&self, lease: Lease, done: &[Applied]) -> Result<(), Failure> {
        let ports = self.ports();
        let now_ms = ports.clock.now_ms();
        let found =
            "the previous run was cut off; a user's run that needed this subject noticed it";
        let interrupted = AuditEntry::for_interrupted(&lease, found, now_ms);
        interrupted.iter().for_each(AuditEntry::log);
        let why = format!("a run of {} needed it", self.lease.subject());
        let done = done.iter().map(|applied| AuditEntry {
            why: Some(why.clone()),
            ..applied.entry(&lease, now_ms)
        });
        let conclusion = Conclusion::auditing(interrupted.into_iter().chain(done).collect());
        ports.ledger.conclude(lease, conclusion).await?;
        Ok(())
    }

    /// Sets the failure aside until the rest is done.
    ///
    /// # Errors
    /// The failure, if the rest cannot go on either.
    pub(super) fn set_aside(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.is_retryable() && !failure.may_be_of_one_object() {
            return Err(failure);
        }
        tracing::warn!(
            subject = self.lease.subject(),
            "the rest goes on: {failure}"
        );
        self.undone = Failure::of_parts([self.undone.take(), Some(failure)]);
        Ok(())
    }

    pub(super) fn applied(&mut self, what: Applied) {
        self.progress.applied.push(what);
    }

    /// Keeps the memory for the next run. The record's own write includes it.
    pub(super) fn keep_memory(&mut self) {
        self.progress.memory = Some(self.memory.clone());
    }

    /// Writes the memory now, because the next step must not happen without it.
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

    /// Remembers what this look did not show. The changes wait for a second look at what is not believed yet.
    pub(super) fn remember(&mut self, findings: &Findings) {
        let remembered = findings.all().take(MAX_REMEMBERED);
        self.memory.first_seen = self.evidence.remember(remembered);
        self.keep_memory();
        for finding in &findings.doubted {
            let until_ms = self.evidence.believed_after(finding);
            self.progress.wait_until(until_ms, &finding.in_words());
        }
    }

    /// Makes the changes wait until an announcement that the look does not show is old enough to be overruled.
    pub(super) fn wait_for_announced(&mut self, until_ms: Option<i64>) {
        if let Some(until_ms) = until_ms {
            let seen = "Okta does not show yet what the event announced";
            self.progress.wait_until(until_ms, seen);
        }
    }

    /// Whether the brake holds a plan that takes these people's access away.
    pub(super) async fn is_held(
        &mut self,
        steps: &[Step],
        people: &[String],
    ) -> Result<bool, Failure> {
        let why = Box::pin(self.brake.holds(self.ports(), people)).await?;
        let Some(why) = why else { return Ok(false) };
        self.progress.end = Some(EndState::Held {
            steps: steps.iter().map(ToString::to_string).collect(),
            why,
        });
        Ok(true)
    }

    /// Waits a moment before a second read of Anypoint. Anypoint's lists may show the past, so it waits behind a queue, too.
    ///
    /// # Errors
    /// Retryable, when there is no time for it.
    pub(super) async fn pause_between_reads(&self) -> Result<(), Failure> {
        if self.look.deadline.remaining() <= REREAD_AFTER * 2 {
            let what = "no time was left for a second reading; nothing was changed";
            return Err(Failure::retryable(Side::Program, what).because(Cause::OutOfTime));
        }
        tokio::time::sleep(REREAD_AFTER).await;
        Ok(())
    }

    /// Waits a moment if the second read has to happen in this run and there is time for it. Returns whether it waited.
    pub(super) async fn pause_for_second_read(&self) -> bool {
        let enough = self.look.deadline.remaining() > REREAD_AFTER * 2;
        if self.second_look == SecondLook::Later || !enough {
            return false;
        }
        tokio::time::sleep(REREAD_AFTER).await;
        true
    }
}
