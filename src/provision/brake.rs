//! The brake limits how many people may lose access through events within an hour (`MAX_REMOVALS_PER_HOUR`).
//!
//! It counts people who lose their account because they are no longer assigned, and people who leave a team
//! because their group left the selection. It does not count members who left a group, users whom Okta suspended,
//! deactivated or deleted, deleted groups, or changes of a username. `MAX_DEACTIVATIONS` limits a reconcile's
//! removals instead.
//!
//! The brake *holds* a change beyond the limit: the record says so, and the worker acknowledges the message. A later
//! event of the subject, or an operator's approval, causes a fresh look. Time alone releases nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::clock::later;
use crate::counted::counted;
use crate::failure::Failure;
use crate::store::{Documents, overwrite, read};

/// Whether the brake counts the removals of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Brake {
    /// It does.
    #[default]
    Counts,
    /// The removals passed another limit, or an operator asked for them.
    Passes,
}

/// The planned word of a change whose removals `MAX_DEACTIVATIONS` counted. The brake lets such a change pass.
pub(crate) const COUNTED: &str = "counted_by_limit";

/// The document with the number of linked users that the last reconcile counted.
const LINKED_USERS: &str = "linked_users";
/// The document that says until when the brake is lifted.
const LIFTED: &str = "brake_lifted";

#[derive(Debug, Serialize, Deserialize)]
struct LinkedUsers {
    count: usize,
}

/// The longest that the brake may be lifted.
pub const MAX_LIFT: Duration = Duration::from_secs(24 * 60 * 60);
/// How far apart the clocks of two machines may be.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Serialize, Deserialize)]
struct Lifted {
    /// Since when. Earlier builds stored only the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    since_ms: Option<i64>,
    until_ms: i64,
}

impl Lifted {
    /// Whether the clock that set this was ahead. The lift would end much later than it should.
    fn is_from_ahead(&self, now_ms: i64) -> bool {
        let latest_ms = later(now_ms, MAX_SKEW);
        self.since_ms.is_some_and(|since_ms| latest_ms < since_ms)
    }

    fn counts_at(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms && !self.is_from_ahead(now_ms)
    }

    /// Ends such a lift, so that it does not take effect later.
    async fn end_if_from_ahead(
        &self,
        documents: &dyn Documents,
        now_ms: i64,
    ) -> Result<(), Failure> {
        if !self.is_from_ahead(now_ms) {
            return Ok(());
        }
        tracing::warn!("the brake was lifted under a clock that was ahead; it holds again");
        end_lifted_brake(documents).await
    }
}

impl Brake {
    /// Why the brake holds the removal of these people's access. `None`: it lets the removal pass.
    pub(super) async fn holds(
        self,
        ports: &Ports,
        people: &[String],
    ) -> Result<Option<String>, Failure> {
        if self == Self::Passes || people.is_empty() {
            return Ok(None);
        }
        let limit = ports.policy.removals;
        if limit.allowed(0).is_none() {
            return Ok(None);
        }
        let now_ms = ports.clock.now_ms();
        let documents = &*ports.documents;
        let (linked, lifted) = futures_util::future::try_join(
            read::<LinkedUsers>(documents, LINKED_USERS),
            read::<Lifted>(documents, LIFTED),
        )
        .await?;
        match lifted {
            Some(lifted) if lifted.counts_at(now_ms) => return Ok(None),
            Some(lifted) => lifted.end_if_from_ahead(documents, now_ms).await?,
            None => {}
        }
        let linked = match linked {
            Some(linked) => linked.count,
            None => reported(documents).await?,
        };
        let Some(allowed) = limit.allowed(linked) else {
            return Ok(None);
        };
        let mut total = people.len();
        if total <= allowed {
            let tally = documents.count_removals(people, now_ms).await?;
            if tally.total <= allowed {
                return Ok(None);
            }
            documents.uncount_removals(&tally.newly, now_ms).await?;
            total = tally.total;
        }
        Ok(Some(format!(
            "{} would lose access within an hour, and MAX_REMOVALS_PER_HOUR allows {allowed}",
            counted(total, "person", "people")
        )))
    }
}

/// Records how many users are linked, because the limit can be a share of them.
///
/// # Errors
/// When the table fails.
pub(crate) async fn note_linked_users(
    documents: &dyn Documents,
    count: usize,
) -> Result<(), Failure> {
    overwrite(documents, LINKED_USERS, &LinkedUsers { count }).await
}

/// Lifts the brake for `time` from now. Returns when the lift ends, in milliseconds since the epoch.
///
/// # Errors
/// When the table fails.
pub async fn lift_brake(
    documents: &dyn Documents,
    now_ms: i64,
    time: Duration,
) -> Result<i64, Failure> {
    let lifted = Lifted {
        since_ms: Some(now_ms),
        until_ms: later(now_ms, time),
    };
    overwrite(documents, LIFTED, &lifted).await?;
    Ok(lifted.until_ms)
}

/// Ends the lift of the brake early.
///
/// # Errors
/// When the table fails.
pub async fn end_lifted_brake(documents: &dyn Documents) -> Result<(), Failure> {
    let ended = Lifted {
        since_ms: None,
        until_ms: 0,
    };
    overwrite(documents, LIFTED, &ended).await
}

/// Ends a lift that was set by a clock that was ahead.
pub(crate) async fn end_lift_from_ahead(
    documents: &dyn Documents,
    now_ms: i64,
) -> Result<(), Failure> {
    match read::<Lifted>(documents, LIFTED).await? {
        Some(lifted) => lifted.end_if_from_ahead(documents, now_ms).await,
        None => Ok(()),
    }
}

/// When the lift of the brake ends, in milliseconds since the epoch. `None`: it is not lifted.
///
/// # Errors
/// When the table fails.
pub async fn brake_off_until(
    documents: &dyn Documents,
    now_ms: i64,
) -> Result<Option<i64>, Failure> {
    let lifted: Option<Lifted> = read(documents, LIFTED).await?;
    let lifted = lifted.filter(|lifted| lifted.counts_at(now_ms));
    Ok(lifted.map(|lifted| lifted.until_ms))
}

/// How many users were linked at the last reconcile that only reported.
async fn reported(documents: &dyn Documents) -> Result<usize, Failure> {
    let report: Option<serde_json::Value> = read(documents, "report#reconcile").await?;
    let counted = report.and_then(|report| report["counts"]["user_links"].as_u64());
    Ok(counted
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0))
}
