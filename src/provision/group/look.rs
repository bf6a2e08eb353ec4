//! Looks at one group on both sides. Reads only.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::plan::{GroupView, GroupWanted, MemberFound};
use crate::anypoint::Member;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Group, User};
use crate::provision::policy::Selected;
use crate::provision::provisioner::Provisioner;
use crate::provision::wanted::standing;
use crate::store::{TeamLink, Tenure, UserLink};

/// Up to this many members, their assignments are read one by one; above, the app's whole list is.
const ONE_BY_ONE: usize = 20;
/// Assignments that are read at once.
const AT_ONCE: usize = 5;

/// A group as Okta has it.
pub(super) enum GroupState {
    /// It exists and is selected.
    Pushed(Group),
    /// It does not become a team, and why.
    Unpushed(&'static str),
}

impl Provisioner {
    /// Whether a group is to become a team.
    pub(super) async fn group_state(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<GroupState, Failure> {
        let Some(found) = self.okta.group(group, deadline).await? else {
            return Ok(GroupState::Unpushed(
                "the Okta group does not exist (any more)",
            ));
        };
        let selected = match self.policy.groups.selects(&found) {
            Selected::Yes => true,
            Selected::No => false,
            Selected::IfAssigned => {
                let assigned = self.okta.is_app_group(&self.app, group, deadline).await?;
                if !assigned {
                    // As with users: a wrong OKTA_APP_ID must not look like "not assigned".
                    self.okta.check_app(&self.app, deadline).await?;
                }
                assigned
            }
        };
        Ok(if selected {
            GroupState::Pushed(found)
        } else {
            GroupState::Unpushed("the group is not (or no longer) selected by PUSH_GROUPS")
        })
    }

    /// Everything that matters of a group's members, on both sides.
    ///
    /// # Errors
    /// When anything could not be read whole.
    pub async fn look_at_group(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<GroupView, Failure> {
        match self.group_state(group, deadline).await? {
            GroupState::Pushed(found) => self.look_at_members(&found.id, deadline).await,
            GroupState::Unpushed(reason) => self.look_at_remains(group, reason, deadline).await,
        }
    }

    pub(super) async fn look_at_remains(
        &self,
        group: &OktaGroupId,
        reason: &'static str,
        deadline: Deadline,
    ) -> Result<GroupView, Failure> {
        let link = self.store.team_link(group).await?;
        let found = self.found_members(link.as_ref(), deadline).await?;
        Ok(GroupView {
            wanted: GroupWanted::Nothing(reason),
            link,
            found,
        })
    }

    pub(super) async fn look_at_members(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<GroupView, Failure> {
        let link = self.store.team_link(group).await?;
        let (found, wanted) = futures_util::future::try_join(
            self.found_members(link.as_ref(), deadline),
            self.wanted_members(group, deadline),
        )
        .await?;
        let (mut wanted, waiting) = wanted;
        // Whoever waits for another account, perhaps in vain, keeps the place of the old one.
        if let (GroupWanted::Team { members, .. }, Some(found)) = (&mut wanted, &found) {
            let stay = found.iter().map(|found| &found.account);
            members.extend(stay.filter(|account| waiting.contains(account)).cloned());
        }
        Ok(GroupView {
            wanted,
            link,
            found,
        })
    }

    /// What Okta wants, and the linked accounts of members who want another one.
    async fn wanted_members(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<(GroupWanted, Vec<AccountId>), Failure> {
        let Some(members) = self.okta.group_members(group, deadline).await? else {
            let gone = GroupWanted::Nothing("the Okta group does not exist (any more)");
            return Ok((gone, Vec::new()));
        };
        let assignments = self.assignments(&members, deadline).await?;
        let wanted: Vec<(&OktaUserId, &AppUser)> = members
            .iter()
            .filter_map(|user| {
                let app_user = assignments.get(&user.id)?;
                standing(Some(user), Some(app_user), self.policy.suspended).ok()?;
                Some((&user.id, app_user))
            })
            .collect();
        let ids: Vec<OktaUserId> = wanted.iter().map(|(user, _)| (*user).clone()).collect();
        let links = self.store.user_links(&ids).await?;
        let mut linked = Vec::new();
        let mut unlinked = Vec::new();
        let mut waiting = Vec::new();
        for (user, app_user) in wanted {
            // A name that the policy refuses fails in the user's own events, with advice.
            let username = app_user
                .username()
                .map(|name| self.policy.usernames.apply(name));
            let link = links.get(user);
            let Some(Ok(username)) = username else {
                waiting.extend(link.map(|link| link.anypoint_id.clone()));
                continue;
            };
            match link {
                Some(link) if has_name(link, &username) => linked.push(link.anypoint_id.clone()),
                other => {
                    waiting.extend(other.map(|link| link.anypoint_id.clone()));
                    unlinked.push(user.clone());
                }
            }
        }
        let wanted = GroupWanted::Team {
            members: linked,
            unlinked,
        };
        Ok((wanted, waiting))
    }

    /// The assignments of the members; those without one are missing.
    async fn assignments(
        &self,
        members: &[User],
        deadline: Deadline,
    ) -> Result<HashMap<OktaUserId, AppUser>, Failure> {
        let found: Vec<AppUser> = if members.len() > ONE_BY_ONE {
            self.okta.app_users(&self.app, deadline).await?
        } else {
            let mut found = Vec::with_capacity(members.len());
            for batch in members.chunks(AT_ONCE) {
                let mut reads = Vec::with_capacity(batch.len());
                for user in batch {
                    reads.push(self.okta.app_user(&self.app, &user.id, deadline));
                }
                found.extend(try_join_all(reads).await?);
            }
            if !members.is_empty() && found.iter().all(Option::is_none) {
                self.okta.check_app(&self.app, deadline).await?;
            }
            found.into_iter().flatten().collect()
        };
        Ok(found
            .into_iter()
            .map(|app_user| (app_user.id.clone(), app_user))
            .collect())
    }

    async fn found_members(
        &self,
        link: Option<&TeamLink>,
        deadline: Deadline,
    ) -> Result<Option<Vec<MemberFound>>, Failure> {
        let Some(link) = link else { return Ok(None) };
        match self.anypoint.members(&link.team_id, deadline).await? {
            Some(members) => self.members_found(members, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    /// Which of a team's members are ours: those with a link. And those that had one, lost it to another
    /// account of their user, and are disabled since: another run may have made them members just then.
    ///
    /// # Errors
    /// When the links or such an account could not be read.
    pub async fn members_found(
        &self,
        members: Vec<Member>,
        deadline: Deadline,
    ) -> Result<Vec<MemberFound>, Failure> {
        let accounts: Vec<AccountId> = members.iter().map(|member| member.id.clone()).collect();
        let owners = self.store.account_owners(&accounts).await?;
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let ours = match owners.get(&member.id).map(|owner| owner.tenure) {
                Some(Tenure::Current) => true,
                Some(Tenure::Former) => {
                    let account = self.anypoint.account(&member.id, deadline).await?;
                    account.is_some_and(|account| !account.is_enabled())
                }
                None => false,
            };
            found.push(MemberFound {
                plain: member.is_plain(),
                ours,
                account: member.id,
            });
        }
        Ok(found)
    }

    /// Whether any team hangs below `team`: deleting it would delete them, too.
    pub(super) async fn has_children(
        &self,
        team: &TeamId,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        let teams = self.anypoint.teams(deadline).await?;
        Ok(teams.iter().any(|other| other.ancestors.contains(team)))
    }
}

fn has_name(link: &UserLink, username: &str) -> bool {
    link.username.eq_ignore_ascii_case(username)
}
