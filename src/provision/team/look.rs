//! Looks at the team of a group. Reads only.

use super::names::{NameOwner, NamePlan, WantedName, plan_taken};
use super::plan::{Decided, TeamPlan, check_team_read, misplaced, plan_team};
use crate::anypoint::Team;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::provision::evidence::{Evidence, contradiction};
use crate::provision::provisioner::Look;
use crate::store::TeamLink;

impl Look<'_> {
    /// Reads everything that `plan_team` needs, and plans. Returns the plan, the link, and the name that the team is to
    /// have.
    ///
    /// # Errors
    /// As `plan_team`, and when a remote or the table does not answer.
    pub(crate) async fn team(
        &self,
        group: &OktaGroupId,
        group_name: &str,
        evidence: &Evidence,
    ) -> Result<(TeamPlan, Option<TeamLink>, String), Failure> {
        let ports = self.ports;
        let (link, teams) = futures_util::future::try_join(ports.store.team_link(group), async {
            let teams = ports.anypoint.list_teams(self.deadline).await?;
            Ok::<_, Failure>(teams.telling())
        })
        .await?;
        if let Some(link) = &link {
            check_team_read(&link.team_id, &teams)?;
        }
        let teams = teams.items;
        let shown = |link: &TeamLink| teams.iter().find(|team| team.id == link.team_id);
        if let Some(failure) = link
            .as_ref()
            .and_then(shown)
            .and_then(|team| misplaced(group, team))
        {
            tracing::warn!(%group, "the team of the group hangs below another team: {failure}");
        }
        if let Some(link) = link.as_ref().filter(|link| shown(link).is_none())
            && (ports.anypoint.team(&link.team_id, self.deadline).await?).is_some()
        {
            return Err(contradiction(
                Side::Anypoint,
                "the list of teams lacks a team that exists",
            ));
        }
        let present = link.as_ref().map(|link| link.team_name.as_str());
        let policy = &ports.policy;
        let mut name = policy.team_names.team_name(group, group_name, present)?;
        loop {
            let taken = match self.plan_named(group, &name, link.as_ref(), &teams).await? {
                Decided::Here(plan) => return Ok((plan, link, name)),
                Decided::ByNameOwner(taken) => taken,
            };
            let state = self.name_owner(&taken.by, &name).await?;
            let wanted = WantedName {
                group,
                called: group_name,
                name: &name,
            };
            match plan_taken(wanted, taken, NameOwner::of(&state), policy, evidence)? {
                NamePlan::Team(plan) => return Ok((plan, link, name)),
                NamePlan::Apart(apart) => name = apart,
            }
        }
    }

    async fn plan_named(
        &self,
        group: &OktaGroupId,
        name: &str,
        link: Option<&TeamLink>,
        teams: &[Team],
    ) -> Result<Decided, Failure> {
        let bearers: Vec<TeamId> = teams
            .iter()
            .filter(|team| team.name.eq_ignore_ascii_case(name))
            .map(|team| team.id.clone())
            .collect();
        let owners = self.ports.store.team_owners(&bearers).await?;
        plan_team(group, name, link, teams, &owners)
    }
}
