//! A snapshot, indexed for the planner. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::snapshot::{PushedGroup, Snapshot};
use super::unread::List;
use crate::anypoint::Account;
use crate::failure::{Cause, Failure, Side};
use crate::http::Extent;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::okta::User;
use crate::provision::{
    Decided, FoundTeam, Membership, NameOwner, Policy, TeamPlan, Unwanted, Wanted, plan_team,
    wanted,
};
use crate::schedule::people::People;
use crate::schedule::summary::Problem;
use crate::store::AccountOwner;

/// A snapshot, indexed for the planner.
pub(super) struct World<'a> {
    pub(super) read: &'a Snapshot,
    pub(super) policy: &'a Policy,
    /// The user that an account is linked to.
    pub(super) owners: HashMap<&'a AccountId, &'a OktaUserId>,
    /// The group that a team is linked to.
    pub(super) team_owners: HashMap<TeamId, OktaGroupId>,
    /// What Okta wants for each user that is assigned or linked.
    pub(super) wanted: HashMap<&'a OktaUserId, Result<Wanted, Failure>>,
    /// Users that cannot be planned because two links name one account.
    pub(super) conflicting: HashSet<&'a OktaUserId>,
    by_name: HashMap<String, Vec<&'a Account>>,
    pub(super) teams_of: HashMap<&'a AccountId, Vec<FoundTeam>>,
    pub(super) groups_of: HashMap<&'a OktaUserId, Vec<&'a PushedGroup>>,
    /// Pushed groups whose members are known. A list with an entry without a readable id shows of nobody that they left.
    pub(super) known: HashSet<&'a OktaGroupId>,
    /// The former owners of accounts that no link names (see [`World::doubtful_accounts`]).
    pub(super) former: HashMap<AccountId, AccountOwner>,
    /// Owners of wanted accounts whom the app does not list (see [`World::doubtful_owners`]).
    pub(super) unlisted: HashMap<OktaUserId, Option<User>>,
    /// Subjects that the brake holds. They are neither planned nor counted.
    pub(super) held: BTreeSet<Subject>,
    /// The teams that pushed groups without one would adopt.
    adopted: HashMap<&'a OktaGroupId, TeamId>,
}

impl<'a> World<'a> {
    pub(super) fn new(read: &'a Snapshot, policy: &'a Policy) -> Self {
        let mut owners: HashMap<&AccountId, &OktaUserId> = HashMap::new();
        let mut conflicting = HashSet::new();
        for (user, link) in &read.people.links {
            if let Some(other) = owners.insert(&link.anypoint_id, user) {
                conflicting.extend([user, other]);
            }
        }
        let team_owners: HashMap<TeamId, OktaGroupId> = read
            .team_links
            .iter()
            .map(|(group, link)| (link.team_id.clone(), group.clone()))
            .collect();
        let mut by_name: HashMap<String, Vec<&Account>> = HashMap::new();
        for account in read
            .people
            .accounts
            .values()
            .filter(|account| account.is_native())
        {
            let name = account.username.to_ascii_lowercase();
            by_name.entry(name).or_default().push(account);
        }
        let mut teams_of: HashMap<&AccountId, Vec<FoundTeam>> = HashMap::new();
        for (team, members) in &read.members {
            let Some(group) = team_owners.get(team) else {
                continue;
            };
            if read.excluded_groups.contains(group) {
                continue;
            }
            for member in members {
                teams_of.entry(&member.id).or_default().push(FoundTeam {
                    team: team.clone(),
                    group: group.clone(),
                    membership: if member.is_plain() {
                        Membership::Ours
                    } else {
                        Membership::Special
                    },
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
            .people
            .app_users
            .values()
            .map(|app_user| {
                let user = read.people.user_of(app_user);
                (&app_user.id, Ok(wanted(user, Some(app_user), policy)))
            })
            .collect();
        // A user who is missing from an incomplete list is not planned.
        let is_whole = read.unread.extent(&[List::AppUsers]) == Extent::Complete;
        for user in read.people.links.keys() {
            if read.people.is_excluded(user, policy) {
                wants.entry(user).or_insert(Ok(Wanted::Excluded));
            } else if is_whole {
                wants
                    .entry(user)
                    .or_insert(Ok(Wanted::Nothing(Unwanted::NotAssigned)));
            }
        }
        refuse_shared_names(&mut wants, &read.people);
        let is_excluded = |user: &OktaUserId| policy.excluded.users.ids.contains(user);
        for (user, failure) in read
            .unread
            .users
            .iter()
            .filter(|(user, _)| !is_excluded(user))
        {
            wants.insert(user, Err(failure.clone()));
        }
        for (user, link) in &read.people.links {
            let account = &link.anypoint_id;
            let is_missing = !read.people.accounts.contains_key(account);
            if is_missing && read.unread.may_have_account(account) && !is_excluded(user) {
                wants.insert(user, Err(unread_account(account)));
            }
        }
        let adopted = read.groups.iter().filter_map(|pushed| {
            let group = &pushed.group.id;
            if read.team_links.contains_key(group) {
                return None;
            }
            let name = policy
                .team_names
                .team_name(group, pushed.group.name(), None)
                .ok()?;
            match plan_team(group, &name, None, &read.teams, &team_owners) {
                Ok(Decided::Here(TeamPlan::Adopt(team) | TeamPlan::AdoptAndRename(team))) => {
                    Some((group, team))
                }
                _ => None,
            }
        });
        let adopted = adopted.collect();
        Self {
            read,
            policy,
            owners,
            team_owners,
            wanted: wants,
            conflicting,
            by_name,
            teams_of,
            groups_of,
            known: {
                let groups = read.groups.iter();
                let known = groups.filter(|pushed| pushed.extent == Extent::Complete);
                known.map(|pushed| &pushed.group.id).collect()
            },
            adopted,
            former: HashMap::new(),
            unlisted: HashMap::new(),
            held: BTreeSet::new(),
        }
    }

    /// Accounts without a link whose former owner matters: those with a wanted username, and disabled ones in a
    /// linked team.
    pub(super) fn doubtful_accounts(&self) -> Vec<AccountId> {
        let named = self.wanted.keys().filter_map(|user| self.named(user));
        let members = self.teams_of.keys();
        let disabled = members
            .filter_map(|account| self.read.people.accounts.get(*account))
            .filter(|account| !account.is_enabled());
        let found: HashSet<&AccountId> = named
            .chain(disabled)
            .map(|account| &account.id)
            .filter(|account| !self.owners.contains_key(account))
            .collect();
        found.into_iter().cloned().collect()
    }

    /// Users whose account another user is to have, and whom the app does not list. They may no longer exist in Okta.
    pub(super) fn doubtful_owners(&self) -> Vec<OktaUserId> {
        let mut owners: Vec<OktaUserId> = self
            .wanted
            .keys()
            .filter_map(|user| Some((user, self.named(user)?)))
            .filter_map(|(user, account)| Some((user, self.owners.get(&account.id)?)))
            .filter(|(user, owner)| {
                user != owner && !self.read.people.app_users.contains_key(**owner)
            })
            .filter(|(_, owner)| !self.is_excluded(owner))
            .map(|(_, owner)| (*owner).clone())
            .collect();
        owners.sort();
        owners.dedup();
        owners
    }

    /// Whether an account is already in the team that a group would adopt.
    pub(super) fn is_in_adopted(&self, group: &OktaGroupId, account: Option<&Account>) -> bool {
        let members = self
            .adopted
            .get(group)
            .and_then(|team| self.read.members.get(team));
        let (Some(members), Some(account)) = (members, account) else {
            return false;
        };
        members.iter().any(|member| member.id == account.id)
    }

    /// Whether the members of a group's team, or of the one that it would adopt, could not be read.
    pub(super) fn lacks_members(&self, group: &OktaGroupId) -> bool {
        let link = self.read.team_links.get(group);
        let team = link.map(|link| &link.team_id);
        team.or(self.adopted.get(group))
            .is_some_and(|team| self.read.unread.lacks_members(team))
    }

    /// The account that a user's link names, if it exists.
    pub(super) fn linked(&self, user: &OktaUserId) -> Option<&'a Account> {
        let link = self.read.people.links.get(user)?;
        self.read.people.accounts.get(&link.anypoint_id)
    }

    /// The account that has the wanted username and is not the linked one.
    pub(super) fn named(&self, user: &OktaUserId) -> Option<&'a Account> {
        let Some(Ok(Wanted::Account(person))) = self.wanted.get(user) else {
            return None;
        };
        let username = person.username.as_ref().ok()?;
        let has_it = self
            .linked(user)
            .is_some_and(|account| account.username.eq_ignore_ascii_case(username));
        if has_it {
            return None;
        }
        let bearers = self.by_name.get(&username.to_ascii_lowercase())?;
        bearers
            .iter()
            .min_by_key(|account| (account.username != *username, &account.id))
            .copied()
    }

    /// Whether the list of accounts shows that nobody can sign in with the account.
    pub(super) fn is_disabled(&self, account: &AccountId) -> bool {
        let account = self.read.people.accounts.get(account);
        account.is_some_and(|account| !account.is_enabled())
    }

    /// Whether the lists of people are complete. An incomplete one disables no account and ends no membership.
    pub(super) fn people_extent(&self) -> Extent {
        let lists = [List::AppUsers, List::Accounts];
        self.read.unread.extent(&lists)
    }

    /// Users whose links name the same account.
    pub(super) fn conflicting_links(&self) -> Vec<Problem> {
        let failure = Failure::permanent(
            Side::Table,
            "its link and another user's link name the same Anypoint account.",
            "Unlink one of them: `okta-anypoint unlink OKTA_USER`.",
        )
        .because(Cause::LinkedElsewhere);
        let mut users: Vec<&&OktaUserId> = self.conflicting.iter().collect();
        users.sort();
        users
            .into_iter()
            .map(|user| Problem::of(Subject::User((*user).clone()), &failure))
            .collect()
    }

    /// What Okta shows of a group whose team has a wanted name. `None`: the group could not be read.
    pub(super) fn name_owner(&self, group: &OktaGroupId) -> Option<NameOwner<'a>> {
        if self.read.excluded_groups.contains(group) {
            return Some(NameOwner::Excluded);
        }
        let pushed = self.read.groups.iter();
        let unread = &self.read.unread;
        match pushed
            .map(|pushed| &pushed.group)
            .find(|pushed| pushed.id == *group)
        {
            Some(pushed) => Some(NameOwner::Pushed(pushed.name())),
            None if unread.groups.contains_key(group) => None,
            None if unread.extent(&[List::Groups]) == Extent::Incomplete => None,
            None => Some(NameOwner::Unpushed),
        }
    }

    /// Whether the user is excluded.
    pub(super) fn is_excluded(&self, user: &OktaUserId) -> bool {
        self.policy.excluded.users.ids.contains(user)
            || matches!(self.wanted.get(user), Some(Ok(Wanted::Excluded)))
    }

    /// The excluded users and linked groups.
    pub(super) fn excluded(&self) -> Vec<Subject> {
        let users = self.wanted.keys().filter(|user| self.is_excluded(user));
        let users = users.map(|user| Subject::User((*user).clone()));
        let groups = self
            .read
            .excluded_groups
            .iter()
            .cloned()
            .map(Subject::Group);
        let mut all: Vec<Subject> = users.chain(groups).collect();
        all.sort_by_key(ToString::to_string);
        all
    }
}

/// Refuses an app username that several assigned users have. The one who has the account of that name keeps it. The
/// others get nothing new, because Okta does not say whose it is.
fn refuse_shared_names(wants: &mut HashMap<&OktaUserId, Result<Wanted, Failure>>, people: &People) {
    let mut by_name: HashMap<String, Vec<&OktaUserId>> = HashMap::new();
    for (user, wanted) in &*wants {
        if let Ok(Wanted::Account(person)) = wanted
            && let Ok(username) = &person.username
        {
            let name = username.to_ascii_lowercase();
            by_name.entry(name).or_default().push(user);
        }
    }
    by_name.retain(|_, users| users.len() > 1);
    for (name, mut users) in by_name {
        users.sort();
        let has_it = |user: &OktaUserId| {
            let link = people.links.get(user);
            let account = link.and_then(|link| people.accounts.get(&link.anypoint_id));
            account.is_some_and(|account| account.username.eq_ignore_ascii_case(&name))
        };
        for &user in users.iter().filter(|user| !has_it(user)) {
            if let Some(Ok(Wanted::Account(person))) = wants.get_mut(user) {
                let others = users.iter().copied().filter(|other| *other != user);
                person.username = Err(name_shared(&others.collect::<Vec<_>>()));
            }
        }
    }
}

fn name_shared(others: &[&OktaUserId]) -> Failure {
    const MAX_NAMED: usize = 5;
    let mut ids: Vec<&str> = others.iter().map(|other| other.as_str()).collect();
    if ids.len() > MAX_NAMED {
        ids.truncate(MAX_NAMED);
        ids.push("…");
    }
    let what = format!(
        "several assigned Okta users have that app username, and an account belongs to one user. The others: {}.",
        ids.join(", ")
    );
    let advice = "Give all but one of them another app username in Okta.";
    Failure::permanent(Side::Okta, what, advice).because(Cause::UsernameTaken)
}

fn unread_account(account: &AccountId) -> Failure {
    Failure::retryable(
        Side::Anypoint,
        format!("the linked account {account} could not be read; nothing was changed"),
    )
    .because(Cause::Unreadable)
}
