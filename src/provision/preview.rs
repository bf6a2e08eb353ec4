//! Shows what a run would do. `plan`, `explain` and the demo print the worker's own plan.

use super::announced::Announced;
use super::evidence::Evidence;
use super::finding::{Finding, Findings};
use super::group::{GroupState, GroupView, GroupWanted, plan_group};
use super::provisioner::{Look, Provisioner};
use super::step::Step;
use super::team::{TakenName, TeamPlan};
use super::user::{NotWhole, UserKnown, UserView, groups_not_whole, plan_user};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::okta::Group;
use crate::store::{Memory, Origin, TeamLink};

/// What a run would do now.
#[derive(Debug, Default)]
pub struct Forecast {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The failure that the run would end with, after these steps.
    pub failure: Option<Failure>,
}

impl Forecast {
    fn of_failed_look(failure: Failure) -> Self {
        Self {
            steps: Vec::new(),
            failure: Some(failure),
        }
    }
}

/// What a look at a user found, and what would follow.
pub struct UserPreview {
    /// What was seen. `None` when the user is excluded or could not be read.
    pub(crate) view: Option<UserView>,
    /// What would follow.
    pub forecast: Forecast,
    /// What is not believed yet.
    pub doubts: Vec<Doubt>,
}

/// What a look at a group found, and what would follow.
pub struct GroupPreview {
    /// The group, when it is pushed.
    pub(crate) group: Option<Group>,
    /// The link that is recorded.
    pub(crate) link: Option<TeamLink>,
    /// What was seen, with the team that a run would adopt as the linked one.
    pub(crate) view: GroupView,
    /// What would follow.
    pub forecast: Forecast,
    /// What is not believed yet.
    pub doubts: Vec<Doubt>,
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

impl Provisioner {
    /// What a run would do for a subject. Reads only.
    ///
    /// # Errors
    /// When a remote, or the table, does not answer.
    pub async fn forecast(
        &self,
        subject: &Subject,
        announced: Announced,
        deadline: Deadline,
    ) -> Result<Forecast, Failure> {
        Ok(match subject {
            Subject::User(user) => {
                let preview = self.preview_user(user, announced, deadline).await?;
                preview.forecast
            }
            Subject::Group(group) => {
                let preview = self.preview_group(group, announced, deadline).await?;
                preview.forecast
            }
        })
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
                forecast: Forecast::default(),
                doubts: Vec::new(),
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
        let (forecast, findings) = match plan {
            Ok(plan) => {
                let misses_groups = view.as_ref().is_some_and(UserView::misses_groups);
                let forecast = Forecast {
                    steps: plan.steps(),
                    failure: match misses_groups {
                        true => Some(groups_not_whole(NotWhole::Previewed)),
                        false => plan.refused,
                    },
                };
                (forecast, plan.findings)
            }
            Err(failure) => (Forecast::of_failed_look(failure), Findings::default()),
        };
        Ok(UserPreview {
            view,
            forecast,
            doubts: doubts(&findings, &evidence),
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
        let members = |step: &Option<Step>| match plan.team.is_some() || step.is_some() {
            true => plan.steps(),
            // The group has no team, and gets none.
            false => Vec::new(),
        };
        let forecast = match team {
            Ok(step) => Forecast {
                steps: step.clone().into_iter().chain(members(&step)).collect(),
                failure: plan.refused.clone(),
            },
            Err(failure) if failure.is_retryable() => Forecast::of_failed_look(failure),
            // The members of an existing team still follow the group.
            Err(failure) => Forecast {
                steps: members(&None),
                failure: Failure::of_parts([Some(failure), plan.refused.clone()]),
            },
        };
        Ok(GroupPreview {
            group,
            link,
            view,
            forecast,
            doubts: doubts(&plan.findings, &evidence),
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
