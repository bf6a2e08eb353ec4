//! Reads both sides completely, or fails.
//!
//! Lists are read at the same time, within [`READS_AT_ONCE`]. The pages of one Okta list come one after the other,
//! because each names the next.

use std::collections::{HashMap, HashSet};

use futures_util::future::{try_join, try_join_all, try_join4};

use crate::anypoint::{Account, Team};
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, TeamId};
use crate::okta::{AppUser, Group, User};
use crate::provision::{GroupSelection, Policy, REREAD_AFTER, Selected, TeamRemoval};
use crate::schedule::Scheduler;
use crate::schedule::people::People;
use crate::store::{TeamLink, UserLink};

use super::lists::listed_and_gone;
use super::reader::SideReader;
use super::snapshot::{Members, PushedGroup, Snapshot};

/// How many of [`READS_AT_ONCE`] one list of Anypoint uses. Its client reads that many pages at once.
const PAGES_AT_ONCE: u32 = 4;

/// The links of users and of groups.
pub(crate) type Links = (
    HashMap<OktaUserId, UserLink>,
    HashMap<OktaGroupId, TeamLink>,
);
/// The assignments, and the users that they did not contain.
pub(crate) type AppUsers = (
    HashMap<OktaUserId, AppUser>,
    HashMap<OktaUserId, Option<User>>,
);

impl SideReader<'_> {
    /// The assignments to the app, each with its user.
    pub(crate) async fn app_users(&self) -> Result<AppUsers, Failure> {
        let ports = &self.scheduler.ports;
        let excluded = &ports.policy.excluded.users.ids;
        let kept = ports.policy.attributes.sources();
        let list = ports.okta.list_app_users(&ports.app, &kept, self.deadline);
        let listed = self.run(1, list).await?;
        self.unread().note_users(&listed, excluded);
        let app_users: HashMap<OktaUserId, AppUser> = listed
            .items
            .into_iter()
            .map(|app_user| (app_user.id.clone(), app_user))
            .collect();
        let mut reads = Vec::new();
        for app_user in app_users
            .values()
            .filter(|app_user| app_user.user().is_none() && !excluded.contains(&app_user.id))
        {
            reads.push(self.late_user(app_user.id.clone()));
        }
        let late_users = try_join_all(reads).await?.into_iter().flatten().collect();
        Ok((app_users, late_users))
    }

    /// One user. `None`: the user cannot be read, which is noted.
    pub(super) async fn late_user(
        &self,
        user: OktaUserId,
    ) -> Result<Option<(OktaUserId, Option<User>)>, Failure> {
        let read = self.scheduler.ports.okta.user(&user, self.deadline);
        match self.run(1, self.one(read)).await? {
            Ok(found) => Ok(Some((user, found))),
            Err(failure) => {
                self.unread().users.insert(user, failure);
                Ok(None)
            }
        }
    }

    pub(crate) async fn accounts(&self) -> Result<HashMap<AccountId, Account>, Failure> {
        let list = self.scheduler.ports.anypoint.list_accounts(self.deadline);
        let listed = self.run(PAGES_AT_ONCE, list).await?;
        self.unread().note_accounts(&listed);
        Ok(listed
            .items
            .into_iter()
            .map(|account| (account.id.clone(), account))
            .collect())
    }

    /// The groups that `PUSH_GROUPS` selects. Listed groups that are gone or cannot be read are noted.
    pub(crate) async fn selected(&self) -> Result<Vec<Group>, Failure> {
        let ports = &self.scheduler.ports;
        let okta = &ports.okta;
        let excluded = &ports.policy.excluded.groups.ids;
        match &ports.policy.groups {
            GroupSelection::None => Ok(Vec::new()),
            GroupSelection::Assigned => {
                let list = okta.list_app_groups_expanded(&ports.app, self.deadline);
                let listed = self.run(1, list).await?;
                self.unread().note_groups(&listed, excluded);
                let mut groups = Vec::new();
                let mut reads = Vec::new();
                for (id, group) in listed.items {
                    match group {
                        Some(group) => groups.push(group),
                        None if excluded.contains(&id) => {}
                        None => reads.push(self.group(id)),
                    }
                }
                for (id, group) in try_join_all(reads).await?.into_iter().flatten() {
                    match group {
                        Some(group) => groups.push(group),
                        None => {
                            self.unread().groups.insert(id, listed_and_gone());
                        }
                    }
                }
                Ok(groups)
            }
            GroupSelection::Ids(ids) => {
                let ids: HashSet<&OktaGroupId> = ids.iter().collect();
                let mut reads = Vec::new();
                for id in ids.difference(&excluded.iter().collect()) {
                    reads.push(self.group((*id).clone()));
                }
                let groups = try_join_all(reads).await?.into_iter().flatten();
                Ok(groups.filter_map(|(_, group)| group).collect())
            }
            selection @ (GroupSelection::All | GroupSelection::Named(_)) => {
                let listed = self.run(1, okta.list_groups(self.deadline)).await?;
                self.unread().note_groups(&listed, excluded);
                let selected = |group: &Group| selection.selects(group) == Selected::Yes;
                Ok(listed.items.into_iter().filter(selected).collect())
            }
        }
    }

    /// One group. `None`: the group cannot be read, which is noted.
    async fn group(
        &self,
        id: OktaGroupId,
    ) -> Result<Option<(OktaGroupId, Option<Group>)>, Failure> {
        let read = self.scheduler.ports.okta.group(&id, self.deadline);
        match self.run(1, self.one(read)).await? {
            Ok(found) => Ok(Some((id, found))),
            Err(failure) => {
                self.unread().groups.insert(id, failure);
                Ok(None)
            }
        }
    }

    /// The groups that become teams. Those that cannot be read are noted.
    async fn pushed_groups(&self) -> Result<Vec<PushedGroup>, Failure> {
        let excluded = &self.scheduler.ports.policy.excluded;
        let mut reads = Vec::new();
        for group in self.selected().await? {
            if !excluded.group(&group) {
                reads.push(self.with_members(group));
            }
        }
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// Reads linked users with an enabled account that the app does not list, because their logins may be excluded.
    pub(crate) async fn add_unlisted(&self, people: &mut People) -> Result<(), Failure> {
        let excluded = &self.scheduler.ports.policy.excluded.users;
        if excluded.logins.is_empty() {
            return Ok(());
        }
        let mut reads = Vec::new();
        for (user, link) in &people.links {
            let account = people.accounts.get(&link.anypoint_id);
            let is_enabled = account.is_some_and(Account::is_enabled);
            if is_enabled && !people.app_users.contains_key(user) && !excluded.ids.contains(user) {
                reads.push(self.late_user(user.clone()));
            }
        }
        let found = try_join_all(reads).await?.into_iter().flatten();
        people.late_users.extend(found);
        Ok(())
    }

    /// Linked groups that are excluded by id or by name. For a group that is gone, the name is its team's.
    async fn excluded_groups(
        &self,
        links: &HashMap<OktaGroupId, TeamLink>,
        pushed: &[PushedGroup],
    ) -> Result<HashSet<OktaGroupId>, Failure> {
        let excluded = &self.scheduler.ports.policy.excluded;
        let mut found = excluded.groups.ids.clone();
        if excluded.groups.names.is_empty() {
            return Ok(found);
        }
        let pushed: HashSet<&OktaGroupId> = pushed.iter().map(|pushed| &pushed.group.id).collect();
        let is_in_doubt =
            |group: &&OktaGroupId| !pushed.contains(*group) && !found.contains(*group);
        let mut reads = Vec::new();
        for group in links.keys().filter(is_in_doubt) {
            reads.push(self.group(group.clone()));
        }
        for (id, group) in try_join_all(reads).await?.into_iter().flatten() {
            let is_excluded = match group {
                Some(group) => excluded.group(&group),
                None => links
                    .get(&id)
                    .is_some_and(|link| excluded.name(&link.team_name)),
            };
            if is_excluded {
                found.insert(id);
            }
        }
        Ok(found)
    }

    /// Reads the members of the teams of groups that are not pushed once more. All of them leave, so the limit has to
    /// count those whom one list hides.
    async fn add_hidden_members(
        &self,
        ending: HashMap<TeamId, OktaGroupId>,
        members: &mut Members,
    ) -> Result<(), Failure> {
        if ending.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(REREAD_AFTER).await;
        for (team, again) in self.members_of(ending).await? {
            let known = members.entry(team).or_default();
            let shown: HashSet<AccountId> = known.iter().map(|found| found.id.clone()).collect();
            let hidden = again.into_iter();
            known.extend(hidden.filter(|found| !shown.contains(&found.id)));
        }
        Ok(())
    }

    pub(crate) async fn links(&self) -> Result<Links, Failure> {
        let store = self.scheduler.store();
        try_join(store.all_user_links(), store.all_team_links()).await
    }

    /// Links, teams, and the members of linked teams.
    async fn links_and_teams(&self) -> Result<(Links, Vec<Team>, Members), Failure> {
        let anypoint = &self.scheduler.ports.anypoint;
        let teams = self.run(1, anypoint.list_teams(self.deadline));
        let (links, teams) = try_join(self.links(), teams).await?;
        self.unread().note_teams(&teams);
        let teams = teams.items;
        let excluded = &self.scheduler.ports.policy.excluded.groups.ids;
        let is_present = |team: &TeamId| teams.iter().any(|found| found.id == *team);
        let mut present = HashMap::new();
        for (group, link) in &links.1 {
            if is_present(&link.team_id) && !excluded.contains(group) {
                present.insert(link.team_id.clone(), group.clone());
            }
        }
        let members = self.members_of(present).await?;
        Ok((links, teams, members))
    }
}

impl Scheduler {
    /// Everything a reconcile compares.
    ///
    /// # Errors
    /// When a list about everybody could not be read to the end, or a side is at fault.
    pub(super) async fn snapshot(&self, deadline: Deadline) -> Result<Snapshot, Failure> {
        let reader = SideReader::new(self, deadline);
        let ((app_users, late_users), accounts, groups, (links, teams, mut members)) = try_join4(
            reader.app_users(),
            reader.accounts(),
            reader.pushed_groups(),
            reader.links_and_teams(),
        )
        .await?;
        let (user_links, team_links) = links;
        let mut people = People {
            links: user_links,
            app_users,
            late_users,
            accounts,
        };
        reader.add_unlisted(&mut people).await?;
        let excluded_groups = reader.excluded_groups(&team_links, &groups).await?;
        let adoptable = adoptable(&groups, &teams, &team_links, &self.ports.policy);
        members.extend(reader.members_of(adoptable).await?);
        if self.ports.policy.team_removal != TeamRemoval::Keep {
            let pushed: HashSet<&OktaGroupId> =
                groups.iter().map(|pushed| &pushed.group.id).collect();
            let ending = team_links.iter().filter(|(group, link)| {
                members.contains_key(&link.team_id)
                    && !pushed.contains(group)
                    && !excluded_groups.contains(*group)
                    && !reader.unread().groups.contains_key(*group)
            });
            let ending = ending.map(|(group, link)| (link.team_id.clone(), group.clone()));
            let ending: HashMap<TeamId, OktaGroupId> = ending.collect();
            reader.add_hidden_members(ending, &mut members).await?;
        }
        reader.check_lists()?;
        let mut unread = reader.take_unread();
        unread.leave_out(&excluded_groups);
        Ok(Snapshot {
            people,
            team_links,
            teams,
            groups,
            excluded_groups,
            unread,
            members,
        })
    }
}

/// Teams that have the name of a pushed group and were not read yet, each with that group.
fn adoptable(
    groups: &[PushedGroup],
    teams: &[Team],
    linked: &HashMap<OktaGroupId, TeamLink>,
    policy: &Policy,
) -> HashMap<TeamId, OktaGroupId> {
    let names: HashMap<String, &OktaGroupId> = groups
        .iter()
        .map(|pushed| &pushed.group)
        .filter_map(|group| {
            let names = policy.team_names;
            let name = names.team_name(&group.id, group.name(), None).ok()?;
            Some((name.to_ascii_lowercase(), &group.id))
        })
        .collect();
    let linked: HashSet<&TeamId> = linked.values().map(|link| &link.team_id).collect();
    teams
        .iter()
        .filter(|team| !team.ancestors.is_empty() && !linked.contains(&team.id))
        .filter_map(|team| {
            let group = names.get(&team.name.to_ascii_lowercase())?;
            Some((team.id.clone(), (*group).clone()))
        })
        .collect()
}
