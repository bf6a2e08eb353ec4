//! Accounts that a run was about to create or enable when it ended without a link to them.
//!
//! A run writes an intent first. If it ends before it links the account, no link leads to the account: it is orphaned.
//! The next look finds it by the intent. The user adopts it as a former account if it has the wanted username. Else the
//! run disables it, and records it as a former account of the user. `link` makes use of that: it moves a user's link to
//! another account and leaves an intent, so that the next look disables the old one.
//!
//! A username proves nothing: somebody else may have created an account of that name, or had one all along. A new account
//! counts as the user's only if it has the e-mail address that was asked for, and is no older than the intent.

use super::account::{NewPerson, Retire};
use super::apply::Retired;
use super::view::{Orphan, UserView};
use crate::anypoint::Account;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaUserId};
use crate::provision::provisioner::Look;
use crate::provision::run::Run;
use crate::provision::wanted::Wanted;
use crate::store::{AccountOwner, Intent, NewAccountMark, Origin, Recalled, Tenure};

/// How far the clocks of Anypoint and of this program may be apart, in milliseconds.
const MAX_SKEW_MS: i64 = 5 * 60_000;
/// How long lists may lack a new account, in milliseconds.
const MAX_LAG_MS: i64 = 10 * 60_000;

impl Intent {
    /// The intent to create an account for `person`, now or as `before` says.
    pub(super) fn to_create(person: &NewPerson, before: Option<&Self>, now_ms: i64) -> Self {
        let mut new = NewAccountMark::of(&person.email, now_ms);
        let same = before.filter(|before| before.names(&person.username));
        if let Some(before) = same.and_then(|before| before.new.as_ref())
            && before.email == new.email
        {
            new.since_ms = before.since_ms;
        }
        Self {
            username: person.username.clone(),
            account: None,
            new: Some(new),
        }
    }

    /// The intent to enable a former account. The next look ends that account if no link leads to it by then.
    pub fn to_enable(account: &AccountId, username: &str) -> Self {
        Self {
            account: Some(account.clone()),
            ..Self::of_earlier_version(username)
        }
    }

    fn of_earlier_version(username: &str) -> Self {
        Self {
            username: username.to_owned(),
            account: None,
            new: None,
        }
    }

    pub(crate) fn names(&self, username: &str) -> bool {
        self.username.eq_ignore_ascii_case(username)
    }

    /// Whether this is the new account that was asked for.
    pub(crate) fn made(&self, account: &Account) -> bool {
        let Some(new) = &self.new else { return false };
        let email = account.email.as_deref().map(NewAccountMark::email);
        let is_older = |created_ms: i64| created_ms < new.since_ms.saturating_sub(MAX_SKEW_MS);
        self.names(&account.username)
            && email.as_deref() == Some(&new.email)
            && !account.created_ms().is_some_and(is_older)
    }

    /// Whether the account may have been created for this intent although no list shows it yet.
    pub(super) fn may_be_hidden(&self, username: &str, now_ms: i64) -> bool {
        let new = self.new.as_ref().filter(|_| self.names(username));
        new.is_some_and(|new| now_ms.saturating_sub(new.since_ms) < MAX_LAG_MS)
    }
}

/// The user, as the owner of an account that was made for them and never linked.
pub(crate) fn owner_by_intent(user: &OktaUserId) -> AccountOwner {
    AccountOwner {
        okta_user: user.clone(),
        tenure: Tenure::Former,
        origin: Some(Origin::Created),
    }
}

impl Look<'_> {
    /// What became of the user's orphaned account, if it has not the wanted username. That one is read as any account of
    /// that name.
    pub(super) async fn orphan(
        &self,
        user: &OktaUserId,
        wanted: &Wanted,
        intent: Option<&Intent>,
        linked: Option<&Account>,
    ) -> Result<Orphan, Failure> {
        let Some(intent) = intent else {
            return Ok(Orphan::None);
        };
        let has_wanted_name = match wanted {
            Wanted::Excluded => return Ok(Orphan::None),
            Wanted::Nothing(_) => false,
            Wanted::Account(person) => person
                .username
                .as_ref()
                .is_ok_and(|name| intent.names(name)),
        };
        if has_wanted_name {
            return Ok(Orphan::None);
        }
        let Some(account) = self.intended_account(intent).await? else {
            let now_ms = self.ports.clock.now_ms();
            return Ok(match intent.may_be_hidden(&intent.username, now_ms) {
                true => Orphan::Unshown,
                false => Orphan::None,
            });
        };
        if linked.is_some_and(|linked| linked.id == account.id) {
            return Ok(Orphan::None);
        }
        let ids = std::slice::from_ref(&account.id);
        let owner = self
            .ports
            .store
            .account_owners(ids)
            .await?
            .remove(&account.id);
        let is_orphaned = match owner {
            Some(owner) => owner.okta_user == *user && owner.tenure == Tenure::Former,
            None => intent.made(&account),
        };
        Ok(match is_orphaned {
            true => Orphan::Account(account),
            false => Orphan::None,
        })
    }

    /// The account that the intent names. One list may lack an account that exists, and the run drops an intent without an
    /// account for good. So the account itself is read, too, if the intent has its id.
    pub(super) async fn intended_account(
        &self,
        intent: &Intent,
    ) -> Result<Option<Account>, Failure> {
        let anypoint = &self.ports.anypoint;
        let listed = anypoint.account_named(&intent.username, self.deadline);
        match (listed.await?.sure()?, &intent.account) {
            (None, Some(account)) => Ok(anypoint.account(account, self.deadline).await?),
            (listed, _) => Ok(listed),
        }
    }
}

impl Run<'_> {
    /// Takes over the intent of an earlier build.
    pub(super) async fn take_over_old_intent(
        &mut self,
        user: &OktaUserId,
        recalled: &Recalled,
    ) -> Result<(), Failure> {
        let Some(username) = &recalled.old_intent else {
            return Ok(());
        };
        self.memory
            .intent
            .get_or_insert_with(|| Intent::of_earlier_version(username));
        self.write_memory().await?;
        self.ports().store.forget_old_intent(user).await
    }

    /// Drops the intent when the look found no account that it led to, and none can follow.
    pub(super) fn drop_idle_intent(&mut self, view: &UserView) {
        let Some(intent) = &self.memory.intent else {
            return;
        };
        let is_theirs = |owner: &AccountOwner| owner.okta_user == view.user;
        let named = view.named.as_ref();
        let is_linked = view
            .linked
            .as_ref()
            .is_some_and(|linked| intent.names(&linked.username));
        let is_needed = match &view.wanted {
            Wanted::Excluded => true,
            _ if view.orphan != Orphan::None => true,
            _ if named.is_some_and(|named| named.owner.as_ref().is_some_and(is_theirs)) => true,
            // The next attempt to create it writes the intent again.
            Wanted::Account(person) => {
                let username = person.username.as_ref();
                named.is_none() && !is_linked && username.is_ok_and(|name| intent.names(name))
            }
            Wanted::Nothing(_) => false,
        };
        if !is_needed {
            self.drop_intent();
        }
    }

    pub(super) async fn end_orphan(
        &mut self,
        user: &OktaUserId,
        orphan: &Retire,
    ) -> Result<(), Failure> {
        self.retire(Some(orphan), Retired::Ended).await?;
        self.memory.intent = None;
        let (store, memo) = (&self.ports().store, self.memory.to_memo());
        store
            .record_orphan(self.lease, user, &orphan.account, memo)
            .await?;
        self.keep_memory();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ASKED_MS: i64 = 1_790_000_000_000;

    fn account(username: &str, email: &str, created_ms: Option<i64>) -> Account {
        let at = created_ms.map(crate::clock::rfc3339);
        serde_json::from_value(json!({
            "id": "a1", "username": username, "email": email, "createdAt": at, "enabled": true}))
        .unwrap()
    }

    #[test]
    fn only_an_account_as_it_was_asked_for_counts_as_made() {
        let intent = Intent {
            username: "ann".to_owned(),
            account: None,
            new: Some(NewAccountMark::of("ann@acme.example", ASKED_MS)),
        };
        let (later, earlier) = (ASKED_MS + 1_000, ASKED_MS - 3_600_000);
        for (username, email, created_ms, is_it) in [
            ("ann", "ann@acme.example", Some(later), true),
            ("Ann", "Ann@acme.example", None, true),
            ("ann", "ann@acme.example", Some(ASKED_MS - 60_000), true),
            ("ann", "ann@acme.example", Some(earlier), false),
            ("ann", "other@acme.example", Some(later), false),
            ("ann_old", "ann@acme.example", Some(later), false),
        ] {
            let account = account(username, email, created_ms);
            assert_eq!(
                intent.made(&account),
                is_it,
                "{username} {email} {created_ms:?}"
            );
        }
        let enabling = Intent::of_earlier_version("ann");
        assert!(!enabling.made(&account("ann", "ann@acme.example", Some(later))));
    }
}
