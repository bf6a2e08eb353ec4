//! What Anypoint shows of one user: the linked account, the account of the wanted username, and the teams of both.

use std::collections::BTreeMap;

use futures_util::try_join;

use super::adopt::{Freed, freed_from};
use super::orphans::owner_by_intent;
use super::view::NamedAccount;
use crate::anypoint::{Account, TeamOfAccount};
use crate::failure::{Cause, Failure, Side};
use crate::http::Listed;
use crate::ids::{AccountId, OktaUserId, TeamId};
use crate::provision::evidence::contradiction;
use crate::provision::provisioner::Look;
use crate::provision::wanted::Wanted;
use crate::store::{AccountOwner, Memory, Tenure, UserLink};

/// An account with the teams it is in.
pub(super) struct WithTeams {
    pub(super) account: Account,
    pub(super) teams: Vec<TeamOfAccount>,
}

impl WithTeams {
    /// Whether an earlier look saw the same.
    pub(super) fn is_as(&self, seen: &NamedAccount) -> bool {
        let by_id = |teams: &[TeamOfAccount]| -> BTreeMap<TeamId, TeamOfAccount> {
            let teams = teams.iter().cloned();
            teams.map(|team| (team.id.clone(), team)).collect()
        };
        self.account == seen.account && by_id(&self.teams) == by_id(&seen.listed)
    }
}

/// The account of the wanted username, when it is not the linked one.
pub(super) struct Named {
    pub(super) found: WithTeams,
    pub(super) owner: Option<AccountOwner>,
    pub(super) freed_from: Result<Option<Freed>, Failure>,
}

impl Look<'_> {
    /// The linked account. A gateway's 404 looks like Anypoint's own, so `None` also needs a list of accounts without it.
    pub(super) async fn linked_account(
        &self,
        link: &UserLink,
    ) -> Result<Option<WithTeams>, Failure> {
        let found = self.account_with_teams(&link.anypoint_id).await?;
        if found.is_none() {
            let shown = self
                .ports
                .anypoint
                .account_named(&link.username, self.deadline);
            let is_it = |shown: Account| shown.id == link.anypoint_id;
            if shown.await?.account.is_some_and(is_it) {
                return Err(listed_and_gone());
            }
        }
        Ok(found)
    }

    pub(super) async fn account_with_teams(
        &self,
        account: &AccountId,
    ) -> Result<Option<WithTeams>, Failure> {
        let anypoint = &self.ports.anypoint;
        let (found, teams) = try_join!(
            anypoint.account(account, self.deadline),
            anypoint.list_teams_of_account(account, self.deadline),
        )?;
        let Some(account) = found else {
            // An empty list proves nothing, because a deleted account may have one, too.
            return match teams {
                Some(listed) if !listed.items.is_empty() => Err(contradiction(
                    Side::Anypoint,
                    "there is no such account, and it has teams",
                )),
                _ => Ok(None),
            };
        };
        let Some(listed) = teams.map(Listed::telling) else {
            return Err(contradiction(
                Side::Anypoint,
                "the account is there, but its teams are not",
            ));
        };
        let teams = listed.with_unread(TeamOfAccount::unread);
        Ok(Some(WithTeams { account, teams }))
    }

    /// Asks a team's own list for an account.
    ///
    /// Every account is at least in the root team, so an account's empty list of teams is not believed. Neither is a list
    /// that lacks a team that the user was announced to have left: one strange answer must not keep a membership. Adding
    /// a maintainer again would make them a plain member.
    pub(super) async fn ask_team_for(
        &self,
        account: &AccountId,
        team: &TeamId,
    ) -> Result<Option<TeamOfAccount>, Failure> {
        let (anypoint, asked) = (&self.ports.anypoint, std::slice::from_ref(account));
        let found = anypoint.members_among(team, asked, self.deadline).await?;
        let found = found.first();
        Ok(found.map(|member| TeamOfAccount::of_member(team.clone(), member)))
    }

    pub(super) async fn named_account(
        &self,
        user: &OktaUserId,
        wanted: &Wanted,
        memory: &Memory,
        linked: Option<&WithTeams>,
    ) -> Result<Option<Named>, Failure> {
        let Wanted::Account(person) = wanted else {
            return Ok(None);
        };
        let Ok(username) = &person.username else {
            return Ok(None);
        };
        let has_name = |name: &str| name.eq_ignore_ascii_case(username);
        if linked.is_some_and(|linked| has_name(&linked.account.username)) {
            return Ok(None);
        }
        let (ports, deadline) = (self.ports, self.deadline);
        let intent = memory
            .intent
            .as_ref()
            .filter(|intent| intent.names(username));
        let found = match intent {
            Some(intent) => self.intended_account(intent).await?,
            // An unreadable entry is most likely another person's account. If not, Anypoint refuses to create a second one.
            None => {
                ports
                    .anypoint
                    .account_named(username, deadline)
                    .await?
                    .account
            }
        };
        let Some(account) = found else {
            return Ok(None);
        };
        let id = account.id;
        // A run links its user's new account after it ended the old one. So a look that finds a former account reads it
        // after that.
        let ids = std::slice::from_ref(&id);
        let mut owner = ports.store.account_owners(ids).await?.remove(&id);
        // Lists do not have the phone number, so the account is read again by its id.
        let found = self.account_with_teams(&id).await?;
        let found = found.ok_or_else(listed_and_gone)?;
        if owner.is_none() && intent.is_some_and(|intent| intent.made(&found.account)) {
            owner = Some(owner_by_intent(user));
        }
        let mut freed_from = Ok(None);
        if let Some(owner) = &owner
            && owner.okta_user != *user
            && owner.tenure == Tenure::Current
        {
            freed_from = self.freed_from(&owner.okta_user, username).await;
        }
        if let Err(failure) = &freed_from
            && (!failure.may_be_of_one_object() || failure.cause == Cause::Contradiction)
        {
            return Err(failure.clone());
        }
        // A failure that is the owner's alone delays only the adoption.
        Ok(Some(Named {
            found,
            owner,
            freed_from,
        }))
    }

    /// Whether the account `username` of another user is free, by what Okta says of that user now.
    pub(super) async fn freed_from(
        &self,
        owner: &OktaUserId,
        username: &str,
    ) -> Result<Option<Freed>, Failure> {
        let ports = self.ports;
        if ports.policy.excluded.users.ids.contains(owner) {
            return Ok(None);
        }
        let (user, app_user) = self.owner(owner).await?;
        let (user, app_user) = (user.as_ref(), app_user.as_ref());
        if user.is_none() && app_user.is_some_and(|found| found.is_assigned()) {
            return Err(contradiction(
                Side::Okta,
                "there is no such user as the account's owner, and that user is assigned to the app",
            ));
        }
        freed_from(owner, user, app_user, username, &ports.policy)
    }
}

fn listed_and_gone() -> Failure {
    contradiction(
        Side::Anypoint,
        "there is no such account, and the list of accounts shows it",
    )
}
