//! The summary of a run. The run returns it, logs its counts, and keeps it as the last report.
//!
//! It has opaque ids, counts and fixed words only, and no names or addresses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::failure::{Class, Failure};
use crate::ids::{AccountId, Subject, TeamId};
use crate::provision::Step;
use crate::settings::Mode;

/// Why a run ends before all is done. The next run does the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The time was up.
    Time,
    /// This command or setting paused changes meanwhile.
    Pause(&'static str),
}

words! {
    /// How a run ended.
    pub enum RunOutcome {
        /// Everything was done.
        Completed = "completed",
        /// The time was up. The next run does the rest.
        Continues = "continues",
        /// Another run of the task is at work, or changes are paused: the run began nothing, or nothing more.
        Skipped = "skipped",
        /// A limit or an unreadable source stopped it, and `message` says which. In report mode, the same would stop an
        /// apply.
        Stopped = "stopped",
    }
}

/// An object in which both sides differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The Okta user or group, when there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Subject>,
    /// The Anypoint account (import).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<AccountId>,
    /// The steps that bring them in sync.
    pub actions: Vec<Step>,
}

/// What a person has to settle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The Okta user or group, when there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Subject>,
    /// The Anypoint account (import).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<AccountId>,
    /// Whether a retry may fix it.
    pub class: Class,
    /// What happened, and what to do about it.
    pub text: String,
}

impl Problem {
    pub(super) fn of(subject: Subject, failure: &Failure) -> Self {
        Self {
            subject: Some(subject),
            ..Self::general(failure)
        }
    }

    pub(super) fn about_account(account: AccountId, failure: &Failure) -> Self {
        Self {
            account: Some(account),
            ..Self::general(failure)
        }
    }

    /// A problem that is not about one subject or account.
    pub(super) fn general(failure: &Failure) -> Self {
        Self {
            subject: None,
            account: None,
            class: failure.class,
            text: failure.to_string(),
        }
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The task.
    pub task: Task,
    /// Whether the run was allowed to change anything.
    pub mode: Mode,
    /// How it ended.
    pub outcome: RunOutcome,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// What the operator should know, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Of a run that was stopped: whether a retry may fix it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<Class>,
    /// What was counted, by stable names.
    pub counts: BTreeMap<Cow<'static, str>, usize>,
    /// The differences, and what was (or would be) done about them.
    pub differences: Vec<Difference>,
    /// What could not be planned or done, and why.
    pub problems: Vec<Problem>,
    /// Okta users and groups that `EXCLUDE_USERS` and `EXCLUDE_GROUPS` name. They are never changed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub excluded: Vec<Subject>,
    /// Anypoint accounts without a link. They are never changed.
    pub unmanaged_accounts: Vec<AccountId>,
    /// Anypoint teams without a link. They are never changed.
    pub unmanaged_teams: Vec<TeamId>,
    /// How many entries were left out of the lists above, so that the report can be stored.
    #[serde(default)]
    pub omitted: usize,
}

/// The largest report that is kept (DynamoDB takes 400 KB an item).
const MAX_KEPT_BYTES: usize = 300 * 1024;

impl Summary {
    pub(super) fn new(task: Task, mode: Mode, started_at: String) -> Self {
        Self {
            task,
            mode,
            outcome: RunOutcome::Completed,
            started_at,
            took_ms: 0,
            message: None,
            class: None,
            counts: BTreeMap::new(),
            differences: Vec::new(),
            problems: Vec::new(),
            excluded: Vec::new(),
            unmanaged_accounts: Vec::new(),
            unmanaged_teams: Vec::new(),
            omitted: 0,
        }
    }

    /// Ends the run before all is done.
    pub(super) fn cut(&mut self, cut: Cut) {
        match cut {
            Cut::Time => self.outcome = RunOutcome::Continues,
            Cut::Pause(pause) => {
                self.outcome = RunOutcome::Skipped;
                let paused = format!(
                    "changes are paused ({pause}): what the run had begun is finished, and the rest waits for the next run"
                );
                self.message = Some(match self.message.take() {
                    Some(message) => format!("{message}. {paused}"),
                    None => paused,
                });
            }
        }
    }

    /// One of the counts. 0 if it was never counted.
    pub fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, name: &'static str, count: usize) {
        self.counts.insert(name.into(), count);
    }

    pub(super) fn add(&mut self, name: &'static str, count: usize) {
        *self.counts.entry(name.into()).or_default() += count;
    }

    /// Writes one log entry, with the counts as fields and without the lists.
    pub(super) fn log(&self, result: &Result<(), Failure>) {
        let task = self.task.as_str();
        let count = |name: &str| self.counts.get(name).copied();
        macro_rules! entry {
            ($level:ident, $message:expr) => {
                tracing::$level!(
                    task,
                    mode = self.mode.as_str(),
                    outcome = self.outcome.as_str(),
                    took_ms = self.took_ms,
                    reason = self.message.as_deref(),
                    events = count("events"),
                    pages = count("pages"),
                    ignored = count("ignored"),
                    queued = count("queued"),
                    would_queue = count("would_queue"),
                    app_users = count("app_users"),
                    accounts = count("accounts"),
                    active_native_accounts = count("active_native_accounts"),
                    teams = count("teams"),
                    pushed_groups = count("pushed_groups"),
                    user_links = count("user_links"),
                    team_links = count("team_links"),
                    differing_users = count("differing_users"),
                    differing_groups = count("differing_groups"),
                    deactivations = count("deactivations"),
                    excluded = count("excluded"),
                    leaving_teams = count("leaving_teams"),
                    in_agreement = count("in_agreement"),
                    unpaired = count("unpaired"),
                    refused = count("refused"),
                    problems = self.problems.len(),
                    unmanaged_accounts = self.unmanaged_accounts.len(),
                    unmanaged_teams = self.unmanaged_teams.len(),
                    $message
                )
            };
        }
        match result {
            Ok(()) => entry!(info, "scheduled run ended"),
            Err(_) => entry!(error, "scheduled run stopped"),
        }
    }

    /// The summary to store. Its lists are cut until it fits.
    pub(super) fn to_kept(&self) -> Self {
        let mut most = usize::MAX;
        loop {
            let kept = self.shortened(most);
            let bytes = serde_json::to_vec(&kept).map_or(0, |json| json.len());
            if bytes <= MAX_KEPT_BYTES || most == 0 {
                return kept;
            }
            most = (most / 2).min(1000);
        }
    }

    fn shortened(&self, most: usize) -> Self {
        let mut omitted = self.omitted;
        fn cut<T: Clone>(list: &[T], most: usize, omitted: &mut usize) -> Vec<T> {
            *omitted += list.len().saturating_sub(most);
            list.iter().take(most).cloned().collect()
        }
        Self {
            differences: cut(&self.differences, most, &mut omitted),
            problems: cut(&self.problems, most, &mut omitted),
            excluded: cut(&self.excluded, most, &mut omitted),
            unmanaged_accounts: cut(&self.unmanaged_accounts, most, &mut omitted),
            unmanaged_teams: cut(&self.unmanaged_teams, most, &mut omitted),
            omitted,
            counts: self.counts.clone(),
            started_at: self.started_at.clone(),
            message: self.message.clone(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_report_fits_into_one_item() {
        let mut summary = Summary::new(Task::Reconcile, Mode::Apply, String::new());
        summary.differences = (0..10_000)
            .map(|n| Difference {
                subject: format!("user#00u{n:017}").parse().ok(),
                account: None,
                actions: vec![Step::new("disable_account", "the Okta user is deactivated")],
            })
            .collect();
        let kept = summary.to_kept();
        assert!(serde_json::to_string(&kept).unwrap().len() <= MAX_KEPT_BYTES);
        assert_eq!(kept.differences.len() + kept.omitted, 10_000);
        assert!(kept.differences.len() >= 500);
        summary.differences.truncate(3);
        assert_eq!(summary.to_kept(), summary);
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }
}
