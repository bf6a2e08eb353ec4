//! The planner for groups: a pure function of what was seen and of the evidence.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::view::{GroupView, GroupWanted, MemberFound, Owner, WantedMembers};
use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaUserId, TeamId};
use crate::provision::evidence::Evidence;
use crate::provision::finding::{Finding, Findings, Unpushed};
use crate::provision::policy::{Policy, TeamRemoval};
use crate::provision::step::{Step, action};
use crate::provision::team::Past;
use crate::provision::user::Membership;
use crate::store::TeamLink;

/// Why a team gets members.
pub(super) const ADD_WHY: &str = "they are members of the group";

/// What happens to the team of a group that is no longer pushed, and to its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TeamEnd {
    /// The team stays as it is. The link is removed.
    Unlink,
    /// Both are removed.
    Delete,
}

/// What brings the team of a group in sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupPlan {
    /// The team; `None` when there is none yet.
    pub(crate) team: Option<TeamId>,
    /// Accounts to remove from the team.
    pub(crate) remove: Vec<AccountId>,
    /// Those of them that Okta does not show in the group, with their users.
    pub(crate) leavers: Vec<(AccountId, OktaUserId)>,
    pub(crate) remove_why: &'static str,
    /// Accounts to add to the team.
    pub(crate) add: Vec<AccountId>,
    /// Users to look at next.
    pub(crate) later: Vec<OktaUserId>,
    /// What happens to the team itself.
    pub(crate) end: Option<TeamEnd>,
    pub(crate) findings: Findings,
    pub(crate) refused: Option<Failure>,
}

/// Plans what brings the team of a group in sync.
///
/// Maintainers, memberships from external groups, people without a link and child teams are never
/// part of a plan.
pub(crate) fn plan_group(view: &GroupView, policy: &Policy, evidence: &Evidence) -> GroupPlan {
    let mut plan = plan_members(view, policy, evidence);
    if let Some(name_owner) = &view.name_owner {
        plan.believe(name_owner.clone(), evidence);
    }
    plan
}

fn plan_members(view: &GroupView, policy: &Policy, evidence: &Evidence) -> GroupPlan {
    let mut plan = GroupPlan::default();
    if let GroupWanted::Team(wanted) = &view.wanted {
        plan.later = wanted.later.clone();
    }
    let Some(link) = &view.link else {
        if let GroupWanted::Team(wanted) = &view.wanted {
            plan.add_missing(wanted, &HashSet::new());
        }
        return plan;
    };
    match (&view.wanted, &view.found) {
        (GroupWanted::Team(_), None) | (GroupWanted::Excluded, _) => {}
        (GroupWanted::Team(wanted), Some(found)) => {
            plan.team = Some(link.team_id.clone());
            plan.members(wanted, found, view.past, evidence);
        }
        (GroupWanted::Nothing(why), _) => {
            plan.team = Some(link.team_id.clone());
            plan.end(link, *why, view, policy, evidence);
        }
    }
    if let Some(side) = view.incomplete {
        plan.remove_nobody(side);
    }
    plan
}

impl GroupPlan {
    fn remove_nobody(&mut self, side: Side) {
        let what = "a list has an entry without a readable id, so it removes nobody; missing members were added";
        let failure = Failure::retryable(side, what).because(Cause::Unreadable);
        self.refused = Some(failure);
        self.remove.clear();
        self.leavers.clear();
        self.findings = Findings::default();
        self.end = None;
    }

    fn add_missing(&mut self, wanted: &WantedMembers, present: &HashSet<&AccountId>) {
        let missing = wanted.accounts.iter().filter(|it| !present.contains(it));
        self.add = missing.cloned().collect();
        self.add.sort();
        self.add.dedup();
    }

    fn members(
        &mut self,
        wanted: &WantedMembers,
        found: &[MemberFound],
        past: Past,
        evidence: &Evidence,
    ) {
        let unassigned: HashMap<&AccountId, &OktaUserId> = wanted
            .unassigned
            .iter()
            .map(|(account, user)| (account, user))
            .collect();
        let kept = wanted.kept.iter().chain(unassigned.keys().copied());
        let stay: HashSet<&AccountId> = wanted.accounts.iter().chain(kept).collect();
        let members = found.iter().filter(|found| found.can_end());
        let leaving = members.filter_map(|found| unassigned.get(&found.account));
        self.later.extend(leaving.copied().cloned());
        let is_sure =
            |found: &&MemberFound| past == Past::OfNoOther || found.membership != Membership::Ours;
        let present: HashSet<&AccountId> = found
            .iter()
            .filter(is_sure)
            .map(|found| &found.account)
            .collect();
        self.add_missing(wanted, &present);
        self.remove_why = "they are linked, and not members of the group";
        let mut unread = Vec::new();
        for found in found.iter().filter(|found| !stay.contains(&found.account)) {
            let account = &found.account;
            let leaver = match &found.owner {
                _ if !found.can_end() && !found.is_unread() => continue,
                Owner::Current(user) if wanted.has_moved(user) => {
                    self.later.push(user.clone());
                    continue;
                }
                Owner::Current(user) if !wanted.ended.contains(user) => Some(user),
                _ => None,
            };
            if let Some(user) = leaver
                && !self.believe(Finding::NotMember(user.clone()), evidence)
            {
                continue;
            }
            if found.is_unread() {
                unread.push(account.clone());
                continue;
            }
            self.leavers
                .extend(leaver.map(|user| (account.clone(), user.clone())));
            self.remove.push(account.clone());
        }
        self.remove.sort();
        self.refuse_unread(&unread);
    }

    /// Reports the memberships that have to end, and stay because their kind could not be read.
    fn refuse_unread(&mut self, unread: &[AccountId]) {
        if !unread.is_empty() {
            let who = accounts(unread);
            let what = format!(
                "a membership has to end and its kind cannot be read, so it stays: {who}; the rest was done"
            );
            self.refuse(Failure::retryable(Side::Anypoint, what).because(Cause::Unreadable));
        }
    }

    fn refuse(&mut self, failure: Failure) {
        self.refused = Failure::of_parts([self.refused.take(), Some(failure)]);
    }

    /// Keeps leavers in the team whose own answers cannot be used, and reports them.
    pub(super) fn keep(&mut self, unclear: &[(OktaUserId, Failure)]) {
        let Some((_, first)) = unclear.first() else {
            return;
        };
        let is_unclear = |user: &OktaUserId| unclear.iter().any(|(other, _)| other == user);
        let leavers = self.leavers.iter().filter(|(_, user)| is_unclear(user));
        let stay: HashSet<AccountId> = leavers.map(|(account, _)| account.clone()).collect();
        self.leavers.retain(|(account, _)| !stay.contains(account));
        self.remove.retain(|account| !stay.contains(account));
        let who = list("user", unclear.iter().map(|(user, _)| user.as_str()));
        let stays = if unclear.len() == 1 { "stays" } else { "stay" };
        let what = format!("{who} {stays} in the team, because Okta's own answers cannot be used");
        let failure = Failure {
            message: format!("{what}: {}; the rest was done", first.message),
            ..first.clone()
        };
        self.refused = Some(match self.refused.take() {
            Some(other) => Failure {
                message: format!("{}; {what}", other.message),
                ..other
            },
            None => failure,
        });
    }

    fn end(
        &mut self,
        link: &TeamLink,
        why: Unpushed,
        view: &GroupView,
        policy: &Policy,
        evidence: &Evidence,
    ) {
        let found = view.found.as_deref().unwrap_or_default();
        let leave = || {
            let ours = found.iter().filter(|found| found.can_end());
            let mut leave: Vec<AccountId> = ours.map(|found| found.account.clone()).collect();
            leave.sort();
            leave
        };
        let keeps_somebody = found.iter().any(|found| found.owner == Owner::Excluded);
        let unread = || -> Vec<AccountId> {
            let unread = found.iter().filter(|found| found.is_unread());
            unread.map(|found| found.account.clone()).collect()
        };
        let (remove, unread, end) = match policy.team_removal {
            TeamRemoval::Empty => (leave(), unread(), None),
            TeamRemoval::Keep => (Vec::new(), Vec::new(), Some(TeamEnd::Unlink)),
            TeamRemoval::Delete if view.found.is_none() => (Vec::new(), Vec::new(), None),
            // A team that cannot be deleted still loses its members. An excluded member keeps the team.
            TeamRemoval::Delete if view.below > 0 || keeps_somebody => (leave(), unread(), None),
            TeamRemoval::Delete => (Vec::new(), Vec::new(), Some(TeamEnd::Delete)),
        };
        let has_children = policy.team_removal == TeamRemoval::Delete && view.below > 0;
        if remove.is_empty() && unread.is_empty() && end.is_none() && !has_children {
            return;
        }
        let weight = evidence.weigh_end(why, &policy.groups);
        if !self.findings.note(Finding::NotPushed, weight) {
            return;
        }
        (self.remove, self.end, self.remove_why) = (remove, end, why.as_str());
        self.refuse_unread(&unread);
        if has_children {
            self.refuse(children(&link.team_id));
        }
    }

    fn believe(&mut self, finding: Finding, evidence: &Evidence) -> bool {
        let weight = evidence.weigh(&finding);
        self.findings.note(finding, weight)
    }

    /// The people that the brake counts, because they leave the team after the group left the selection.
    pub(crate) fn removes(&self, view: &GroupView) -> Vec<String> {
        let GroupWanted::Nothing(why) = &view.wanted else {
            return Vec::new();
        };
        if *why == Unpushed::Gone {
            return Vec::new();
        }
        let leaves = |found: &&MemberFound| {
            self.end == Some(TeamEnd::Delete) || self.remove.contains(&found.account)
        };
        let leavers = view.found.iter().flatten().filter(leaves);
        // Somebody can be in the team with two accounts.
        let people: BTreeSet<String> = leavers
            .map(|found| match &found.owner {
                Owner::Current(user) | Owner::Former(user) => user.to_string(),
                Owner::Unknown | Owner::Excluded => found.account.to_string(),
            })
            .collect();
        people.into_iter().collect()
    }

    /// Whether there is nothing to write at Anypoint.
    #[cfg(test)]
    fn writes_nothing(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty() && self.end.is_none()
    }

    /// The steps of the plan, in the order in which the run applies them.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let on_team = |name, why| match &self.team {
            Some(team) => Step::new(name, why).on(team),
            None => Step::new(name, why),
        };
        let team = match &self.team {
            Some(team) => format!("team {team}"),
            None => "the new team".to_owned(),
        };
        let mut steps = Vec::new();
        if !self.remove.is_empty() {
            let step = on_team(action::REMOVE_MEMBERS, self.remove_why).about(self.remove.len());
            steps.push(step.saying(format!("remove {} from {team}", accounts(&self.remove))));
        }
        if !self.add.is_empty() {
            let step = on_team(action::ADD_MEMBERS, ADD_WHY).about(self.add.len());
            steps.push(step.saying(format!("add {} to {team}", accounts(&self.add))));
        }
        let end = self.end.map(|end| match end {
            TeamEnd::Unlink => on_team(action::UNLINK_TEAM, self.remove_why)
                .saying(format!("leave {team} as it is and remove its link")),
            TeamEnd::Delete => {
                on_team(action::DELETE_TEAM, self.remove_why).saying(format!("delete {team}"))
            }
        });
        steps.extend(end);
        steps
    }
}

fn list<'a>(kind: &str, ids: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MAX_NAMED: usize = 5;
    let all = ids.len();
    let ids: Vec<&str> = ids.take(MAX_NAMED).collect();
    match all {
        1 => format!("{kind} {}", ids.join("")),
        n if n > ids.len() => format!("{n} {kind}s ({}, …)", ids.join(", ")),
        n => format!("{n} {kind}s ({})", ids.join(", ")),
    }
}

fn accounts(accounts: &[AccountId]) -> String {
    list("account", accounts.iter().map(AccountId::as_str))
}

fn children(team: &TeamId) -> Failure {
    Failure::permanent(
        Side::Anypoint,
        format!("team {team} has teams below it, and deleting it would delete them, too."),
        "Move the teams below it elsewhere in Anypoint, or set TEAM_REMOVAL=empty.",
    )
    .because(Cause::TeamHasChildren)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
