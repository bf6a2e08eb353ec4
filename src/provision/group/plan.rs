//! The planner for groups: a pure function of what was seen and of the evidence.

use std::collections::{HashMap, HashSet};

use crate::failure::{Cause, Failure, Side};
use crate::ids::{AccountId, OktaUserId, TeamId};
use crate::provision::evidence::{Evidence, Finding, Findings, Unpushed};
use crate::provision::policy::{Policy, TeamRemoval};
use crate::provision::step::{Step, action};
use crate::provision::team::Past;
use crate::provision::user::Membership;
use crate::provision::wanted::MemberWanted;
use crate::store::TeamLink;

/// What Okta wants of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupWanted {
    /// A team with these members.
    Team(WantedMembers),
    /// No team: the group is gone, or not (or no longer) selected.
    Nothing(Unpushed),
    /// `EXCLUDE_GROUPS` names the group, so nothing changes.
    Excluded,
}

/// Who is to be in a team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WantedMembers {
    /// The accounts of members who have the account that Okta wants.
    pub(crate) accounts: Vec<AccountId>,
    /// Old accounts, which stay in the team until their users have the new account.
    pub(crate) kept: Vec<AccountId>,
    /// The accounts of members who lost their assignment. They stay until the user's own look.
    pub(crate) unassigned: Vec<(AccountId, OktaUserId)>,
    /// Members whose account does not exist yet.
    pub(crate) later: Vec<OktaUserId>,
    /// Members who are to have no account because of a state that Okta says outright.
    pub(crate) ended: HashSet<OktaUserId>,
    /// All members of the group.
    pub(crate) listed: HashSet<OktaUserId>,
}

impl WantedMembers {
    /// Adds a member of the group.
    pub(crate) fn add(&mut self, user: &OktaUserId, wanted: MemberWanted) {
        self.listed.insert(user.clone());
        match wanted {
            MemberWanted::No => {}
            MemberWanted::Ended => {
                self.ended.insert(user.clone());
            }
            MemberWanted::Unassigned(account) => {
                self.unassigned.push((account, user.clone()));
            }
            MemberWanted::Account(account) => self.accounts.push(account),
            MemberWanted::Stuck(old) => self.kept.extend(old),
            MemberWanted::Later(old) => {
                self.kept.extend(old);
                self.later.push(user.clone());
            }
        }
    }
}

/// One person in the team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberFound {
    pub(crate) account: AccountId,
    pub(crate) membership: Membership,
    /// Whose account it is, if a link points to it.
    pub(crate) owner: Owner,
}

/// Whose account a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This user's.
    Current(OktaUserId),
    /// A disabled former account of this user.
    Former(OktaUserId),
    /// An excluded user's.
    Excluded,
    /// Nobody's: no link names it.
    Unknown,
}

impl MemberFound {
    /// Whether the membership is ours to end.
    pub(crate) fn can_end(&self) -> bool {
        self.membership == Membership::Ours && self.is_owned()
    }

    /// Whether the membership may be ours to end, but its kind could not be read.
    fn is_unread(&self) -> bool {
        self.membership == Membership::Unread && self.is_owned()
    }

    fn is_owned(&self) -> bool {
        matches!(self.owner, Owner::Current(_) | Owner::Former(_))
    }
}

/// What a look saw of a group's members on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupView {
    pub(crate) wanted: GroupWanted,
    /// The link to the team.
    pub(crate) link: Option<TeamLink>,
    /// The people in the team; `None` when there is no link, or the team is gone.
    pub(crate) found: Option<Vec<MemberFound>>,
    /// How many teams hang below the team; read only where the team may be deleted.
    pub(crate) below: usize,
    /// Whether the team was another group's. Its list may then show past members.
    pub(crate) past: Past,
    /// The side whose list is incomplete. Such a list adds members, and removes none.
    pub(crate) incomplete: Option<Side>,
    /// The finding about the group whose team has the wanted name, if the plan of the team rests on it.
    pub(crate) name_owner: Option<Finding>,
}

impl GroupView {
    /// A view without members and without teams below the team.
    pub(crate) fn of(wanted: GroupWanted, link: Option<TeamLink>) -> Self {
        Self {
            wanted,
            link,
            found: None,
            below: 0,
            past: Past::OfNoOther,
            incomplete: None,
            name_owner: None,
        }
    }
}

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
            let who = list(unread);
            let what = format!(
                "a membership has to end and its kind cannot be read, so it stays: {who}; the rest was done"
            );
            let failure = Failure::retryable(Side::Anypoint, what).because(Cause::Unreadable);
            self.refused = Some(failure);
        }
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
            self.refused = Some(children(&link.team_id));
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
        leavers
            .map(|found| match &found.owner {
                Owner::Current(user) | Owner::Former(user) => user.to_string(),
                Owner::Unknown | Owner::Excluded => found.account.to_string(),
            })
            .collect()
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
            steps.push(step.saying(format!("remove {} from {team}", list(&self.remove))));
        }
        if !self.add.is_empty() {
            let why = "they are members of the group";
            let step = on_team(action::ADD_MEMBERS, why).about(self.add.len());
            steps.push(step.saying(format!("add {} to {team}", list(&self.add))));
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

fn list(accounts: &[AccountId]) -> String {
    let ids: Vec<&str> = accounts.iter().take(5).map(AccountId::as_str).collect();
    match accounts.len() {
        1 => format!("account {}", ids.join("")),
        n if n > ids.len() => format!("{n} accounts ({}, …)", ids.join(", ")),
        n => format!("{n} accounts ({})", ids.join(", ")),
    }
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
mod tests {
    use super::*;
    use crate::store::Origin;

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).unwrap()
    }

    fn user(id: &str) -> OktaUserId {
        OktaUserId::parse(id).unwrap()
    }

    fn found(id: &str, plain: bool, owner: Option<&str>) -> MemberFound {
        MemberFound {
            account: account(id),
            membership: match plain {
                true => Membership::Ours,
                false => Membership::Special,
            },
            owner: owner.map_or(Owner::Unknown, |id| Owner::Current(user(id))),
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
            below: 0,
            past: Past::OfNoOther,
            incomplete: None,
            name_owner: None,
        }
    }

    fn mixed() -> Vec<MemberFound> {
        vec![
            found("stays", true, Some("00u1")),
            found("extra", true, Some("00u2")),
            found("unlinked", true, None),
            found("maintainer", false, Some("00u3")),
        ]
    }

    fn members(accounts: &[&str]) -> GroupWanted {
        GroupWanted::Team(WantedMembers {
            accounts: accounts.iter().map(|id| account(id)).collect(),
            ..WantedMembers::default()
        })
    }

    fn plan(view: &GroupView, policy: &Policy) -> GroupPlan {
        plan_group(view, policy, &Evidence::first_look())
    }

    #[test]
    fn only_plain_linked_members_are_removed() {
        let wanted = members(&["stays", "missing", "maintainer"]);
        let plan = plan(&view(wanted, Some(mixed())), &Policy::default());
        assert_eq!(plan.remove, [account("extra")]);
        assert_eq!(plan.add, [account("missing")]);
    }

    #[test]
    fn a_member_whose_new_account_does_not_exist_yet_keeps_the_old_membership() {
        let mut wanted = WantedMembers::default();
        wanted.add(&user("00u1"), MemberWanted::Later(Some(account("stays"))));
        wanted.add(&user("00u2"), MemberWanted::Stuck(Some(account("extra"))));
        let plan = plan(
            &view(GroupWanted::Team(wanted), Some(mixed())),
            &Policy::default(),
        );
        assert_eq!(plan.remove, []);
        assert_eq!(
            plan.add,
            [],
            "an account that the user gives up is not added"
        );
        assert_eq!(plan.later, [user("00u1")], "no look can help the other");
    }

    #[test]
    fn a_member_missing_from_one_look_stays_until_a_second_look() {
        let once = Evidence::without_events(1_000_000, std::time::Duration::from_secs(15));
        let view = |ended: HashSet<OktaUserId>| {
            let wanted = WantedMembers {
                accounts: vec![account("stays")],
                ended,
                ..WantedMembers::default()
            };
            view(GroupWanted::Team(wanted), Some(mixed()))
        };
        let plan = plan_group(&view(HashSet::new()), &Policy::default(), &once);
        assert_eq!(plan.remove, []);
        assert_eq!(plan.findings.doubted, [Finding::NotMember(user("00u2"))]);
        let said = plan_group(&view([user("00u2")].into()), &Policy::default(), &once);
        assert_eq!(said.remove, [account("extra")], "Okta says so outright");
    }

    #[test]
    fn incomplete_lists_add_members_and_remove_none() {
        let mut pushed = view(members(&["stays", "missing"]), Some(mixed()));
        pushed.incomplete = Some(Side::Anypoint);
        let found = plan(&pushed, &Policy::default());
        assert_eq!((found.remove.len(), found.add.len()), (0, 1));
        let refused = found.refused.unwrap();
        assert_eq!(
            (refused.side, refused.cause),
            (Side::Anypoint, Cause::Unreadable)
        );
        assert!(found.findings == Findings::default());
        pushed.wanted = GroupWanted::Nothing(Unpushed::Gone);
        for team_removal in [TeamRemoval::Empty, TeamRemoval::Delete] {
            let policy = Policy {
                team_removal,
                ..Policy::default()
            };
            assert!(plan(&pushed, &policy).writes_nothing());
        }
    }

    #[test]
    fn a_membership_of_an_unknown_kind_is_reported_where_it_has_to_end() {
        let unread = |owner: Owner| MemberFound {
            account: account("unread"),
            membership: Membership::Unread,
            owner,
        };
        let current = || Owner::Current(user("00u9"));
        let refused = |wanted: GroupWanted, found: MemberFound, evidence: &Evidence| {
            let mut members = mixed();
            members.push(found);
            let plan = plan_group(&view(wanted, Some(members)), &Policy::default(), evidence);
            assert!(!plan.remove.contains(&account("unread")));
            plan.refused
        };
        let known = Evidence::first_look();
        let gone = || GroupWanted::Nothing(Unpushed::Gone);
        for wanted in [members(&["stays"]), gone()] {
            for owner in [current(), Owner::Former(user("00u9"))] {
                let failure = refused(wanted.clone(), unread(owner), &known).unwrap();
                assert!(failure.is_retryable() && failure.cause == Cause::Unreadable);
                assert!(failure.to_string().contains("account unread"), "{failure}");
            }
            for owner in [Owner::Unknown, Owner::Excluded] {
                assert_eq!(refused(wanted.clone(), unread(owner), &known), None);
            }
        }
        // It does not end: the user is in the group, or may be.
        assert_eq!(
            refused(members(&["unread"]), unread(current()), &known),
            None
        );
        let once = Evidence::without_events(1_000_000, std::time::Duration::from_secs(15));
        assert_eq!(refused(members(&[]), unread(current()), &once), None);
        // Under this setting nobody leaves.
        let keep = Policy {
            team_removal: TeamRemoval::Keep,
            ..Policy::default()
        };
        let kept = view(gone(), Some(vec![unread(current())]));
        assert_eq!(plan(&kept, &keep).refused, None);
    }

    #[test]
    fn a_team_in_sync_gets_an_empty_plan() {
        let view = view(members(&["a"]), Some(vec![found("a", true, Some("00u1"))]));
        let plan = plan(&view, &Policy::default());
        assert!(plan.writes_nothing() && plan.steps().is_empty());
    }

    #[test]
    fn the_team_of_an_unpushed_group_follows_team_removal() {
        let gone = || view(GroupWanted::Nothing(Unpushed::Gone), Some(mixed()));
        let mut policy = Policy::default();
        assert_eq!(
            plan(&gone(), &policy).remove,
            [account("extra"), account("stays")]
        );
        policy.team_removal = TeamRemoval::Keep;
        let kept = plan(&gone(), &policy);
        assert!(kept.remove.is_empty());
        assert_eq!(kept.end, Some(TeamEnd::Unlink));
        policy.team_removal = TeamRemoval::Delete;
        assert_eq!(plan(&gone(), &policy).end, Some(TeamEnd::Delete));
        let mut parent = gone();
        parent.below = 1;
        let refused = plan(&parent, &policy);
        assert_eq!(refused.remove, [account("extra"), account("stays")]);
        assert!(refused.end.is_none() && refused.refused.is_some());
        let team_gone = view(GroupWanted::Nothing(Unpushed::Gone), None);
        assert!(plan(&team_gone, &policy).writes_nothing());
    }
}
