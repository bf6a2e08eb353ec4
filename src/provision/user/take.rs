//! Adopts an existing account: one without a link, a former account of the user, or one that another user's link names.
//!
//! The run takes over another user's account only under the lease on that user, and only if nothing changed since its
//! look: Okta still says that the account is free, and Anypoint shows the same account in the same teams. Otherwise the
//! run looks again. The worker looks at that user next.

use std::time::Duration;

use futures_util::future::try_join;

use super::account::{Adoption, FormerOwner};
use super::adopt::Freed;
use super::apply::{End, Retired};
use super::plan::UserPlan;
use super::steps::why;
use super::view::UserView;
use crate::failure::Failure;
use crate::ids::{OktaUserId, Subject};
use crate::ledger::{Lease, SUBJECT_WAIT};
use crate::provision::progress::FollowUp;
use crate::provision::run::Run;
use crate::provision::step::{AccountRef, Applied, action};
use crate::store::{AccountOwner, Intent, Memory, Tenure};

/// Another user's account that is free, and about which the plan knows what it was under the lease on that user. Only
/// [`Run::confirm`] makes one.
struct Confirmed<'c> {
    lease: &'c Lease,
    freed: &'c Freed,
}

impl Run<'_> {
    pub(super) async fn adopt(
        &mut self,
        view: &UserView,
        adoption: &Adoption,
        plan: &UserPlan,
    ) -> Result<End, Failure> {
        let Some(freed) = &adoption.freed_from else {
            self.make_ready(adoption, plan).await?;
            self.link(view, &adoption.link, why::IS_THEIRS).await?;
            return Ok(End::Done);
        };
        let lease = self.lease_owner(&view.user, &freed.owner).await?;
        let mut done = Vec::new();
        let adopted = self
            .adopt_from(view, adoption, plan, freed, &lease, &mut done)
            .await;
        self.give_back(lease, &done).await?;
        adopted
    }

    async fn make_ready(&mut self, adoption: &Adoption, plan: &UserPlan) -> Result<(), Failure> {
        let enables = adoption.changes.enabled == Some(true);
        if enables && adoption.was_theirs == FormerOwner::ThisUser {
            let link = &adoption.link;
            self.intend(Intent::to_enable(&link.anypoint_id, &link.username))
                .await?;
        }
        let account = AccountRef::from(&adoption.link);
        self.update(account, &adoption.changes, plan.why).await?;
        self.retire(plan.retire.as_ref(), Retired::Replaced).await?;
        self.mail_reset(account, adoption.mail, why::MAIL_IN_DOUBT)
            .await
    }

    /// Two users can each want the other's account. Only the run of the smaller id waits, so no two runs wait for each
    /// other.
    async fn lease_owner(&self, user: &OktaUserId, owner: &OktaUserId) -> Result<Lease, Failure> {
        let is_first = user < owner;
        let patience = if is_first {
            SUBJECT_WAIT
        } else {
            Duration::ZERO
        };
        self.lease_other(Subject::User(owner.clone()), patience)
            .await
    }

    async fn adopt_from(
        &mut self,
        view: &UserView,
        adoption: &Adoption,
        plan: &UserPlan,
        freed: &Freed,
        lease: &Lease,
        done: &mut Vec<Applied>,
    ) -> Result<End, Failure> {
        let Some(confirmed) = self.confirm(view, adoption, freed, lease).await? else {
            return Ok(End::LookAgain);
        };
        self.make_ready(adoption, plan).await?;
        let Confirmed { lease, freed } = confirmed;
        self.ports().store.unlink_user(lease, &freed.owner).await?;
        let unlinked = Applied::on(action::UNLINK, &adoption.link.anypoint_id, why::IS_THEIRS);
        done.push(unlinked.of_account(&adoption.link.username));
        let owner = Subject::User(freed.owner.clone());
        self.progress.follow(FollowUp::Once(owner));
        self.link(view, &adoption.link, why::IS_THEIRS).await?;
        Ok(End::Done)
    }

    /// Reads the account again under the lease on its owner. A run of the owner may have changed it since the look. `None`
    /// if the plan rests on an old reading.
    async fn confirm<'c>(
        &mut self,
        view: &UserView,
        adoption: &Adoption,
        freed: &'c Freed,
        lease: &'c Lease,
    ) -> Result<Option<Confirmed<'c>>, Failure> {
        let Some(seen) = &view.named else {
            return Ok(None);
        };
        let (is_free, now) = try_join(
            self.is_still_free(adoption, freed),
            self.look.account_with_teams(&adoption.link.anypoint_id),
        )
        .await?;
        if !is_free {
            return Ok(None);
        }
        // Reads may still show memberships as they were before the owner's last run.
        let theirs = Memory::of(lease, self.ports().clock.now_ms());
        let is_news = self.memory.inherit_memberships(&theirs);
        self.keep_memory();
        let is_as_seen = !is_news && now.is_some_and(|now| now.is_as(seen));
        Ok(is_as_seen.then_some(Confirmed { lease, freed }))
    }

    async fn is_still_free(&self, adoption: &Adoption, freed: &Freed) -> Result<bool, Failure> {
        let accounts = std::slice::from_ref(&adoption.link.anypoint_id);
        let mut owners = self.ports().store.account_owners(accounts).await?;
        let is_theirs =
            |owner: AccountOwner| owner.okta_user == freed.owner && owner.tenure == Tenure::Current;
        if !owners
            .remove(&adoption.link.anypoint_id)
            .is_some_and(is_theirs)
        {
            return Ok(false);
        }
        let found = self.look.freed_from(&freed.owner, &adoption.link.username);
        Ok(found.await?.as_ref() == Some(freed))
    }
}
