//! The views that the planners take, made from a snapshot. Pure.

use std::collections::{HashMap, HashSet};

use super::read::{PushedGroup, Snapshot};
use crate::anypoint::Account;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::provision::{
    FoundTeam, GroupView, GroupWanted, MemberFound, NamedAccount, Policy, TeamRemoval, TeamsFound,
    Unwanted, UserView, Wanted, WantedTeam, wanted,
};
use crate::schedule::summary::Problem;
use crate::store::{AccountOwner, FreshTeams, TeamLink, Tenure};

/// A snapshot with the ways to find things in it.
pub(super) struct World<'a> {
    pub(super) read: &'a Snapshot,
    pub(super) policy: &'a Policy,
    /// Who an account is linked to.
    pub(super) owners: HashMap<&'a AccountId, &'a OktaUserId>,
    /// Which group a team is linked to.
    pub(super) team_owners: HashMap<TeamId, OktaGroupId>,
    /// What Okta wants for each user that is assigned or linked.
    pub(super) wanted: HashMap<&'a OktaUserId, Result<Wanted, Failure>>,
    /// Users that cannot be planned, because two links name one account.
    pub(super) doubled: HashSet<&'a OktaUserId>,
    by_name: HashMap<String, Vec<&'a Account>>,
    teams_of: HashMap<&'a AccountId, Vec<FoundTeam>>,
    groups_of: HashMap<&'a OktaUserId, Vec<&'a PushedGroup>>,
    /// Who had accounts that no link names today; see [`World::doubtful_accounts`].
    pub(super) former: HashMap<AccountId, AccountOwner>,
}

impl<'a> World<'a> {
    pub(super) fn new(read: &'a Snapshot, policy: &'a Policy) -> Self {
        let mut owners: HashMap<&AccountId, &OktaUserId> = HashMap::new();
        let mut doubled = HashSet::new();
        for (user, link) in &read.user_links {
            if let Some(other) = owners.insert(&link.anypoint_id, user) {
                doubled.extend([user, other]);
            }
        }
        let team_owners: HashMap<TeamId, OktaGroupId> = read
            .team_links
            .iter()
            .map(|(group, link)| (link.team_id.clone(), group.clone()))
            .collect();
        let mut by_name: HashMap<String, Vec<&Account>> = HashMap::new();
        for account in read.accounts.values().filter(|account| account.is_native()) {
            let name = account.username.to_ascii_lowercase();
            by_name.entry(name).or_default().push(account);
        }
        let pushed: HashSet<&OktaGroupId> =
            read.groups.iter().map(|pushed| &pushed.group.id).collect();
        let mut teams_of: HashMap<&AccountId, Vec<FoundTeam>> = HashMap::new();
        for (team, members) in &read.members {
            let Some(group) = team_owners.get(team) else {
                continue;
            };
            let kept = policy.team_removal == TeamRemoval::Keep && !pushed.contains(group);
            for member in members {
                teams_of.entry(&member.id).or_default().push(FoundTeam {
                    team: team.clone(),
                    ours: member.is_plain() && !kept,
                });
            }
        }
        let mut groups_of: HashMap<&OktaUserId, Vec<&PushedGroup>> = HashMap::new();
        for pushed in &read.groups {
            for user in &pushed.members {
                groups_of.entry(user).or_default().push(pushed);
            }
        }
        let mut wants: HashMap<&OktaUserId, Result<Wanted, Failure>> = read
            .app_users
            .values()
            .map(|app_user| {
                let user = read.user_of(app_user);
                (&app_user.id, wanted(user, Some(app_user), policy))
            })
            .collect();
        for user in read.user_links.keys() {
            wants
                .entry(user)
                .or_insert(Ok(Wanted::Nothing(Unwanted::NotAssigned)));
        }
        Self {
            read,
            policy,
            owners,
            team_owners,
            wanted: wants,
            doubled,
            by_name,
            teams_of,
            groups_of,
            former: HashMap::new(),
        }
    }

    /// Accounts without a link of which it matters whose they were: those that bear a wanted username,
    /// and disabled ones in a linked team.
    pub(super) fn doubtful_accounts(&self) -> Vec<AccountId> {
        let named = self.wanted.keys().filter_map(|user| self.named(user));
        let members = self.teams_of.keys();
        let closed = members
            .filter_map(|account| self.read.accounts.get(*account))
            .filter(|account| !account.is_enabled());
        let found: HashSet<&AccountId> = named
            .chain(closed)
            .map(|account| &account.id)
            .filter(|account| !self.owners.contains_key(account))
            .collect();
        found.into_iter().cloned().collect()
    }

    /// The account that a user's link names, if it is there.
    pub(super) fn linked(&self, user: &OktaUserId) -> Option<&'a Account> {
        let link = self.read.user_links.get(user)?;
        self.read.accounts.get(&link.anypoint_id)
    }

    /// The account that bears the wanted username and is not the linked one.
    pub(super) fn named(&self, user: &OktaUserId) -> Option<&'a Account> {
        let Some(Ok(Wanted::Account(person))) = self.wanted.get(user) else {
            return None;
        };
        let has_it = self
            .linked(user)
            .is_some_and(|account| account.username.eq_ignore_ascii_case(&person.username));
        if has_it {
            return None;
        }
        let bearers = self.by_name.get(&person.username.to_ascii_lowercase())?;
        bearers
            .iter()
            .min_by_key(|account| (account.username != person.username, &account.id))
            .copied()
    }

    /// What was seen of a user.
    pub(super) fn user_view(
        &self,
        user: &'a OktaUserId,
        wanted: Wanted,
        intended: Option<String>,
    ) -> UserView {
        let found = |account: &AccountId| {
            TeamsFound(self.teams_of.get(account).cloned().unwrap_or_default())
        };
        let phone = match &wanted {
            Wanted::Account(person) => person.phone.clone(),
            Wanted::Nothing(_) => None,
        };
        // Lists leave the phone number out: unknown is not a difference.
        let seen = |account: &Account| {
            let mut account = account.clone();
            account.phone_number = account.phone_number.or_else(|| phone.clone());
            account
        };
        let linked = self.linked(user);
        let named = self.named(user);
        let teams = match &wanted {
            Wanted::Account(_) => self.groups_of.get(user).map_or(&[][..], Vec::as_slice),
            Wanted::Nothing(_) => &[],
        };
        UserView {
            user: user.clone(),
            link: self.read.user_links.get(user).cloned(),
            linked_teams: linked.map(|account| found(&account.id)).unwrap_or_default(),
            linked: linked.map(seen),
            named: named.map(|account| NamedAccount {
                account: seen(account),
                owner: self.owner_of(&account.id),
                teams: found(&account.id),
            }),
            intended,
            teams: teams
                .iter()
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
            fresh: FreshTeams::new(),
            // Nothing is carried out here.
            special: HashSet::new(),
            wanted,
        }
    }

    fn owner_of(&self, account: &AccountId) -> Option<AccountOwner> {
        match self.owners.get(account) {
            Some(owner) => Some(AccountOwner {
                okta_user: (*owner).clone(),
                tenure: Tenure::Current,
            }),
            None => self
                .former
                .get(account)
                .filter(|owner| owner.tenure == Tenure::Former)
                .cloned(),
        }
    }

    /// What was seen of a pushed group, whose team is (or is to be) `team`. `None`: a new one.
    pub(super) fn group_view(&self, pushed: &PushedGroup, team: Option<&TeamId>) -> GroupView {
        let mut members = Vec::new();
        let mut unlinked = Vec::new();
        for user in &pushed.members {
            let Some(Ok(Wanted::Account(person))) = self.wanted.get(user) else {
                continue;
            };
            match self.read.user_links.get(user) {
                Some(link) if link.username.eq_ignore_ascii_case(&person.username) => {
                    // An account that is gone comes back in the user's own look, or cannot.
                    if self.read.accounts.contains_key(&link.anypoint_id) {
                        members.push(link.anypoint_id.clone());
                    }
                }
                _ => unlinked.push(user.clone()),
            }
        }
        GroupView {
            wanted: GroupWanted::Team { members, unlinked },
            link: team.map(|team| TeamLink {
                team_id: team.clone(),
                team_name: String::new(),
                origin: crate::store::Origin::Created,
            }),
            found: team.and_then(|team| self.found_members(team)),
        }
    }

    /// What was seen of a linked team whose group is not pushed (any more).
    pub(super) fn remains_view(&self, link: &TeamLink) -> GroupView {
        GroupView {
            wanted: GroupWanted::Nothing(
                "the group is gone, or not (any more) selected by PUSH_GROUPS",
            ),
            found: self.found_members(&link.team_id),
            link: Some(link.clone()),
        }
    }

    fn found_members(&self, team: &TeamId) -> Option<Vec<MemberFound>> {
        let members = self.read.members.get(team)?;
        Some(
            members
                .iter()
                .map(|member| MemberFound {
                    account: member.id.clone(),
                    plain: member.is_plain(),
                    ours: self.is_ours(&member.id),
                })
                .collect(),
        )
    }

    /// As [`crate::provision::Provisioner::members_found`] has it.
    fn is_ours(&self, account: &AccountId) -> bool {
        let closed = || {
            let account = self.read.accounts.get(account);
            account.is_some_and(|account| !account.is_enabled())
        };
        self.owners.contains_key(account) || (self.owner_of(account).is_some() && closed())
    }

    /// Users whose links name one and the same account.
    pub(super) fn doubled_problems(&self) -> Vec<Problem> {
        let failure = Failure::permanent(
            Side::Table,
            "its link and another user's link name the same Anypoint account.",
            "Part one of them with `okta-anypoint unlink`.",
        );
        let mut users: Vec<&&OktaUserId> = self.doubled.iter().collect();
        users.sort();
        users
            .into_iter()
            .map(|user| Problem::of(Subject::User((*user).clone()), &failure))
            .collect()
    }

    /// Whether a person of ours can sign in with that account.
    pub(super) fn is_open(&self, account: &AccountId) -> bool {
        self.read
            .accounts
            .get(account)
            .is_some_and(Account::is_enabled)
    }
}
