//! The last run of each scheduled task, and whether the next one is overdue.

use std::time::Duration;

use crate::clock::later;
use crate::failure::Failure;
use crate::schedule::{RunOutcome, Summary, Task};
use crate::store::Documents;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long ago a task may have begun if its interval is not known. The alert rules use the same times. An import runs
/// only if an operator asks for one.
pub fn usual_interval(task: Task) -> Option<Duration> {
    match task {
        Task::CatchUp => Some(HOUR),
        Task::Reconcile => Some(HOUR * 24),
        Task::Import => None,
    }
}

/// The state of the last run of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It never ran.
    Never,
    /// Everything was done, without problems.
    Good,
    /// Its time or a pause ended it without problems before all was done. The next run does the rest, and of an import an
    /// operator may have to ask for it.
    Unfinished,
    /// It ended with problems for an operator.
    Problems,
    /// Something stopped it.
    Stopped,
    /// The next run should have begun by now.
    Overdue,
}

/// The last run of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// The task.
    pub task: Task,
    /// Its summary, if the task ever ran.
    pub summary: Option<Summary>,
    /// When it ended, milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Its state.
    pub health: Health,
}

impl LastRun {
    /// Judges the last run of `task`, if the next one has to begin within `interval`.
    pub fn of(
        task: Task,
        summary: Option<Summary>,
        interval: Option<Duration>,
        now_ms: i64,
    ) -> Self {
        let began_ms = summary.as_ref().and_then(|summary| {
            let began: jiff::Timestamp = summary.started_at.parse().ok()?;
            Some(began.as_millisecond())
        });
        let took = summary.as_ref().map_or(0, |summary| summary.took_ms);
        let ended_ms = began_ms.map(|began| later(began, Duration::from_millis(took)));
        let is_late = began_ms
            .zip(interval)
            .is_some_and(|(began, interval)| later(began, interval) < now_ms);
        let health = match &summary {
            None => Health::Never,
            Some(summary) if summary.outcome == RunOutcome::Stopped => Health::Stopped,
            Some(_) if is_late => Health::Overdue,
            Some(summary) if !summary.problems.is_empty() => Health::Problems,
            Some(summary) if summary.outcome != RunOutcome::Completed => Health::Unfinished,
            Some(_) => Health::Good,
        };
        Self {
            task,
            summary,
            ended_ms,
            health,
        }
    }
}

/// The last run of each task, judged by the interval that `interval` names for it.
///
/// # Errors
/// When the table fails.
pub async fn last_runs(
    documents: &dyn Documents,
    interval: impl Fn(Task) -> Option<Duration>,
    now_ms: i64,
) -> Result<Vec<LastRun>, Failure> {
    let mut runs = Vec::new();
    for task in Task::ALL {
        let name = format!("report#{}", task.as_str());
        let found = documents.document(&name).await?;
        let summary = found.and_then(|found| serde_json::from_str(&found.json).ok());
        runs.push(LastRun::of(task, summary, interval(task), now_ms));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_run_is_stopped_overdue_unfinished_or_good() {
        let began: jiff::Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let began = began.as_millisecond();
        let run = |outcome: &str, problems: usize, minutes: i64| {
            let problem = json!({"class": "permanent", "text": "x"});
            let summary = serde_json::from_value(json!({
                "task": "catch_up", "mode": "apply", "outcome": outcome, "took_ms": 2000,
                "started_at": "2026-03-02T09:00:00Z", "counts": {}, "differences": [],
                "problems": vec![problem; problems], "unmanaged_accounts": [], "unmanaged_teams": [],
            }));
            let now_ms = began + minutes * 60_000;
            let interval = usual_interval(Task::CatchUp);
            LastRun::of(Task::CatchUp, summary.unwrap(), interval, now_ms)
        };
        assert_eq!(run("completed", 0, 59).health, Health::Good);
        assert_eq!(run("completed", 0, 59).ended_ms, Some(began + 2000));
        for outcome in ["skipped", "continues"] {
            assert_eq!(run(outcome, 0, 59).health, Health::Unfinished, "{outcome}");
            assert_eq!(run(outcome, 1, 59).health, Health::Problems, "{outcome}");
            assert_eq!(run(outcome, 0, 61).health, Health::Overdue, "{outcome}");
        }
        assert_eq!(run("completed", 1, 59).health, Health::Problems);
        assert_eq!(run("completed", 1, 61).health, Health::Overdue);
        assert_eq!(run("stopped", 1, 61).health, Health::Stopped);
        let never = LastRun::of(Task::Import, None, None, began);
        assert_eq!((never.health, never.ended_ms), (Health::Never, None));
    }
}
