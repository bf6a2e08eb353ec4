//! Finds or makes the team of a group, and links it. Each step is safe to do twice.

use super::names::Settled;
use super::plan::{TeamPlan, name_taken, two_groups};
use crate::failure::{Cause, Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Lease;
use crate::provision::provisioner::{Look, Progress};
use crate::provision::step::{Applied, Step, action};
use crate::store::{Linked, Origin, TeamLink};

/// How often one look is repeated: because the world moved underneath it, and once for a name that
/// another group's team gives up.
const MAX_ROUNDS: usize = 6;

/// The team of a group.
pub(in crate::provision) struct EnsuredTeam {
    /// The link.
    pub(in crate::provision) link: TeamLink,
    /// Groups whose teams made room for the name: they are looked at next.
    pub(in crate::provision) moved: Vec<OktaGroupId>,
    /// Whose team it was until now.
    pub(in crate::provision) past: Past,
}

/// How far the name that a group is given can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provision) enum NamedBy {
    /// The group was read under its lease.
    Owner,
    /// A look without that lease saw it, which began then, in milliseconds since the epoch.
    LookAt(i64),
}

/// Whose a team was when a run came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provision) enum Past {
    /// The group's own, or no group's.
    OfNoOther,
    /// Another group's: lists may show people whom that group's run has just taken out.
    OfAnother,
}

impl Look<'_> {
    /// The team of a group: what [`plan_team`](super::plan_team) says, done and linked. What was done
    /// stands in `progress`, also after a failure.
    ///
    /// # Errors
    /// As [`plan_team`](super::plan_team), and when the name policy, a remote or the table refuses.
    pub(in crate::provision) async fn ensure_team(
        &self,
        group: &OktaGroupId,
        group_name: &str,
        named_by: NamedBy,
        lease: &Lease,
        progress: &mut Progress,
    ) -> Result<EnsuredTeam, Failure> {
        let ports = self.ports;
        let mut group_name = group_name.to_owned();
        let mut is_current = match named_by {
            NamedBy::Owner => true,
            NamedBy::LookAt(at_ms) => lease.last_leased_ms().is_none_or(|held_ms| held_ms < at_ms),
        };
        // Before anything is read: a name that cannot be had fails at once.
        ports.policy.team_names.apply(&group_name)?;
        let mut moved = Vec::new();
        let mut past = Past::OfNoOther;
        // A team that this run asked for is this program's, also if the answer was lost.
        let mut asked_for = false;
        let mut taken_by = None;
        for _ in 0..MAX_ROUNDS {
            let (plan, link, name) = self.team(group, &group_name).await?;
            if let (TeamPlan::Keep(_), Some(link)) = (&plan, &link)
                && link.team_name == name
            {
                let link = link.clone();
                return Ok(EnsuredTeam { link, moved, past });
            }
            if !is_current {
                // The group was worked on since the look: what is done now follows its present state.
                group_name = self.name_if_pushed(group).await?.ok_or_else(overtaken)?;
                is_current = true;
                continue;
            }
            progress.because_of(plan.step(&name, link.as_ref()).as_slice());
            let kept = link.as_ref().map_or(Origin::Adopted, |link| link.origin);
            let adopted = if asked_for {
                Origin::Created
            } else {
                Origin::Adopted
            };
            let (team_id, origin, done) = match plan {
                TeamPlan::Keep(team) => (team, kept, Some(action::LINK_TEAM)),
                TeamPlan::Rename(team) => {
                    if !self.rename(&team, &name, lease, progress).await? {
                        continue;
                    }
                    (team, kept, None)
                }
                TeamPlan::Adopt(team) => (team, adopted, Some(action::ADOPT_TEAM)),
                TeamPlan::AdoptAndRename(team) => {
                    let why = "only the case of the adopted team's name differs";
                    progress.because_of(&[Step::new(action::RENAME_TEAM, why)]);
                    if !self.rename(&team, &name, lease, progress).await? {
                        continue;
                    }
                    (team, Origin::Adopted, Some(action::ADOPT_TEAM))
                }
                TeamPlan::Create { root } => {
                    lease.check()?;
                    asked_for = true;
                    progress.begin(Applied::plain(action::CREATE_TEAM));
                    match ports
                        .anypoint
                        .create_team(&root, &name, self.deadline)
                        .await
                    {
                        Ok(Some(team)) => {
                            progress.settle_as(Applied::on(action::CREATE_TEAM, &team));
                            (team, Origin::Created, None)
                        }
                        // An empty answer or a race: the next look finds the team by its name.
                        Ok(None) => continue,
                        Err(error) if error.is_conflict() => continue,
                        Err(error) => return Err(error.into()),
                    }
                }
                TeamPlan::HeldBy {
                    group: other,
                    team,
                    own,
                } => {
                    let held = super::names::Held {
                        name: &name,
                        by: &other,
                        team: &team,
                    };
                    let own = own.map(|(team, _)| team);
                    match self.settle_held_name(held, own, lease, progress).await? {
                        Settled::Renamed => moved.push(other),
                        Settled::Unlinked => past = Past::OfAnother,
                        Settled::Not => {}
                    }
                    continue;
                }
            };
            let written = TeamLink {
                team_id,
                team_name: name.clone(),
                origin,
            };
            let linked = ports
                .store
                .link_team(lease, group, &written, link.as_ref())
                .await?;
            match linked {
                Linked::Written => {
                    let linked = done.map(|done| Applied::on(done, &written.team_id));
                    progress.applied.extend(linked);
                    return Ok(EnsuredTeam {
                        link: written,
                        moved,
                        past,
                    });
                }
                // Another group linked the team meanwhile. Perhaps the names of the two can be told apart.
                Linked::TakenBy(other) => {
                    asked_for = false;
                    taken_by = Some(other);
                }
            }
        }
        Err(taken_by.map_or_else(name_taken, |other| two_groups(&other)))
    }

    /// Whether the team has the name now; not, when the name was taken meanwhile.
    pub(super) async fn rename(
        &self,
        team: &TeamId,
        name: &str,
        lease: &Lease,
        progress: &mut Progress,
    ) -> Result<bool, Failure> {
        lease.check()?;
        progress.begin(Applied::on(action::RENAME_TEAM, team));
        let renamed = self
            .ports
            .anypoint
            .rename_team(team, name, self.deadline)
            .await;
        match progress.settle(renamed) {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The group was worked on while a user's run made its team or put somebody in.
pub(in crate::provision) fn overtaken() -> Failure {
    Failure::retryable(
        Side::Okta,
        "the group was worked on since the look, and does not become a team, or not with this user; the next look \
         follows what is there",
    )
    .because(Cause::Overtaken)
}
