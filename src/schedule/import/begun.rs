//! The Okta users that an import is about to create: a write-ahead note in the memo of the task's lease.
//!
//! Until Okta answers there is no user to lease, so a run that dies then leaves nothing in that user's audit trail.
//! The note names the accounts. It is written before the first of them is worked on, and keeps an account until its
//! creation is on record. The next run settles the note before it does anything else. Not guaranteed: an entry, if
//! the run died and no import follows for a week. The memo goes away then.

use std::collections::{BTreeSet, HashMap};

use super::done::{IMPORT, from_to};
use super::job::action;
use super::pair;
use crate::anypoint::Account;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaUserId, Subject};
use crate::ledger::{
    AuditEntry, Conclusion, Lease, Leased, Ledger, Recorded, SUBJECT_WAIT, lease_within,
};
use crate::schedule::Scheduler;

const CUT_OFF: &str =
    "an import was cut off, or kept out by another run, after it may have created this user";

/// How far back the audit trail is searched for the creation. The memo lasts a week.
const TOLD_WITHIN_MS: i64 = 31 * 86_400_000;

/// The accounts whose Okta users may have been created without an audit entry.
pub(super) struct Begun<'r> {
    /// The lease on the task.
    lease: &'r Lease,
    accounts: BTreeSet<AccountId>,
    /// The memo as it stands in the table.
    written: Option<String>,
}

impl<'r> Begun<'r> {
    /// The note of the runs before. One that cannot be read counts as empty.
    pub(super) fn left_over(lease: &'r Lease) -> Self {
        let noted = lease
            .memo()
            .and_then(|memo| serde_json::from_str(memo).ok());
        Self {
            lease,
            accounts: noted.unwrap_or_default(),
            written: lease.memo().map(str::to_owned),
        }
    }

    /// Adds accounts whose Okta users are about to be created.
    pub(super) fn add(&mut self, accounts: impl Iterator<Item = AccountId>) {
        self.accounts.extend(accounts);
    }

    /// Takes out an account: its creation is on record, or there was none.
    pub(super) fn settle(&mut self, account: &AccountId) {
        self.accounts.remove(account);
    }

    /// Writes the note, if it has changed.
    pub(super) async fn write(&mut self, ledger: &dyn Ledger) -> Result<(), Failure> {
        let memo =
            (!self.accounts.is_empty()).then(|| serde_json::json!(self.accounts).to_string());
        if self.written == memo {
            return Ok(());
        }
        match ledger.write_memo(self.lease, memo.clone()).await? {
            Recorded::Written => self.written = memo,
            Recorded::Superseded => return Err(self.lease.lost()),
        }
        Ok(())
    }
}

impl Scheduler {
    /// Puts into the audit trails the users that the runs before may have created.
    pub(super) async fn settle_begun(
        &self,
        begun: &mut Begun<'_>,
        accounts: &HashMap<AccountId, Account>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        for id in begun.accounts.clone() {
            let account = accounts.get(&id);
            let email = account.and_then(pair::email_of);
            let user = match email {
                Some(email) => self.ports.okta.user_by_login(email, deadline).await?,
                None => None,
            };
            let is_settled = match (account, user) {
                (Some(account), Some(user)) => self.settle_one(account, &user.id, deadline).await?,
                _ => true,
            };
            if is_settled {
                begun.settle(&id);
            }
        }
        Ok(())
    }

    /// Whether the audit trail of `user` says by now that an import may have created them.
    async fn settle_one(
        &self,
        account: &Account,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let ledger = &*self.ports.ledger;
        let subject = Subject::User(user.clone()).to_string();
        let lease = match lease_within(ledger, &subject, deadline, SUBJECT_WAIT).await? {
            Leased::Ours(lease) => lease,
            Leased::Busy { .. } => return Ok(false),
        };
        let since_ms = self.clock().now_ms() - TOLD_WITHIN_MS;
        let history = ledger.history(&subject, since_ms).await?;
        let is_told = |entry: &AuditEntry| {
            entry.action == action::CREATE_USER || entry.why.as_deref() == Some(CUT_OFF)
        };
        let mut conclusion = Conclusion::default();
        if lease.took_over() || !history.iter().any(is_told) {
            let now_ms = self.clock().now_ms();
            let mut entry = AuditEntry {
                id: Some(user.to_string()),
                username: Some(account.username.clone()),
                why: Some(CUT_OFF.to_owned()),
                event_type: Some(IMPORT.to_owned()),
                ..AuditEntry::new(&lease, AuditEntry::INTERRUPTED, now_ms)
            };
            from_to(&mut entry, "no user", AuditEntry::NOT_KNOWN);
            entry.log();
            conclusion.audit.push(entry);
        }
        ledger.conclude(lease, conclusion).await?;
        Ok(true)
    }
}
