//! Carries out a group's plans until a look finds nothing left to do.
//!
//! Looking again after writing does two jobs: reads of members lag behind writes for a moment, and a
//! membership may have changed in Okta while a large group was at work.

use std::time::Duration;

use super::look::GroupState;
use super::plan::{GroupAction, plan_group};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Claim;
use crate::provision::provisioner::{Applied, Provisioner};

/// Looks at the most, before the group goes back to the queue.
const MOST_LOOKS: u32 = 8;
/// The pause before the second look; it doubles from look to look.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Provisioner {
    pub(crate) async fn provision_group(
        &self,
        group: &OktaGroupId,
        claim: &Claim,
        deadline: Deadline,
    ) -> Result<Applied, Failure> {
        let mut applied = Applied::default();
        let mut pause = FIRST_PAUSE;
        for look in 0..MOST_LOOKS {
            let wrote = self.one_round(group, claim, deadline, &mut applied).await?;
            if !wrote {
                return Ok(applied);
            }
            // The first look after a write comes at once; the next ones wait for lagging reads.
            if look > 0 {
                tokio::time::sleep(pause.min(deadline.remaining())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Err(Failure::retryable(
            Side::Anypoint,
            "the team's members do not show what was written; the group is looked at again later",
        ))
    }

    /// One look, and what follows from it. Says whether anything was written.
    async fn one_round(
        &self,
        group: &OktaGroupId,
        claim: &Claim,
        deadline: Deadline,
        applied: &mut Applied,
    ) -> Result<bool, Failure> {
        let view = match self.group_state(group, deadline).await? {
            GroupState::Pushed(found) => {
                self.ensure_team(group, found.name(), claim, deadline)
                    .await?;
                self.look_at_members(group, deadline).await?
            }
            GroupState::Unpushed(reason) => self.look_at_remains(group, reason, deadline).await?,
        };
        let mut wrote = false;
        for step in plan_group(&view, &self.policy) {
            let name = step.action.name();
            match step.action {
                GroupAction::AddMembers { team, accounts } => {
                    self.anypoint
                        .add_members(&team, &accounts, deadline)
                        .await?;
                    wrote = true;
                }
                GroupAction::RemoveMembers { team, accounts } => {
                    self.anypoint
                        .remove_members(&team, &accounts, deadline)
                        .await?;
                    wrote = true;
                }
                GroupAction::DeleteTeam { team } => {
                    self.delete_team(group, &team, claim, deadline).await?;
                }
                GroupAction::FollowUp(user) => {
                    if applied.follow_ups.contains(&user) {
                        continue;
                    }
                    applied.follow_ups.push(user);
                }
            }
            applied.actions.push(name);
        }
        Ok(wrote)
    }

    async fn delete_team(
        &self,
        group: &OktaGroupId,
        team: &TeamId,
        _claim: &Claim,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        if self.has_children(team, deadline).await? {
            return Err(Failure::permanent(
                Side::Anypoint,
                format!("team {team} has teams below it, and deleting it would delete them, too."),
                "Move the teams below it elsewhere in Anypoint, then replay the event; or set \
                 TEAM_REMOVAL=empty.",
            ));
        }
        self.anypoint.delete_team(team, deadline).await?;
        self.store.unlink_team(group).await
    }
}
