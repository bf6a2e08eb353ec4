//! The team of a group: found, adopted, renamed or made, directly below the root team.

use std::collections::HashMap;

use crate::anypoint::Team;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, TeamId};
use crate::ledger::Claim;
use crate::okta::Group;
use crate::provision::provisioner::Provisioner;
use crate::store::{Linked, Origin, TeamLink};

/// How often one look is repeated: because the world moved underneath it, and once for each team that
/// has to be renamed before the name is free.
const MOST_ROUNDS: usize = 12;

/// What has to happen so that a group has its team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamPlan {
    /// The linked team is there and has the right name.
    Keep(TeamId),
    /// The linked team is there and has another name.
    Rename(TeamId),
    /// A team of that name is there, below the root, and belongs to no group.
    Adopt(TeamId),
    /// As [`TeamPlan::Adopt`], and only the case of its name differs.
    AdoptAndRename(TeamId),
    /// There is no team of that name.
    Create {
        /// The root team, its parent.
        root: TeamId,
    },
    /// A team of that name belongs to another group; what that group is decides.
    HeldBy {
        /// The other group.
        group: OktaGroupId,
        /// Its team.
        team: TeamId,
        /// The team that is linked already, if any, and its present name.
        own: Option<(TeamId, String)>,
    },
}

/// Plans the team of `group`, to be named `name`. Pure.
///
/// # Errors
/// Permanent, when the name is taken by a team that cannot become the group's; retryable, when no
/// root team shows.
pub fn plan_team(
    group: &OktaGroupId,
    name: &str,
    link: Option<&TeamLink>,
    teams: &[Team],
    owners: &HashMap<TeamId, OktaGroupId>,
) -> Result<TeamPlan, Failure> {
    let own = link.and_then(|link| teams.iter().find(|team| team.id == link.team_id));
    let bearer = teams
        .iter()
        .filter(|team| team.name.eq_ignore_ascii_case(name))
        .min_by_key(|team| team.name != name);
    if let Some(own) = own {
        if own.name == name {
            return Ok(TeamPlan::Keep(own.id.clone()));
        }
        return match bearer.filter(|bearer| bearer.id != own.id) {
            None => Ok(TeamPlan::Rename(own.id.clone())),
            Some(bearer) => held_or_taken(group, bearer, owners, Some(own)),
        };
    }
    let root = teams
        .iter()
        .find(|team| team.is_internal_root())
        .ok_or_else(|| {
            Failure::retryable(
                Side::Anypoint,
                "the list of teams has no internal root team",
            )
        })?;
    match bearer {
        None => Ok(TeamPlan::Create {
            root: root.id.clone(),
        }),
        Some(bearer) if !bearer.is_child_of(&root.id) => Err(name_taken()),
        Some(bearer) => match owners.get(&bearer.id) {
            Some(owner) if owner != group => held_or_taken(group, bearer, owners, None),
            _ if bearer.name == name => Ok(TeamPlan::Adopt(bearer.id.clone())),
            _ => Ok(TeamPlan::AdoptAndRename(bearer.id.clone())),
        },
    }
}

fn held_or_taken(
    group: &OktaGroupId,
    bearer: &Team,
    owners: &HashMap<TeamId, OktaGroupId>,
    own: Option<&Team>,
) -> Result<TeamPlan, Failure> {
    match owners.get(&bearer.id) {
        Some(owner) if owner != group => Ok(TeamPlan::HeldBy {
            group: owner.clone(),
            team: bearer.id.clone(),
            own: own.map(|team| (team.id.clone(), team.name.clone())),
        }),
        _ => Err(name_taken()),
    }
}

fn name_taken() -> Failure {
    Failure::permanent(
        Side::Anypoint,
        "the team name is taken by another team of the organization: names are unique, wherever a \
         team hangs.",
        "Rename one of the two, the group in Okta or the team in Anypoint, then replay the event.",
    )
}

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

    async fn rename(&self, team: &TeamId, name: &str, deadline: Deadline) -> Result<bool, Failure> {
        match self.anypoint.rename_team(team, name, deadline).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A team of the wanted name belongs to another group. If that group is not pushed any more, its
    /// link ends and the next look may adopt the team. If it has another name by now, its team is
    /// renamed here and now: its own event may be long over. Whoever is in its way is moved first.
    ///
    /// Ends with one write that brings the wanted name nearer; the caller looks again.
    ///
    /// # Errors
    /// Permanent, when the name cannot become free.
    async fn settle_held_name(
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
                let aside = bearer.name.chars().take(200).chain([' ']);
                let aside = aside.chain(bearer.id.as_str().chars().take(8)).collect();
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

fn two_groups(other: &OktaGroupId) -> Failure {
    Failure::permanent(
        Side::Okta,
        format!("group {other} has the same team name, and a name belongs to one team."),
        "Rename one of the two groups in Okta, then replay the event.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn team(id: &str, name: &str, ancestors: &[&str]) -> Team {
        serde_json::from_value(
            json!({"team_id": id, "team_name": name, "team_type": "internal",
            "ancestor_team_ids": ancestors}),
        )
        .unwrap()
    }

    fn group(id: &str) -> OktaGroupId {
        OktaGroupId::parse(id).unwrap()
    }

    fn id(id: &str) -> TeamId {
        TeamId::parse(id).unwrap()
    }

    fn plan(name: &str, link: Option<&str>, owners: &[(&str, &str)]) -> Result<TeamPlan, Failure> {
        let external = serde_json::from_value(json!({"team_id": "x", "team_name": "X",
            "team_type": "external", "ancestor_team_ids": []}))
        .unwrap();
        let teams = [
            external,
            team("root", "Whatever", &[]),
            team("t1", "Ops", &["root"]),
            team("t2", "Devs", &["root"]),
            team("deep", "Deep", &["root", "t2"]),
        ];
        let link = link.map(|team| TeamLink {
            team_id: id(team),
            team_name: "old".to_owned(),
            origin: Origin::Created,
        });
        let owners = owners
            .iter()
            .map(|(team, owner)| (id(team), group(owner)))
            .collect::<HashMap<_, _>>();
        plan_team(&group("00g1"), name, link.as_ref(), &teams, &owners)
    }

    #[test]
    fn each_situation_has_its_plan() {
        assert_eq!(
            plan("New", None, &[]).unwrap(),
            TeamPlan::Create { root: id("root") }
        );
        assert_eq!(plan("Ops", None, &[]).unwrap(), TeamPlan::Adopt(id("t1")));
        assert_eq!(
            plan("OPS", None, &[]).unwrap(),
            TeamPlan::AdoptAndRename(id("t1"))
        );
        assert_eq!(
            plan("Ops", Some("t1"), &[("t1", "00g1")]).unwrap(),
            TeamPlan::Keep(id("t1"))
        );
        assert_eq!(
            plan("New", Some("t1"), &[]).unwrap(),
            TeamPlan::Rename(id("t1"))
        );
        assert_eq!(
            plan("ops", Some("t1"), &[]).unwrap(),
            TeamPlan::Rename(id("t1"))
        );
        assert_eq!(
            plan("New", Some("gone"), &[]).unwrap(),
            TeamPlan::Create { root: id("root") },
            "a team deleted by hand is made again"
        );
        assert_eq!(
            plan("Ops", None, &[("t1", "00g2")]).unwrap(),
            TeamPlan::HeldBy {
                group: group("00g2"),
                team: id("t1"),
                own: None
            }
        );
        assert_eq!(
            plan("Ops", Some("t2"), &[("t1", "00g2")]).unwrap(),
            TeamPlan::HeldBy {
                group: group("00g2"),
                team: id("t1"),
                own: Some((id("t2"), "Devs".to_owned()))
            }
        );
    }

    #[test]
    fn names_taken_elsewhere_are_permanent_failures() {
        for (name, link) in [
            ("Deep", None),
            ("Whatever", None),
            ("Ops", Some("t2")),
            ("X", None),
        ] {
            assert!(!plan(name, link, &[]).unwrap_err().is_retryable(), "{name}");
        }
    }
}
