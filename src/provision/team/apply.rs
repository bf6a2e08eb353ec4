//! Carries out a team's plan, and links the team. Each step is safe to do twice.

use super::plan::{TeamPlan, name_taken, two_groups};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Claim;
use crate::provision::provisioner::Provisioner;
use crate::store::{Linked, Origin, TeamLink};

/// How often one look is repeated: because the world moved underneath it, and once for each team that
/// has to be renamed before the name is free.
const MOST_ROUNDS: usize = 12;

impl Provisioner {
    /// The team of a group: what [`plan_team`] says, done and linked.
    ///
    /// # Errors
    /// As [`plan_team`], and when the name policy, a remote or the table refuses.
    pub(crate) async fn ensure_team(
        &self,
        group: &OktaGroupId,
        group_name: &str,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<TeamLink, Failure> {
        let mut name = self.policy.team_names.apply(group_name)?;
        // A second round is for a name that was taken, or a group that was renamed, between the look
        // and the write.
        let mut was_missing = false;
        let mut was_held = false;
        for _ in 0..MOST_ROUNDS {
            let (plan, link) = self.look_at_team(group, &name, deadline).await?;
            // Not there a moment ago: another run of ours made it, and is about to link it.
            let adopted_as = if was_missing {
                Origin::Created
            } else {
                Origin::Adopted
            };
            was_missing |= matches!(plan, TeamPlan::Create { .. });
            was_held = matches!(plan, TeamPlan::HeldBy { .. });
            let writes = !matches!(plan, TeamPlan::Keep(_));
            let done = self
                .apply_team(
                    group,
                    &name,
                    link.as_ref(),
                    plan,
                    adopted_as,
                    claim,
                    deadline,
                )
                .await?;
            let Some(link) = done else { continue };
            if !writes {
                return Ok(link);
            }
            // Another run may have renamed the team meanwhile, by a later name of the group.
            let now = self.okta.group(group, deadline).await?;
            match now.map(|now| self.policy.team_names.apply(now.name())) {
                Some(now) if now != Ok(name.clone()) => name = now?,
                _ => return Ok(link),
            }
        }
        Err(if was_held {
            let what = "many groups wait for each other's team names; the next look goes on";
            Failure::retryable(Side::Anypoint, what)
        } else {
            name_taken()
        })
    }

    /// `None` when the name was taken meanwhile: look again.
    #[expect(
        clippy::too_many_arguments,
        reason = "one step of `ensure_team`, called there only"
    )]
    async fn apply_team(
        &self,
        group: &OktaGroupId,
        name: &str,
        link: Option<&TeamLink>,
        plan: TeamPlan,
        adopted_as: Origin,
        _claim: &Claim,
        deadline: Deadline,
    ) -> Result<Option<TeamLink>, Failure> {
        let kept = link.map_or(Origin::Adopted, |link| link.origin);
        let (team_id, origin) = match plan {
            TeamPlan::Keep(team) => {
                if let Some(link) = link.filter(|link| link.team_name == name) {
                    return Ok(Some(link.clone()));
                }
                (team, kept)
            }
            TeamPlan::Rename(team) => match self.rename(&team, name, deadline).await? {
                true => (team, kept),
                false => return Ok(None),
            },
            TeamPlan::Adopt(team) => (team, adopted_as),
            TeamPlan::AdoptAndRename(team) => match self.rename(&team, name, deadline).await? {
                true => (team, Origin::Adopted),
                false => return Ok(None),
            },
            TeamPlan::Create { root } => {
                match self.anypoint.create_team(&root, name, deadline).await {
                    Ok(Some(team)) => (team, Origin::Created),
                    // An empty answer or a race: the next look finds the team by its name.
                    Ok(None) => return Ok(None),
                    Err(error) if error.is_conflict() => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
            TeamPlan::HeldBy {
                group: other,
                team,
                own,
            } => {
                let own = own.map(|(own, _)| own);
                self.settle_held_name(name, &other, &team, own, deadline)
                    .await?;
                return Ok(None);
            }
        };
        let link = TeamLink {
            team_id,
            team_name: name.to_owned(),
            origin,
        };
        match self.store.link_team(group, &link).await? {
            Linked::Written => Ok(Some(link)),
            Linked::TakenBy(other) => Err(two_groups(&other)),
        }
    }

    /// Whether the team has the name now; not, when the name was taken meanwhile.
    pub(super) async fn rename(
        &self,
        team: &TeamId,
        name: &str,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        match self.anypoint.rename_team(team, name, deadline).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
