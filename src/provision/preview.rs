//! Shows what a run would do. `plan`, `explain` and the demo print the worker's own plan.

use super::announced::Announced;
use super::evidence::Evidence;
use super::finding::{Finding, Findings};
use super::group::{GroupState, GroupView, GroupWanted, plan_group};
use super::provisioner::{Look, Provisioner};
use super::step::Step;
use super::team::{TakenName, TeamPlan};
use super::user::{NotWhole, UserKnown, UserPlan, UserView, groups_not_whole, plan_user};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::okta::Group;
use crate::store::{Memory, Origin, TeamLink};

/// What a look at a user found, and what would follow.
pub struct UserPreview {
    /// What was seen. `None` when the user is excluded or could not be read.
    pub(crate) view: Option<UserView>,
    /// What would follow, or why nothing can.
    pub plan: Result<UserPlan, Failure>,
    evidence: Evidence,
}

/// What a look at a group found, and what would follow.
pub struct GroupPreview {
    /// The group, when it is pushed.
    pub(crate) group: Option<Group>,
    /// The link that is recorded.
    pub(crate) link: Option<TeamLink>,
    /// What was seen, with the team that a run would adopt as the linked one.
    pub(crate) view: GroupView,
    /// What would follow, or why nothing can.
    pub steps: Result<Vec<Step>, Failure>,
    findings: Findings,
    evidence: Evidence,
}

/// Something that Okta did not show and that is not believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What Okta did not show.
    pub finding: Finding,
    /// When a look first missed it, in milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// Who first missed it. A preview records nothing.
    pub seen: Seen,
    /// When it is believed, if a second look confirms it, in milliseconds since the epoch.
    pub believed_after_ms: i64,
}

/// Who first noticed that Okta did not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A run, which recorded it.
    ByRun,
    /// This preview alone.
    Here,
}

fn doubts(findings: &Findings, evidence: &Evidence) -> Vec<Doubt> {
    let doubt = |finding: &Finding| Doubt {
        finding: finding.clone(),
        first_seen_ms: evidence.first_seen(finding),
        seen: evidence
            .recorded(finding)
            .map_or(Seen::Here, |_| Seen::ByRun),
        believed_after_ms: evidence.believed_after(finding),
    };
    findings.doubted.iter().map(doubt).collect()
}

impl UserPreview {
    /// The failure of a list of groups that may lack some, unless the plan already says so.
    pub(crate) fn incomplete(&self) -> Option<Failure> {
        let view = self.view.as_ref()?;
        let misses = self.plan.is_ok() && view.misses_groups();
        misses.then(|| groups_not_whole(NotWhole::Previewed))
    }

    /// What is not believed yet.
    pub fn doubts(&self) -> Vec<Doubt> {
        let plan = self.plan.as_ref().ok();
        plan.map_or_else(Vec::new, |plan| doubts(&plan.findings, &self.evidence))
    }
}

impl GroupPreview {
    /// What is not believed yet.
    pub fn doubts(&self) -> Vec<Doubt> {
        doubts(&self.findings, &self.evidence)
    }
}

impl Provisioner {
    /// The steps that would follow for a subject. Reads only.
    ///
    /// # Errors
    /// What a run would fail with.
    pub async fn steps(
        &self,
        subject: &Subject,
        announced: Announced,
        deadline: Deadline,
    ) -> Result<Vec<Step>, Failure> {
        match subject {
            Subject::User(user) => {
                let preview = self.preview_user(user, announced, deadline).await?;
                preview.plan.map(|plan| plan.steps())
            }
            Subject::Group(group) => self.preview_group(group, announced, deadline).await?.steps,
        }
    }

    async fn evidence(
        &self,
        subject: &Subject,
        announced: Announced,
    ) -> Result<(Memory, Evidence), Failure> {
        let ports = &self.ports;
        let now_ms = ports.clock.now_ms();
        let memo = ports.ledger.memo(&subject.to_string()).await?;
        let memory = Memory::from_text(memo.as_deref(), now_ms);
        let confirm = ports.policy.confirm.0;
        let announced = announced.after(&memory, ports.policy.suspended);
        let evidence = Evidence::new(announced, &memory.first_seen, now_ms, confirm);
        Ok((memory, evidence))
    }

    /// Looks at a user, and says what would follow. Reads only.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn preview_user(
        &self,
        user: &OktaUserId,
        announced: Announced,
        deadline: Deadline,
    ) -> Result<UserPreview, Failure> {
        let subject = Subject::User(user.clone());
        let (memory, evidence) = self.evidence(&subject, announced).await?;
        if self.ports.policy.excluded.names(&subject) {
            return Ok(UserPreview {
                view: None,
                plan: Ok(UserPlan::default()),
                evidence,
            });
        }
        let recalled = self.ports.store.recall_user(user).await?;
        let known = UserKnown {
            recalled: &recalled,
            memory: &memory,
            distrusted: &[],
            evidence: &evidence,
        };
        let (view, plan) = match self.look(deadline).user(user, known).await {
            Ok(looked) => {
                let plan = plan_user(&looked.view, &self.ports.policy, &evidence);
                let plan = plan.and_then(|plan| match &plan.refused {
                    Some(refused) if plan.steps().is_empty() => Err(refused.clone()),
                    None if looked.view.misses_groups() && plan.steps().is_empty() => {
                        Err(groups_not_whole(NotWhole::Previewed))
                    }
                    _ => Ok(plan),
                });
                (Some(looked.view), plan)
            }
            Err(failure) => (None, Err(failure)),
        };
        Ok(UserPreview {
            view,
            plan,
            evidence,
        })
    }

    /// Looks at a group, its team, and who would be in it. Reads only.
    ///
    /// # Errors
    /// When either side, or the table, does not answer.
    pub async fn preview_group(
        &self,
        group: &OktaGroupId,
        announced: Announced,
        deadline: Deadline,
    ) -> Result<GroupPreview, Failure> {
        let subject = Subject::Group(group.clone());
        let (_, evidence) = self.evidence(&subject, announced).await?;
        let (look, policy) = (self.look(deadline), &self.ports.policy);
        let state = match policy.excluded.names(&subject) {
            true => GroupState::Excluded,
            false => look.group_state(group, &evidence).await?.0,
        };
        let (mut view, group) = match state {
            GroupState::Excluded => (GroupView::of(GroupWanted::Excluded, None), None),
            GroupState::Unpushed(why) => (look.remains(group, why).await?, None),
            GroupState::Pushed(found) => {
                let link = self.ports.store.team_link(group).await?;
                (look.members(group, link).await?, Some(found))
            }
        };
        let link = view.link.clone();
        let team = match &group {
            Some(group) => look.team_preview(group, &mut view, &evidence).await,
            None => Ok(None),
        };
        let plan = plan_group(&view, policy, &evidence);
        let steps = match (team, &plan.refused) {
            (Err(failure), _) => Err(failure),
            (Ok(_), Some(refused)) if group.is_none() => Err(refused.clone()),
            (Ok(step), _) => Ok(step.into_iter().chain(plan.steps()).collect()),
        };
        Ok(GroupPreview {
            group,
            link,
            view,
            steps,
            findings: plan.findings,
            evidence,
        })
    }
}

impl Look<'_> {
    /// The step that creates or finds the team. Sets `view` to what the next look at its members will see.
    async fn team_preview(
        &self,
        group: &Group,
        view: &mut GroupView,
        evidence: &Evidence,
    ) -> Result<Option<Step>, Failure> {
        let (plan, link, name) = self.team(&group.id, group.name(), evidence).await?;
        view.name_owner = plan.finding();
        match &plan {
            TeamPlan::Adopt(team)
            | TeamPlan::AdoptAndRename(team)
            | TeamPlan::TakeOver(TakenName { team, .. }) => {
                let link = TeamLink {
                    team_id: team.clone(),
                    team_name: name.clone(),
                    origin: Origin::Adopted,
                };
                let (found, extent) = self.found_members(Some(&link)).await?;
                let of_anypoint = extent.fault_of(Side::Anypoint);
                view.incomplete = view.incomplete.or(of_anypoint);
                view.found = Some(found.unwrap_or_default());
                view.link = Some(link);
            }
            TeamPlan::Create { .. } => view.link = None,
            TeamPlan::Keep(_)
            | TeamPlan::Rename(_)
            | TeamPlan::Free { .. }
            | TeamPlan::MoveAside(_)
            | TeamPlan::InDoubt(_) => {}
        }
        Ok(plan.step(&name, link.as_ref()))
    }
}
