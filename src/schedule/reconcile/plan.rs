//! Plans every subject of a snapshot with the planners that the worker uses. Pure.

use std::collections::{BTreeSet, HashMap};

use super::world::World;
use crate::failure::Failure;
use crate::http::Extent;
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::okta::Group;
use crate::provision::{
    Decided, Evidence, Finding, GroupPlan, GroupView, NamePlan, Owner, Step, TeamEnd, TeamPlan,
    TeamRemoval, UserPlan, Wanted, WantedName, action, misplaced, plan_group, plan_taken,
    plan_team, plan_user, team_unread, unread_attributes,
};
use crate::schedule::summary::{Difference, Problem};
use crate::store::Intent;

/// The plan of a reconcile for all subjects.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) users: Vec<PlannedSubject>,
    pub(super) groups: Vec<PlannedSubject>,
    pub(super) problems: Vec<Problem>,
    /// Linked users who would lose their account or a membership.
    pub(super) losing: BTreeSet<OktaUserId>,
    /// Users whose plan failed, and may succeed once their intents are read.
    pub(super) doubtful: Vec<OktaUserId>,
    /// Users and groups that are excluded.
    pub(super) excluded: Vec<Subject>,
    /// How many links `TEAM_REMOVAL=keep` removes.
    pub(super) unlinked: usize,
}

/// A subject that differs, and what Okta did not show of it. The reconcile is the first look for those findings.
pub(super) struct PlannedSubject {
    pub(super) subject: Subject,
    pub(super) steps: Vec<Step>,
    pub(super) not_shown: Vec<String>,
}

/// Stands for a removal that Okta says outright, or that the next look has to find afresh. `MAX_DEACTIVATIONS` counted
/// it, so the brake lets it pass.
const SAID: &str = "said_by_okta";
/// The most findings that travel with one change. A message has to stay small.
const MAX_NOT_SHOWN: usize = 2_000;

impl PlannedSubject {
    fn new(subject: Subject, steps: Vec<Step>, not_shown: &[Finding]) -> Self {
        let not_shown = not_shown.iter().take(MAX_NOT_SHOWN);
        let mut not_shown: Vec<String> = not_shown.map(ToString::to_string).collect();
        let disables = |step: &Step| step.action == action::DISABLE_ACCOUNT;
        if not_shown.is_empty() && steps.iter().any(disables) {
            not_shown.push(SAID.to_owned());
        }
        Self {
            subject,
            steps,
            not_shown,
        }
    }

    /// Leaves the findings to the next look.
    pub(super) fn doubt(&mut self) {
        self.not_shown = vec![SAID.to_owned()];
    }

    /// The difference as the report shows it.
    pub(super) fn difference(&self) -> Difference {
        Difference {
            subject: Some(self.subject.clone()),
            account: None,
            actions: self.steps.clone(),
        }
    }
}

impl World<'_> {
    /// Plans all users and groups. `intended` has the intents that were read. Users who need
    /// theirs end up in [`Plan::doubtful`].
    pub(super) fn plan(&self, intended: &HashMap<OktaUserId, Intent>) -> Plan {
        let mut plan = Plan {
            problems: self.conflicting_links(),
            excluded: self.excluded(),
            ..Plan::default()
        };
        plan.problems.extend(self.read.unread.problems());
        let evidence = Evidence::first_look();
        let mut users: Vec<(&&OktaUserId, &Result<Wanted, Failure>)> = self.wanted.iter().collect();
        users.sort_by_key(|(user, _)| **user);
        for (user, wanted) in users {
            let is_held = self.held.contains(&Subject::User((*user).clone()));
            if is_held || self.conflicting.contains(*user) {
                continue;
            }
            if let Ok(Wanted::Account(person)) = wanted
                && let Some(failure) = unread_attributes(&person.unread)
            {
                let subject = Subject::User((*user).clone());
                plan.problems.push(Problem::of(subject, &failure));
            }
            let planned = wanted.clone().and_then(|wanted| {
                let intended = intended.get(*user);
                plan_user(
                    &self.user_view(user, wanted, intended),
                    self.policy,
                    &evidence,
                )
            });
            match planned {
                Ok(planned) => {
                    self.user_plan(user, &planned, &mut plan);
                    if let Some(refused) = &planned.refused {
                        self.user_problem(user, refused, intended, &mut plan);
                    }
                }
                // Reported with everything that could not be read.
                Err(_) if self.read.unread.users.contains_key(*user) => {}
                Err(failure) => self.user_problem(user, &failure, intended, &mut plan),
            }
        }
        self.plan_groups(&evidence, &mut plan);
        plan
    }

    fn user_problem(
        &self,
        user: &OktaUserId,
        failure: &Failure,
        intended: &HashMap<OktaUserId, Intent>,
        plan: &mut Plan,
    ) {
        if self.named(user).is_some() && !intended.contains_key(user) {
            plan.doubtful.push(user.clone());
        }
        let subject = Subject::User(user.clone());
        plan.problems.push(Problem::of(subject, failure));
    }

    fn user_plan(&self, user: &OktaUserId, planned: &UserPlan, plan: &mut Plan) {
        if planned.takes_away() && self.people_extent() == Extent::Incomplete {
            return;
        }
        let can_lose =
            |account: &AccountId| self.owners.contains_key(account) && !self.is_disabled(account);
        let is_retired = planned.retire.as_ref().is_some_and(|retire| {
            can_lose(&retire.account) && (retire.disable.is_some() || !retire.leave.is_empty())
        });
        let leaves = !planned.leave.is_empty()
            && self
                .linked(user)
                .is_some_and(|account| can_lose(&account.id));
        if is_retired || leaves {
            plan.losing.insert(user.clone());
        }
        let steps = planned.steps();
        // The group's own look handles memberships, many people at a time.
        let memberships = [action::JOIN_TEAM, action::LEAVE_TEAM];
        let is_membership = |step: &Step| memberships.contains(&step.action.as_ref());
        // People who lost the assignment leave the team in their own look.
        if planned.retire.is_none() && steps.iter().all(is_membership) {
            return;
        }
        let subject = Subject::User(user.clone());
        plan.users.push(PlannedSubject::new(
            subject,
            steps,
            &planned.findings.believed,
        ));
    }

    fn team_name(&self, group: &Group) -> Result<String, Failure> {
        let link = self.read.team_links.get(&group.id);
        let present = link.map(|link| link.team_name.as_str());
        let policy = self.policy.team_names;
        policy.team_name(&group.id, group.name(), present)
    }

    fn plan_groups(&self, evidence: &Evidence, plan: &mut Plan) {
        let mut groups: Vec<_> = self.read.groups.iter().collect();
        groups.sort_by_key(|pushed| &pushed.group.id);
        let lacks_members = |team: &TeamId| self.read.unread.lacks_members(team);
        for pushed in &groups {
            let group = &pushed.group.id;
            if self.held.contains(&Subject::Group(group.clone())) {
                continue;
            }
            let link = self.read.team_links.get(group);
            let mut teams = self.read.teams.iter();
            let team = link.and_then(|link| teams.find(|team| team.id == link.team_id));
            if let Some(failure) = team.and_then(|team| misplaced(group, team)) {
                let subject = Subject::Group(group.clone());
                plan.problems.push(Problem::of(subject, &failure));
            }
            let name = self.team_name(&pushed.group);
            let planned = name.and_then(|name| {
                if let Some(link) = link {
                    self.check_team_read(&link.team_id)?;
                }
                self.named_team(&pushed.group, name, evidence)
            });
            match planned {
                // Reported with everything that could not be read.
                Ok((team, _)) if team.team().is_some_and(lacks_members) => {}
                Ok((team, name)) => {
                    let steps = team.step(&name, link).into_iter().collect();
                    let mut view = self.group_view(pushed, team.team());
                    view.name_owner = team.finding();
                    self.plan_members(group, &view, steps, evidence, plan);
                }
                Err(failure) => {
                    let subject = Subject::Group(group.clone());
                    plan.problems.push(Problem::of(subject, &failure));
                    // As in a live look, the members of an existing team still follow the group.
                    if failure.cause.is_about_team_name()
                        && let Some(link) = link
                        && self.has_members_of(&link.team_id)
                    {
                        let view = self.group_view(pushed, Some(&link.team_id));
                        self.plan_members(group, &view, Vec::new(), evidence, plan);
                    }
                }
            }
        }
        let mut others: Vec<_> = self
            .read
            .team_links
            .iter()
            .filter(|(group, _)| groups.iter().all(|pushed| pushed.group.id != **group))
            .filter(|(group, _)| !self.read.unread.groups.contains_key(*group))
            .filter(|(group, _)| !self.held.contains(&Subject::Group((*group).clone())))
            .filter(|(group, _)| !self.read.excluded_groups.contains(*group))
            .collect();
        // Removing a link leaves the team as it is.
        let needs_members = self.policy.team_removal != TeamRemoval::Keep;
        others.retain(|(_, link)| !needs_members || !lacks_members(&link.team_id));
        others.sort_by_key(|(group, _)| *group);
        for (group, link) in others {
            let view = self.remains_view(link);
            let planned = plan_group(&view, self.policy, evidence);
            if let Some(failure) = &planned.refused {
                plan.problems
                    .push(Problem::of(Subject::Group(group.clone()), failure));
            }
            if planned.end == Some(TeamEnd::Delete) {
                let members = view.found.iter().flatten();
                let ours = members.filter(|found| found.owner != Owner::Unknown);
                let accounts: Vec<AccountId> = ours.map(|found| found.account.clone()).collect();
                self.lose(&accounts, plan);
            }
            plan.unlinked += usize::from(planned.end == Some(TeamEnd::Unlink));
            let steps = self.group_steps(&planned, plan);
            plan.push_group(group, steps, &planned.findings.believed);
        }
    }

    /// Plans the members of a pushed group's team, after the `steps` about the team itself.
    fn plan_members(
        &self,
        group: &OktaGroupId,
        view: &GroupView,
        mut steps: Vec<Step>,
        evidence: &Evidence,
        plan: &mut Plan,
    ) {
        let members = plan_group(view, self.policy, evidence);
        // An incomplete list is reported by itself.
        if let Some(failure) = members
            .refused
            .as_ref()
            .filter(|_| view.incomplete.is_none())
        {
            let subject = Subject::Group(group.clone());
            plan.problems.push(Problem::of(subject, failure));
        }
        steps.extend(self.group_steps(&members, plan));
        plan.push_group(group, steps, &members.findings.believed);
    }

    /// Whether the team exists and its members were read.
    fn has_members_of(&self, team: &TeamId) -> bool {
        let is_read = self.read.teams.iter().any(|found| found.id == *team);
        is_read && !self.read.unread.lacks_members(team)
    }

    /// The plan for the team of a group, and the team's name, as in a live look.
    fn named_team(
        &self,
        group: &Group,
        mut name: String,
        evidence: &Evidence,
    ) -> Result<(TeamPlan, String), Failure> {
        let link = self.read.team_links.get(&group.id);
        loop {
            let teams = &self.read.teams;
            let taken = match plan_team(&group.id, &name, link, teams, &self.team_owners)? {
                Decided::Here(plan) => return Ok((plan, name)),
                Decided::ByNameOwner(taken) => taken,
            };
            let Some(name_owner) = self.name_owner(&taken.by) else {
                // The other group could not be read. The live look reads it.
                return Ok((
                    TeamPlan::Free {
                        taken,
                        theirs: None,
                    },
                    name,
                ));
            };
            let wanted = WantedName {
                group: &group.id,
                called: group.name(),
                name: &name,
            };
            match plan_taken(wanted, taken, name_owner, self.policy, evidence)? {
                NamePlan::Team(plan) => return Ok((plan, name)),
                NamePlan::Apart(apart) => name = apart,
            }
        }
    }

    /// Fails if a linked team may exist but could not be read. Otherwise the plan would create a second team.
    fn check_team_read(&self, team: &TeamId) -> Result<(), Failure> {
        let is_read = self.read.teams.iter().any(|found| found.id == *team);
        if is_read || !self.read.unread.may_have_team(team) {
            return Ok(());
        }
        Err(team_unread(team))
    }

    /// The steps of a group. Adds the people who lose a membership to `plan.losing`.
    fn group_steps(&self, planned: &GroupPlan, plan: &mut Plan) -> Vec<Step> {
        self.lose(&planned.remove, plan);
        planned.steps()
    }

    /// Counts the linked people with these accounts. An account that the list of accounts lacks may be enabled.
    fn lose(&self, accounts: &[AccountId], plan: &mut Plan) {
        let in_use = accounts.iter().filter(|account| !self.is_disabled(account));
        let users = in_use.filter_map(|account| self.owners.get(account));
        let users = users.filter(|user| !self.is_excluded(user));
        plan.losing.extend(users.map(|user| (*user).clone()));
    }
}

impl Plan {
    fn push_group(&mut self, group: &OktaGroupId, steps: Vec<Step>, not_shown: &[Finding]) {
        if !steps.is_empty() {
            let subject = Subject::Group(group.clone());
            self.groups
                .push(PlannedSubject::new(subject, steps, not_shown));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::snapshot::Snapshot;
    use super::*;
    use crate::provision::Policy;
    use crate::schedule::people::People;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// Two users whose links, made by hand, name one account. Only the first is assigned.
    fn conflicting() -> Snapshot {
        let link = json!({"anypoint_id": "a1", "username": "ann", "origin": "created"});
        Snapshot {
            people: People {
                links: read(json!({"00u1": link, "00u2": link})),
                app_users: read(json!({"00u1": {"id": "00u1", "status": "ACTIVE",
                    "credentials": {"userName": "ann"},
                    "_embedded": {"user": {"id": "00u1", "status": "ACTIVE", "profile": {"login": "ann"}}}}})),
                late_users: HashMap::new(),
                accounts: read(json!({"a1": {"id": "a1", "username": "ann", "enabled": true}})),
            },
            team_links: HashMap::new(),
            teams: Vec::new(),
            groups: Vec::new(),
            excluded_groups: Default::default(),
            unread: Default::default(),
            members: HashMap::new(),
        }
    }

    #[test]
    fn every_planned_removal_is_marked_for_the_brake() {
        let policy = Policy::default();
        let with_status = |status: &str| {
            let mut found = conflicting();
            found.people.links.retain(|user, _| user.as_str() == "00u1");
            found.people.app_users = read(json!({"00u1": {"id": "00u1", "status": status,
                "credentials": {"userName": "ann"},
                "_embedded": {"user": {"id": "00u1", "status": "ACTIVE", "profile": {"login": "ann"}}}}}));
            found
        };
        let ended = with_status("DEPROVISIONED");
        let plan = World::new(&ended, &policy).plan(&HashMap::new());
        assert_eq!(plan.losing.len(), 1);
        assert_eq!(plan.users[0].not_shown, [SAID]);
        let active = with_status("ACTIVE");
        let plan = World::new(&active, &policy).plan(&HashMap::new());
        assert!(
            plan.users
                .iter()
                .all(|planned| planned.not_shown.is_empty())
        );
    }

    /// Two assigned users whose app usernames differ only in their case, and the account of that name.
    #[test]
    fn a_username_of_several_assigned_users_is_a_problem_and_gives_nobody_an_account() {
        let (mut read, policy) = (conflicting(), Policy::default());
        read.people.links.clear();
        let app_user = |id: &str, name: &str| {
            json!({"id": id, "status": "ACTIVE", "credentials": {"userName": name},
                "_embedded": {"user": {"id": id, "status": "ACTIVE", "profile": {"login": id,
                    "firstName": "Ann", "lastName": "Lee", "email": "ann@acme.example"}}}})
        };
        let both = json!({"00u1": app_user("00u1", "ann"), "00u2": app_user("00u2", "ANN")});
        read.people.app_users = self::read(both);
        let planned = |read: &Snapshot| {
            let plan = World::new(read, &policy).plan(&HashMap::new());
            let steps = plan.users.iter().map(|planned| {
                let steps = planned.steps.iter().map(|step| step.action.as_ref());
                format!(
                    "{} {}",
                    planned.subject,
                    steps.collect::<Vec<_>>().join(" ")
                )
            });
            let problems = plan.problems.iter().map(|problem| {
                let subject = problem.subject.as_ref();
                format!(
                    "{} {}",
                    subject.map(ToString::to_string).unwrap_or_default(),
                    problem.text
                )
            });
            (steps.collect::<Vec<_>>(), problems.collect::<Vec<_>>())
        };
        let names = |problem: &str, user: &str, other: &str| {
            problem.starts_with(&format!("user#{user} "))
                && problem.contains("several assigned Okta users have that app username")
                && problem.contains(&format!("The others: {other}."))
        };
        // With and without an account of that name.
        for accounts in [read.people.accounts.clone(), HashMap::new()] {
            let read = Snapshot {
                people: People {
                    links: HashMap::new(),
                    app_users: read.people.app_users.clone(),
                    late_users: HashMap::new(),
                    accounts,
                },
                ..conflicting()
            };
            let (steps, problems) = planned(&read);
            assert_eq!(steps, [""; 0]);
            assert_eq!(problems.len(), 2, "{problems:?}");
            assert!(names(&problems[0], "00u1", "00u2"), "{problems:?}");
            assert!(names(&problems[1], "00u2", "00u1"), "{problems:?}");
        }
        // The user who is linked to the account keeps it and its changes.
        let link = json!({"anypoint_id": "a1", "username": "ann", "origin": "created"});
        read.people.links = self::read(json!({"00u2": link}));
        let (steps, problems) = planned(&read);
        assert_eq!(steps, ["user#00u2 update_account"]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(names(&problems[0], "00u1", "00u2"), "{problems:?}");
        // Alone, the other gets an account.
        read.people.links.clear();
        read.people.accounts.clear();
        read.people
            .app_users
            .retain(|user, _| user.as_str() == "00u1");
        let (steps, problems) = planned(&read);
        assert!(
            steps[0].starts_with("user#00u1 create_account"),
            "{steps:?}"
        );
        assert_eq!(problems, [""; 0]);
    }

    #[test]
    fn two_links_to_one_account_are_a_problem_and_neither_is_planned() {
        let (mut read, policy) = (conflicting(), Policy::default());
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (0, 0));
        assert_eq!(plan.problems.len(), 2);
        // Alone, the second would be disabled.
        read.people.links.retain(|user, _| user.as_str() == "00u2");
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (1, 1));
    }
}
