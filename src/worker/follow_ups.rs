//! Serves follow-ups in the same run, when there is no queue for them.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::record::Records;
use super::serve::Looked;
use super::{Verdict, Worker};
use crate::event::Change;
use crate::failure::{Cause, Failure, Side};
use crate::ids::Subject;
use crate::ledger::{AuditEntry, ClaimOutcome, EndState, Lease, Leased, Reason};
use crate::provision::FollowUp;
use crate::store::Memory;

impl Worker {
    /// Serves the subjects to look at next, because there is no queue for them. It gives the lease back meanwhile, so that
    /// no two runs wait for each other. The claims end with the lease: until the rest is done, their records say that it
    /// is not, and the memory keeps what is owed. So a run that dies here, or finds the subject busy, leaves both true.
    pub(super) async fn serve_next(
        &self,
        looked: Looked<'_>,
        lease: Lease,
        records: Records,
        state: EndState,
        next: Vec<Change>,
    ) -> Verdict {
        let is_repeated = matches!(&state, EndState::Failed(failure) if failure.is_retryable());
        let for_now = match is_repeated {
            true => state.clone(),
            false => EndState::Failed(not_done(next.len(), next.len())),
        };
        let owed = records.memory.owed.clone();
        let recorded = self.record(&looked, lease, records, &for_now, Verdict::Settled);
        let recorded = recorded.await;
        let until = looked.deadline.earlier_by(self.pace.recording);
        let run: BoxFuture<'_, _> = Box::pin(self.run(&next, Reason::Delivery, until));
        let verdicts = {
            let _serving = self.serving.begin(looked.subject);
            run.await
        };
        let open = verdicts.iter().filter(|verdict| verdict.is_retry()).count();
        let state = match open {
            _ if is_repeated => for_now,
            0 => state,
            _ => EndState::Failed(not_done(open, next.len())),
        };
        let ended = next.iter().zip(verdicts);
        let ended = ended.filter(|(_, verdict)| !verdict.is_retry());
        let mut done: Vec<&Subject> = ended.map(|(change, _)| &change.subject).collect();
        done.retain(|subject| owed.contains(subject));
        let is_recorded = (is_repeated || open > 0) && done.is_empty();
        if is_recorded {
            return recorded.or(self.report_end(&looked, &state));
        }
        if recorded.is_retry() {
            return recorded;
        }
        let (lease, mut records, claimed) = match self.claim_again(&looked).await {
            Ok(claimed) => claimed,
            Err(failure) => return self.report_end(&looked, &EndState::Failed(failure)),
        };
        let owed = &mut records.memory.owed;
        owed.retain(|subject| !done.contains(&subject));
        let verdict = claimed.or(self.report_end(&looked, &state));
        // The records have the steps already.
        let looked = Looked {
            applied: Vec::new(),
            ..looked
        };
        self.record(&looked, lease, records, &state, verdict).await
    }

    /// Takes the lease and the claims again after the follow-ups are done. The verdict says whether a change goes back
    /// because it could not be claimed.
    async fn claim_again(&self, looked: &Looked<'_>) -> Result<(Lease, Records, Verdict), Failure> {
        let lease = match self.take(looked.subject, looked.deadline).await? {
            Leased::Ours(lease) => lease,
            Leased::Busy { until_ms } => {
                let what = "another run works on the subject; all is done but the record";
                return Err(Failure::retryable(Side::Program, what)
                    .because(Cause::Busy)
                    .after(Some(self.until(until_ms))));
            }
        };
        let mut claims = Vec::with_capacity(looked.changes.len());
        let mut verdict = Verdict::Settled;
        for change in &looked.changes {
            let work = change.work();
            let claimed = self.ports.ledger.claim(&work, &lease, Reason::Return);
            match claimed.await {
                Ok(ClaimOutcome::Claimed(claim)) => claims.push(claim),
                // Another run did it meanwhile.
                Ok(ClaimOutcome::AlreadyDone | ClaimOutcome::AlreadyFailed) => {}
                Ok(ClaimOutcome::Busy { .. } | ClaimOutcome::Waiting { .. }) => {
                    verdict = Verdict::retry_after(None);
                }
                Err(failure) => {
                    tracing::error!(subject = %looked.subject, "could not claim an event: {failure}");
                    verdict = Verdict::retry(&failure);
                }
            }
        }
        let now_ms = self.ports.clock.now_ms();
        let found = "another run was cut off before this run came back";
        let interrupted = AuditEntry::for_interrupted(&lease, found, now_ms);
        interrupted.iter().for_each(AuditEntry::log);
        let records = Records {
            claims,
            dead: Vec::new(),
            memory: Memory::of(&lease, now_ms),
            audit: interrupted.into_iter().collect(),
        };
        Ok((lease, records, verdict))
    }
}

/// The subjects to look at next, as changes of their own.
pub(super) fn found(next: &[FollowUp], now_ms: i64) -> Vec<Change> {
    let change = |next: &FollowUp| match next {
        FollowUp::Subject(subject) | FollowUp::Once(subject) => {
            Change::found(subject.clone(), now_ms)
        }
        FollowUp::Member(user, group) => {
            Change::found(Subject::User(user.clone()), now_ms).in_group(group.clone())
        }
    };
    next.iter().map(change).collect()
}

/// The subjects whose runs gave the lease back and serve follow-ups.
#[derive(Default)]
pub(super) struct Serving(Mutex<Vec<Subject>>);

impl Serving {
    /// Adds a subject until the answer is dropped.
    fn begin(&self, subject: &Subject) -> Served<'_> {
        self.with(|subjects| subjects.push(subject.clone()));
        Served(self, subject.clone())
    }

    /// Keeps in memory what the next run would not find again, until it is sent or done. Adds to `next` what earlier runs
    /// owe. A subject that serves follow-ups is not served again for what is owed: two subjects that owe each other would
    /// have no end. It stays owed until the next run.
    pub(super) fn owe(&self, memory: &mut Memory, next: &mut Vec<FollowUp>) {
        memory.owe(next.iter().filter_map(FollowUp::owed));
        for subject in &memory.owed {
            let owed = FollowUp::Once(subject.clone());
            if !next.contains(&owed) && !self.with(|subjects| subjects.contains(subject)) {
                next.push(owed);
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Subject>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Served<'s>(&'s Serving, Subject);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.with(|subjects| {
            if let Some(at) = subjects.iter().position(|subject| *subject == self.1) {
                subjects.swap_remove(at);
            }
        });
    }
}

fn not_done(open: usize, all: usize) -> Failure {
    let message = format!("{open} of {all} follow-up subjects are not done");
    Failure::retryable(Side::Program, message).because(Cause::Busy)
}
