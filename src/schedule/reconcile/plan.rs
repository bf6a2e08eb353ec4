//! Plans every subject of a snapshot with the planners that the worker uses. Pure.

use std::collections::{BTreeSet, HashMap};

use super::world::World;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use crate::provision::{
    AccountRef, GroupAction, GroupStep, TeamPlan, UserAction, UserStep, Wanted, plan_group,
    plan_team, plan_user,
};
use crate::schedule::summary::{Difference, Problem, Step};

/// What a reconcile found.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) users: Vec<Difference>,
    pub(super) groups: Vec<Difference>,
    pub(super) problems: Vec<Problem>,
    /// Linked users who would be deactivated or taken out of a team.
    pub(super) losing: BTreeSet<OktaUserId>,
    /// Users whose plan failed and may succeed once it is known what was being created for them.
    pub(super) doubtful: Vec<OktaUserId>,
}

impl World<'_> {
    /// Plans all users and groups. `intended` holds the usernames of accounts that this program was
    /// about to create; without it, users that need it end up in [`Plan::doubtful`].
    pub(super) fn plan(&self, intended: &HashMap<OktaUserId, String>) -> Plan {
        let mut plan = Plan {
            problems: self.doubled_problems(),
            ..Plan::default()
        };
        let mut users: Vec<(&&OktaUserId, &Result<Wanted, Failure>)> = self.wanted.iter().collect();
        users.sort_by_key(|(user, _)| **user);
        for (user, wanted) in users {
            if self.doubled.contains(*user) {
                continue;
            }
            let steps = wanted.clone().and_then(|wanted| {
                let intended = intended.get(*user).cloned();
                plan_user(&self.user_view(user, wanted, intended), self.policy)
            });
            match steps {
                Ok(steps) => self.user_plan(user, &steps, &mut plan),
                Err(failure) => {
                    if self.named(user).is_some() && !intended.contains_key(*user) {
                        plan.doubtful.push((*user).clone());
                    }
                    plan.problems
                        .push(Problem::of(Subject::User((*user).clone()), &failure));
                }
            }
        }
        self.plan_groups(&mut plan);
        plan
    }

    fn user_plan(&self, user: &OktaUserId, steps: &[UserStep], plan: &mut Plan) {
        let is_membership = |step: &UserStep| {
            matches!(
                step.action,
                UserAction::JoinTeam { .. } | UserAction::LeaveTeam { .. }
            )
        };
        for step in steps {
            let loses = match &step.action {
                UserAction::Update {
                    account: AccountRef::Known(account),
                    changes,
                } => changes.enabled == Some(false) && self.is_linked_and_open(account),
                UserAction::LeaveTeam { account, .. } => self.is_linked_and_open(account),
                _ => false,
            };
            if loses {
                plan.losing.insert(user.clone());
            }
        }
        // Memberships alone are settled by the group's own look, many people at a time.
        if steps.iter().all(is_membership) {
            return;
        }
        plan.users.push(Difference {
            subject: Some(Subject::User(user.clone())),
            account: None,
            actions: steps.iter().map(user_step).collect(),
        });
    }

    fn is_linked_and_open(&self, account: &AccountId) -> bool {
        self.owners.contains_key(account) && self.is_open(account)
    }

    fn plan_groups(&self, plan: &mut Plan) {
        let mut groups: Vec<_> = self.read.groups.iter().collect();
        groups.sort_by_key(|pushed| &pushed.group.id);
        let names: HashMap<&OktaGroupId, String> = groups
            .iter()
            .filter_map(|pushed| {
                let name = self.policy.team_names.apply(pushed.group.name()).ok()?;
                Some((&pushed.group.id, name))
            })
            .collect();
        for pushed in &groups {
            let group = &pushed.group.id;
            let link = self.read.team_links.get(group);
            let planned = self
                .policy
                .team_names
                .apply(pushed.group.name())
                .and_then(|name| {
                    let team = plan_team(group, &name, link, &self.read.teams, &self.team_owners)?;
                    settled(team, &name, &names)
                });
            match planned {
                Ok(team) => {
                    let renewed = link.is_some_and(|link| {
                        matches!(team, TeamPlan::Keep(_))
                            && Some(&link.team_name) != names.get(group)
                    });
                    let mut steps: Vec<Step> = team_step(&team, renewed).into_iter().collect();
                    steps.extend(self.member_steps(pushed, &team, plan));
                    push(plan, group, steps);
                }
                Err(failure) => plan
                    .problems
                    .push(Problem::of(Subject::Group(group.clone()), &failure)),
            }
        }
        let mut others: Vec<_> = self
            .read
            .team_links
            .iter()
            .filter(|(group, _)| groups.iter().all(|pushed| pushed.group.id != **group))
            .collect();
        others.sort_by_key(|(group, _)| *group);
        for (group, link) in others {
            let view = self.remains_view(link);
            let steps = plan_group(&view, self.policy);
            let deletes = steps
                .iter()
                .any(|step| matches!(step.action, GroupAction::DeleteTeam { .. }));
            let has_children = |team| self.read.teams.iter().any(|t| t.ancestors.contains(team));
            if deletes && has_children(&link.team_id) {
                let failure = Failure::permanent(
                    Side::Anypoint,
                    format!(
                        "team {} has teams below it, and deleting it would delete them, too.",
                        link.team_id
                    ),
                    "Move the teams below it elsewhere in Anypoint, or set TEAM_REMOVAL=empty.",
                );
                plan.problems
                    .push(Problem::of(Subject::Group(group.clone()), &failure));
                continue;
            }
            if deletes {
                let members = view.found.iter().flatten().filter(|found| found.ours);
                let accounts: Vec<AccountId> = members.map(|found| found.account.clone()).collect();
                self.lose(&accounts, plan);
            }
            let steps = steps.iter().filter_map(|step| self.group_step(step, plan));
            let steps: Vec<Step> = steps.collect();
            push(plan, group, steps);
        }
    }

    fn member_steps(
        &self,
        pushed: &super::read::PushedGroup,
        team: &TeamPlan,
        plan: &mut Plan,
    ) -> Vec<Step> {
        let team_id = match team {
            TeamPlan::Keep(id)
            | TeamPlan::Rename(id)
            | TeamPlan::Adopt(id)
            | TeamPlan::AdoptAndRename(id) => Some(id),
            TeamPlan::HeldBy { own, .. } => own.as_ref().map(|(id, _)| id),
            TeamPlan::Create { .. } => None,
        };
        let view = self.group_view(pushed, team_id);
        if team_id.is_none() {
            return match &view.wanted {
                crate::provision::GroupWanted::Team { members, .. } if !members.is_empty() => {
                    let step = Step::new("add_members", "they are members of the group");
                    vec![step.about(members.len())]
                }
                _ => Vec::new(),
            };
        }
        let mut steps = Vec::new();
        for step in plan_group(&view, self.policy) {
            steps.extend(self.group_step(&step, plan));
        }
        steps
    }

    /// The report of a group's action; also notes who loses a membership by it.
    fn group_step(&self, step: &GroupStep, plan: &mut Plan) -> Option<Step> {
        let count = match &step.action {
            GroupAction::AddMembers { accounts, .. } => Some(accounts.len()),
            GroupAction::RemoveMembers { accounts, .. } => {
                self.lose(accounts, plan);
                Some(accounts.len())
            }
            GroupAction::DeleteTeam { .. } => None,
            // The user's own plan has it.
            GroupAction::FollowUp(_) => return None,
        };
        let mut reported = Step::new(step.action.name(), step.reason);
        reported.count = count;
        Some(reported)
    }

    fn lose(&self, accounts: &[AccountId], plan: &mut Plan) {
        let open = accounts.iter().filter(|account| self.is_open(account));
        let users = open.filter_map(|account| self.owners.get(account));
        plan.losing.extend(users.map(|user| (*user).clone()));
    }
}

fn push(plan: &mut Plan, group: &OktaGroupId, actions: Vec<Step>) {
    if !actions.is_empty() {
        plan.groups.push(Difference {
            subject: Some(Subject::Group(group.clone())),
            account: None,
            actions,
        });
    }
}

/// A name that another pushed group wants as well can only be settled in Okta.
fn settled(
    team: TeamPlan,
    name: &str,
    names: &HashMap<&OktaGroupId, String>,
) -> Result<TeamPlan, Failure> {
    if let TeamPlan::HeldBy { group, .. } = &team
        && names
            .get(group)
            .is_some_and(|other| other.eq_ignore_ascii_case(name))
    {
        return Err(Failure::permanent(
            Side::Okta,
            format!("group {group} has the same team name, and a name belongs to one team."),
            "Rename one of the two groups in Okta.",
        ));
    }
    Ok(team)
}

fn team_step(team: &TeamPlan, renewed: bool) -> Option<Step> {
    Some(match team {
        TeamPlan::Keep(_) if !renewed => return None,
        TeamPlan::Keep(_) => Step::new("link_team", "the team was renamed and the link is older"),
        TeamPlan::Rename(_) => Step::new("rename_team", "the team is named as its group"),
        TeamPlan::Adopt(_) => Step::new("adopt_team", "a team of that name belongs to no group"),
        TeamPlan::AdoptAndRename(_) => Step::new(
            "adopt_team",
            "a team of that name belongs to no group; only the case of its name differs",
        ),
        TeamPlan::Create { .. } => Step::new("create_team", "the group has no team"),
        TeamPlan::HeldBy { .. } => Step::new(
            "settle_team_name",
            "the team of another group, which gives it up, still has the name",
        ),
    })
}

fn user_step(step: &UserStep) -> Step {
    let mut reported = Step::new(step.action.name(), step.reason);
    if let UserAction::Update { changes, .. } = &step.action {
        reported.fields = changes.fields().into_iter().map(Into::into).collect();
    }
    reported
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::read::Snapshot;
    use super::*;
    use crate::provision::Policy;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// Two users whose links, made by hand, name one account; only the first is assigned.
    fn doubled() -> Snapshot {
        let link = json!({"anypoint_id": "a1", "username": "ann", "origin": "created"});
        Snapshot {
            user_links: read(json!({"00u1": link, "00u2": link})),
            team_links: HashMap::new(),
            app_users: read(json!({"00u1": {"id": "00u1", "status": "ACTIVE",
                "credentials": {"userName": "ann"},
                "_embedded": {"user": {"id": "00u1", "status": "ACTIVE"}}}})),
            late_users: HashMap::new(),
            accounts: read(json!({"a1": {"id": "a1", "username": "ann", "enabled": true}})),
            teams: Vec::new(),
            groups: Vec::new(),
            members: HashMap::new(),
        }
    }

    #[test]
    fn two_links_to_one_account_are_a_problem_and_neither_is_acted_upon() {
        let (mut read, policy) = (doubled(), Policy::default());
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (0, 0));
        assert_eq!(plan.problems.len(), 2);
        // Alone, the second would be disabled.
        read.user_links.retain(|user, _| user.as_str() == "00u2");
        let plan = World::new(&read, &policy).plan(&HashMap::new());
        assert_eq!((plan.users.len(), plan.losing.len()), (1, 1));
    }
}
