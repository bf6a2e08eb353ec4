//! Finds or makes the team of a group, and links it. Each step is safe to do twice.

use std::borrow::Cow;

use super::plan::{TeamPlan, name_taken, two_groups, unseen_name_taken};
use crate::failure::{Cause, Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Lease;
use crate::provision::finding::Finding;
use crate::provision::run::Run;
use crate::provision::step::{Applied, action};
use crate::store::{Linked, Origin, TeamLink};

/// How often a run looks when things change under it, or another group's team frees the name.
const MAX_ROUNDS: usize = 6;

/// How the search for the team of a group ended.
pub(in crate::provision) enum Ensured {
    /// The group has it.
    Team(EnsuredTeam),
    /// The team of another group has the name. One look did not show that group as pushed, which is not enough.
    InDoubt(Finding),
}

/// The team of a group.
pub(in crate::provision) struct EnsuredTeam {
    pub(in crate::provision) link: TeamLink,
    /// Whether it was another group's team until now.
    pub(in crate::provision) past: Past,
}

/// Which look read the group's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provision) enum NamedBy {
    /// The run that has the lease on the group.
    Owner,
    /// A look without that lease, which began at this time, in milliseconds since the epoch.
    LookAt(i64),
}

/// Which group had the team before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// The group's own, or no group's.
    OfNoOther,
    /// Another group. Lists may still show people whom that group's run has just removed, so members are added again.
    OfAnother,
}

impl Run<'_> {
    /// Carries out [`plan_team`](super::plan_team) for a group, under the `lease` on it, and links the team. Groups
    /// whose teams freed the name are looked at next.
    ///
    /// # Errors
    /// As [`plan_team`](super::plan_team), and when the name policy, a remote or the table refuses.
    pub(in crate::provision) async fn ensure_team(
        &mut self,
        group: &OktaGroupId,
        group_name: &str,
        named_by: NamedBy,
        lease: &Lease,
    ) -> Result<Ensured, Failure> {
        let (ports, look) = (self.ports(), self.look);
        let mut group_name = group_name.to_owned();
        let mut is_current = match named_by {
            NamedBy::Owner => true,
            NamedBy::LookAt(at_ms) => is_unchanged_since(lease, at_ms),
        };
        // A refused name fails before anything is read.
        ports.policy.team_names.apply(&group_name)?;
        let mut past = Past::OfNoOther;
        // A team that this run asked for counts as created by this program, even if the answer was lost.
        let mut asked_for = false;
        let mut taken_by = None;
        // Whether Anypoint refused a new team's name, and no listed team has it.
        let mut is_unseen = false;
        for _ in 0..MAX_ROUNDS {
            let (plan, link, name) = look.team(group, &group_name, &self.evidence).await?;
            if let (TeamPlan::Keep(_), Some(link)) = (&plan, &link)
                && link.team_name == name
            {
                let link = link.clone();
                return Ok(Ensured::Team(EnsuredTeam { link, past }));
            }
            if !is_current {
                // Another run worked on the group since the look, so this run follows the group's current state.
                group_name = look.name_if_pushed(group).await?.ok_or_else(overtaken)?;
                is_current = true;
                continue;
            }
            let step = plan.step(&name, link.as_ref());
            let why = step.map_or(Cow::Borrowed(""), |step| step.reason);
            let kept = link.as_ref().map_or(Origin::Adopted, |link| link.origin);
            let adopted = if asked_for {
                Origin::Created
            } else {
                Origin::Adopted
            };
            let (team_id, origin, done) = match plan {
                TeamPlan::Keep(team) => (team, kept, Some(action::LINK_TEAM)),
                TeamPlan::Rename(team) => {
                    if !self.rename(&team, &name, lease, why.clone()).await? {
                        continue;
                    }
                    (team, kept, None)
                }
                TeamPlan::Adopt(team) => (team, adopted, Some(action::ADOPT_TEAM)),
                TeamPlan::AdoptAndRename(team) => {
                    let of_case = "only the case of the adopted team's name differs";
                    if !self.rename(&team, &name, lease, of_case).await? {
                        continue;
                    }
                    (team, Origin::Adopted, Some(action::ADOPT_TEAM))
                }
                TeamPlan::Create { root } => {
                    lease.check()?;
                    asked_for = true;
                    let what = Applied::plain(action::CREATE_TEAM, why.clone());
                    self.progress.begin(what);
                    let created = ports.anypoint.create_team(&root, &name, look.deadline);
                    match created.await {
                        Ok(Some(team)) => {
                            self.progress.end_made(&team);
                            (team, Origin::Created, None)
                        }
                        // An empty answer or a race: the next look finds the team by its name.
                        Ok(None) => continue,
                        Err(error) if error.is_conflict() => {
                            is_unseen = true;
                            continue;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                TeamPlan::TakeOver(taken) => {
                    ports.store.unlink_team(lease, &taken.by).await?;
                    past = Past::OfAnother;
                    continue;
                }
                TeamPlan::Free { taken, theirs } => {
                    self.free_name(&taken, &name, theirs, lease, why).await?;
                    continue;
                }
                TeamPlan::MoveAside(taken) => {
                    self.free_name(&taken, &name, None, lease, why).await?;
                    continue;
                }
                TeamPlan::InDoubt(taken) => return Ok(Ensured::InDoubt(taken.not_pushed())),
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
                    let before = link.as_ref().map(|link| &link.team_id);
                    let linked = done
                        .map(|done| Applied::on(done, &written.team_id, why).instead_of(before));
                    self.progress.applied.extend(linked);
                    let link = written;
                    return Ok(Ensured::Team(EnsuredTeam { link, past }));
                }
                // Another group linked the team meanwhile. Perhaps the names of the two can be told apart.
                Linked::TakenBy(other) => {
                    asked_for = false;
                    taken_by = Some(other);
                }
            }
        }
        Err(match taken_by {
            Some(other) => two_groups(&other),
            None if is_unseen => unseen_name_taken(),
            None => name_taken(),
        })
    }

    /// Renames the team. Returns whether it has the name now, because another team may have taken it.
    pub(super) async fn rename(
        &mut self,
        team: &TeamId,
        name: &str,
        lease: &Lease,
        why: impl Into<Cow<'static, str>>,
    ) -> Result<bool, Failure> {
        let (anypoint, deadline) = (&self.ports().anypoint, self.look.deadline);
        let call = anypoint.rename_team(team, name, deadline);
        let what = Applied::on(action::RENAME_TEAM, team, why);
        match self.write_under(lease, what, call).await? {
            Err(error) if error.is_conflict() => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }
}

/// Whether no other run had the subject of the lease since that time.
pub(in crate::provision) fn is_unchanged_since(lease: &Lease, at_ms: i64) -> bool {
    lease.last_leased_ms().is_none_or(|held_ms| held_ms < at_ms)
}

/// The failure when another run worked on the group while a user's run created its team or added a member.
pub(in crate::provision) fn overtaken() -> Failure {
    let what = "another run worked on the group since the look. The group does not become a team, or the user is not \
                in it; the next look follows its current state";
    Failure::retryable(Side::Okta, what).because(Cause::Overtaken)
}
