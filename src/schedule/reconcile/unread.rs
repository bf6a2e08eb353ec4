//! Entries of lists that could not be read. Each is a problem of its own. The run reports it by its id, and changes
//! nothing that it did not read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::failure::Failure;
use crate::http::{Extent, Listed};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::schedule::summary::Problem;

/// A list that a run reads once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    /// The assignments to the app.
    AppUsers,
    /// The groups that may become teams.
    Groups,
    /// The accounts of the organization.
    Accounts,
    /// The teams of the organization.
    Teams,
}

/// What could not be read, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread {
    /// Users who could not be read, or whose app user could not.
    pub(crate) users: BTreeMap<OktaUserId, Failure>,
    /// Listed groups that could not be read. Nothing is decided about their teams.
    pub(crate) groups: BTreeMap<OktaGroupId, Failure>,
    pub(crate) accounts: BTreeMap<AccountId, Failure>,
    pub(crate) teams: BTreeMap<TeamId, Failure>,
    /// Teams whose members could not be read, each with its group. They stay as they are.
    without_members: BTreeMap<TeamId, (OktaGroupId, Failure)>,
    /// Teams whose list of members has an entry without a readable id.
    pub(crate) incomplete_teams: HashSet<TeamId>,
    /// Lists with an entry without a readable id.
    incomplete: BTreeSet<List>,
    /// Everything else: entries whose id is enough, and incomplete lists.
    others: Vec<Problem>,
}

impl Unread {
    /// Whether these lists are complete.
    pub(crate) fn extent(&self, sources: &[List]) -> Extent {
        let is_incomplete = sources
            .iter()
            .any(|source| self.incomplete.contains(source));
        if is_incomplete {
            Extent::Incomplete
        } else {
            Extent::Complete
        }
    }

    /// Whether this team may exist although it was not read.
    pub(crate) fn may_have_team(&self, team: &TeamId) -> bool {
        self.teams.contains_key(team) || self.extent(&[List::Teams]) == Extent::Incomplete
    }

    /// Whether this account may exist although it was not read.
    pub(crate) fn may_have_account(&self, account: &AccountId) -> bool {
        let incomplete = self.extent(&[List::Accounts]) == Extent::Incomplete;
        self.accounts.contains_key(account) || incomplete
    }

    /// Notes that a list is incomplete, if it is.
    fn note<T>(&mut self, listed: &Listed<T>, source: List) {
        if let Some(failure) = listed.incomplete() {
            self.incomplete.insert(source);
            self.others.push(Problem::general(&failure));
        }
    }

    /// Notes users that could not be read. Reports nothing about those that are `excluded`.
    pub(crate) fn note_users<T>(&mut self, listed: &Listed<T>, excluded: &HashSet<OktaUserId>) {
        self.note(listed, List::AppUsers);
        let unread = by_id(listed).into_iter();
        self.users
            .extend(unread.filter(|(user, _)| !excluded.contains(user)));
    }

    /// Notes groups that could not be read. Reports nothing about those that are `excluded`.
    pub(crate) fn note_groups<T>(&mut self, listed: &Listed<T>, excluded: &HashSet<OktaGroupId>) {
        self.note(listed, List::Groups);
        let unread = by_id(listed).into_iter();
        self.groups
            .extend(unread.filter(|(group, _)| !excluded.contains(group)));
    }

    pub(crate) fn note_accounts<T>(&mut self, listed: &Listed<T>) {
        self.note(listed, List::Accounts);
        self.accounts.extend(by_id(listed));
    }

    pub(crate) fn note_teams<T>(&mut self, listed: &Listed<T>) {
        self.note(listed, List::Teams);
        self.teams.extend(by_id(listed));
    }

    /// Notes the members of a group that could not be read.
    pub(crate) fn note_members_of_group<T>(&mut self, group: &OktaGroupId, listed: &Listed<T>) {
        let incomplete = listed.incomplete();
        self.others
            .extend(incomplete.map(|failure| Problem::of(Subject::Group(group.clone()), &failure)));
        for (user, failure) in by_id::<_, OktaUserId>(listed) {
            self.report(Problem::of(Subject::User(user), &failure));
        }
    }

    /// Notes the members of a team that could not be read.
    pub(crate) fn note_members_of_team<T>(&mut self, team: &TeamId, listed: &Listed<T>) {
        if let Some(mut failure) = listed.incomplete() {
            failure.message = format!("{} (team {team})", failure.message);
            self.incomplete_teams.insert(team.clone());
            self.report(Problem::general(&failure));
        }
        for (account, failure) in by_id::<_, AccountId>(listed) {
            self.report(Problem::about_account(account, &failure));
        }
    }

    /// Notes that the members of a team could not be read.
    pub(crate) fn note_team_without_members(
        &mut self,
        team: TeamId,
        group: OktaGroupId,
        mut failure: Failure,
    ) {
        failure.message = format!("{} (team {team})", failure.message);
        self.without_members.insert(team, (group, failure));
    }

    /// Whether the members of this team could not be read.
    pub(crate) fn lacks_members(&self, team: &TeamId) -> bool {
        self.without_members.contains_key(team)
    }

    /// Reports nothing about teams of groups that are `excluded`.
    pub(crate) fn leave_out(&mut self, excluded: &HashSet<OktaGroupId>) {
        self.without_members
            .retain(|_, (group, _)| !excluded.contains(group));
    }

    fn report(&mut self, problem: Problem) {
        if !self.others.contains(&problem) {
            self.others.push(problem);
        }
    }

    /// The problems of everything that could not be read, by id.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let users = self.users.iter();
        let groups = self.groups.iter();
        let accounts = self.accounts.iter();
        users
            .map(|(user, failure)| Problem::of(Subject::User(user.clone()), failure))
            .chain(
                groups.map(|(group, failure)| Problem::of(Subject::Group(group.clone()), failure)),
            )
            .chain(
                accounts.map(|(account, failure)| Problem::about_account(account.clone(), failure)),
            )
            .chain(
                self.without_members
                    .values()
                    .map(|(group, failure)| Problem::of(Subject::Group(group.clone()), failure)),
            )
            .chain(self.teams.values().map(Problem::general))
            .chain(self.others.iter().cloned())
            .collect()
    }
}

/// The entries that could not be read, with what is wrong with them.
fn by_id<T, Id: std::str::FromStr>(listed: &Listed<T>) -> Vec<(Id, Failure)> {
    let unread = listed.unread.iter();
    unread
        .filter_map(|unread| Some((unread.id.parse().ok()?, listed.failure_of(unread))))
        .collect()
}
