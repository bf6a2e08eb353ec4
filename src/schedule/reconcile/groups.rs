//! Plans the groups of a snapshot: their teams, the names of these, and who is in them. Pure.

use super::plan::{Losing, Plan, PlannedSubject};
use super::world::World;
use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, Subject, TeamId};
use crate::okta::Group;
use crate::provision::{
    Brake, Decided, Evidence, Finding, GroupPlan, GroupView, NamePlan, Step, TeamEnd, TeamPlan,
    TeamRemoval, WantedName, misplaced, plan_group, plan_taken, plan_team, team_unread,
};
use crate::schedule::summary::Problem;

impl World<'_> {
    fn team_name(&self, group: &Group) -> Result<String, Failure> {
        let link = self.read.team_links.get(&group.id);
        let present = link.map(|link| link.team_name.as_str());
        let policy = self.policy.team_names;
        policy.team_name(&group.id, group.name(), present)
    }

    pub(super) fn plan_groups(&self, evidence: &Evidence, plan: &mut Plan) {
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
                // Everybody in it loses the team, linked or not.
                let members = view.found.iter().flatten();
                let accounts: Vec<AccountId> = members.map(|found| found.account.clone()).collect();
                self.lose(&accounts, plan);
            }
            plan.unlinked += usize::from(planned.end == Some(TeamEnd::Unlink));
            let steps = self.group_steps(&planned, plan);
            let brake = match planned.removes(&view).is_empty() {
                true => Brake::Counts,
                false => Brake::Passes,
            };
            plan.push_group(group, steps, &planned.findings.believed, brake);
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
        plan.push_group(group, steps, &members.findings.believed, Brake::Counts);
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

    /// Counts the people with these accounts. An account that the list of accounts lacks may be enabled.
    fn lose(&self, accounts: &[AccountId], plan: &mut Plan) {
        let in_use = accounts.iter().filter(|account| !self.is_disabled(account));
        let who = in_use.filter_map(|account| match self.owners.get(account) {
            Some(user) if self.is_excluded(user) => None,
            Some(user) => Some(Losing::Linked((*user).clone())),
            None => Some(Losing::Unlinked(account.clone())),
        });
        plan.losing.extend(who);
    }
}

impl Plan {
    fn push_group(
        &mut self,
        group: &OktaGroupId,
        steps: Vec<Step>,
        not_shown: &[Finding],
        brake: Brake,
    ) {
        if !steps.is_empty() {
            let subject = Subject::Group(group.clone());
            let planned = PlannedSubject::new(subject, steps, not_shown);
            self.groups.push(PlannedSubject { brake, ..planned });
        }
    }
}
