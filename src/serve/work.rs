//! From the queue to the worker, several subjects at once.
//!
//! A message leaves the queue only after the ledger says `done`, `held`, or `failed` for good. Until then it comes back.
//! A message that failed each of [`MAX_RECEIVES`] times becomes a dead letter.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::stopped;
use crate::clock::later;
use crate::deadline::Deadline;
use crate::event::Change;
use crate::failure::Failure;
use crate::ledger::{Reason, Status};
use crate::provision::{Changes, paused_since};
use crate::queue::{Received, Redelivery as _, SqliteQueue, Unreadable, pause};
use crate::worker::{Pace, Verdict, Worker};

/// One look at a subject may take this long. The next one does the rest.
const MAX_RUN: Duration = Duration::from_secs(110);
/// A received message comes back after this, unless it is deleted.
const VISIBILITY: Duration = Duration::from_secs(120);
/// Events of one subject that are served by one look.
const MAX_EVENTS_PER_LOOK: usize = 50;
/// A message becomes a dead letter after it was received this often, as in the template (`maxReceiveCount`). With the
/// worker's pauses that is two days: as long as an outage of a weekend.
const MAX_RECEIVES: u32 = 100;
/// A clock that goes back by more than this between two turns is noticed.
const STEP_MS: i64 = 1_000;
/// Other programs on the same file, and pauses that end, are noticed after this at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After the queue could not be read.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Serves the queue.
pub(crate) struct Dispatcher {
    pub queue: SqliteQueue,
    pub worker: Arc<Worker>,
}

impl Dispatcher {
    /// Works until `stop` says so, then lets the runs finish, for at most `grace`. A run that does not is cut
    /// off; its messages are still out and its claims still held.
    pub async fn run(&self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut under_way = JoinSet::new();
        let mut trouble = None;
        let mut steps = Steps::default();
        while !*stop.borrow() {
            let now_ms = self.worker.ports.clock.now_ms();
            if let Some(step) = steps.back(now_ms, Instant::now()) {
                self.cut_times(step).await;
            }
            let free = Pace::QUEUED
                .subjects_at_once
                .saturating_sub(under_way.len());
            if free == 0 {
                tokio::select! {
                    ended = under_way.join_next() => note(ended),
                    () = stopped(&mut stop) => {}
                }
                continue;
            }
            if self.is_paused().await {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    Some(ended) = under_way.join_next() => note(Some(ended)),
                    () = stopped(&mut stop) => {}
                }
                continue;
            }
            let taken_ms = self.worker.ports.clock.now_ms();
            let pause = match self
                .queue
                .receive_subjects(free, MAX_EVENTS_PER_LOOK, VISIBILITY)
                .await
            {
                Ok(taken) => {
                    trouble = None;
                    let found = !taken.groups.is_empty() || !taken.unreadable.is_empty();
                    for message in taken.unreadable {
                        self.reject(message).await;
                    }
                    for messages in taken.groups {
                        let messages = self.make_dead_letters(messages).await;
                        if messages.is_empty() {
                            continue;
                        }
                        let (queue, worker) = (self.queue.clone(), Arc::clone(&self.worker));
                        under_way.spawn(async move {
                            subject(&queue, &worker, messages, taken_ms).await;
                        });
                    }
                    if found {
                        continue;
                    }
                    LOOK_AGAIN
                }
                Err(failure) => {
                    // Logged once, not every five seconds.
                    if trouble.as_ref() != Some(&failure) {
                        tracing::error!("the queue cannot be read: {failure}");
                        trouble = Some(failure);
                    }
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = self.queue.wait(pause) => {}
                // Its later events are ready now.
                Some(ended) = under_way.join_next() => note(Some(ended)),
                () = stopped(&mut stop) => {}
            }
        }
        let rest = async {
            while let Some(ended) = under_way.join_next().await {
                note(Some(ended));
            }
        };
        if timeout(grace, rest).await.is_err() {
            tracing::warn!("work did not end in time; it goes on after the next start");
            under_way.shutdown().await;
        }
    }
}

impl Dispatcher {
    /// Whether messages wait. The read of the queue reports a file that cannot be read.
    async fn is_paused(&self) -> bool {
        let ports = &self.worker.ports;
        ports.policy.changes == Changes::Pause
            || matches!(paused_since(&*ports.documents).await, Ok(Some(_)))
    }

    /// After the clock went back, shortens the times of messages that would stay hidden for too long.
    async fn cut_times(&self, step: Step) {
        if let Step::Back(step_ms) = step
            && let Err(failure) = self.queue.set_back(step_ms).await
        {
            tracing::error!("could not shorten the pauses of messages: {failure}");
        }
        match self.queue.cut_times(VISIBILITY).await {
            Ok(0) => {}
            Ok(messages) => tracing::warn!(
                messages,
                "messages were hidden for longer than possible: the clock went back"
            ),
            Err(failure) => tracing::error!("could not cut the times of messages: {failure}"),
        }
    }

    /// Makes dead letters of messages that failed as often as one may be received, and gives the others.
    async fn make_dead_letters(&self, messages: Vec<Received>) -> Vec<Received> {
        let mut rest = Vec::with_capacity(messages.len());
        for message in messages {
            if message.receive_count <= MAX_RECEIVES || !self.failed_last(&message.change).await {
                rest.push(message);
            } else if let Err(failure) = self.queue.make_dead_letter(message.receipt).await {
                tracing::error!("could not make a dead letter of a message: {failure}");
            } else {
                tracing::error!(
                    event = message.change.uuid.as_str(),
                    subject = %message.change.subject,
                    receives = MAX_RECEIVES,
                    "a message is a dead letter now: it failed each time, and its record says why"
                );
            }
        }
        rest
    }

    /// Whether the ledger says that the last attempt failed. A change whose runs died goes to the worker, which
    /// counts that, and a change that waits for a second look has not failed.
    async fn failed_last(&self, change: &Change) -> bool {
        let work = change.work();
        match self.worker.ports.ledger.record_of(&work).await {
            Ok(record) => record.is_some_and(|record| record.status == Status::Failed),
            Err(failure) => {
                tracing::error!(event = %work.id, "could not read the record of a message: {failure}");
                false
            }
        }
    }

    /// Records an unreadable message as failed for good, and takes it off the queue.
    async fn reject(&self, message: Unreadable) {
        match self.worker.reject(message.uuid, message.subject).await {
            Ok(()) => comes_back(self.queue.delete_all(vec![message.receipt]).await),
            Err(unrecorded) => {
                tracing::error!("an unreadable message could not be recorded: {unrecorded}");
                let delay = pause(
                    message.receive_count,
                    None,
                    unrecorded.retry_after,
                    rand::random(),
                );
                comes_back(self.queue.postpone(&message.receipt, delay).await);
            }
        }
    }
}

/// How the clock may have gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// By any time: nobody knows what the clock did while the program did not run.
    Unknown,
    /// By so many milliseconds.
    Back(i64),
}

/// Sees when the clock goes back.
#[derive(Debug, Default)]
struct Steps {
    latest: Option<(i64, Instant)>,
}

impl Steps {
    /// The step by which the clock went back since the last call, if it did. `at` tells how much time passed.
    fn back(&mut self, now_ms: i64, at: Instant) -> Option<Step> {
        let Some((latest_ms, latest_at)) = self.latest.replace((now_ms, at)) else {
            return Some(Step::Unknown);
        };
        let step_ms = later(latest_ms, at - latest_at).saturating_sub(now_ms);
        (step_ms > STEP_MS).then_some(Step::Back(step_ms))
    }
}

fn note(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        tracing::error!("the work on a subject panicked; its events come back");
    }
}

/// One look for the messages of one subject, which were taken out at `taken_ms`.
async fn subject(queue: &SqliteQueue, worker: &Worker, messages: Vec<Received>, taken_ms: i64) {
    let changes: Vec<Change> = messages.iter().map(|m| m.change.clone()).collect();
    let verdicts = worker
        .run(&changes, Reason::Delivery, Deadline::within(MAX_RUN))
        .await;
    let mut settled = Vec::new();
    let jitter = rand::random();
    for (message, verdict) in messages.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Settled => settled.push(message.receipt),
            Verdict::Retry { after, failures } => {
                let delay = pause(message.receive_count, failures, after, jitter);
                comes_back(queue.back_off(message.receipt, delay, taken_ms).await);
            }
            Verdict::Wait { after } | Verdict::Busy { after } => {
                comes_back(queue.postpone(&message.receipt, after).await);
            }
            Verdict::Paused { after } => {
                let delay = pause(message.receive_count, None, Some(after), jitter);
                comes_back(queue.back_off(message.receipt, delay, taken_ms).await);
            }
        }
    }
    if !settled.is_empty() {
        comes_back(queue.delete_all(settled).await);
    }
}

/// Logs a failed write: the message then comes back by itself, and the ledger knows its result.
fn comes_back<T>(written: Result<T, Failure>) {
    if let Err(failure) = written {
        tracing::warn!("a message could not be taken off the queue or postponed: {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_is_noticed_once_with_its_step() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let mut steps = Steps::default();
        let start = Instant::now();
        assert_eq!(steps.back(DAY_MS, start), Some(Step::Unknown));
        for (at_s, now_ms, back_ms) in [
            (1, DAY_MS + 1_000, None),
            (1, DAY_MS, None),
            (2, 2 * DAY_MS, None),
            (2, DAY_MS, Some(DAY_MS)),
            (3, DAY_MS + 1_000, None),
            (3, 0, Some(DAY_MS + 1_000)),
            (3, 0, None),
            // Time passed, and the clock shows less of it.
            (103, 40_000, Some(60_000)),
            (104, 41_000, None),
        ] {
            let at = start + Duration::from_secs(at_s);
            let expected = back_ms.map(Step::Back);
            assert_eq!(steps.back(now_ms, at), expected, "{at_s} s: {now_ms}");
        }
    }
}
