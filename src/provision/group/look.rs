//! Looks at one group on both sides. Reads only.

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join;

use super::view::{GroupView, GroupWanted, MemberFound, Owner, WantedMembers};
use crate::anypoint::Member;
use crate::failure::{Cause, Failure, Side};
use crate::http::{CallError, Extent, Listed};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Group, User};
use crate::provision::evidence::{Evidence, contradiction};
use crate::provision::finding::Unpushed;
use crate::provision::policy::TeamRemoval;
use crate::provision::provisioner::{Look, few_at_once};
use crate::provision::selection::{GroupSelection, Selected};
use crate::provision::shown::{GroupSeen, unshown};
use crate::provision::team::{check_team_read, internal_root};
use crate::provision::user::Membership;
use crate::provision::wanted::{MemberWanted, wanted};
use crate::store::{TeamLink, Tenure};

/// Up to this many assignments are read one by one. For more, the app's whole list is read.
pub(super) const MAX_ONE_BY_ONE: usize = 20;

/// A group as Okta has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// It exists and is selected.
    Pushed(Group),
    /// It does not become a team, and why.
    Unpushed(Unpushed),
    /// `EXCLUDE_GROUPS` names it, so nothing changes.
    Excluded,
}

/// What Okta says about the assignments of some people.
struct Assignments {
    found: HashMap<OktaUserId, AppUser>,
    /// People whose assignment exists but could not be read.
    unread: HashSet<OktaUserId>,
    /// Whether the list is complete.
    extent: Extent,
}

/// A group's members, as Okta lists them.
struct ListedMembers {
    users: Listed<User>,
    assignments: Assignments,
}

/// A team's members, as Anypoint lists them; `None` when there is no team.
struct TeamMembers {
    items: Option<Vec<Member>>,
    extent: Extent,
}

fn by_user(found: impl IntoIterator<Item = AppUser>) -> HashMap<OktaUserId, AppUser> {
    let by_id = |app_user: AppUser| (app_user.id.clone(), app_user);
    found.into_iter().map(by_id).collect()
}

impl Look<'_> {
    /// Whether a group is to become a team. If an announcement says the contrary, also until when it is too young to
    /// be overruled (milliseconds since the epoch).
    ///
    /// # Errors
    /// When Okta does not answer, or its answers contradict each other.
    pub(crate) async fn group_state(
        &self,
        group: &OktaGroupId,
        evidence: &Evidence,
    ) -> Result<(GroupState, Option<i64>), Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        let by_assignment = ports.policy.groups == GroupSelection::Assigned;
        let Some(found) = ports.okta.group(group, deadline).await? else {
            if self.excludes_team_of(group).await? {
                return Ok((GroupState::Excluded, None));
            }
            if !evidence.group_ended() {
                self.check_gone(group).await?;
            }
            let young = unshown(evidence, |fact| {
                GroupSeen::Missing.shows(fact, by_assignment)
            });
            return Ok((GroupState::Unpushed(Unpushed::Gone), young));
        };
        if ports.policy.excluded.group(&found) {
            return Ok((GroupState::Excluded, None));
        }
        let is_selected = self.is_selected(&found).await?;
        let seen = GroupSeen::There {
            is_assigned: is_selected,
        };
        let young = unshown(evidence, |fact| seen.shows(fact, by_assignment));
        if is_selected {
            return Ok((GroupState::Pushed(found), young));
        }
        if !by_assignment {
            return Ok((GroupState::Unpushed(Unpushed::NotSelected), young));
        }
        // A wrong OKTA_APP_ID must not look like "not assigned". The look at a user checks the same.
        ports.okta.check_app(&ports.app, deadline).await?;
        Ok((GroupState::Unpushed(Unpushed::NotAssigned), young))
    }

    /// Whether `PUSH_GROUPS` selects a group that was read.
    pub(in crate::provision) async fn is_selected(&self, group: &Group) -> Result<bool, Failure> {
        let ports = self.ports;
        Ok(match ports.policy.groups.selects(group) {
            Selected::Yes => true,
            Selected::No => false,
            Selected::IfAssigned => {
                let assigned = ports
                    .okta
                    .is_app_group(&ports.app, &group.id, self.deadline);
                assigned.await?
            }
        })
    }

    /// Checks that nothing else still names a group that Okta does not show.
    async fn check_gone(&self, group: &OktaGroupId) -> Result<(), Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        if ports.policy.groups == GroupSelection::Assigned {
            if ports.okta.is_app_group(&ports.app, group, deadline).await? {
                return Err(contradiction(
                    Side::Okta,
                    "there is no such group, but it is assigned to the app",
                ));
            }
        } else if (ports.okta.list_group_members(group, deadline).await?).is_some() {
            return Err(contradiction(
                Side::Okta,
                "there is no such group, but it has members",
            ));
        }
        Ok(())
    }

    /// Everything that the plan needs about the team of a group that is not pushed.
    ///
    /// # Errors
    /// When anything could not be read completely.
    pub(crate) async fn remains(
        &self,
        group: &OktaGroupId,
        why: Unpushed,
    ) -> Result<GroupView, Failure> {
        let link = self.ports.store.team_link(group).await?;
        let (found, mut extent) = self.found_members(link.as_ref()).await?;
        let deletes = self.ports.policy.team_removal == TeamRemoval::Delete;
        let below = match &link {
            Some(link) if deletes => {
                let listed = self.ports.anypoint.list_teams(self.deadline).await?;
                let listed = listed.telling();
                // A team that could not be read may hang below this one. So may a team with a wrong place, and the list then
                // has several root teams.
                if listed.fault().is_some() {
                    extent = Extent::Incomplete;
                } else {
                    internal_root(&listed.items)?;
                }
                let is_below = |ancestors: &[TeamId]| ancestors.contains(&link.team_id);
                let teams = listed.items.iter();
                teams.filter(|team| is_below(&team.ancestors)).count()
            }
            _ => 0,
        };
        Ok(GroupView {
            found,
            below,
            incomplete: extent.fault_of(Side::Anypoint),
            ..GroupView::of(GroupWanted::Nothing(why), link)
        })
    }

    /// Everything that the plan needs about a pushed group's members, on both sides.
    ///
    /// # Errors
    /// When anything could not be read completely.
    pub(crate) async fn members(
        &self,
        group: &OktaGroupId,
        link: Option<TeamLink>,
    ) -> Result<GroupView, Failure> {
        let (team, listed) =
            try_join(self.team_members(link.as_ref()), self.listed_members(group)).await?;
        // The links are read last and together, because the run of a user may move the user's own meanwhile.
        let (found, wanted) =
            try_join(self.found_of(team.items), self.wanted_members(&listed)).await?;
        let in_group = listed.users.extent.and(listed.assignments.extent);
        Ok(GroupView {
            found,
            incomplete: in_group
                .fault_of(Side::Okta)
                .or(team.extent.fault_of(Side::Anypoint)),
            ..GroupView::of(GroupWanted::Team(wanted), link)
        })
    }

    /// The members of a group, and what Okta says about their assignments.
    async fn listed_members(&self, group: &OktaGroupId) -> Result<ListedMembers, Failure> {
        let ports = self.ports;
        let listed = ports.okta.list_group_members(group, self.deadline).await?;
        let Some(users) = listed.map(Listed::telling) else {
            return Err(contradiction(
                Side::Okta,
                "the group is there, but its members are not",
            ));
        };
        let mut assignments = self.assignments(&users.items).await?;
        assignments.unread.extend(users.ids_unread());
        Ok(ListedMembers { users, assignments })
    }

    /// Who Okta wants in the team. A listed user who cannot be read stays as they are until their own look.
    async fn wanted_members(&self, listed: &ListedMembers) -> Result<WantedMembers, Failure> {
        let ports = self.ports;
        let (users, assignments) = (&listed.users, &listed.assignments);
        let ids: Vec<OktaUserId> = users.items.iter().map(|user| user.id.clone()).collect();
        let ids: Vec<OktaUserId> = ids.into_iter().chain(users.ids_unread()).collect();
        let links = ports.store.user_links(&ids).await?;
        let mut people = WantedMembers::default();
        for user in &assignments.unread {
            let link = links.get(user);
            let account = link.map(|link| link.anypoint_id.clone());
            people.add(user, MemberWanted::Later(account));
        }
        let read = |user: &&User| !assignments.unread.contains(&user.id);
        for user in users.items.iter().filter(read) {
            let app_user = assignments.found.get(&user.id);
            let wanted = Ok(wanted(Some(user), app_user, &ports.policy));
            people.add(&user.id, MemberWanted::of(&wanted, links.get(&user.id)));
        }
        Ok(people)
    }

    /// The assignments of the members. The answer lacks members without one.
    async fn assignments(&self, members: &[User]) -> Result<Assignments, Failure> {
        let (ports, deadline) = (self.ports, self.deadline);
        if members.len() > MAX_ONE_BY_ONE {
            // Team membership does not depend on names or phone numbers.
            let listed = ports.okta.list_app_users(&ports.app, &[], deadline).await?;
            let listed = listed.telling();
            let is_member = |id: &OktaUserId| members.iter().any(|user| user.id == *id);
            return Ok(Assignments {
                unread: listed.ids_unread().filter(is_member).collect(),
                extent: listed.extent,
                found: by_user(listed.items),
            });
        }
        let excluded = &ports.policy.excluded;
        let asked = members.iter().filter(|user| !excluded.user(user));
        let asked: Vec<&User> = asked.collect();
        let reads = asked.iter().map(async |user| {
            match ports.okta.app_user(&ports.app, &user.id, deadline).await {
                Err(error) if error.may_be_about_one() => {
                    tracing::warn!(user = %user.id, %error, "a member stays as they are");
                    Ok(Err((user.id.clone(), error)))
                }
                read => read.map(Ok),
            }
        });
        let read = few_at_once(reads.collect()).await?;
        let (found, unread): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        let mut unread: Vec<_> = unread.into_iter().filter_map(Result::err).collect();
        let found: Vec<Option<AppUser>> = found.into_iter().flatten().collect();
        // If nobody can be read, it is not about one person.
        let is_read = |(_, error): &(_, CallError)| error.is_unreadable();
        if found.is_empty()
            && !unread.iter().any(is_read)
            && let Some((user, error)) = unread.pop()
        {
            let failure = Failure::from(error);
            let message = format!("user {user}: {}", failure.message);
            return Err(Failure { message, ..failure });
        }
        let unread = unread.into_iter().map(|(user, _)| user).collect();
        if !found.is_empty() && found.iter().all(Option::is_none) {
            ports.okta.check_app(&ports.app, deadline).await?;
        }
        Ok(Assignments {
            found: by_user(found.into_iter().flatten()),
            unread,
            extent: Extent::Complete,
        })
    }

    /// The members of the linked team, and whether the list is complete.
    pub(in crate::provision) async fn found_members(
        &self,
        link: Option<&TeamLink>,
    ) -> Result<(Option<Vec<MemberFound>>, Extent), Failure> {
        let team = self.team_members(link).await?;
        Ok((self.found_of(team.items).await?, team.extent))
    }

    /// Whose accounts the members are, if there is a team.
    async fn found_of(
        &self,
        members: Option<Vec<Member>>,
    ) -> Result<Option<Vec<MemberFound>>, Failure> {
        Ok(match members {
            Some(members) => Some(self.members_found(members).await?),
            None => None,
        })
    }

    /// The list of the linked team's members.
    async fn team_members(&self, link: Option<&TeamLink>) -> Result<TeamMembers, Failure> {
        let no_team = TeamMembers {
            items: None,
            extent: Extent::Complete,
        };
        let Some(link) = link else {
            return Ok(no_team);
        };
        let anypoint = &self.ports.anypoint;
        let listed = anypoint.list_members(&link.team_id, self.deadline).await?;
        let Some(listed) = listed.map(Listed::telling) else {
            self.check_team_gone(&link.team_id).await?;
            return Ok(no_team);
        };
        Ok(TeamMembers {
            extent: listed.extent,
            items: Some(listed.with_unread(Member::unread)),
        })
    }

    /// Checks that nothing else shows a team whose members are not there.
    async fn check_team_gone(&self, team: &TeamId) -> Result<(), Failure> {
        let anypoint = &self.ports.anypoint;
        let (found, listed) = try_join(
            anypoint.team(team, self.deadline),
            anypoint.list_teams(self.deadline),
        )
        .await?;
        let listed = listed.telling();
        check_team_read(team, &listed)?;
        if found.is_some() || listed.items.iter().any(|found| found.id == *team) {
            return Err(contradiction(
                Side::Anypoint,
                "the team is there, but its members are not",
            ));
        }
        Ok(())
    }

    /// Whose accounts a team's members are. For a former account it reads whether the account is disabled.
    ///
    /// # Errors
    /// When the links or such an account could not be read.
    pub(crate) async fn members_found(
        &self,
        members: Vec<Member>,
    ) -> Result<Vec<MemberFound>, Failure> {
        let accounts: Vec<AccountId> = members.iter().map(|member| member.id.clone()).collect();
        let mut owners = self.ports.store.account_owners(&accounts).await?;
        let users: Vec<OktaUserId> = owners
            .values()
            .map(|owner| owner.okta_user.clone())
            .collect();
        let excluded = self.excluded_among(&users).await?;
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let owner = match owners.remove(&member.id) {
                Some(owner) if excluded.contains(&owner.okta_user) => Owner::Excluded,
                Some(owner) if owner.tenure == Tenure::Former => {
                    let account = self
                        .ports
                        .anypoint
                        .account(&member.id, self.deadline)
                        .await?;
                    match account {
                        Some(account) if !account.is_enabled() => Owner::Former(owner.okta_user),
                        _ => Owner::Unknown,
                    }
                }
                Some(owner) => Owner::Current(owner.okta_user),
                None => Owner::Unknown,
            };
            found.push(MemberFound {
                membership: Membership::from(&member),
                owner,
                account: member.id,
            });
        }
        Ok(found)
    }

    /// The current display name of a group, if the group becomes a team.
    pub(in crate::provision) async fn name_if_pushed(
        &self,
        group: &OktaGroupId,
    ) -> Result<Option<String>, Failure> {
        let Some(found) = self.ports.okta.group(group, self.deadline).await? else {
            return Ok(None);
        };
        let is_excluded = self.ports.policy.excluded.group(&found);
        let is_pushed = !is_excluded && self.is_selected(&found).await?;
        Ok(is_pushed.then(|| found.name().to_owned()))
    }
}

/// The failure when somebody deleted `what` while the run worked on it.
pub(super) fn went_away(what: &str) -> Failure {
    let what = format!("{what} was deleted during the run; the next look finds that");
    Failure::retryable(Side::Program, what).because(Cause::Overtaken)
}
