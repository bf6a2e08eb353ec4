//! A name that one group wants and the team of another group still has.

use super::plan::{name_taken, two_groups};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::okta::Group;
use crate::provision::provisioner::Provisioner;

impl Provisioner {
    /// A team of the wanted name belongs to another group. If that group is not pushed any more, its
    /// link ends and the next look may adopt the team. If it has another name by now, its team is
    /// renamed here and now: its own event may be long over. Whoever is in its way is moved first.
    ///
    /// Ends with one write that brings the wanted name nearer; the caller looks again.
    ///
    /// # Errors
    /// Permanent, when the name cannot become free.
    pub(super) async fn settle_held_name(
        &self,
        name: &str,
        other: &OktaGroupId,
        team: &TeamId,
        own: Option<TeamId>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let found = self.okta.group(other, deadline).await?;
        let pushed = match &found {
            Some(_) => self.is_pushed(other, deadline).await?,
            None => false,
        };
        let Some(found) = found.filter(|_| pushed) else {
            if own.is_some() {
                // We have a team already; the other's stays where it is, with its name.
                return Err(name_taken());
            }
            return self.store.unlink_team(other).await;
        };
        if self
            .policy
            .team_names
            .apply(found.name())
            .is_ok_and(|theirs| theirs.eq_ignore_ascii_case(name))
        {
            return Err(two_groups(other));
        }
        let (team, name) = self.first_to_move(found, team, own, deadline).await?;
        // Taken meanwhile, or renamed by another run: the next look tells.
        self.rename(&team, &name, deadline).await.map(|_| ())
    }

    /// The team at the end of the line that begins with `holder`, whose team is to get another name,
    /// which another team has, whose group is to get another name, and so on; and the name to give
    /// it: the one it waits for, or, where they wait in a circle, one that is nobody's.
    ///
    /// # Errors
    /// Permanent, when somebody in the line cannot get the name it waits for.
    async fn first_to_move(
        &self,
        mut holder: Group,
        team: &TeamId,
        own: Option<TeamId>,
        deadline: Deadline,
    ) -> Result<(TeamId, String), Failure> {
        let teams = self.anypoint.teams(deadline).await?;
        let mut seen: Vec<TeamId> = own.into_iter().chain([team.clone()]).collect();
        let mut team = team.clone();
        loop {
            let Ok(next) = self.policy.team_names.apply(holder.name()) else {
                return Err(holds(&holder.id));
            };
            let bearer = teams
                .iter()
                .filter(|other| other.id != team)
                .find(|other| other.name.eq_ignore_ascii_case(&next));
            let Some(bearer) = bearer else {
                return Ok((team, next));
            };
            if seen.contains(&bearer.id) {
                // The whole id: another team may have been moved aside from the same name.
                let name: String = bearer.name.chars().take(200).collect();
                let aside = format!("{name} {}", bearer.id);
                return Ok((bearer.id.clone(), aside));
            }
            let owners = self.store.team_owners(std::slice::from_ref(&bearer.id));
            let Some(owner) = owners.await?.remove(&bearer.id) else {
                return Err(holds(&holder.id));
            };
            holder = match self.okta.group(&owner, deadline).await? {
                Some(next_holder)
                    if self.is_pushed(&owner, deadline).await?
                        && self.wants_another_name(&next_holder, &next) =>
                {
                    next_holder
                }
                _ => return Err(holds(&holder.id)),
            };
            seen.push(bearer.id.clone());
            team = bearer.id.clone();
        }
    }

    fn wants_another_name(&self, group: &Group, name: &str) -> bool {
        let wanted = self.policy.team_names.apply(group.name());
        wanted.is_ok_and(|wanted| !wanted.eq_ignore_ascii_case(name))
    }
}

fn holds(other: &OktaGroupId) -> Failure {
    Failure::permanent(
        Side::Anypoint,
        format!(
            "the team of group {other} still has the name, and that group cannot get a name of its \
             own."
        ),
        "See why the events of that group failed and mend it, then replay both.",
    )
}
