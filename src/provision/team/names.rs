//! Decides about a name that one group wants and the team of another group has.
//!
//! The other group decides:
//!
//! - It wants the same name. The first group's team gets the end of its group's id
//!   ([`TeamNamePolicy::apart`](crate::provision::TeamNamePolicy::apart)), unless both groups have that name in Okta.
//!   Then only an administrator can help.
//! - It wants another name. Its team gets that name now, or moves aside until that name is free.
//! - It is no longer pushed. Its link is removed, and its team can be adopted, unless the first group has a team.

use super::apply::Past;
use super::plan::{name_taken, two_groups};
use crate::failure::Failure;
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Lease;
use crate::okta::Group;
use crate::provision::provisioner::Look;
use crate::provision::run::Run;

/// A name that a group wants and the team of another group has.
#[derive(Clone, Copy)]
pub(super) struct TakenName<'h> {
    pub(super) name: &'h str,
    pub(super) by: &'h OktaGroupId,
    pub(super) team: &'h TeamId,
    /// The team that the first group has already.
    pub(super) own: Option<&'h TeamId>,
}

/// The group whose team has the name.
pub(super) enum NameOwner {
    /// Its team keeps the name. The group is excluded, or it is no longer pushed and the first group already has a team.
    Stays,
    /// It is pushed, and wants the name.
    Keeps(Group),
    /// It is pushed, and wants another name.
    Renamed(Group),
    /// It is no longer pushed.
    Unpushed,
}

/// How many characters of a name a team keeps when it moves aside. The rest is for its id.
const MAX_ASIDE_CHARS: usize = 200;

impl Look<'_> {
    pub(super) async fn name_owner(&self, taken: TakenName<'_>) -> Result<NameOwner, Failure> {
        let excluded = &self.ports.policy.excluded;
        if excluded.groups.ids.contains(taken.by) || excluded.name(taken.name) {
            return Ok(NameOwner::Stays);
        }
        let found = self.ports.okta.group(taken.by, self.deadline).await?;
        if found.as_ref().is_some_and(|found| excluded.group(found)) {
            return Ok(NameOwner::Stays);
        }
        let pushed = match found {
            Some(found) if self.is_selected(&found).await? => found,
            _ if taken.own.is_some() => return Ok(NameOwner::Stays),
            _ => return Ok(NameOwner::Unpushed),
        };
        let wants = self.name_of_owner(taken, &pushed);
        Ok(match wants {
            Some(name) if name.eq_ignore_ascii_case(taken.name) => NameOwner::Keeps(pushed),
            _ => NameOwner::Renamed(pushed),
        })
    }

    fn name_of_owner(&self, taken: TakenName<'_>, found: &Group) -> Option<String> {
        let policy = self.ports.policy.team_names;
        policy
            .team_name(taken.by, found.name(), Some(taken.name))
            .ok()
    }
}

impl Run<'_> {
    /// Frees the name by the rules of this module. The caller looks again. Returns [`Past::OfAnother`] if the group may
    /// now adopt the team of the other group.
    ///
    /// # Errors
    /// Permanent, when the name cannot become free.
    pub(super) async fn free_name(
        &mut self,
        taken: TakenName<'_>,
        lease: &Lease,
    ) -> Result<Past, Failure> {
        let (ports, look) = (self.ports(), self.look);
        let found = match look.name_owner(taken).await? {
            NameOwner::Stays => return Err(name_taken()),
            NameOwner::Keeps(_) => return Err(two_groups(taken.by)),
            NameOwner::Unpushed => {
                ports.store.unlink_team(lease, taken.by).await?;
                return Ok(Past::OfAnother);
            }
            NameOwner::Renamed(found) => found,
        };
        let teams = ports.anypoint.list_teams(look.deadline).await?.items;
        let is_free = |name: &String| {
            let mut others = teams.iter().filter(|team| team.id != *taken.team);
            !others.any(|team| team.name.eq_ignore_ascii_case(name))
        };
        let theirs = look.name_of_owner(taken, &found).filter(is_free);
        let name = theirs.unwrap_or_else(|| {
            // The whole id: another team may have moved aside from the same name.
            let kept: String = taken.name.chars().take(MAX_ASIDE_CHARS).collect();
            format!("{kept} {}", taken.team)
        });
        if self.rename(taken.team, &name, lease).await? {
            self.progress.follow_group(taken.by);
        }
        Ok(Past::OfNoOther)
    }
}
