//! Reads people's own answers where a list of a group or of its team is not enough. Reads only.

use std::collections::HashSet;

use crate::anypoint::Member;
use crate::failure::{Cause, Failure, Side};
use crate::http::CallError;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::provision::evidence::contradiction;
use crate::provision::provisioner::{Look, few_at_once};

/// What a leaver's own answer says of a list that lacks them.
enum Answer {
    Agrees,
    /// Both cannot be true, and why.
    Contradicts(String),
    /// The user's groups lack the built-in group that every user is in.
    Incomplete,
}

impl Look<'_> {
    /// Checks `leavers`, whom a list lacks, by their own answers. Returns those whose own answers cannot be used, each
    /// with what is wrong.
    ///
    /// # Errors
    /// Retryable, when a person's own answers contradict the list. Nothing follows from such a list.
    pub(super) async fn ask_leavers(
        &self,
        group: &OktaGroupId,
        leavers: &[OktaUserId],
        members: &HashSet<OktaUserId>,
    ) -> Result<Vec<(OktaUserId, Failure)>, Failure> {
        let ask = leavers.iter().map(async |user| {
            let answer = match members.contains(user) {
                true => self.answer_about_assignment(user).await,
                false => self.answer_about_membership(group, user).await,
            };
            match answer {
                Ok(Answer::Agrees) => Ok(None),
                Ok(Answer::Contradicts(what)) => Err(contradiction(Side::Okta, &what)),
                Ok(Answer::Incomplete) => Ok(Some((user.clone(), incomplete()))),
                Err(error) if error.may_be_about_one() => {
                    tracing::warn!(%user, %error, "a leaver cannot be read and stays in the team");
                    Ok(Some((user.clone(), error.into())))
                }
                Err(error) => Err(error.into()),
            }
        });
        let asked = few_at_once(ask.collect()).await?;
        Ok(asked.into_iter().flatten().collect())
    }

    /// What a user's own answer says of the list of the app's users, which lacks them.
    async fn answer_about_assignment(&self, user: &OktaUserId) -> Result<Answer, CallError> {
        let ports = self.ports;
        let app_user = ports.okta.app_user(&ports.app, user, self.deadline).await?;
        Ok(match app_user {
            Some(found) if found.is_assigned() => Answer::Contradicts(format!(
                "the app's users lack user {user}, who is assigned to it"
            )),
            _ => Answer::Agrees,
        })
    }

    /// What a user's own answers say of the list of the group's members, which lacks them.
    async fn answer_about_membership(
        &self,
        group: &OktaGroupId,
        user: &OktaUserId,
    ) -> Result<Answer, CallError> {
        let (okta, deadline) = (&self.ports.okta, self.deadline);
        let Some(groups) = okta.list_groups_of_user(user, deadline).await? else {
            return Ok(match okta.user(user, deadline).await? {
                Some(_) => Answer::Contradicts(format!(
                    "user {user} is there, but the user's groups are not"
                )),
                None => Answer::Agrees,
            });
        };
        let groups = groups.telling();
        Ok(if groups.names(group) {
            Answer::Contradicts(format!(
                "the group's members lack user {user}, whose groups name the group"
            ))
        } else if !groups.is_complete_for_user() {
            Answer::Incomplete
        } else {
            Answer::Agrees
        })
    }

    /// Those of `accounts` that are in the team, by their own teams. The run ends none of these memberships, so their
    /// kind does not matter.
    pub(super) async fn in_team(
        &self,
        team: &TeamId,
        accounts: &[AccountId],
    ) -> Result<Vec<Member>, Failure> {
        let (anypoint, deadline) = (&self.ports.anypoint, self.deadline);
        let reads = accounts.iter().map(async |account| {
            let teams = anypoint.list_teams_of_account(account, deadline).await?;
            let is_inside = teams.is_some_and(|teams| {
                let unread = teams.ids_unread().any(|id: TeamId| id == *team);
                unread || teams.items.iter().any(|found| found.id == *team)
            });
            Ok::<_, Failure>(is_inside.then(|| Member::unread(account.clone())))
        });
        let inside = few_at_once(reads.collect()).await?;
        Ok(inside.into_iter().flatten().collect())
    }

    /// Whether Okta says now that the user is in the group and that the group becomes a team.
    ///
    /// # Errors
    /// When the user's groups do not name the group, and may not be all of them.
    pub(in crate::provision) async fn belongs(
        &self,
        user: &OktaUserId,
        group: &OktaGroupId,
    ) -> Result<bool, Failure> {
        if self.name_if_pushed(group).await?.is_none() {
            return Ok(false);
        }
        let (okta, deadline) = (&self.ports.okta, self.deadline);
        match okta.list_groups_of_user(user, deadline).await? {
            Some(groups) if groups.names(group) => Ok(true),
            Some(groups) if !groups.is_complete_for_user() => Err(incomplete()),
            _ => Ok(false),
        }
    }

    /// Those of `users` who are in the group, by their own groups.
    pub(super) async fn in_group(
        &self,
        group: &OktaGroupId,
        users: &[OktaUserId],
    ) -> Result<HashSet<OktaUserId>, Failure> {
        let (okta, deadline) = (&self.ports.okta, self.deadline);
        let reads = users.iter().map(async |user| {
            let groups = okta.list_groups_of_user(user, deadline).await?;
            let is_inside = groups.is_some_and(|groups| groups.names(group));
            Ok::<_, Failure>(is_inside.then(|| user.clone()))
        });
        let inside = few_at_once(reads.collect()).await?;
        Ok(inside.into_iter().flatten().collect())
    }
}

fn incomplete() -> Failure {
    let what = "the list of the user's groups is incomplete, so the user stays in the team for now";
    Failure::retryable(Side::Okta, what).because(Cause::Contradiction)
}
