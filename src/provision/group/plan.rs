//! The planner for groups: a pure function of what was seen.

use std::collections::HashSet;

use crate::ids::{AccountId, OktaUserId, TeamId};
use crate::provision::policy::{Policy, TeamRemoval};
use crate::store::TeamLink;

/// What Okta wants of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupWanted {
    /// A team with these members.
    Team {
        /// The linked accounts of the members that have one.
        members: Vec<AccountId>,
        /// Members that are wanted and have no account of their own yet.
        unlinked: Vec<OktaUserId>,
    },
    /// No team: the group is gone, or not selected (any more).
    Nothing(&'static str),
}

/// One person in the team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFound {
    /// The account.
    pub account: AccountId,
    /// Whether it is a plain membership.
    pub plain: bool,
    /// Whether the account is ours: a link points to it, or did until the account was closed.
    pub ours: bool,
}

impl MemberFound {
    /// Whether the membership is ours to end.
    pub fn can_end(&self) -> bool {
        self.plain && self.ours
    }
}

/// The members who leave when the group has no team any more.
pub(super) fn who_can_leave(found: &[MemberFound]) -> Vec<AccountId> {
    found
        .iter()
        .filter(|found| found.can_end())
        .map(|found| found.account.clone())
        .collect()
}

/// Everything that was seen of a group's members on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// What Okta wants.
    pub wanted: GroupWanted,
    /// The link to the team.
    pub link: Option<TeamLink>,
    /// The people in the team; `None` when there is no link, or the team is gone.
    pub found: Option<Vec<MemberFound>>,
}

/// One thing to do. Each is safe to do twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAction {
    /// Make the accounts plain members.
    AddMembers {
        /// The team.
        team: TeamId,
        /// The accounts.
        accounts: Vec<AccountId>,
    },
    /// Take the accounts out.
    RemoveMembers {
        /// The team.
        team: TeamId,
        /// The accounts.
        accounts: Vec<AccountId>,
    },
    /// Delete the team, if no team hangs below it, and forget the link.
    DeleteTeam {
        /// The team.
        team: TeamId,
    },
    /// Look at a member that has no account of its own yet.
    FollowUp(OktaUserId),
}

impl GroupAction {
    /// The word used in metrics and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AddMembers { .. } => "add_members",
            Self::RemoveMembers { .. } => "remove_members",
            Self::DeleteTeam { .. } => "delete_team",
            Self::FollowUp(_) => "follow_up",
        }
    }
}

/// An action and why it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStep {
    /// What to do.
    pub action: GroupAction,
    /// Why.
    pub reason: &'static str,
}

/// Plans what makes the team of a group agree with it. An empty plan: they agree.
///
/// Maintainers, memberships from external groups, people without a link and child teams are never
/// part of a plan.
pub fn plan_group(view: &GroupView, policy: &Policy) -> Vec<GroupStep> {
    let mut plan = Vec::new();
    let Some((link, found)) = view.link.as_ref().zip(view.found.as_ref()) else {
        if let GroupWanted::Team { unlinked, .. } = &view.wanted {
            follow_up(&mut plan, unlinked);
        }
        return plan;
    };
    let team = link.team_id.clone();
    match &view.wanted {
        GroupWanted::Team { members, unlinked } => {
            let wanted: HashSet<&AccountId> = members.iter().collect();
            let present: HashSet<&AccountId> = found.iter().map(|found| &found.account).collect();
            let missing: Vec<AccountId> = wanted
                .difference(&present)
                .map(|account| (*account).clone())
                .collect();
            let extra: Vec<AccountId> = found
                .iter()
                .filter(|found| found.can_end() && !wanted.contains(&found.account))
                .map(|found| found.account.clone())
                .collect();
            remove(
                &mut plan,
                &team,
                extra,
                "they are linked, and not members of the group",
            );
            add(&mut plan, &team, missing, "they are members of the group");
            follow_up(&mut plan, unlinked);
        }
        GroupWanted::Nothing(reason) => match policy.team_removal {
            TeamRemoval::Keep => {}
            TeamRemoval::Empty => {
                remove(&mut plan, &team, who_can_leave(found), reason);
            }
            TeamRemoval::Delete => {
                plan.push(GroupStep {
                    action: GroupAction::DeleteTeam { team },
                    reason,
                });
            }
        },
    }
    plan
}

fn add(
    plan: &mut Vec<GroupStep>,
    team: &TeamId,
    mut accounts: Vec<AccountId>,
    reason: &'static str,
) {
    if !accounts.is_empty() {
        accounts.sort();
        let action = GroupAction::AddMembers {
            team: team.clone(),
            accounts,
        };
        plan.push(GroupStep { action, reason });
    }
}

fn remove(
    plan: &mut Vec<GroupStep>,
    team: &TeamId,
    mut accounts: Vec<AccountId>,
    reason: &'static str,
) {
    if !accounts.is_empty() {
        accounts.sort();
        let action = GroupAction::RemoveMembers {
            team: team.clone(),
            accounts,
        };
        plan.push(GroupStep { action, reason });
    }
}

fn follow_up(plan: &mut Vec<GroupStep>, unlinked: &[OktaUserId]) {
    plan.extend(unlinked.iter().map(|user| GroupStep {
        action: GroupAction::FollowUp(user.clone()),
        reason: "the member has no account yet, or the app username changed",
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Origin;

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).unwrap()
    }

    fn found(id: &str, plain: bool, ours: bool) -> MemberFound {
        MemberFound {
            account: account(id),
            plain,
            ours,
        }
    }

    fn view(wanted: GroupWanted, found: Option<Vec<MemberFound>>) -> GroupView {
        let link = TeamLink {
            team_id: TeamId::parse("t1").unwrap(),
            team_name: "Ops".to_owned(),
            origin: Origin::Created,
        };
        GroupView {
            wanted,
            link: Some(link),
            found,
        }
    }

    fn mixed() -> Vec<MemberFound> {
        vec![
            found("stays", true, true),
            found("extra", true, true),
            found("unlinked", true, false),
            found("maintainer", false, true),
        ]
    }

    fn removed(plan: &[GroupStep]) -> Vec<AccountId> {
        plan.iter()
            .filter_map(|step| match &step.action {
                GroupAction::RemoveMembers { accounts, .. } => Some(accounts.clone()),
                _ => None,
            })
            .flatten()
            .collect()
    }

    #[test]
    fn only_plain_linked_members_are_taken_out() {
        let wanted = GroupWanted::Team {
            members: vec![account("stays"), account("missing"), account("maintainer")],
            unlinked: vec![OktaUserId::parse("00u9").unwrap()],
        };
        let plan = plan_group(&view(wanted, Some(mixed())), &Policy::default());
        assert_eq!(removed(&plan), [account("extra")]);
        assert!(plan.iter().any(|step| matches!(&step.action,
            GroupAction::AddMembers { accounts, .. } if *accounts == [account("missing")])));
        assert!(
            plan.iter()
                .any(|step| matches!(step.action, GroupAction::FollowUp(_)))
        );
    }

    #[test]
    fn agreement_is_an_empty_plan() {
        let wanted = GroupWanted::Team {
            members: vec![account("a")],
            unlinked: vec![],
        };
        let plan = plan_group(
            &view(wanted, Some(vec![found("a", true, true)])),
            &Policy::default(),
        );
        assert!(plan.is_empty());
    }

    #[test]
    fn a_group_that_leaves_follows_the_setting() {
        let gone = || view(GroupWanted::Nothing("gone"), Some(mixed()));
        let mut policy = Policy::default();
        assert_eq!(
            removed(&plan_group(&gone(), &policy)),
            [account("extra"), account("stays")]
        );
        policy.team_removal = TeamRemoval::Keep;
        assert!(plan_group(&gone(), &policy).is_empty());
        policy.team_removal = TeamRemoval::Delete;
        assert!(matches!(
            plan_group(&gone(), &policy)[..],
            [GroupStep {
                action: GroupAction::DeleteTeam { .. },
                ..
            }]
        ));
        let team_gone = view(GroupWanted::Nothing("gone"), None);
        assert!(plan_group(&team_gone, &policy).is_empty());
    }
}
