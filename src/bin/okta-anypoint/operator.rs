//! What a command works with: the table, both remotes and the rules.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use okta_anypoint::clock::{Clock as _, SystemClock, rfc3339};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::Change;
use okta_anypoint::failure::Failure;
use okta_anypoint::http::CallError;
use okta_anypoint::ids::Subject;
use okta_anypoint::ledger::{
    AuditEntry, BY_OPERATOR, Conclusion, Lease, Leased, Ledger, Reason, SUBJECT_WAIT, lease_within,
};
use okta_anypoint::okta::AppUser;
use okta_anypoint::provision::{Changes, Exclusions, Ports, Provisioner, paused_since};
use okta_anypoint::queue::SqliteQueue;
use okta_anypoint::telemetry::Metrics;
use okta_anypoint::worker::{Pace, Verdict, Worker};
use tokio::sync::OnceCell;

use crate::table::LOOK_TIME;

/// One command's work.
const WORK_TIME: Duration = Duration::from_secs(120);

/// Everything that an operator's command needs.
pub struct Operator {
    /// The queue of `serve`, when the table is its file.
    pub queue: Option<SqliteQueue>,
    pub ports: Ports,
    /// How the table is named behind another command, with a space in front.
    pub option: String,
    /// The app's users, once a name needed them.
    pub app_users: OnceCell<Vec<AppUser>>,
}

impl Operator {
    /// Runs `work` under the lease on a user or group. If another run has the lease, it waits for some seconds. The audit
    /// trail gets the entry that `work` returns.
    pub async fn under_lease<T>(
        &self,
        subject: &Subject,
        work: impl AsyncFnOnce(&Lease) -> Result<(T, Option<AuditEntry>)>,
    ) -> Result<T> {
        let (ledger, subject) = (&*self.ports.ledger, subject.to_string());
        let deadline = Deadline::within(LOOK_TIME);
        let lease = match lease_within(ledger, &subject, deadline, SUBJECT_WAIT).await? {
            Leased::Ours(lease) => lease,
            Leased::Busy { until_ms } => bail!(
                "another run works on {subject}, until {} at the latest; try again then",
                rfc3339(until_ms)
            ),
        };
        let (result, entry) = match work(&lease).await {
            Ok((value, entry)) => (Ok(value), entry),
            Err(error) => (Err(error), None),
        };
        let conclusion = Conclusion::auditing(entry.into_iter().collect());
        release(ledger, lease, conclusion).await?;
        result
    }

    /// Everybody's assignment to the app. All names of a command share one read.
    pub async fn app_users(&self, deadline: Deadline) -> Result<&[AppUser], Failure> {
        let (okta, app) = (&self.ports.okta, &self.ports.app);
        let read = async || Ok(okta.list_app_users(app, &[], deadline).await?.items);
        let app_users: Result<_, CallError> = self.app_users.get_or_try_init(read).await;
        Ok(app_users?)
    }

    /// Refuses to work while changes are paused, and names what pauses them.
    pub async fn refuse_while_paused(&self) -> Result<()> {
        let by_setting = self.ports.policy.changes == Changes::Pause;
        let by_command = paused_since(&*self.ports.documents).await?.is_some();
        let resume = format!("`okta-anypoint resume{}`", self.option);
        let (by, fix) = match (by_setting, by_command) {
            (false, false) => return Ok(()),
            (true, false) => (" (CHANGES=pause)", "set CHANGES=apply first".to_owned()),
            (false, true) => ("", format!("resume them first: {resume}")),
            (true, true) => (
                " (CHANGES=pause, and `okta-anypoint pause`)",
                format!("set CHANGES=apply and run {resume} first"),
            ),
        };
        bail!("changes are paused{by}, so nothing is worked on; {fix}")
    }

    /// Refuses to change anything for a subject that a setting excludes.
    pub async fn refuse_excluded(&self, subject: &Subject, deadline: Deadline) -> Result<()> {
        let provisioner = Provisioner::new(self.ports.clone());
        if Box::pin(provisioner.excludes(subject, deadline)).await? {
            return Err(Exclusions::refused(subject).into());
        }
        Ok(())
    }

    /// Refuses what writes at a remote while `CHANGES` holds that back.
    pub async fn refuse_unless_applying(&self) -> Result<()> {
        self.refuse_while_paused().await?;
        if self.ports.policy.changes == Changes::Report {
            bail!(
                "changes are only reported (CHANGES=report), so nothing is written at Anypoint; set \
                 CHANGES=apply first"
            );
        }
        Ok(())
    }

    /// Refuses, under `CHANGES=report`, changes whose records are open. A dry run does nothing for them, and a record that
    /// it ended would leave the list undone.
    pub async fn refuse_to_settle_by_dry_run(&self, changes: &[Change]) -> Result<()> {
        if self.ports.policy.changes != Changes::Report {
            return Ok(());
        }
        for change in changes {
            let record = self.ports.ledger.record_of(&change.work()).await?;
            if let Some(record) = record.filter(|record| record.status.is_open()) {
                bail!(
                    "changes are only reported (CHANGES=report), so event {} of {} would stay undone; it is left as it \
                     is. `okta-anypoint explain {}{}` says what would be done. Set CHANGES=apply to do it",
                    record.id,
                    record.subject,
                    change.subject,
                    self.option
                );
            }
        }
        Ok(())
    }

    /// Works on changes now, as the worker does on events.
    pub async fn work(&self, changes: &[Change], reason: Reason) -> Vec<Verdict> {
        let metrics = Arc::new(Metrics::new("cli"));
        let worker = Worker::new(self.ports.clone(), None, metrics, Pace::BY_HAND);
        worker
            .run(changes, reason, Deadline::within(WORK_TIME))
            .await
    }
}

/// Gives a lease back with what a command did under it, and with the discovery of an earlier run that was cut off.
pub async fn release(ledger: &dyn Ledger, lease: Lease, mut done: Conclusion) -> Result<()> {
    let now_ms = SystemClock.now_ms();
    let why = "the previous run was cut off; an operator's command noticed it";
    let interrupted = AuditEntry::for_interrupted(&lease, why, now_ms);
    done.audit.splice(..0, interrupted);
    ledger.conclude(lease, done).await?;
    Ok(())
}

/// The audit entry of what an operator did by hand.
pub fn by_hand(lease: &Lease, action: &str) -> AuditEntry {
    AuditEntry {
        reason: Some(BY_OPERATOR.to_owned()),
        ..AuditEntry::new(lease, action, SystemClock.now_ms())
    }
}

/// The audit entry of a link that an operator made or removed. `id` is the account or team.
pub fn link_entry(
    lease: &Lease,
    action: &str,
    id: &impl ToString,
    [before, after]: [&str; 2],
) -> AuditEntry {
    AuditEntry {
        id: Some(id.to_string()),
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
        ..by_hand(lease, action)
    }
}

pub const LINKED: [&str; 2] = ["not linked", "linked"];
pub const UNLINKED: [&str; 2] = ["linked", "not linked"];
