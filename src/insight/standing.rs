//! What an operator or a setting has switched for all changes: a pause, dry runs, a lifted brake.

use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::ledger::{Filter, Ledger, Status};
use crate::provision::{Changes, brake_off_until, dry_runs, noted_changes, paused_since};
use crate::store::Documents;

/// What currently applies to all changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The setting `CHANGES` of `serve`. If no `serve` has stored it, that of this process.
    pub changes: Changes,
    /// The setting that commands of this process follow.
    pub here: Changes,
    /// Since when an operator has paused changes, in milliseconds since the epoch.
    pub paused_since_ms: Option<i64>,
    /// Until when an operator has lifted the brake, in milliseconds since the epoch.
    pub brake_off_until_ms: Option<i64>,
    /// Users and groups whose last finished look was a dry run. The next reconcile that applies looks at them.
    pub planned_only: BTreeSet<String>,
}

impl Standing {
    /// Reads the state. `here` is the setting that commands of this process follow. Reads the whole table while dry runs are open.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn read(
        ledger: &dyn Ledger,
        documents: &dyn Documents,
        here: Changes,
        now_ms: i64,
    ) -> Result<Self, Failure> {
        let planned_only = match dry_runs(documents).await? {
            Some(_) => planned_only(ledger).await?,
            None => BTreeSet::new(),
        };
        Ok(Self {
            changes: noted_changes(documents).await?.unwrap_or(here),
            here,
            paused_since_ms: paused_since(documents).await?,
            brake_off_until_ms: brake_off_until(documents, now_ms).await?,
            planned_only,
        })
    }

    /// Whether anything pauses changes.
    pub fn is_paused(&self) -> bool {
        self.changes == Changes::Pause || self.paused_since_ms.is_some()
    }
}

/// The subjects whose last finished record is a dry run.
async fn planned_only(ledger: &dyn Ledger) -> Result<BTreeSet<String>, Failure> {
    let filter = Filter::with_status(Status::Done);
    let (mut seen, mut planned) = (BTreeSet::new(), BTreeSet::new());
    // The newest come first.
    for record in ledger.records(&filter).await? {
        if seen.insert(record.subject.clone()) && record.is_dry_run() {
            planned.insert(record.subject);
        }
    }
    Ok(planned)
}
