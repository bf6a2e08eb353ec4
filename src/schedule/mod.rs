//! The safety net: tasks that run on a schedule or by an operator's command.
//!
//! | task | reads | does |
//! |---|---|---|
//! | [`Task::CatchUp`] | the System Log since its cursor | queues the events that ask for a change |
//! | [`Task::Reconcile`] | both sides completely | plans every subject, and queues those that differ |
//! | [`Task::Import`] | Anypoint's accounts, Okta's app users | pairs them, and creates Okta users if it may |
//!
//! None of them writes to Anypoint. The changes of a catch-up or reconcile go the way of an event: the worker looks at
//! each subject. An import itself writes links, and writes to Okta. Two runs of one task never work at the same
//! time. If a source about everybody cannot be read completely, the run stops before it changes anything. A run may miss
//! what changes while it reads, and the next run finds it.

mod catch_up;
mod credential;
mod import;
mod people;
mod reconcile;
mod send;
mod summary;
mod task;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::{Clock, rfc3339};
use crate::deadline::Deadline;
use crate::failure::{Cause, Failure, Side};
use crate::ledger::{Conclusion, Lease, Leased, while_kept};
use crate::okta::{Okta, Scopes};
use crate::provision::{Changes, Ports, paused_since};
use crate::queue::Queue;
use crate::settings::{ImportMode, ScheduleSettings};
use crate::store::{Documents, Store, overwrite};
use crate::telemetry::{Metric, Metrics};

pub use crate::provision::Step;
pub use crate::settings::Mode;
pub use credential::{CREDENTIAL, NotedCredential};
pub use reconcile::READS_AT_ONCE;
pub use summary::{Difference, Problem, RunOutcome, Summary};
pub use task::{Invocation, Task};

/// The time that a run keeps for its report and its lease.
const WRAP_UP: Duration = Duration::from_secs(2);

/// Receives the progress of a run: its phase, how much of it is done, and of how much, if that is known.
pub type Progress = Arc<dyn Fn(&'static str, usize, Option<usize>) + Send + Sync>;

/// Runs the tasks. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    ports: Ports,
    /// Okta with the right to read the System Log. It has its own token, so that a service app without that right can
    /// do the rest.
    log: Okta,
    /// Okta with the right to create users and assign them, for an import that creates. It has its own token, too.
    people: Okta,
    queue: Arc<dyn Queue>,
    settings: ScheduleSettings,
    metrics: Arc<Metrics>,
    progress: Option<Progress>,
}

impl Scheduler {
    /// A scheduler whose findings go to `queue`. Without a queue that is
    /// [`InlineQueue`](crate::worker::InlineQueue).
    pub fn new(
        ports: Ports,
        queue: Arc<dyn Queue>,
        settings: ScheduleSettings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let log = ports.okta.clone().with_scopes(Scopes::default().with_log());
        let people = ports
            .okta
            .clone()
            .with_scopes(Scopes::default().with_import());
        Self {
            ports,
            log,
            people,
            queue,
            settings,
            metrics,
            progress: None,
        }
    }

    /// The same scheduler, reporting its progress.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// What a reconcile would do. Takes no lease, keeps no report, and writes nothing anywhere.
    ///
    /// # Errors
    /// The failure that kept it from planning.
    pub async fn plan(&self, deadline: Deadline) -> Result<Summary, Failure> {
        let begun = Instant::now();
        let started_at = rfc3339(self.clock().now_ms());
        let mut summary = Summary::new(Task::Reconcile, Mode::Report, started_at);
        Box::pin(self.reconcile(deadline, &mut summary)).await?;
        summary.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(summary)
    }

    /// Runs `task` in `mode`, or as the settings say if no mode is given.
    ///
    /// If another run of the task is at work, the run ends at once with [`RunOutcome::Skipped`]. Every other run, failed
    /// or not, is counted, logged, and kept as document `report#<task>`.
    ///
    /// # Errors
    /// The failure that stopped the run. A reconcile has then changed nothing, unless the queue or the table failed.
    pub async fn run(
        &self,
        task: Task,
        mode: Option<Mode>,
        deadline: Deadline,
    ) -> Result<Summary, Failure> {
        let begun = Instant::now();
        let started_at = rfc3339(self.clock().now_ms());
        let mut summary = Summary::new(task, self.mode(task, mode), started_at);
        let is_asked_to_report = mode == Some(Mode::Report);
        if !is_asked_to_report && let Some(pause) = self.pause().await? {
            tracing::info!(task = task.as_str(), pause, "changes are paused");
            summary.outcome = RunOutcome::Skipped;
            summary.message = Some(format!("changes are paused ({pause})"));
            return Ok(summary);
        }
        let subject = format!("task#{}", task.as_str());
        let ledger = &self.ports.ledger;
        let lease = match ledger.lease(&subject, deadline.lease()).await {
            Ok(Leased::Ours(lease)) => lease,
            Ok(Leased::Busy { until_ms }) => {
                let until = rfc3339(until_ms);
                tracing::info!(task = task.as_str(), until, "another run is at work");
                summary.outcome = RunOutcome::Skipped;
                summary.message = Some(format!(
                    "another run of this task is at work, until {until} at the latest"
                ));
                return Ok(summary);
            }
            Err(failure) => {
                self.metrics.count(Metric::RunStopped(task.as_str()), 1);
                return Err(failure);
            }
        };
        let until = deadline.earlier_by(WRAP_UP);
        let work = self.work(task, mode, &lease, until, &mut summary);
        let work = Box::pin(while_kept(&**ledger, &lease, &[], until, work));
        let result = match tokio::time::timeout_at(until.instant(), work).await {
            Ok(result) => result.flatten(),
            Err(_) => Err(Failure::retryable(
                Side::Program,
                "the run's time was up; the next run reads both sides again and does the rest",
            )
            .because(Cause::Timeout)),
        };
        summary.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Err(failure) = &result {
            self.note_refusal(failure);
            summary.outcome = RunOutcome::Stopped;
            summary.message = Some(failure.to_string());
            summary.class = Some(failure.class);
        }
        self.conclude(&summary, &result).await;
        if let Err(failure) = ledger.conclude(lease, Conclusion::default()).await {
            tracing::warn!(
                task = task.as_str(),
                "could not give the lease back; it expires by itself: {failure}"
            );
        }
        result.map(|()| summary)
    }

    async fn work(
        &self,
        task: Task,
        mode: Option<Mode>,
        lease: &Lease,
        deadline: Deadline,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        match task {
            Task::CatchUp => self.catch_up(deadline, summary).await,
            Task::Reconcile => {
                let result = self.reconcile(deadline, summary).await;
                if mode != Some(Mode::Report) {
                    self.note_credential(deadline).await;
                }
                result
            }
            Task::Import => {
                let is_off = self.settings.import == ImportMode::Off;
                let shadow = (self.is_shadow() && !is_off).then_some(Mode::Report);
                let mode = shadow.or(mode);
                self.import(mode, lease, deadline, summary).await
            }
        }
    }

    /// The command or setting that pauses changes, if they are paused.
    async fn pause(&self) -> Result<Option<&'static str>, Failure> {
        if self.ports.policy.changes == Changes::Pause {
            return Ok(Some("CHANGES=pause"));
        }
        let since = paused_since(self.documents()).await?;
        Ok(since.map(|_| "okta-anypoint pause"))
    }

    /// The mode of a scheduled run.
    #[cfg(feature = "local")]
    pub(crate) fn usual_mode(&self, task: Task) -> Mode {
        self.mode(task, None)
    }

    fn is_shadow(&self) -> bool {
        self.ports.policy.changes == Changes::Report
    }

    /// The mode of a run. `asked` is the mode that its caller asked for.
    fn mode(&self, task: Task, asked: Option<Mode>) -> Mode {
        let may = match task {
            Task::CatchUp => true,
            Task::Reconcile => self.settings.reconcile == Mode::Apply,
            Task::Import => matches!(self.settings.import, ImportMode::Link | ImportMode::Create),
        };
        if self.is_shadow() && task != Task::CatchUp {
            return Mode::Report;
        }
        match (asked, may) {
            (Some(Mode::Report), _) => Mode::Report,
            // Only IMPORT_MODE can choose between the import's two ways of writing.
            (Some(Mode::Apply), false) if task == Task::Import => Mode::Report,
            (Some(Mode::Apply), _) | (None, true) => Mode::Apply,
            (None, false) => Mode::Report,
        }
    }

    /// Counts a run that ended because a side refused the credentials or the rights.
    fn note_refusal(&self, failure: &Failure) {
        if failure.cause.is_refusal() {
            self.metrics.count(Metric::SideRefuses(failure.side), 1);
        }
    }

    async fn conclude(&self, summary: &Summary, result: &Result<(), Failure>) {
        let task = summary.task.as_str();
        let metric = match result {
            Ok(()) => Metric::RunCompleted(task),
            Err(_) => Metric::RunStopped(task),
        };
        self.metrics.count(metric, 1);
        if let Err(failure) = self.keep_report(summary).await {
            tracing::error!(task, "could not store the report: {failure}");
        }
        summary.log(result);
    }

    async fn keep_report(&self, summary: &Summary) -> Result<(), Failure> {
        let name = format!("report#{}", summary.task.as_str());
        overwrite(self.documents(), &name, &summary.to_kept()).await
    }

    fn progress(&self, phase: &'static str, done: usize, total: Option<usize>) {
        if let Some(progress) = &self.progress {
            progress(phase, done, total);
        }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.ports.clock
    }

    fn documents(&self) -> &dyn Documents {
        &*self.ports.documents
    }

    fn store(&self) -> &dyn Store {
        &*self.ports.store
    }
}
