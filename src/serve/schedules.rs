//! Runs tasks again and again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::stopped;
use crate::deadline::Deadline;
use crate::failure::{Class, Failure};
use crate::provision::dry_runs;
use crate::schedule::{Mode, RunOutcome, Scheduler, Summary, Task};
use crate::store::{Documents, read};

/// How a run ended, as far as the schedule has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The next run is due as usual.
    AsUsual,
    /// Another run was at work: try again soon.
    Skipped,
    /// Something stopped it that may pass: try again soon.
    Stopped,
}

impl Ended {
    /// After a run with this outcome. `class` is that of the failure that stopped it.
    fn of(outcome: RunOutcome, class: Option<Class>) -> Self {
        match (outcome, class) {
            (RunOutcome::Skipped, _) => Self::Skipped,
            (RunOutcome::Stopped, Some(Class::Retryable)) => Self::Stopped,
            _ => Self::AsUsual,
        }
    }

    /// From the end of the run to the beginning of the next.
    fn pause(self, every: Duration) -> Duration {
        match self {
            Self::AsUsual => every,
            Self::Skipped => SOON.min(every),
            Self::Stopped => AFTER_STOP.min(every),
        }
    }
}

/// One run of a task. It logs and records by itself what became of it.
pub type Run = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Ended> + Send>> + Send + Sync>;

/// A task and when it runs.
#[derive(Clone)]
pub(crate) struct Repeated {
    /// Its name, for the log.
    pub name: &'static str,
    /// Until the first run.
    pub first: Duration,
    /// From the end of one run to the beginning of the next.
    pub every: Duration,
    /// What runs.
    pub run: Run,
}

/// The longest a run may take.
const MAX_RUN: Duration = Duration::from_secs(30 * 60);
/// Until the first run of a task that never ran: time to think again.
const FIRST: Duration = Duration::from_secs(60);

/// How long `task` waits after a start. Catch-up reads the System Log at once, because it finds what was missed
/// meanwhile. The other tasks run when they are due, so that frequent starts do not cause frequent runs. After a stop that
/// may pass they are due as soon as without the start. A task that only reported so far, or whose dry runs wait, is due
/// at once when it may apply them.
pub async fn first(
    scheduler: &Scheduler,
    task: Task,
    every: Duration,
    documents: &Arc<dyn Documents>,
    now_ms: i64,
) -> Result<Duration, Failure> {
    if task == Task::CatchUp {
        return Ok(Duration::ZERO);
    }
    let report: Option<Summary> = read(&**documents, &format!("report#{}", task.as_str())).await?;
    if scheduler.usual_mode(task) == Mode::Apply {
        let mode = report.as_ref().map(|report| report.mode);
        let outcome = report.as_ref().map(|report| report.outcome);
        // A reconcile that was stopped has taken up the dry runs before; a restart does not repeat it.
        let is_tried = mode == Some(Mode::Apply) && outcome == Some(RunOutcome::Stopped);
        let has_dry_runs = task == Task::Reconcile && dry_runs(&**documents).await?.is_some();
        if mode == Some(Mode::Report) || (has_dry_runs && !is_tried) {
            return Ok(Duration::ZERO);
        }
    }
    let due = report.and_then(|report| until_due(&report, every, now_ms));
    Ok(due.unwrap_or(FIRST.min(every)))
}

/// How long it is until the next run after `last`, as [`Repeated`] would wait without a restart, or less.
fn until_due(last: &Summary, every: Duration, now_ms: i64) -> Option<Duration> {
    let began: jiff::Timestamp = last.started_at.parse().ok()?;
    let since_ms = now_ms.saturating_sub(began.as_millisecond());
    let since = Duration::from_millis(u64::try_from(since_ms).unwrap_or(0));
    let usual = every.saturating_sub(since);
    let ended = Ended::of(last.outcome, last.class);
    if ended == Ended::AsUsual {
        return Some(usual);
    }
    let since_end = since.saturating_sub(Duration::from_millis(last.took_ms));
    Some(usual.min(ended.pause(every).saturating_sub(since_end)))
}

/// `task` of `scheduler`, as the settings say.
pub fn repeated(scheduler: &Scheduler, task: Task, first: Duration, every: Duration) -> Repeated {
    let scheduler = scheduler.clone();
    Repeated {
        name: task.as_str(),
        first,
        every,
        run: Arc::new(move || {
            let scheduler = scheduler.clone();
            Box::pin(async move {
                let deadline = Deadline::within(MAX_RUN.min(every.max(FIRST)));
                match scheduler.run(task, None, deadline).await {
                    Ok(summary) => Ended::of(summary.outcome, summary.class),
                    Err(failure) => {
                        tracing::error!(task = task.as_str(), "a scheduled run failed: {failure}");
                        Ended::of(RunOutcome::Stopped, Some(failure.class))
                    }
                }
            })
        }),
    }
}

/// After a run that was skipped, or panicked.
const SOON: Duration = Duration::from_secs(30);
/// After a run that something stopped which may pass: a rate limit, a remote that does not answer.
const AFTER_STOP: Duration = Duration::from_secs(120);

impl Repeated {
    /// Runs the task until `stop` says so; then gives a run under way `grace` to finish, and cuts it
    /// off.
    pub async fn repeat(self, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut wait = self.first;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = sleep(wait) => {}
            }
            let mut run = tokio::spawn((self.run)());
            let ended = tokio::select! {
                ended = &mut run => ended,
                () = stopped(&mut stop) => {
                    if timeout(grace, &mut run).await.is_err() {
                        tracing::warn!(task = self.name, "a scheduled run did not end in time");
                        run.abort();
                    }
                    return;
                }
            };
            wait = match ended {
                Ok(ended) => ended.pause(self.every),
                Err(_) => {
                    tracing::error!(task = self.name, "a scheduled run panicked");
                    SOON.min(self.every)
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_runs_again_after_panics_until_it_is_stopped() {
        let runs = Arc::new(AtomicU32::new(0));
        let (stopper, stop) = watch::channel(false);
        let counted = Arc::clone(&runs);
        let task = Repeated {
            name: "test",
            first: Duration::ZERO,
            every: Duration::from_secs(300),
            run: Arc::new(move || {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    assert_ne!(number, 1, "the second run panics");
                    if number == 2 {
                        Ended::Skipped
                    } else {
                        Ended::AsUsual
                    }
                })
            }),
        };
        let repeated = tokio::spawn(task.repeat(stop, Duration::from_secs(1)));
        // Runs at 0 s, 300 s (panics), 330 s (skipped), 360 s, 660 s.
        for (at_s, expected) in [
            (1, 1),
            (299, 1),
            (301, 2),
            (329, 2),
            (331, 3),
            (361, 4),
            (659, 4),
            (661, 5),
        ] {
            let now = tokio::time::Instant::now();
            static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
            let start = *START.get_or_init(|| now);
            tokio::time::sleep_until(start + Duration::from_secs(at_s)).await;
            assert_eq!(runs.load(Ordering::SeqCst), expected, "after {at_s} s");
        }
        stopper.send(true).unwrap();
        repeated.await.unwrap();
    }
}
