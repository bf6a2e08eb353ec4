//! Looks at a group, plans, carries the plan out and verifies what it wrote.
//!
//! A membership has two subjects. While a group's run works, runs of its members may go on. So the group's
//! run reads again whom it put in or took out, once. Who does not agree, or whom another run worked on
//! meanwhile, is looked at next.

use std::collections::HashSet;
use std::time::Instant;

use futures_util::future::try_join_all;
use http::StatusCode;

use super::look::{GroupState, ONE_BY_ONE, went_away_failure};
use super::plan::{GroupPlan, GroupView, GroupWanted, Owner, Reads, TeamEnd, plan_group};
use crate::counted::counted;
use crate::failure::{Failure, Side};
use crate::ids::{AccountId, OktaGroupId, OktaUserId, Subject, TeamId};
use crate::provision::brake::Held;
use crate::provision::evidence::Finding;
use crate::provision::provisioner::{FollowUp, Work};
use crate::provision::step::{Applied, action};
use crate::provision::team::{EnsuredTeam, NamedBy, Past};
use crate::provision::user::contradiction;
use crate::store::Tenure;

/// Accounts that are read at once.
const AT_ONCE: usize = 5;
/// Leavers that one run asks and takes out; the group is looked at again for the rest.
const MAX_LEAVERS: usize = 100;
/// How often one look is repeated because the team went away under it.
const MAX_LOOKS: usize = 3;
/// Accounts that are asked for their teams where the team's list cannot be right.
const ASKED_OF_A_LIST_IN_DOUBT: usize = 20;
/// Up to this many people are verified by their own groups, more by the group's list.
const VERIFIED_ONE_BY_ONE: usize = 20;

/// What became of people to add.
enum Added {
    Some,
    Nobody,
    NoTeam,
}

/// How a look and what followed from it ended.
enum End {
    /// All is done, but for what was refused for good.
    Done(Option<Failure>),
    /// The team was deleted meanwhile, or a second read was contrary.
    LookAgain,
    /// More people leave than are taken out at a time, and there is time for the next.
    More,
}

impl Work<'_> {
    pub(in crate::provision) async fn provision_group(
        &mut self,
        group: &OktaGroupId,
    ) -> Result<(), Failure> {
        let mut looks = 0;
        while looks < MAX_LOOKS {
            match self.look_and_carry_out(group).await? {
                End::Done(None) => return Ok(()),
                End::Done(Some(refused)) => return Err(refused),
                End::LookAgain => looks += 1,
                End::More => {}
            }
        }
        Err(went_away_failure("the team"))
    }

    async fn look_and_carry_out(&mut self, group: &OktaGroupId) -> Result<End, Failure> {
        let began_ms = self.ports().clock.now_ms();
        let began = Instant::now();
        let (mut state, mut young) = self.look.group_state(group, &self.evidence).await?;
        if young.is_some() && self.pause_for_second_read().await {
            self.evidence.agree_with_the_look();
            (state, young) = self.look.group_state(group, &self.evidence).await?;
        }
        let mut refused = None;
        let view = match state {
            GroupState::Pushed(found) => {
                let before = self.progress.applied.len();
                let mut past = Past::OfNoOther;
                let ensured = self.ensure_own_team(group, found.name()).await;
                let link = match ensured {
                    // The members of a team that is there follow all the same.
                    Err(failure) if !failure.is_retryable() => {
                        refused = Some(failure);
                        self.ports().store.team_link(group).await?
                    }
                    other => {
                        let ensured = other?;
                        past = ensured.past;
                        Some(ensured.link)
                    }
                };
                let mut view = self.look.members(group, link).await?;
                let done = &self.progress.applied[before..];
                let did = |what| done.iter().any(|done| done.action == what);
                if past == Past::OfAnother {
                    view.reads = Reads::PerhapsPast;
                }
                if !did(action::CREATE_TEAM) {
                    self.ask_whom_the_list_lacks(&mut view).await?;
                }
                view
            }
            GroupState::Unpushed(why) => self.look.remains(group, why).await?,
            GroupState::Excluded => return Ok(End::Done(None)),
        };
        let Some(mut plan) = self.plan_known(group, &view).await? else {
            return Ok(End::LookAgain);
        };
        let later = self.ask_leavers(group, &view, &mut plan).await?;
        if let Some(until_ms) = young {
            let seen = "Okta does not show yet what the event announced";
            self.progress.wait_until(until_ms, seen.to_owned());
        }
        let steps = plan.steps();
        self.progress.because_of(&steps);
        if let Some(why) = Box::pin(self.held(&plan.removes(&view))).await? {
            let steps = steps.iter().map(ToString::to_string).collect();
            self.progress.held = Some(Held { steps, why });
            return Ok(End::Done(None));
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
            if self.look.deadline.remaining() > began.elapsed() * 2 {
                return Ok(End::More);
            }
            let who = counted(later, "more person leaves", "more people leave");
            let seen = format!("{who} the team, {MAX_LEAVERS} at a time");
            self.progress.wait_until(self.evidence.now_ms(), seen);
        }
        Ok(End::Done(refused.or_else(|| plan.refused.clone())))
    }

    async fn ensure_own_team(
        &mut self,
        group: &OktaGroupId,
        name: &str,
    ) -> Result<EnsuredTeam, Failure> {
        let look = self.look;
        let ensured = look
            .ensure_team(group, name, NamedBy::Owner, self.lease, self.progress)
            .await?;
        for next in &ensured.moved {
            self.progress
                .follow(FollowUp::Subject(Subject::Group(next.clone())));
        }
        Ok(ensured)
    }

    /// The plan, from what is known; `None` when a second read was contrary.
    async fn plan_known(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
    ) -> Result<Option<GroupPlan>, Failure> {
        let policy = &self.ports().policy;
        let mut plan = plan_group(view, policy, &self.evidence);
        if !plan.doubted.is_empty() && self.pause_for_second_read().await {
            if !self.still_unshown_in(group, view, &plan.doubted).await? {
                return Ok(None);
            }
            for finding in plan.doubted.clone() {
                self.evidence.agree(&finding);
            }
            plan = plan_group(view, policy, &self.evidence);
        }
        let mut findings: Vec<Finding> =
            plan.believed.iter().chain(&plan.doubted).cloned().collect();
        findings.truncate(MAX_REMEMBERED);
        self.remember(&findings);
        for finding in &plan.doubted {
            let weight = self.evidence.weigh(finding);
            let until_ms = self.evidence.believed_after(weight);
            self.progress.wait_until(until_ms, finding.in_words());
        }
        Ok(Some(plan))
    }

    /// Asks those who do not show in the group before they are taken out, no more than
    /// [`MAX_LEAVERS`]. How many are left for later.
    async fn ask_leavers(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &mut GroupPlan,
    ) -> Result<usize, Failure> {
        let GroupWanted::Team(wanted) = &view.wanted else {
            return Ok(0);
        };
        if wanted.listed.len() > ONE_BY_ONE {
            // A list said who is not assigned.
            let lost = wanted.unassigned.iter().map(|(_, user)| user);
            let in_team = lost.filter(|user| plan.later.contains(user));
            let asked: Vec<OktaUserId> = in_team.take(MAX_LEAVERS).cloned().collect();
            self.look.ask_leavers(group, &asked, &wanted.listed).await?;
        }
        let leavers: Vec<OktaUserId> = plan.believed.iter().filter_map(leaver).collect();
        let now = &leavers[..leavers.len().min(MAX_LEAVERS)];
        self.look.ask_leavers(group, now, &wanted.listed).await?;
        self.keep_only(plan, view, now);
        Ok(leavers.len() - now.len())
    }

    /// To put a maintainer in again makes a plain member of them. So whom the list of a team that was there before
    /// lacks is asked about once more: by name, or, where the list cannot be right, by their own teams.
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
            lacking.truncate(ASKED_OF_A_LIST_IN_DOUBT);
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

    /// Takes out no more than these.
    fn keep_only(&self, plan: &mut GroupPlan, view: &GroupView, leavers: &[OktaUserId]) {
        let found = view.found.iter().flatten();
        let kept: HashSet<&AccountId> = found
            .filter(|found| {
                let Owner::Current(user) = &found.owner else {
                    return false;
                };
                let finding = Finding::NotMember(user.clone());
                plan.believed.contains(&finding) && !leavers.contains(user)
            })
            .map(|found| &found.account)
            .collect();
        plan.remove.retain(|account| !kept.contains(account));
    }

    /// Reads once more what did not show. Whether Okta still does not show it.
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
                let again: HashSet<&Finding> = again.doubted.iter().collect();
                Ok(doubted.iter().all(|finding| again.contains(finding)))
            }
        }
    }

    /// Whether the team was there for all of it.
    async fn carry_out_group(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        plan: &GroupPlan,
    ) -> Result<bool, Failure> {
        let Some(team) = &plan.team else {
            return Ok(true);
        };
        if !plan.remove.is_empty() {
            let anypoint = self.anypoint()?;
            let what = Applied::on(action::REMOVE_MEMBERS, team).about(&plan.remove);
            self.progress.begin(what);
            let removed = anypoint
                .remove_members(team, &plan.remove, self.look.deadline)
                .await;
            self.progress.settle(removed)?;
        }
        if !plan.add.is_empty() {
            match self.add_members(team, &plan.add).await? {
                Added::Some | Added::Nobody => {}
                Added::NoTeam => return Ok(false),
            }
        }
        match plan.end {
            None => {}
            Some(TeamEnd::Unlink) => {
                self.ports().store.unlink_team(self.lease, group).await?;
                self.applied(Applied::on(action::UNLINK_TEAM, team));
            }
            Some(TeamEnd::Delete) => {
                if view.found.is_some() {
                    let anypoint = self.anypoint()?;
                    self.progress.begin(Applied::on(action::DELETE_TEAM, team));
                    let deleted = anypoint.delete_team(team, self.look.deadline).await;
                    self.progress.settle(deleted)?;
                }
                self.ports().store.unlink_team(self.lease, group).await?;
            }
        }
        Ok(true)
    }

    /// Adds members. One whose account was deleted in Anypoint fails a whole
    /// batch; such accounts are left out, and their users' own events report them.
    async fn add_members(
        &mut self,
        team: &TeamId,
        accounts: &[AccountId],
    ) -> Result<Added, Failure> {
        let deadline = self.look.deadline;
        let anypoint = self.anypoint()?;
        let what = |accounts| Applied::on(action::ADD_MEMBERS, team).about(accounts);
        self.progress.begin(what(accounts));
        let added = anypoint.add_members(team, accounts, deadline).await;
        let refused = match self.progress.settle(added) {
            Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => error,
            // The team was deleted since the look: the next one makes it again.
            Err(error) if error.is_not_found() => return Ok(Added::NoTeam),
            other => return other.map(|()| Added::Some).map_err(Failure::from),
        };
        let mut there = Vec::new();
        for batch in accounts.chunks(AT_ONCE) {
            let reads = batch
                .iter()
                .map(|account| anypoint.account(account, deadline));
            let found = try_join_all(reads).await?;
            let pairs = batch.iter().zip(found);
            there.extend(pairs.filter_map(|(account, found)| found.map(|_| account.clone())));
        }
        if there.len() == accounts.len() {
            return Err(refused.into());
        }
        if there.is_empty() {
            return Ok(Added::Nobody);
        }
        let anypoint = self.anypoint()?;
        self.progress.begin(what(&there));
        let added = anypoint.add_members(team, &there, deadline).await;
        self.progress.settle(added)?;
        Ok(Added::Some)
    }

    /// Verifies what was written: whether those put in still belong there, and those taken out still do
    /// not. People who are not in sync, or whom another run worked on meanwhile, are looked at next.
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
        if written.is_empty() {
            return Ok(());
        }
        let owners = self.ports().store.account_owners(&written).await?;
        let added: HashSet<&AccountId> = plan.add.iter().collect();
        let mut users = Vec::new();
        let mut wrong = HashSet::new();
        let mut former = Vec::new();
        for account in &written {
            let Some(owner) = owners.get(account) else {
                continue;
            };
            if added.contains(account) && owner.tenure == Tenure::Former {
                wrong.insert(owner.okta_user.clone());
                former.push(account.clone());
            }
            users.push((owner.okta_user.clone(), added.contains(account)));
        }
        // Their users got another account meanwhile, and look at that alone from now on.
        if let Some(team) = plan.team.as_ref().filter(|_| !former.is_empty()) {
            let anypoint = self.anypoint()?;
            let what = Applied::on(action::REMOVE_MEMBERS, team).about(&former);
            self.progress.begin(what);
            let removed = anypoint
                .remove_members(team, &former, self.look.deadline)
                .await;
            self.progress.settle(removed)?;
        }
        let ids: Vec<OktaUserId> = users.iter().map(|(user, _)| user.clone()).collect();
        let inside = if ids.len() <= VERIFIED_ONE_BY_ONE {
            self.look.in_group(group, &ids).await?
        } else {
            let (okta, deadline) = (&self.ports().okta, self.look.deadline);
            let members = okta
                .list_group_members(group, deadline)
                .await?
                .ok_or_else(|| went_away_failure("the group"))?;
            let unread: Vec<OktaUserId> = members.ids_unread().collect();
            let read = members.items.into_iter().map(|member| member.id);
            read.chain(unread).collect()
        };
        for (user, was_added) in &users {
            let belongs = inside.contains(user) && !wanted.ended.contains(user);
            if belongs != *was_added {
                wrong.insert(user.clone());
            }
        }
        let subject = |user: &OktaUserId| Subject::User(user.clone()).to_string();
        let subjects: Vec<String> = ids.iter().map(subject).collect();
        let held = self.ports().ledger.last_leased(&subjects).await?;
        for user in ids {
            let meanwhile = held.get(&subject(&user)).is_some_and(|at| *at >= began_ms);
            if meanwhile || wrong.contains(&user) {
                self.progress.follow(FollowUp::Member(user, group.clone()));
            }
        }
        Ok(())
    }

    /// Another group may have taken the team over while this one emptied it, and have read its members
    /// before: people who were taken out are looked at next, as members of that group.
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

/// Findings of one group that are remembered; a memory has to fit into an item.
const MAX_REMEMBERED: usize = 3_000;

fn leaver(finding: &Finding) -> Option<OktaUserId> {
    match finding {
        Finding::NotMember(user) => Some(user.clone()),
        _ => None,
    }
}
