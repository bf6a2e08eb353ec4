//! A write-ahead list of the accounts whose Okta users an import is about to create, in the memo of the task's lease.
//!
//! Until Okta answers there is no user to lease, so a run that dies then leaves nothing in that user's audit trail.
//! The run writes the list before it begins the first account, and removes an account when its creation is on
//! record. The next run settles the list before it does anything else. If no import follows, the audit trail stays
//! without the entry.

use std::collections::{BTreeSet, HashMap};

use super::done::{IMPORT, from_to};
use super::job::action;
use super::pair;
use crate::anypoint::Account;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::http::CallError;
use crate::ids::{AccountId, OktaUserId, Subject};
use crate::ledger::{
    AuditEntry, Conclusion, Lease, Leased, Ledger, Recorded, SUBJECT_WAIT, lease_within,
};
use crate::schedule::Scheduler;

const CUT_OFF: &str =
    "an import was cut off, or kept out by another run, after it may have created this user";

/// How far back a run searches the audit trail for the creation.
const TOLD_WITHIN_MS: i64 = 31 * 86_400_000;

/// The accounts whose Okta users may have been created without an audit entry.
pub(super) struct Begun<'r> {
    /// The lease on the task.
    lease: &'r Lease,
    /// Of earlier runs.
    left_over: BTreeSet<AccountId>,
    /// Of this run.
    accounts: BTreeSet<AccountId>,
    /// The memo that the table has.
    written: Option<String>,
}

impl<'r> Begun<'r> {
    /// The list of earlier runs. An unreadable list counts as empty.
    pub(super) fn left_over(lease: &'r Lease) -> Self {
        let noted = lease
            .memo()
            .and_then(|memo| serde_json::from_str(memo).ok());
        Self {
            lease,
            left_over: noted.unwrap_or_default(),
            accounts: BTreeSet::new(),
            written: lease.memo().map(str::to_owned),
        }
    }

    /// Adds accounts whose Okta users are about to be created.
    pub(super) fn add(&mut self, accounts: impl Iterator<Item = AccountId>) {
        self.accounts.extend(accounts);
    }

    /// Removes an account of this run, because its creation is on record or did not happen.
    pub(super) fn settle(&mut self, account: &AccountId) {
        self.accounts.remove(account);
    }

    /// Writes the list if it has changed.
    pub(super) async fn write(&mut self, ledger: &dyn Ledger) -> Result<(), Failure> {
        let noted: BTreeSet<_> = self.left_over.union(&self.accounts).collect();
        let memo = (!noted.is_empty()).then(|| serde_json::json!(noted).to_string());
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
    /// Records the users that earlier runs may have created in their audit trails.
    pub(super) async fn settle_begun(
        &self,
        begun: &mut Begun<'_>,
        accounts: &HashMap<AccountId, Account>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        for id in begun.left_over.clone() {
            let account = accounts.get(&id);
            let user = match account.and_then(pair::email_of) {
                Some(email) => self.user_begun(email, deadline).await,
                None => Ok(None),
            };
            let is_settled = match (account, user) {
                (Some(account), Ok(Some(user))) => {
                    self.settle_one(account, &user, deadline).await?
                }
                (_, Ok(_)) => true,
                (_, Err(error)) => {
                    // The plan reports it. The next run asks again.
                    self.of_one_address(error, deadline).await?;
                    false
                }
            };
            if is_settled {
                begun.left_over.remove(&id);
            }
        }
        Ok(())
    }

    /// The user who has the login. Their id is enough.
    async fn user_begun(
        &self,
        login: &str,
        deadline: Deadline,
    ) -> Result<Option<OktaUserId>, CallError> {
        let found = self.ports.okta.users_with_login(login, deadline).await?;
        let ids = found.map(|user| user.id).with_unread(|id| id);
        Ok(ids.into_iter().next())
    }

    /// Whether the audit trail of `user` now says that an import may have created them.
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
