//! What a run would do, without doing it: `plan`, `explain` and the demo print the worker's own plan.

use super::evidence::{Announced, Evidence, Finding};
use super::group::{GroupPlan, GroupState, GroupView, GroupWanted, Reads, plan_group};
use super::provisioner::{Look, Provisioner};
use super::step::Step;
use super::team::TeamPlan;
use super::user::{UserKnown, UserPlan, UserView, plan_user};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::okta::Group;
use crate::store::{Memory, Origin, TeamLink};

/// What a look at a user found, and what would follow.
pub struct UserPreview {
    /// What was seen; `None` when it could not be read, or names a person nobody may have.
    pub view: Option<UserView>,
    /// What would follow, or why nothing can.
    pub plan: Result<UserPlan, Failure>,
    evidence: Evidence,
}

/// What a look at a group found, and what would follow.
pub struct GroupPreview {
    /// The group, when it is pushed.
    pub group: Option<Group>,
    /// What was seen.
    pub view: GroupView,
    /// What would follow for its members.
    pub plan: GroupPlan,
    /// All that would follow, or why nothing can.
    pub steps: Result<Vec<Step>, Failure>,
    evidence: Evidence,
}

/// Something that Okta did not show and that is not believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// What Okta did not show.
    pub finding: Finding,
    /// When it was not shown first, in milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// Whether an earlier look recorded that. A preview records nothing.
    pub seen: Seen,
    /// When it is believed, if a second look agrees, in milliseconds since the epoch.
    pub believed_after_ms: i64,
}

/// Who saw first what Okta did not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A run, which recorded it.
    ByRun,
    /// This preview alone.
    Here,
}

fn doubts(findings: &[Finding], evidence: &Evidence) -> Vec<Doubt> {
    findings
        .iter()
        .map(|finding| {
            let weight = evidence.weigh(finding);
            Doubt {
                finding: finding.clone(),
                first_seen_ms: evidence.first_seen(finding),
                seen: match evidence.recorded(finding) {
                    Some(_) => Seen::ByRun,
                    None => Seen::Here,
                },
                believed_after_ms: evidence.believed_after(weight),
            }
        })
        .collect()
}

impl UserPreview {
    /// What is not believed yet.
    pub fn doubts(&self) -> Vec<Doubt> {
        let plan = self.plan.as_ref().ok();
        plan.map_or_else(Vec::new, |plan| doubts(&plan.doubted, &self.evidence))
    }
}

impl GroupPreview {
    fn excluded(evidence: Evidence) -> Self {
        let view = GroupView {
            incomplete: None,
            wanted: GroupWanted::Excluded,
            link: None,
            found: None,
            below: 0,
            reads: Reads::Present,
        };
        Self {
            group: None,
            view,
            plan: GroupPlan::default(),
            steps: Ok(Vec::new()),
            evidence,
        }
    }

    /// What is not believed yet.
    pub fn doubts(&self) -> Vec<Doubt> {
        doubts(&self.plan.doubted, &self.evidence)
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
                plan: Ok(UserPlan::nothing()),
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
        if self.ports.policy.excluded.names(&subject) {
            return Ok(GroupPreview::excluded(evidence));
        }
        let look = self.look(deadline);
        let policy = &self.ports.policy;
        let found = match look.group_state(group, &evidence).await?.0 {
            GroupState::Unpushed(why) => {
                let view = look.remains(group, why).await?;
                let plan = plan_group(&view, policy, &evidence);
                let steps = match &plan.refused {
                    Some(refused) => Err(refused.clone()),
                    None => Ok(plan.steps()),
                };
                return Ok(GroupPreview {
                    group: None,
                    view,
                    plan,
                    steps,
                    evidence,
                });
            }
            GroupState::Excluded => return Ok(GroupPreview::excluded(evidence)),
            GroupState::Pushed(found) => found,
        };
        let link = self.ports.store.team_link(group).await?;
        let mut view = look.members(group, link).await?;
        let team = look.team_preview(&found, &mut view).await;
        let plan = plan_group(&view, policy, &evidence);
        let steps = team.map(|step| {
            let step = step.into_iter();
            step.chain(plan.steps()).collect()
        });
        Ok(GroupPreview {
            group: Some(found),
            view,
            plan,
            steps,
            evidence,
        })
    }
}

impl Look<'_> {
    /// The step that makes or finds the team, and the members as they will be found in it.
    async fn team_preview(
        &self,
        group: &Group,
        view: &mut GroupView,
    ) -> Result<Option<Step>, Failure> {
        let (plan, link, name) = self.team(&group.id, group.name()).await?;
        let linked = |team| TeamLink {
            team_id: team,
            team_name: name.clone(),
            origin: Origin::Created,
        };
        match &plan {
            TeamPlan::Adopt(team) | TeamPlan::AdoptAndRename(team) => {
                let link = linked(team.clone());
                let (found, extent) = self.found_members(Some(&link)).await?;
                let of_anypoint = extent.fault_of(Side::Anypoint);
                view.incomplete = view.incomplete.or(of_anypoint);
                view.found = Some(found.unwrap_or_default());
                view.link = Some(link);
            }
            TeamPlan::Create { root } => {
                if let GroupWanted::Team(wanted) = &view.wanted
                    && !wanted.accounts.is_empty()
                {
                    view.found = Some(Vec::new());
                    view.link = Some(linked(root.clone()));
                }
            }
            TeamPlan::Keep(_) | TeamPlan::Rename(_) | TeamPlan::HeldBy { .. } => {}
        }
        Ok(plan.step(&name, link.as_ref()))
    }
}
