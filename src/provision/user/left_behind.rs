//! Accounts that would stay open although nobody has them: what a cut-off run created and could not
//! link, and what a late run enabled although its user has another one by now. Nobody looks at such
//! accounts later, so they are noted and closed here.

use futures_util::future::try_join;

use super::action::{AccountRef, UserAction, UserStep};
use super::run::{Course, End, Intent, Run};
use crate::anypoint::AccountChanges;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaUserId};
use crate::ledger::Claim;
use crate::provision::provisioner::Provisioner;
use crate::provision::wanted::{Wanted, wanted};
use crate::store::{AccountOwner, Intended, Origin, Tenure, UserLink};

impl Provisioner {
    /// A look failed for good. If that is because of the username that is wanted now, what an earlier
    /// run left behind under another name is closed all the same.
    pub(super) async fn close_under_refused_name(
        &self,
        user: &OktaUserId,
        deadline: Deadline,
        course: &mut Course,
    ) -> Result<(), Failure> {
        let Some(intent) = self.store.user_memory(user).await?.intent else {
            return Ok(());
        };
        let (found, app_user) = try_join(
            self.okta.user(user, deadline),
            self.okta.app_user(&self.app, user, deadline),
        )
        .await?;
        if wanted(found.as_ref(), app_user.as_ref(), &self.policy).is_ok() {
            return Ok(());
        }
        self.close_left_behind(user, &intent.username, deadline, course)
            .await
    }

    /// If an account of that name is there, and nobody has it, or `user` had it before the present one,
    /// it must not stay open.
    pub(super) async fn close_left_behind(
        &self,
        user: &OktaUserId,
        name: &str,
        deadline: Deadline,
        course: &mut Course,
    ) -> Result<(), Failure> {
        let Some(account) = self.anypoint.account_named(name, deadline).await? else {
            return Ok(());
        };
        let owners = self
            .store
            .account_owners(std::slice::from_ref(&account.id))
            .await?;
        let is_former =
            |owner: &AccountOwner| owner.okta_user == *user && owner.tenure == Tenure::Former;
        if !owners.values().all(is_former) {
            return Ok(());
        }
        if account.is_enabled() {
            let changes = AccountChanges::enabled(false);
            self.anypoint
                .update_account(&account.id, &changes, deadline)
                .await?;
            course.applied.actions.push("disable_account");
        }
        self.store.forget_intent(user).await?;
        course.intent = Intent::Closed;
        Ok(())
    }
}

impl Run<'_> {
    /// A plan that links an account as created by an earlier run rests on that run's note. If the run is
    /// still at it, or took the note back because the name was somebody else's, the plan must not go on.
    pub(super) async fn note_stands(
        &self,
        plan: &[UserStep],
        claim: &Claim,
    ) -> Result<bool, Failure> {
        let rests_on_it = plan.iter().find_map(|step| match &step.action {
            UserAction::Link {
                account: AccountRef::Known(account),
                username,
                origin: Origin::Created,
                ..
            } if !self.is_linked(account) => Some(username),
            _ => None,
        });
        let Some(username) = rests_on_it else {
            return Ok(true);
        };
        let Provisioner { store, clock, .. } = self.provisioner;
        let intent = store.user_memory(&self.view.user).await?.intent;
        Ok(intent.is_some_and(|intent| {
            // Whoever is out does not wait.
            let is_over = matches!(self.view.wanted, Wanted::Nothing(_))
                || intent.until_ms <= clock.now_ms()
                || intent.holder == claim.id();
            is_over && intent.username.eq_ignore_ascii_case(username)
        }))
    }

    fn is_linked(&self, account: &AccountId) -> bool {
        let link = self.view.link.as_ref();
        link.is_some_and(|link| link.anypoint_id == *account)
    }

    /// An earlier run was cut off while it created, or was to close, an account under a name that is not
    /// wanted any more. If the account is there, and nobody has it, it must not stay open.
    pub(super) async fn close_stranded(
        &mut self,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<End, Failure> {
        let Some(name) = &self.view.intended else {
            return Ok(End::DONE);
        };
        let is_named = |other: &str| other.eq_ignore_ascii_case(name);
        let is_planned = match &self.view.wanted {
            Wanted::Account(person) => is_named(&person.username),
            // Without a link the plan itself closes it.
            Wanted::Nothing(_) => self.view.link.is_none(),
        };
        let user = &self.view.user;
        let linked = self.view.linked.as_ref();
        if linked.is_some_and(|account| is_named(&account.username)) {
            // Another run enables this account, or was cut off while it did. What the look saw of it
            // may be over; but whoever is out does not wait.
            let lease = deadline.lease();
            let store = &self.provisioner.store;
            let intended = store.intend_account(user, name, claim.id(), lease).await?;
            if intended == Intended::Noted {
                self.forget_intent().await?;
            } else if matches!(self.view.wanted, Wanted::Nothing(_)) {
                return Ok(End::DONE);
            }
            return Ok(End::Held);
        }
        if is_planned {
            return Ok(End::DONE);
        }
        let closed = self
            .provisioner
            .close_left_behind(user, name, deadline, self.course);
        closed.await?;
        Ok(End::DONE)
    }

    /// Notes that an account which is or was the user's is about to be enabled. As long as the note
    /// stands no other run links another one; and a run that is killed leaves it to the next look, which
    /// closes the account if it is not the wanted one by then. `false`: another run is at it, or has
    /// linked another account since the look.
    pub(super) async fn note_opening(
        &mut self,
        account: &AccountId,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let view = self.view;
        let was_theirs = |owner: &Option<AccountOwner>| {
            let owner = owner.as_ref();
            owner.is_some_and(|owner| owner.okta_user == view.user)
        };
        let former = view.named.iter().filter(|named| was_theirs(&named.owner));
        let mut theirs = view.linked.iter().chain(former.map(|named| &named.account));
        let Some(seen) = theirs.find(|seen| seen.id == *account) else {
            // A note about an account that was nobody's would say that this program made it.
            return Ok(true);
        };
        let store = &self.provisioner.store;
        let lease = deadline.lease();
        let intended = store.intend_account(&view.user, &seen.username, claim.id(), lease);
        if intended.await? != Intended::Noted {
            return Ok(false);
        }
        self.course.intent = Intent::Open;
        if store.user_link(&view.user).await? == view.link {
            return Ok(true);
        }
        self.forget_intent().await?;
        Ok(false)
    }

    /// Whether the account that was just enabled still is the user's, or is about to become so. Another
    /// run may have closed it since the look, because the user has another one by now: then it is
    /// closed again, for nobody looks at former accounts.
    pub(super) async fn opened_rightly(
        &mut self,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let is_opened = |link: &UserLink| Some(&link.anypoint_id) == self.opened.as_ref();
        if !self.view.link.as_ref().is_some_and(is_opened) {
            return Ok(true);
        }
        let link = self.provisioner.store.user_link(&self.view.user).await?;
        if link.as_ref().is_some_and(is_opened) {
            self.forget_intent().await?;
            return Ok(true);
        }
        self.close_opened(claim, deadline).await?;
        Ok(false)
    }

    /// The account linked before was closed when this run looked, so it was not closed again. A run that
    /// was at it meanwhile may have enabled it.
    pub(super) async fn close_linked_before(
        &mut self,
        link: &UserLink,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let anypoint = &self.provisioner.anypoint;
        let before = self.view.linked.iter();
        let mut closed = before.filter(|account| !account.is_enabled());
        let Some(closed) = closed.find(|account| account.id != link.anypoint_id) else {
            return Ok(());
        };
        let now = anypoint.account(&closed.id, deadline).await?;
        if now.is_some_and(|account| account.is_enabled()) {
            let changes = AccountChanges::enabled(false);
            anypoint
                .update_account(&closed.id, &changes, deadline)
                .await?;
        }
        Ok(())
    }

    /// Closes the account that this run has enabled, unless it is somebody's by now. Noted first: if
    /// this run does not get through with it, the next one does.
    pub(super) async fn close_opened(
        &mut self,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let Provisioner {
            anypoint, store, ..
        } = self.provisioner;
        let Some(account) = self.opened.take() else {
            return Ok(());
        };
        let owners = store.account_owners(std::slice::from_ref(&account)).await?;
        let is_had = |owner: &AccountOwner| owner.tenure == Tenure::Current;
        if owners.get(&account).is_some_and(is_had) {
            return Ok(());
        }
        let user = &self.view.user;
        let seen = self.view.named.as_ref().map(|named| &named.account);
        let seen = seen.into_iter().chain(&self.view.linked);
        let mut noted = false;
        for seen in seen.filter(|seen| seen.id == account) {
            let lease = deadline.lease();
            let intended = store.intend_account(user, &seen.username, claim.id(), lease);
            noted = intended.await? == Intended::Noted;
        }
        if noted {
            self.course.intent = Intent::Open;
        }
        let changes = AccountChanges::enabled(false);
        anypoint
            .update_account(&account, &changes, deadline)
            .await?;
        if noted {
            self.forget_intent().await?;
        }
        Ok(())
    }
}
