//! Open failures and held changes. Some wait for an operator, and the program retries the others.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::failure::{Class, Failure};
use crate::ledger::{Filter, Ledger, Record, Status};
use crate::queue::DeadLetters;

/// How advice is marked in a recorded failure.
const ADVICE: &str = " What to do: ";
/// The cause of a record that an older program wrote.
pub const UNKNOWN_CAUSE: &str = "unknown";

/// What happens next to a failed change. Changes for an operator come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Nothing: it failed for good.
    Person,
    /// Nothing: its message used up its receives.
    DeadLetter,
    /// It is retried.
    Retry,
}

/// Open failures with the same cause, class and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SameCause {
    /// The cause's word.
    pub cause: String,
    /// Whether the program retries them.
    pub error_class: Class,
    /// What happens next to them.
    pub next: Next,
    /// How many events failed for it.
    pub count: usize,
    /// When the newest was recorded, milliseconds since the epoch.
    pub newest_at_ms: i64,
    /// Their text: the side and what failed.
    pub error: String,
    /// Its advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The users and groups, in order.
    pub subjects: BTreeSet<String>,
    /// The records' keys, newest first.
    pub ids: Vec<String>,
}

impl SameCause {
    fn of(record: &Record, at: &Place<'_>, next: Next) -> Self {
        Self {
            cause: at.cause.to_owned(),
            error_class: at.class,
            next,
            count: 0,
            newest_at_ms: record.updated_at_ms,
            error: at.what.to_owned(),
            advice: at.advice.map(str::to_owned),
            subjects: BTreeSet::new(),
            ids: Vec::new(),
        }
    }

    /// Groups failed records. Those that wait for an operator come first, then the newest.
    pub fn group(records: &[Record], dead: &DeadLetters) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let mut failed: Vec<&Record> = records
            .iter()
            .filter(|record| record.status == Status::Failed)
            .collect();
        failed.sort_by_key(|record| std::cmp::Reverse(record.updated_at_ms));
        for record in failed {
            let at = Place::of(record);
            let next = match at.class {
                Class::Permanent => Next::Person,
                Class::Retryable if dead.contains(record) => Next::DeadLetter,
                Class::Retryable => Next::Retry,
            };
            let found = groups.iter().position(|group| {
                group.cause == at.cause
                    && group.next == next
                    && group.error == at.what
                    && group.advice.as_deref() == at.advice
            });
            let position = found.unwrap_or_else(|| {
                groups.push(Self::of(record, &at, next));
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(position) {
                group.count += 1;
                group.subjects.insert(record.subject.clone());
                group.ids.push(record.id.clone());
            }
        }
        groups.sort_by_key(|group| group.next);
        groups
    }
}

/// The parts of a failed record's text.
struct Place<'r> {
    cause: &'r str,
    class: Class,
    what: &'r str,
    advice: Option<&'r str>,
}

impl<'r> Place<'r> {
    fn of(record: &'r Record) -> Self {
        let text = record.error.as_deref().unwrap_or("no reason is recorded");
        let (what, advice) = match text.split_once(ADVICE) {
            Some((what, advice)) => (what, Some(advice)),
            None => (text, None),
        };
        Self {
            cause: record.error_code.as_deref().unwrap_or(UNKNOWN_CAUSE),
            class: record.error_class.unwrap_or(Class::Permanent),
            what,
            advice,
        }
    }
}

/// Everything that is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inbox {
    /// Open failures by cause.
    pub failures: Vec<SameCause>,
    /// Users and groups that the brake holds.
    pub held: BTreeSet<String>,
}

impl Inbox {
    /// Reads open failures and held changes. Reads the whole table.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn read(ledger: &dyn Ledger, dead: &DeadLetters) -> Result<Self, Failure> {
        let of = Filter::with_status;
        let (failed, held) = (of(Status::Failed), of(Status::Held));
        let (failed, held) =
            futures_util::try_join!(ledger.records(&failed), ledger.records(&held))?;
        Ok(Self {
            failures: SameCause::group(&failed, dead),
            held: held.into_iter().map(|record| record.subject).collect(),
        })
    }

    /// The users and groups with failures that have this `next`.
    pub fn failed(&self, next: Next) -> BTreeSet<&str> {
        let of_these = self.failures.iter().filter(|group| group.next == next);
        of_these
            .flat_map(|group| group.subjects.iter().map(String::as_str))
            .collect()
    }

    /// The users and groups that wait for an operator.
    pub fn waiting(&self) -> BTreeSet<&str> {
        let mut all = self.failed(Next::Person);
        all.extend(self.failed(Next::DeadLetter));
        all.extend(self.held.iter().map(String::as_str));
        all
    }
}

/// After this time, in milliseconds, no queue brings a change again whose run was cut off: the template's hides a message
/// for 12 minutes.
const NOT_AGAIN: i64 = 60 * 60 * 1_000;

/// The users and groups with a change whose run ended without a result, at least an hour ago: a command that was
/// killed, for example. Reads the whole table.
///
/// # Errors
/// When the table fails.
pub async fn cut_off(ledger: &dyn Ledger, now_ms: i64) -> Result<BTreeSet<String>, Failure> {
    let filter = Filter::with_status(Status::InProgress);
    let records = ledger.records(&filter).await?.into_iter();
    let cut_off = records.filter(|record| record.is_cut_off(now_ms - NOT_AGAIN));
    Ok(cut_off.map(|record| record.subject).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, subject: &str, at_ms: i64, failed: (Class, &str, &str)) -> Record {
        Record {
            id: id.to_owned(),
            status: Status::Failed,
            event_type: "reconcile".to_owned(),
            subject: subject.to_owned(),
            published: String::new(),
            attempts: 1,
            updated_at_ms: at_ms,
            expires_at: 0,
            lease_until_ms: None,
            error: Some(failed.2.to_owned()),
            error_class: Some(failed.0),
            error_code: Some(failed.1.to_owned()),
            applied: None,
            actor: None,
            reason: None,
            waits_until_ms: None,
            waits_for: None,
            dry_run: None,
            planned: None,
            held_for: None,
            resolved_by: None,
        }
    }

    #[test]
    fn equal_failures_are_grouped_and_those_for_an_operator_come_first() {
        use Class::{Permanent, Retryable};
        let taken = "Anypoint: taken. What to do: Rename it.";
        let mut settled = record("e6", "user#6", 9, (Permanent, "username_taken", taken));
        settled.status = Status::Resolved;
        let records = [
            record("e1", "user#1", 5, (Retryable, "timeout", "Okta: no answer")),
            record("e2", "user#2", 1, (Permanent, "username_taken", taken)),
            record("e3", "user#2", 3, (Permanent, "username_taken", taken)),
            record("e4", "user#4", 2, (Permanent, "rejected", "Okta: no")),
            record("e5", "user#4", 4, (Permanent, "rejected", "Anypoint: no")),
            record("e7", "user#7", 0, (Permanent, "rejected", "Okta: never")),
            settled,
        ];
        let groups = SameCause::group(&records, &DeadLetters::default());
        let seen: Vec<_> = groups
            .iter()
            .map(|group| (group.cause.as_str(), group.count, group.subjects.len()))
            .collect();
        assert_eq!(
            seen,
            [
                ("rejected", 1, 1),
                ("username_taken", 2, 1),
                ("rejected", 1, 1),
                ("rejected", 1, 1),
                ("timeout", 1, 1)
            ]
        );
        let taken = &groups[1];
        assert_eq!(taken.ids, ["e3", "e2"]);
        assert_eq!(taken.newest_at_ms, 3);
        assert_eq!(taken.error, "Anypoint: taken.");
        assert_eq!(taken.advice.as_deref(), Some("Rename it."));
        let inbox = Inbox {
            failures: groups,
            held: ["user#4".to_owned(), "user#9".to_owned()].into(),
        };
        assert_eq!(
            inbox.waiting(),
            ["user#2", "user#4", "user#7", "user#9"].into()
        );
        assert_eq!(inbox.failed(Next::Retry), ["user#1"].into());
    }
}
