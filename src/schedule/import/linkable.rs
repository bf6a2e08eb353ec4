//! Decides whether an import may link an Okta user, from a reading under the user's lease.
//!
//! The plan rests on lists and searches, and one strange or old answer among them may show the wrong user. The next look
//! disables the account of a linked user who is not wanted, so nothing is assigned or linked before this decision.

use futures_util::future::try_join3;

use super::apply::Halt;
use super::job::{Job, Kind};
use super::pair::{self, OTHER_USERNAME};
use crate::anypoint::Account;
use crate::deadline::Deadline;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaUserId, Subject};
use crate::ledger::Lease;
use crate::okta::{AppUser, User};
use crate::provision::{Exclusions, Policy, Unwanted, standing};
use crate::schedule::Scheduler;
use crate::store::{Memory, Tenure, UserLink};

/// What both sides and the table say of one user and the account, read under the user's lease.
pub(super) struct Reading<'l> {
    lease: &'l Lease,
    id: &'l OktaUserId,
    pub(super) account: Account,
    user: Option<User>,
    app_user: Option<AppUser>,
    link: Option<UserLink>,
}

/// A user who may be linked to the account of the job. Only [`Reading::linkable`] makes one.
pub(super) struct Linkable<'l> {
    pub(super) lease: &'l Lease,
    pub(super) user: &'l OktaUserId,
    pub(super) account: Account,
    pub(super) person: (User, AppUser),
    /// The link to this account that the table has.
    pub(super) present: Option<UserLink>,
}

/// Whether a user who may have the account still needs the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignment {
    /// There is none, or it ended.
    Missing,
    Made,
}

impl Scheduler {
    /// Reads what decides about a link.
    pub(super) async fn read_user<'l>(
        &self,
        lease: &'l Lease,
        id: &'l OktaUserId,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<Reading<'l>, Halt> {
        let (okta, app) = (&self.ports.okta, &self.ports.app);
        let read = try_join3(
            async { Ok(okta.user(id, deadline).await?) },
            async { Ok(okta.app_user(app, id, deadline).await?) },
            self.account_now(account, deadline),
        );
        let (user, app_user, account) = read.await?;
        Ok(Reading {
            lease,
            id,
            account,
            user,
            app_user,
            link: self.store().user_link(id).await?,
        })
    }

    /// The account as Anypoint has it now.
    ///
    /// # Errors
    /// When it is not to be imported any more.
    pub(super) async fn account_now(
        &self,
        id: &AccountId,
        deadline: Deadline,
    ) -> Result<Account, Halt> {
        let found = self.ports.anypoint.account(id, deadline).await?;
        found.filter(pair::is_active).ok_or_else(|| {
            let what = "the account was deleted or disabled, or Anypoint does not say whether it is enabled";
            overtaken(Side::Anypoint, what)
        })
    }

    /// Fails if a run that died made or enabled the account for this user. Then the link is the business of the user's
    /// own look, which knows how the account came to be.
    pub(super) async fn check_orphan(&self, reading: &Reading<'_>) -> Result<(), Halt> {
        let (account, now_ms) = (&reading.account, self.clock().now_ms());
        let intent = Memory::of(reading.lease, now_ms).intent;
        let Some(intent) = intent.filter(|intent| intent.names(&account.username)) else {
            return Ok(());
        };
        let ids = std::slice::from_ref(&account.id);
        let owner = self.store().account_owners(ids).await?.remove(&account.id);
        let is_theirs = match owner {
            Some(owner) => owner.okta_user == *reading.id && owner.tenure == Tenure::Former,
            None => intent.made(account),
        };
        if is_theirs {
            return Err(Halt::Orphan);
        }
        Ok(())
    }
}

impl<'l> Reading<'l> {
    /// Whether the user has the account already.
    pub(super) fn is_linked(&self) -> bool {
        let mut present = self.link.iter();
        present.any(|present| present.anypoint_id == self.account.id)
    }

    /// Whether the user may have the account, once they are assigned to the app.
    pub(super) fn check(&self, job: &Job, policy: &Policy) -> Result<Assignment, Halt> {
        let subject = Subject::User(self.id.clone());
        let user = self.user.as_ref();
        let user = user.ok_or_else(|| unwanted(Unwanted::NoUser))?;
        if policy.excluded.names(&subject) || policy.excluded.user(user) {
            return Err(Halt::Problem(Exclusions::refused(&subject)));
        }
        let assignment = match standing(Some(user), self.app_user.as_ref(), policy.suspended) {
            Ok(()) => Assignment::Made,
            Err(reason) if reason.is_unassigned() => Assignment::Missing,
            Err(reason) => return Err(unwanted(reason)),
        };
        if job.by().is_some_and(|by| !by.holds(user, &self.account)) {
            let what = "the Okta user has another login or e-mail address than the account";
            return Err(overtaken(Side::Okta, what));
        }
        let is_as_planned = match &job.kind {
            Kind::Agree { link, .. } => self.link.as_ref() == Some(&**link),
            _ => self.link.is_none(),
        };
        if !is_as_planned {
            let what = "the link of the Okta user was changed meanwhile";
            return Err(overtaken(Side::Table, what));
        }
        Ok(assignment)
    }

    /// The same reading after the app was assigned, with the assignment as Okta made it.
    pub(super) fn assigned(self, app_user: Option<AppUser>) -> Self {
        Self { app_user, ..self }
    }

    /// The user, if they may be linked to the account as they are.
    pub(super) fn linkable(self, job: &Job, policy: &Policy) -> Result<Linkable<'l>, Halt> {
        if self.check(job, policy)? == Assignment::Missing {
            return Err(unwanted(Unwanted::NotAssigned));
        }
        let (Some(user), Some(app_user)) = (self.user, self.app_user) else {
            return Err(unwanted(Unwanted::NotAssigned));
        };
        let username = app_user.username().map(|name| policy.usernames.apply(name));
        let fits =
            matches!(username, Some(Ok(name)) if name.eq_ignore_ascii_case(&self.account.username));
        // A link that exists outlives a rename: the next look gives the user the account of the new name.
        if !fits && job.by().is_some() {
            let advice = "Then import again.";
            return Err(Halt::Problem(Failure::permanent(
                Side::Okta,
                OTHER_USERNAME,
                advice,
            )));
        }
        Ok(Linkable {
            lease: self.lease,
            user: self.id,
            account: self.account,
            person: (user, app_user),
            present: self.link,
        })
    }
}

/// The user is not to have an account.
fn unwanted(reason: Unwanted) -> Halt {
    let what = format!("{}, so the account is not linked", reason.as_str());
    Halt::Problem(Failure::retryable(Side::Okta, what))
}

/// The plan no longer fits. The next run plans again.
pub(super) fn overtaken(side: Side, what: &str) -> Halt {
    Halt::Problem(Failure::retryable(side, what).because(Cause::Overtaken))
}
