//! The end of a group's team.
//!
//! One list may hide members of the team, or teams below it. So a run reads them at two moments, and the brake counts
//! everybody that either reading shows. Deleting a team cannot be undone. So the run reads them once more right before
//! that write.

use std::collections::HashSet;

use super::plan::{TeamEnd, plan_group};
use super::view::{GroupView, GroupWanted};
use crate::failure::Failure;
use crate::ids::{AccountId, OktaGroupId, TeamId};
use crate::provision::finding::{Unpushed, Weight};
use crate::provision::policy::TeamRemoval;
use crate::provision::run::Run;
use crate::provision::step::{Applied, action};

/// A team that nothing protected right before the write. Only [`Run::confirm_end`] makes one.
struct Confirmed<'t> {
    team: &'t TeamId,
}

impl Run<'_> {
    /// What is left of a group that is not pushed, from two readings.
    pub(super) async fn remains(
        &self,
        group: &OktaGroupId,
        why: Unpushed,
    ) -> Result<GroupView, Failure> {
        let first = self.look.remains(group, why).await?;
        let policy = &self.ports().policy;
        let is_announced = self.evidence.weigh_end(why, &policy.groups) == Weight::Announced;
        let shows_nobody = first.found.iter().flatten().next().is_none();
        let is_enough = match policy.team_removal {
            TeamRemoval::Keep => true,
            // Nothing is to do, and nothing says that the end is news.
            TeamRemoval::Empty => shows_nobody && !is_announced,
            TeamRemoval::Delete => false,
        };
        if is_enough || first.link.is_none() {
            return Ok(first);
        }
        self.pause_between_reads().await?;
        first.united(self.look.remains(group, why).await?)
    }

    /// Deletes the team, if a reading right before the write agrees with the plan. Returns whether it agrees.
    pub(super) async fn delete_team(
        &mut self,
        group: &OktaGroupId,
        view: &GroupView,
        team: &TeamId,
        why: &'static str,
    ) -> Result<bool, Failure> {
        let Some(confirmed) = self.confirm_end(group, view, team).await? else {
            return Ok(false);
        };
        self.delete(confirmed, why).await?;
        Ok(true)
    }

    async fn delete(&mut self, confirmed: Confirmed<'_>, why: &'static str) -> Result<(), Failure> {
        let Confirmed { team } = confirmed;
        let deadline = self.look.deadline;
        let call = self.ports().anypoint.delete_team(team, deadline);
        let what = Applied::on(action::DELETE_TEAM, team, why);
        self.write(what, call).await??;
        Ok(())
    }

    /// `None`: the team got a member whom the brake did not count, or something protects it now.
    async fn confirm_end<'t>(
        &self,
        group: &OktaGroupId,
        view: &GroupView,
        team: &'t TeamId,
    ) -> Result<Option<Confirmed<'t>>, Failure> {
        let GroupWanted::Nothing(why) = view.wanted else {
            return Ok(None);
        };
        let now = self.look.remains(group, why).await?;
        let plan = plan_group(&now, &self.ports().policy, &self.evidence);
        let counted = view.found.iter().flatten().map(|found| &found.account);
        let counted: HashSet<&AccountId> = counted.collect();
        let mut members = now.found.iter().flatten();
        let agrees = now.link == view.link
            && plan.end == Some(TeamEnd::Delete)
            && members.all(|found| counted.contains(&found.account));
        Ok(agrees.then_some(Confirmed { team }))
    }
}
