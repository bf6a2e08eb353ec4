//! Looks at the team of a group. Reads only.

use super::plan::{TeamPlan, plan_team};
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{OktaGroupId, TeamId};
use crate::provision::provisioner::Provisioner;
use crate::store::TeamLink;

impl Provisioner {
    /// Reads what [`plan_team`] needs, and plans. Changes nothing.
    ///
    /// # Errors
    /// As [`plan_team`], and when a remote or the table does not answer.
    pub async fn look_at_team(
        &self,
        group: &OktaGroupId,
        name: &str,
        deadline: Deadline,
    ) -> Result<(TeamPlan, Option<TeamLink>), Failure> {
        let (link, teams) = futures_util::future::try_join(self.store.team_link(group), async {
            self.anypoint.teams(deadline).await.map_err(Failure::from)
        })
        .await?;
        let bearers: Vec<TeamId> = teams
            .iter()
            .filter(|team| team.name.eq_ignore_ascii_case(name))
            .map(|team| team.id.clone())
            .collect();
        let owners = self.store.team_owners(&bearers).await?;
        let plan = plan_team(group, name, link.as_ref(), &teams, &owners)?;
        Ok((plan, link))
    }
}
