//! Makes from a snapshot what a look would see of a user, a group or a team. Pure.

use std::collections::HashSet;

use super::snapshot::PushedGroup;
use super::unread::List;
use super::world::World;
use crate::anypoint::Account;
use crate::failure::{Cause, Failure, Side};
use crate::http::Extent;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::provision::{
    FoundTeam, Freed, GroupView, GroupWanted, GroupsSeen, MemberFound, MemberWanted, Membership,
    NamedAccount, Orphan, Owner, Past, TeamRemoval, Unpushed, Unwanted, UserView, Wanted,
    WantedMembers, WantedTeam, freed_from, owner_by_intent,
};
use crate::store::{AccountOwner, Intent, Origin, TeamLink, Tenure};

impl<'a> World<'a> {
    /// What a look at a user would see.
    pub(super) fn user_view(
        &self,
        user: &'a OktaUserId,
        wanted: Wanted,
        intended: Option<&Intent>,
    ) -> UserView {
        let groups: HashSet<OktaGroupId> = self
            .groups_of
            .get(user)
            .into_iter()
            .flatten()
            .map(|pushed| pushed.group.id.clone())
            .collect();
        // Nobody leaves the team of a group that is not pushed, or whose members are not all known, by a user's plan.
        let is_known =
            |team: &FoundTeam| groups.contains(&team.group) || self.known.contains(&team.group);
        let ends = matches!(wanted, Wanted::Nothing(_));
        let found = |account: &AccountId| {
            let teams = self.teams_of.get(account).into_iter().flatten();
            teams
                .filter(|team| ends || is_known(team))
                .cloned()
                .collect()
        };
        let phone = match &wanted {
            Wanted::Account(person) => person.phone.clone(),
            Wanted::Nothing(_) | Wanted::Excluded => None,
        };
        // Lists do not have the phone number, and an unknown value is not a difference.
        let seen = |account: &Account| {
            let mut account = account.clone();
            account.phone_number = account.phone_number.or_else(|| phone.clone());
            account
        };
        let linked = self.linked(user);
        let named = self.named(user);
        let teams = match &wanted {
            Wanted::Account(_) => self.groups_of.get(user).map_or(&[][..], Vec::as_slice),
            Wanted::Nothing(_) | Wanted::Excluded => &[],
        };
        UserView {
            user: user.clone(),
            link: self.read.people.links.get(user).cloned(),
            linked_teams: linked.map(|account| found(&account.id)).unwrap_or_default(),
            linked: linked.map(seen),
            named: named.map(|account| {
                let owner = self.owner_of(&account.id);
                NamedAccount {
                    account: seen(account),
                    freed_from: owner
                        .as_ref()
                        .filter(|owner| owner.tenure == Tenure::Current && owner.okta_user != *user)
                        .map_or(Ok(None), |owner| self.freed_from(&owner.okta_user, account)),
                    owner: owner.or_else(|| {
                        let intended = intended.filter(|intent| intent.made(account));
                        intended.map(|_| owner_by_intent(user))
                    }),
                    teams: found(&account.id),
                    listed: Vec::new(),
                }
            }),
            orphan: Orphan::None,
            groups: GroupsSeen::Whole(groups),
            teams: teams
                .iter()
                .filter(|pushed| !self.lacks_members(&pushed.group.id))
                .filter(|pushed| !self.is_in_adopted(&pushed.group.id, linked.or(named)))
                .map(|pushed| WantedTeam {
                    group: pushed.group.id.clone(),
                    group_name: pushed.group.name().to_owned(),
                    team: self
                        .read
                        .team_links
                        .get(&pushed.group.id)
                        .map(|link| link.team_id.clone()),
                })
                .collect(),
            wanted,
        }
    }

    /// Whether the account is free, by the same [`freed_from`] as in the live look.
    fn freed_from(&self, owner: &OktaUserId, account: &Account) -> Result<Option<Freed>, Failure> {
        let app_user = self.read.people.app_users.get(owner);
        let user = match (app_user, self.unlisted.get(owner)) {
            (Some(_), _) if self.read.unread.users.contains_key(owner) => return Ok(None),
            (Some(app_user), _) => self.read.people.user_of(app_user),
            (None, Some(user)) => user.as_ref(),
            (None, None) => return Ok(None),
        };
        // Absence from an incomplete list proves nothing.
        let is_whole = self.read.unread.extent(&[List::AppUsers]) == Extent::Complete;
        if app_user.is_none() && user.is_some() && !is_whole {
            return Ok(None);
        }
        freed_from(owner, user, app_user, &account.username, self.policy)
    }

    fn owner_of(&self, account: &AccountId) -> Option<AccountOwner> {
        match self.owners.get(account) {
            Some(owner) => Some(AccountOwner {
                okta_user: (*owner).clone(),
                tenure: Tenure::Current,
                origin: None,
            }),
            None => self
                .former
                .get(account)
                .filter(|owner| owner.tenure == Tenure::Former)
                .cloned(),
        }
    }

    /// What a look at a pushed group would see. `team` is its team, or the one that it adopts. `None`: a new one.
    pub(super) fn group_view(&self, pushed: &PushedGroup, team: Option<&TeamId>) -> GroupView {
        let mut people = WantedMembers::default();
        let lists = self.people_extent();
        let missing = match lists {
            Extent::Complete => Ok(Wanted::Nothing(Unwanted::NotAssigned)),
            Extent::Incomplete => Err(not_listed()),
        };
        for user in &pushed.members {
            let link = self.read.people.links.get(user);
            if pushed.unread.contains(user) {
                let account = link.map(|link| link.anypoint_id.clone());
                people.add(user, MemberWanted::Stuck(account));
                continue;
            }
            let wanted = self.wanted.get(user).unwrap_or(&missing);
            // The user's own look handles an account that is gone.
            match MemberWanted::of(wanted, link) {
                MemberWanted::Account(account)
                    if !self.read.people.accounts.contains_key(&account) => {}
                member => people.add(user, member),
            }
        }
        // People who could not be read keep their memberships.
        people.kept.extend(self.unread_members());
        let unread = &self.read.unread;
        let of_team = team.filter(|team| unread.incomplete_teams.contains(*team));
        let of_okta = pushed.extent.and(unread.extent(&[List::AppUsers]));
        let of_anypoint = unread.extent(&[List::Accounts]);
        GroupView {
            incomplete: of_okta
                .fault_of(Side::Okta)
                .or(of_anypoint.fault_of(Side::Anypoint))
                .or(of_team.map(|_| Side::Anypoint)),
            wanted: GroupWanted::Team(people),
            link: team.map(|team| TeamLink {
                team_id: team.clone(),
                team_name: String::new(),
                origin: Origin::Created,
            }),
            found: team.and_then(|team| self.found_members(team)),
            below: 0,
            past: Past::OfNoOther,
            name_owner: None,
        }
    }

    /// What a look at a linked team whose group is not pushed would see.
    pub(super) fn remains_view(&self, link: &TeamLink) -> GroupView {
        let unread = &self.read.unread;
        let of_okta = unread.extent(&[List::AppUsers, List::Groups]);
        let of_anypoint = unread.extent(&[List::Accounts, List::Teams]);
        let deletes = self.policy.team_removal == TeamRemoval::Delete;
        // A team that could not be read may hang below this one.
        let is_unread = unread.incomplete_teams.contains(&link.team_id)
            || (deletes && !unread.teams.is_empty());
        let of_anypoint = of_anypoint.fault_of(Side::Anypoint);
        GroupView {
            incomplete: of_okta
                .fault_of(Side::Okta)
                .or(of_anypoint)
                .or(is_unread.then_some(Side::Anypoint)),
            wanted: GroupWanted::Nothing(Unpushed::NotListed),
            found: self.found_members(&link.team_id),
            below: {
                let teams = self.read.teams.iter();
                teams
                    .filter(|team| team.ancestors.contains(&link.team_id))
                    .count()
            },
            link: Some(link.clone()),
            past: Past::OfNoOther,
            name_owner: None,
        }
    }

    fn found_members(&self, team: &TeamId) -> Option<Vec<MemberFound>> {
        let members = self.read.members.get(team)?;
        Some(
            members
                .iter()
                .map(|member| MemberFound {
                    account: member.id.clone(),
                    membership: Membership::from(member),
                    owner: self.member_owner(&member.id),
                })
                .collect(),
        )
    }

    /// Whose account it is, as in [`crate::provision::Look::members_found`].
    fn member_owner(&self, account: &AccountId) -> Owner {
        match self.owner_of(account) {
            Some(owner) if self.is_excluded(&owner.okta_user) => Owner::Excluded,
            Some(owner) if owner.tenure == Tenure::Current => Owner::Current(owner.okta_user),
            Some(owner) if self.is_disabled(account) => Owner::Former(owner.okta_user),
            _ => Owner::Unknown,
        }
    }

    /// The accounts of linked people who could not be read on either side.
    fn unread_members(&self) -> impl Iterator<Item = AccountId> {
        let links = self.read.people.links.iter();
        links
            .filter(|(user, link)| {
                let unread = &self.read.unread;
                unread.users.contains_key(*user) || unread.accounts.contains_key(&link.anypoint_id)
            })
            .map(|(_, link)| link.anypoint_id.clone())
    }
}

fn not_listed() -> Failure {
    Failure::retryable(Side::Okta, "the user is missing from an incomplete list")
        .because(Cause::Unreadable)
}
