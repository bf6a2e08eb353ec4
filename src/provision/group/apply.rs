//! Looks at a group, plans, carries the plan out and verifies what it wrote.
//!
//! A membership has two subjects, and the members' own runs may go on at the same time. So the group's run reads again
//! everybody that it added or removed. The worker next looks at members who are not in sync, or on whom another run
//! worked.

use std::collections::HashSet;
use std::time::Instant;

use super::look::{GroupState, MAX_ONE_BY_ONE, went_away};
use super::plan::{ADD_WHY, GroupPlan, TeamEnd, plan_group};
use super::view::{GroupView, GroupWanted, Owner};
use crate::anypoint::MemberChange;
use crate::counted::counted;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject};
use crate::provision::evidence::contradiction;
use crate::provision::finding::Finding;
use crate::provision::progress::FollowUp;
use crate::provision::run::Run;
use crate::provision::step::{Applied, action};
use crate::provision::team::{Ensured, NamedBy, Past};
use crate::store::Tenure;

/// Leavers that one look checks and removes. The next look at the group removes more.
const MAX_LEAVERS: usize = 100;
/// How often a run looks when things change under it.
const MAX_LOOKS: usize = 3;
/// Accounts whose own teams are read where the team's list cannot be right.
const MAX_ASKED_IN_DOUBT: usize = 20;
/// Up to this many people are verified by their own groups. More are verified by the group's list.
const MAX_VERIFIED_ONE_BY_ONE: usize = 20;

/// How a look and what followed from it ended.
enum End {
    Done,
    /// The team was deleted meanwhile, or a second read showed something else.
    LookAgain,
    /// More people leave than one look removes, and there is time for another look.
    More,
}

impl Run<'_> {
    pub(in crate::provision) async fn provision_group(
        &mut self,
        group: &OktaGroupId,
    ) -> Result<(), Failure> {
        let mut looks = 0;
        while looks < MAX_LOOKS {
            match self.look_and_carry_out(group).await? {
                End::Done => return Ok(()),
                End::LookAgain => looks += 1,
                End::More => {}
            }
        }
        Err(went_away("the team"))
    }

    async fn look_and_carry_out(&mut self, group: &OktaGroupId) -> Result<End, Failure> {
        let began_ms = self.ports().clock.now_ms();
        let began = Instant::now();
        let (mut state, mut young) = self.look.group_state(group, &self.evidence).await?;
        if young.is_some() && self.pause_for_second_read().await {
            self.evidence.confirm_look();
            (state, young) = self.look.group_state(group, &self.evidence).await?;
        }
        let (mut refused, mut name_owner) = (None, None);
        let view = match state {
            GroupState::Pushed(found) => {
                let before = self.progress.applied.len();
                let (named_by, lease) = (NamedBy::Owner, self.lease);
                let ensured = self.ensure_team(group, found.name(), named_by, lease).await;
                let store = &self.ports().store;
                let (link, past) = match ensured {
                    Ok(Ensured::Team(team)) => (Some(team.link), team.past),
                    Ok(Ensured::InDoubt(finding)) => {
                        if self.pause_for_second_read().await {
                            self.evidence.confirm(&finding);
                            return Ok(End::LookAgain);
                        }
                        name_owner = Some(finding);
                        (store.team_link(group).await?, Past::OfNoOther)
                    }
                    Err(failure) if failure.is_retryable() => return Err(failure),
                    // The members of an existing team still follow the group.
                    Err(failure) => {
                        refused = Some(failure);
                        (store.team_link(group).await?, Past::OfNoOther)
                    }
                };
                let mut view = self.look.members(group, link).await?;
                view.past = past;
                view.name_owner = name_owner;
                let mut done = self.progress.applied[before..].iter();
                if !done.any(|done| done.action == action::CREATE_TEAM) {
                    self.ask_whom_the_list_lacks(&mut view).await?;
                }
                view
            }
            GroupState::Unpushed(why) => self.remains(group, why).await?,
            GroupState::Excluded => return Ok(End::Done),
        };
        let Some(mut plan) = self.plan_known(group, &view).await? else {
            return Ok(End::LookAgain);
        };
        let later = self.ask_leavers(group, &view, &mut plan).await?;
        self.wait_for_announced(young);
        if self.is_held(&plan.steps(), &plan.removes(&view)).await? {
            return Ok(End::Done);
        }
        if !self.carry_out_group(group, &view, &plan).await? {
            return Ok(End::LookAgain);
        }
        for user in &plan.later {
            let next = FollowUp::Subject(Subject::User(user.clone()));
            self.progress.follow(next);
        }
        self.verify(group, &view, &plan, began_ms).await?;
        if later > 0 {
            // The next look begins with the same people, so it helps only if some of them left.
            let goes_on = !plan.leavers.is_empty();
            if goes_on && self.look.deadline.remaining() > began.elapsed() * 2 {
                return Ok(End::More);
            }
            let who = counted(later, "more person leaves", "more people leave");
            let seen = format!("{who} the team, {MAX_LEAVERS} at a time");
            self.progress.wait_until(self.evidence.now_ms(), &seen);
        }
        match Failure::of_parts([refused, plan.refused, self.undone.take()]) {
            Some(refused) => {
                // Without a team a member's own look would ask for this group again, and so on.
                if view.found.is_some() {
                    self.progress.did_the_rest();
                }
                Err(refused)
            }
            None => Ok(End::Done),
        }
    }

    /// The plan, from what is known. `None`: a second read showed something else.
    async fn plan_known(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
    ) -> Result<Option<GroupPlan>, Failure> {
        let policy = &self.ports().policy;
        let mut plan = plan_group(view, policy, &self.evidence);
        let doubted = &plan.findings.doubted;
        if !doubted.is_empty() && self.pause_for_second_read().await {
            if !self.still_unshown_in(group, view, doubted).await? {
                return Ok(None);
            }
            for finding in doubted {
                self.evidence.confirm(finding);
            }
            plan = plan_group(view, policy, &self.evidence);
        }
        self.remember(&plan.findings);
        Ok(Some(plan))
    }

    /// Checks up to [`MAX_LEAVERS`] leavers by their own answers, before the run removes them. One whose own answers
    /// cannot be used stays in the team. Returns how many are left.
    async fn ask_leavers(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &mut GroupPlan,
    ) -> Result<usize, Failure> {
        let GroupWanted::Team(wanted) = &view.wanted else {
            return Ok(0);
        };
        if wanted.listed.len() > MAX_ONE_BY_ONE {
            // A list said who is not assigned.
            let lost = wanted.unassigned.iter().map(|(_, user)| user);
            let in_team = lost.filter(|user| plan.later.contains(user));
            let asked: Vec<OktaUserId> = in_team.take(MAX_LEAVERS).cloned().collect();
            // Their own looks come next. So one who cannot be read stays in the team anyway.
            self.look.ask_leavers(group, &asked, &wanted.listed).await?;
        }
        let now = plan.leavers.len().min(MAX_LEAVERS);
        let later = plan.leavers.split_off(now);
        let now: Vec<OktaUserId> = plan.leavers.iter().map(|(_, user)| user.clone()).collect();
        let unclear = self.look.ask_leavers(group, &now, &wanted.listed).await?;
        plan.remove
            .retain(|account| later.iter().all(|(other, _)| other != account));
        plan.keep(&unclear);
        Ok(later.len())
    }

    /// Adding a maintainer again makes them a plain member. So the run checks accounts that the list of an existing team
    /// lacks. It searches the list for each of them, or reads their own teams if the list cannot be right.
    async fn ask_whom_the_list_lacks(&self, view: &mut GroupView) -> Result<(), Failure> {
        let (Some(link), GroupWanted::Team(wanted), Some(found)) =
            (&view.link, &view.wanted, &mut view.found)
        else {
            return Ok(());
        };
        let shown: HashSet<&AccountId> = found.iter().map(|found| &found.account).collect();
        let wanted = wanted.accounts.iter();
        let mut lacking: Vec<AccountId> = wanted
            .filter(|account| !shown.contains(account))
            .cloned()
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let is_in_doubt = found.is_empty() || view.incomplete == Some(Side::Anypoint);
        let inside = if is_in_doubt {
            let all = lacking.len();
            lacking.truncate(MAX_ASKED_IN_DOUBT);
            let inside = self.look.in_team(&link.team_id, &lacking).await?;
            if !inside.is_empty() && lacking.len() < all {
                return Err(contradiction(
                    Side::Anypoint,
                    "the team's list lacks accounts whose own teams name it",
                ));
            }
            inside
        } else {
            let anypoint = &self.ports().anypoint;
            let deadline = self.look.deadline;
            anypoint
                .members_among(&link.team_id, &lacking, deadline)
                .await?
        };
        found.extend(self.look.members_found(inside).await?);
        Ok(())
    }

    /// Reads a finding again. Returns whether Okta still does not show it.
    async fn still_unshown_in(
        &self,
        group: &OktaGroupId,
        view: &GroupView,
        doubted: &[Finding],
    ) -> Result<bool, Failure> {
        match &view.wanted {
            GroupWanted::Nothing(_) => {
                let (state, _) = self.look.group_state(group, &self.evidence).await?;
                Ok(matches!(state, GroupState::Unpushed(_)))
            }
            GroupWanted::Excluded => Ok(true),
            GroupWanted::Team(_) => {
                let again = self.look.members(group, view.link.clone()).await?;
                let again = plan_group(&again, &self.ports().policy, &self.evidence);
                let again: HashSet<&Finding> = again.findings.doubted.iter().collect();
                Ok(doubted.iter().all(|finding| again.contains(finding)))
            }
        }
    }

    /// Returns whether the team existed until the end, and nothing else kept the run from it.
    async fn carry_out_group(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &GroupPlan,
    ) -> Result<bool, Failure> {
        let Some(team) = &plan.team else {
            return Ok(true);
        };
        self.undone = None;
        let (leave, join) = (MemberChange::Leave, MemberChange::Join);
        self.change_members(leave, team, &plan.remove, plan.remove_why)
            .await?;
        if !self.change_members(join, team, &plan.add, ADD_WHY).await? {
            return Ok(false);
        }
        match plan.end {
            None => {}
            Some(TeamEnd::Unlink) => {
                self.ports().store.unlink_team(self.lease, group).await?;
                self.applied(Applied::on(action::UNLINK_TEAM, team, plan.remove_why));
            }
            Some(TeamEnd::Delete) => {
                let why = plan.remove_why;
                if view.found.is_some() && !self.delete_team(group, view, team, why).await? {
                    return Ok(false);
                }
                self.ports().store.unlink_team(self.lease, group).await?;
            }
        }
        Ok(true)
    }

    /// Reads again which of the people that the run added or removed belong to the group.
    async fn verify(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &GroupPlan,
        began_ms: i64,
    ) -> Result<(), Failure> {
        let GroupWanted::Team(wanted) = &view.wanted else {
            return self.verify_unpushed(group, view, plan).await;
        };
        let written: Vec<AccountId> = plan.add.iter().chain(&plan.remove).cloned().collect();
        let Some(team) = plan.team.as_ref().filter(|_| !written.is_empty()) else {
            return Ok(());
        };
        let owners = self.ports().store.account_owners(&written).await?;
        let owner = |account: &AccountId| owners.get(account);
        let is_former = |account: &&AccountId| {
            owner(account).is_some_and(|owner| owner.tenure == Tenure::Former)
        };
        // Their users have another account by now, so no later look would remove these accounts.
        let former: Vec<AccountId> = plan.add.iter().filter(is_former).cloned().collect();
        if !former.is_empty() {
            let why = "their users have other accounts since the look";
            self.change_members(MemberChange::Leave, team, &former, why)
                .await?;
        }
        let user_of = |account: &AccountId| owner(account).map(|owner| owner.okta_user.clone());
        let users: Vec<OktaUserId> = written.iter().filter_map(user_of).collect();
        let inside = if users.len() <= MAX_VERIFIED_ONE_BY_ONE {
            self.look.in_group(group, &users).await?
        } else {
            let (okta, deadline) = (&self.ports().okta, self.look.deadline);
            let members = okta.list_group_members(group, deadline).await?;
            let members = members.ok_or_else(|| went_away("the group"))?;
            let members = members.map(|member| member.id).with_unread(|id| id);
            members.into_iter().collect()
        };
        let subject = |user: &OktaUserId| Subject::User(user.clone()).to_string();
        let subjects: Vec<String> = users.iter().map(subject).collect();
        let leased = self.ports().ledger.last_leased(&subjects).await?;
        let added: HashSet<&AccountId> = plan.add.iter().collect();
        for account in &written {
            let Some(user) = user_of(account) else {
                continue;
            };
            let belongs = inside.contains(&user)
                && !wanted.ended.contains(&user)
                && !former.contains(account);
            let meanwhile = leased
                .get(&subject(&user))
                .is_some_and(|at| *at >= began_ms);
            if meanwhile || belongs != added.contains(account) {
                self.progress.follow(FollowUp::Member(user, group.clone()));
            }
        }
        Ok(())
    }

    /// Another group may have adopted the team meanwhile, and read its members before this run removed them. The worker
    /// looks at them next, as members of that group.
    async fn verify_unpushed(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &GroupPlan,
    ) -> Result<(), Failure> {
        let Some(team) = plan.team.as_ref().filter(|_| !plan.remove.is_empty()) else {
            return Ok(());
        };
        let store = &self.ports().store;
        let owner = store
            .team_owners(std::slice::from_ref(team))
            .await?
            .remove(team);
        let Some(other) = owner.filter(|owner| owner != group) else {
            return Ok(());
        };
        for found in view.found.iter().flatten() {
            if let Owner::Current(user) = &found.owner
                && plan.remove.contains(&found.account)
            {
                self.progress
                    .follow(FollowUp::Member(user.clone(), other.clone()));
            }
        }
        Ok(())
    }
}
