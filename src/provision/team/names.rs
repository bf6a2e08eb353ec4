//! A name that one group wants and the team of another group has.
//!
//! The other group decides. If it wants the same name, only an administrator can help. If it wants another
//! name, its team gets that name now, or moves aside until that name is free. If it is not pushed any more,
//! its link ends and its team can be adopted, unless the first group has a team already.

use super::plan::{name_taken, two_groups};
use crate::failure::Failure;
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Lease;
use crate::provision::provisioner::{Look, Progress};
use crate::provision::selection::Selected;

/// A name that a group wants, who has it, and on which team.
pub(super) struct Held<'h> {
    pub(super) name: &'h str,
    pub(super) by: &'h OktaGroupId,
    pub(super) team: &'h TeamId,
}

/// What became of a name that another group's team has.
pub(super) enum Settled {
    /// That team has another name now.
    Renamed,
    /// That team is no group's any more.
    Unlinked,
    /// The name was taken meanwhile.
    Not,
}

/// How much of a name is kept when a team moves aside: the rest is for its id.
const ASIDE_CHARS: usize = 200;

impl Look<'_> {
    /// Frees the name: the holder's team gets its own new name, or moves aside if that is taken, and its
    /// group is looked at next. The link of a holder that is not pushed any more ends, so that the next
    /// look may adopt its team. The caller looks again.
    ///
    /// # Errors
    /// Permanent, when the name cannot become free.
    pub(super) async fn settle_held_name(
        &self,
        held: Held<'_>,
        own: Option<TeamId>,
        lease: &Lease,
        progress: &mut Progress,
    ) -> Result<Settled, Failure> {
        let ports = self.ports;
        let excluded = &ports.policy.excluded;
        if excluded.groups.ids.contains(held.by) || excluded.name(held.name) {
            return Err(name_taken());
        }
        let found = ports.okta.group(held.by, self.deadline).await?;
        let is_pushed = match &found {
            Some(group) if excluded.group(group) => return Err(name_taken()),
            Some(group) => match ports.policy.groups.selects(group) {
                Selected::Yes => true,
                Selected::No => false,
                Selected::IfAssigned => {
                    let assigned = ports.okta.is_app_group(&ports.app, held.by, self.deadline);
                    assigned.await?
                }
            },
            None => false,
        };
        let Some(found) = found.filter(|_| is_pushed) else {
            if own.is_some() {
                // The group has a team already; the other's stays where it is, with its name.
                return Err(name_taken());
            }
            ports.store.unlink_team(lease, held.by).await?;
            return Ok(Settled::Unlinked);
        };
        let policy = ports.policy.team_names;
        let theirs = policy
            .team_name(held.by, found.name(), Some(held.name))
            .ok();
        let wants = |name: &str| {
            theirs
                .as_deref()
                .is_some_and(|t| t.eq_ignore_ascii_case(name))
        };
        if wants(held.name) {
            return Err(two_groups(held.by));
        }
        let teams = ports.anypoint.list_teams(self.deadline).await?.items;
        let is_free = !teams
            .iter()
            .any(|team| team.id != *held.team && wants(&team.name));
        let name = match theirs.filter(|_| is_free) {
            Some(theirs) => theirs,
            None => {
                // The whole id: another team may have moved aside from the same name.
                let kept: String = held.name.chars().take(ASIDE_CHARS).collect();
                format!("{kept} {}", held.team)
            }
        };
        let is_renamed = self.rename(held.team, &name, lease, progress).await?;
        Ok(if is_renamed {
            Settled::Renamed
        } else {
            Settled::Not
        })
    }
}
