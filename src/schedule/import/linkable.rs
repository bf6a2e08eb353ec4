//! The one decision whether an import may link an Okta user, on what is read under the user's lease.
//!
//! The plan rests on lists and searches, and one strange or old answer among them may show the wrong user. The next look
//! disables the account of a linked user who is not wanted, so nothing is assigned or linked before this decision.

use futures_util::future::try_join;

use super::apply::Halt;
use super::job::{Job, Kind};
use super::pair::OTHER_USERNAME;
use crate::deadline::Deadline;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{OktaUserId, Subject};
use crate::ledger::Lease;
use crate::okta::{AppUser, User};
use crate::provision::{Exclusions, Policy, Unwanted, standing};
use crate::schedule::Scheduler;
use crate::store::UserLink;

/// What Okta and the table say of one user, read under the user's lease.
pub(super) struct Reading<'l> {
    lease: &'l Lease,
    id: &'l OktaUserId,
    user: Option<User>,
    app_user: Option<AppUser>,
    link: Option<UserLink>,
}

/// A user who may be linked to the account of the job. Only [`Reading::linkable`] makes one.
pub(super) struct Linkable<'l> {
    pub(super) lease: &'l Lease,
    pub(super) user: &'l OktaUserId,
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
        deadline: Deadline,
    ) -> Result<Reading<'l>, Halt> {
        let (okta, app) = (&self.ports.okta, &self.ports.app);
        let read = try_join(okta.user(id, deadline), okta.app_user(app, id, deadline));
        let (user, app_user) = read.await?;
        Ok(Reading {
            lease,
            id,
            user,
            app_user,
            link: self.store().user_link(id).await?,
        })
    }
}

impl<'l> Reading<'l> {
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
        if job.by().is_some_and(|by| !by.holds(user, &job.account)) {
            let what = "the Okta user has another login or e-mail address than the account";
            return Err(overtaken(Side::Okta, what));
        }
        let is_as_planned = match &job.kind {
            Kind::Agree { link, .. } => self.link.as_ref() == Some(&**link),
            _ => {
                let mut present = self.link.iter();
                present.all(|present| present.anypoint_id == job.account.id)
            }
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
        let username = self.app_user.as_ref().and_then(AppUser::username);
        let username = username.map(|name| policy.usernames.apply(name));
        let fits =
            matches!(username, Some(Ok(name)) if name.eq_ignore_ascii_case(&job.account.username));
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
fn overtaken(side: Side, what: &str) -> Halt {
    Halt::Problem(Failure::retryable(side, what).because(Cause::Overtaken))
}
