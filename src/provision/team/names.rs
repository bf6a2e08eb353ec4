//! A name that one group wants and the team of another group has.
//!
//! The other group decides. If it wants the same name, the first group's team is told apart by the end of its
//! group's id ([`TeamNamePolicy::apart`](crate::provision::TeamNamePolicy::apart)), unless both groups are called
//! so: then only an administrator can help. If it wants another name, its team gets that name now, or moves aside until that name is free. If it is not pushed any more,
//! its link ends and its team can be adopted, unless the first group has a team already.

use super::plan::{name_taken, two_groups};
use crate::failure::Failure;
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Lease;
use crate::okta::Group;
use crate::provision::provisioner::{Look, Progress};
use crate::provision::selection::Selected;

/// A name that a group wants, who has it, and on which team.
#[derive(Clone, Copy)]
pub(super) struct Held<'h> {
    pub(super) name: &'h str,
    pub(super) by: &'h OktaGroupId,
    pub(super) team: &'h TeamId,
}

/// What the group is whose team has the name.
pub(super) enum Holder {
    /// It is excluded: nothing changes for it.
    LeftAlone,
    /// It is pushed, and wants the name.
    Keeps(Group),
    /// It is pushed, and wants another name.
    Renamed(Group),
    /// It is not pushed any more.
    Unpushed,
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
    pub(super) async fn holder(&self, held: Held<'_>) -> Result<Holder, Failure> {
        let ports = self.ports;
        let excluded = &ports.policy.excluded;
        if excluded.groups.ids.contains(held.by) || excluded.name(held.name) {
            return Ok(Holder::LeftAlone);
        }
        let Some(found) = ports.okta.group(held.by, self.deadline).await? else {
            return Ok(Holder::Unpushed);
        };
        if excluded.group(&found) {
            return Ok(Holder::LeftAlone);
        }
        let is_pushed = match ports.policy.groups.selects(&found) {
            Selected::Yes => true,
            Selected::No => false,
            Selected::IfAssigned => {
                let assigned = ports.okta.is_app_group(&ports.app, held.by, self.deadline);
                assigned.await?
            }
        };
        if !is_pushed {
            return Ok(Holder::Unpushed);
        }
        let wants = self.name_of_holder(held, &found);
        Ok(
            match wants.is_some_and(|name| name.eq_ignore_ascii_case(held.name)) {
                true => Holder::Keeps(found),
                false => Holder::Renamed(found),
            },
        )
    }

    fn name_of_holder(&self, held: Held<'_>, found: &Group) -> Option<String> {
        let policy = self.ports.policy.team_names;
        policy
            .team_name(held.by, found.name(), Some(held.name))
            .ok()
    }

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
        let found = match self.holder(held).await? {
            Holder::LeftAlone => return Err(name_taken()),
            Holder::Keeps(_) => return Err(two_groups(held.by)),
            // The group has a team already; the other's stays where it is, with its name.
            Holder::Unpushed if own.is_some() => return Err(name_taken()),
            Holder::Unpushed => {
                ports.store.unlink_team(lease, held.by).await?;
                return Ok(Settled::Unlinked);
            }
            Holder::Renamed(found) => found,
        };
        let theirs = self.name_of_holder(held, &found);
        let wants = |name: &str| {
            theirs
                .as_deref()
                .is_some_and(|t| t.eq_ignore_ascii_case(name))
        };
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
