//! Looks at one user on both sides. Reads only; what does not depend on each other at once.

use std::collections::{HashMap, HashSet};

use futures_util::future::{OptionFuture, try_join, try_join_all};
use futures_util::try_join;

use super::view::{FoundTeam, NamedAccount, TeamsFound, UserView, WantedTeam};
use crate::anypoint::{Account, TeamOfAccount};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Group, User};
use crate::provision::policy::{GroupSelection, Selected, TeamRemoval};
use crate::provision::provisioner::Provisioner;
use crate::provision::wanted::{Unwanted, Wanted, wanted};
use crate::store::{AccountOwner, Tenure, UserMemory};

/// What Okta says of a user.
struct OktaSide {
    user: Option<User>,
    app_user: Option<AppUser>,
    groups: Vec<Group>,
    app_groups: Option<HashSet<OktaGroupId>>,
}

/// An account with the teams it is in.
type AccountWithTeams = Option<(Account, Vec<TeamOfAccount>)>;

impl Provisioner {
    /// Everything that matters of one user, on both sides.
    ///
    /// # Errors
    /// When anything could not be read whole, or the app username is against the policy.
    pub async fn look_at_user(
        &self,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<UserView, Failure> {
        let memory = self.store.user_memory(user).await?;
        let linked_id = memory.link.as_ref().map(|link| link.anypoint_id.clone());
        let okta = self.okta_side(user, deadline);
        let linked = OptionFuture::from(
            linked_id
                .as_ref()
                .map(|account| self.account_with_teams(account, deadline)),
        );
        let (okta, linked) = try_join(okta, async { linked.await.transpose() }).await?;
        let linked = linked.flatten();

        let wanted = wanted(okta.user.as_ref(), okta.app_user.as_ref(), &self.policy)?;
        if wanted == Wanted::Nothing(Unwanted::NotAssigned)
            && linked
                .as_ref()
                .is_some_and(|(account, _)| account.is_enabled())
        {
            // A wrong OKTA_APP_ID looks like "nobody is assigned"; make sure that the app is there.
            self.okta.check_app(&self.app, deadline).await?;
        }
        let named = self
            .named_account(user, &wanted, &memory, linked.as_ref(), deadline)
            .await?;
        let wanted_groups = self.wanted_groups(&wanted, &okta);
        self.view(
            user,
            wanted,
            memory,
            linked,
            named,
            &wanted_groups,
            &okta,
            deadline,
        )
        .await
    }

    async fn okta_side(&self, user: &OktaUserId, deadline: Deadline) -> Result<OktaSide, Failure> {
        let pushes_groups = self.policy.groups != GroupSelection::None;
        let by_assignment = self.policy.groups == GroupSelection::Assigned;
        let groups =
            OptionFuture::from(pushes_groups.then(|| self.okta.groups_of_user(user, deadline)));
        let app_groups =
            OptionFuture::from(by_assignment.then(|| self.okta.app_groups(&self.app, deadline)));
        let (user, app_user, groups, app_groups) = try_join!(
            self.okta.user(user, deadline),
            self.okta.app_user(&self.app, user, deadline),
            async { groups.await.transpose() },
            async { app_groups.await.transpose() },
        )?;
        Ok(OktaSide {
            user,
            app_user,
            groups: groups.flatten().unwrap_or_default(),
            app_groups: app_groups.map(|groups| groups.into_iter().collect()),
        })
    }

    async fn account_with_teams(
        &self,
        account: &AccountId,
        deadline: Deadline,
    ) -> Result<AccountWithTeams, Failure> {
        let (found, teams) = try_join!(
            self.anypoint.account(account, deadline),
            self.anypoint.teams_of_account(account, deadline),
        )?;
        Ok(found.map(|account| (account, teams.unwrap_or_default())))
    }

    /// The account of the wanted username, when it is not the linked one. Of an unwanted user: the
    /// account that an earlier run was about to create, if it is not somebody else's.
    async fn named_account(
        &self,
        user: &OktaUserId,
        wanted: &Wanted,
        memory: &UserMemory,
        linked: Option<&(Account, Vec<TeamOfAccount>)>,
        deadline: Deadline,
    ) -> Result<Option<(Account, Option<AccountOwner>, Vec<TeamOfAccount>)>, Failure> {
        let username = match (wanted, &memory.intent) {
            (Wanted::Account(person), _) => {
                let has_it = linked.is_some_and(|(account, _)| {
                    account.username.eq_ignore_ascii_case(&person.username)
                });
                (!has_it).then_some(person.username.as_str())
            }
            (Wanted::Nothing(_), Some(intent)) if memory.link.is_none() => {
                Some(intent.username.as_str())
            }
            (Wanted::Nothing(_), _) => None,
        };
        let Some(username) = username else {
            return Ok(None);
        };
        let Some(account) = self.anypoint.account_named(username, deadline).await? else {
            return Ok(None);
        };
        let id = account.id.clone();
        // Lists leave the phone number out, so the account is read once more by its id.
        let (whole, mut owners) = try_join(
            self.account_with_teams(&id, deadline),
            self.store.account_owners(std::slice::from_ref(&id)),
        )
        .await?;
        let mut owner = owners.remove(&id);
        if let Some(owner) = &mut owner
            && owner.okta_user != *user
            && owner.tenure == Tenure::Current
            && self.okta.user(&owner.okta_user, deadline).await?.is_none()
        {
            // A deleted Okta user never comes back under its id: its account is free for whoever may
            // adopt it, such as the same person hired again.
            owner.tenure = Tenure::Former;
        }
        let is_somebody_elses = owner
            .as_ref()
            .is_some_and(|owner| owner.tenure == Tenure::Current);
        if matches!(wanted, Wanted::Nothing(_)) && is_somebody_elses {
            return Ok(None);
        }
        Ok(whole.map(|(account, teams)| (account, owner, teams)))
    }

    fn wanted_groups<'a>(&self, wanted: &Wanted, okta: &'a OktaSide) -> Vec<&'a Group> {
        match wanted {
            Wanted::Account(_) => self.selected(okta),
            Wanted::Nothing(_) => Vec::new(),
        }
    }

    /// The groups of the user that become teams.
    fn selected<'a>(&self, okta: &'a OktaSide) -> Vec<&'a Group> {
        let is_assigned = |group: &Group| {
            okta.app_groups
                .as_ref()
                .is_some_and(|groups| groups.contains(&group.id))
        };
        okta.groups
            .iter()
            .filter(|group| match self.policy.groups.selects(group) {
                Selected::Yes => true,
                Selected::No => false,
                Selected::IfAssigned => is_assigned(group),
            })
            .collect()
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one view, put together here only"
    )]
    async fn view(
        &self,
        user: &OktaUserId,
        wanted: Wanted,
        memory: UserMemory,
        linked: AccountWithTeams,
        named: Option<(Account, Option<AccountOwner>, Vec<TeamOfAccount>)>,
        wanted_groups: &[&Group],
        okta: &OktaSide,
        deadline: Deadline,
    ) -> Result<UserView, Failure> {
        let linked_teams = linked.as_ref().map_or(&[][..], |(_, teams)| teams);
        let named_teams = named.as_ref().map_or(&[][..], |(_, _, teams)| teams);
        let groups: Vec<OktaGroupId> = wanted_groups.iter().map(|group| group.id.clone()).collect();
        let shown = linked_teams.iter().chain(named_teams).map(|team| &team.id);
        let teams: HashSet<&TeamId> = shown.chain(memory.fresh_teams.keys()).collect();
        let teams: Vec<TeamId> = teams.into_iter().cloned().collect();
        let (links, owners) = try_join(
            self.store.team_links(&groups),
            self.store.team_owners(&teams),
        )
        .await?;
        let kept = self
            .no_longer_pushed(&owners, wanted_groups, okta, deadline)
            .await?;
        let found = |teams: &[TeamOfAccount]| {
            TeamsFound(
                teams
                    .iter()
                    .filter(|team| owners.contains_key(&team.id))
                    .map(|team| FoundTeam {
                        team: team.id.clone(),
                        ours: team.is_plain() && !kept.contains(&team.id),
                    })
                    .collect(),
            )
        };
        let special = |account: &Account, teams: &[TeamOfAccount]| {
            let kept = teams.iter().filter(|team| !team.is_plain());
            let kept = kept.map(|team| (account.id.clone(), team.id.clone()));
            kept.collect::<Vec<_>>()
        };
        let of_linked = linked
            .iter()
            .map(|(account, teams)| special(account, teams));
        let of_named = named
            .iter()
            .map(|(account, _, teams)| special(account, teams));
        let special = of_linked.chain(of_named).flatten().collect();
        Ok(UserView {
            special,
            user: user.clone(),
            wanted,
            linked_teams: found(linked_teams),
            named: named.as_ref().map(|(account, owner, teams)| NamedAccount {
                account: account.clone(),
                owner: owner.clone(),
                teams: found(teams),
            }),
            linked: linked.map(|(account, _)| account),
            intended: memory.intent.map(|intent| intent.username),
            teams: wanted_groups
                .iter()
                .map(|group| WantedTeam {
                    group: group.id.clone(),
                    group_name: group.name().to_owned(),
                    team: links.get(&group.id).map(|link| link.team_id.clone()),
                })
                .collect(),
            link: memory.link,
            // A team that has no group any more, or whose people stay, is not ours to leave, however fresh.
            fresh: memory
                .fresh_teams
                .into_iter()
                .filter(|(team, _)| owners.contains_key(team) && !kept.contains(team))
                .collect(),
        })
    }

    /// The linked teams whose group is not pushed any more and whose members stay
    /// (`TEAM_REMOVAL=keep`). Asked only for teams whose group the user is not in.
    async fn no_longer_pushed(
        &self,
        owners: &HashMap<TeamId, OktaGroupId>,
        wanted_groups: &[&Group],
        okta: &OktaSide,
        deadline: Deadline,
    ) -> Result<HashSet<TeamId>, Failure> {
        if self.policy.team_removal != TeamRemoval::Keep {
            return Ok(HashSet::new());
        }
        let doubtful = owners
            .iter()
            .filter(|(_, group)| wanted_groups.iter().all(|wanted| wanted.id != **group));
        let asked = doubtful.map(|(team, group)| async move {
            let pushed = match &okta.app_groups {
                Some(assigned) => assigned.contains(group),
                None => self.is_pushed(group, deadline).await?,
            };
            Ok::<_, Failure>((!pushed).then(|| team.clone()))
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// Whether a group exists and is selected.
    pub(crate) async fn is_pushed(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let Some(group) = self.okta.group(group, deadline).await? else {
            return Ok(false);
        };
        Ok(match self.policy.groups.selects(&group) {
            Selected::Yes => true,
            Selected::No => false,
            Selected::IfAssigned => {
                self.okta
                    .is_app_group(&self.app, &group.id, deadline)
                    .await?
            }
        })
    }
}

/// A defect of this program, said instead of a panic.
pub(super) fn defect(what: &str) -> Failure {
    Failure::permanent(
        Side::Program,
        what,
        "Report this; it is a defect of the program.",
    )
}
