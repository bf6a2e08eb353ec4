//! The planner for the team itself: a pure function of what was seen.

use std::collections::HashMap;

use crate::anypoint::Team;
use crate::failure::{Cause, Failure, Side};
use crate::http::Listed;
use crate::ids::{OktaGroupId, TeamId};
use crate::provision::evidence::contradiction;
use crate::provision::finding::Finding;
use crate::provision::step::{Step, action};
use crate::store::TeamLink;

/// What has to happen so that a group has its team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TeamPlan {
    /// The linked team is there and has the right name.
    Keep(TeamId),
    /// The linked team is there and has another name.
    Rename(TeamId),
    /// A team of that name is there, below the root, and belongs to no group.
    Adopt(TeamId),
    /// As [`TeamPlan::Adopt`], but the case of its name differs.
    AdoptAndRename(TeamId),
    /// There is no team of that name.
    Create {
        /// The root team, its parent.
        root: TeamId,
    },
    /// The team of a group that is no longer pushed has the name. Its link is removed, and the next look adopts the team.
    TakeOver(TakenName),
    /// The team of another group has the name. It gets the name `theirs`, or moves aside.
    Free {
        taken: TakenName,
        theirs: Option<String>,
    },
    /// The team of a group that is no longer pushed has the name, and cannot be adopted. It moves aside.
    MoveAside(TakenName),
    /// The team of another group has the name. One look did not show that group as pushed, which is not enough.
    InDoubt(TakenName),
}

/// A team of another group that has the wanted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenName {
    /// The other group.
    pub(crate) by: OktaGroupId,
    /// Its team.
    pub(crate) team: TeamId,
    /// The team that the first group has already.
    pub(crate) own: Option<TeamId>,
    /// Whether the first group may adopt it: it has no team, and this one hangs directly below the root team.
    pub(crate) can_be_adopted: bool,
}

impl TakenName {
    /// The finding that the other group is not pushed.
    pub(crate) fn not_pushed(&self) -> Finding {
        Finding::NameOwnerNotPushed(self.by.clone())
    }
}

/// What the group and the teams decide about the group's team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    /// They decide everything.
    Here(TeamPlan),
    /// The group whose team has the name decides, too. See [`plan_taken`](super::plan_taken).
    ByNameOwner(TakenName),
}

impl TeamPlan {
    /// The team that the group has, or is about to adopt.
    pub(crate) fn team(&self) -> Option<&TeamId> {
        match self {
            Self::Keep(team)
            | Self::Rename(team)
            | Self::Adopt(team)
            | Self::AdoptAndRename(team) => Some(team),
            Self::TakeOver(taken) => Some(&taken.team),
            Self::Free { taken, .. } | Self::MoveAside(taken) | Self::InDoubt(taken) => {
                taken.own.as_ref()
            }
            Self::Create { .. } => None,
        }
    }

    /// The finding that the plan rests on.
    pub(crate) fn finding(&self) -> Option<Finding> {
        match self {
            Self::TakeOver(taken) | Self::MoveAside(taken) | Self::InDoubt(taken) => {
                Some(taken.not_pushed())
            }
            _ => None,
        }
    }

    /// The step of the plan, for a team that is to be named `name`.
    pub(crate) fn step(&self, name: &str, link: Option<&TeamLink>) -> Option<Step> {
        let on = |action, why, team: &TeamId| Step::new(action, why).on(team);
        Some(match self {
            Self::Keep(_) if link.is_some_and(|link| link.team_name == name) => return None,
            Self::Keep(team) => {
                let why = "the team has the name already, and the link is older";
                on(action::LINK_TEAM, why, team)
                    .saying(format!("remember team {team} as \"{name}\""))
            }
            Self::Rename(team) => on(action::RENAME_TEAM, "the team is named as its group", team)
                .saying(format!("rename team {team} to \"{name}\"")),
            Self::Adopt(team) | Self::AdoptAndRename(team) => {
                let why = match self {
                    Self::Adopt(_) => "a team of that name belongs to no group",
                    _ => {
                        "a team of that name belongs to no group; only the case of its name differs"
                    }
                };
                on(action::ADOPT_TEAM, why, team).saying(format!("adopt team {team} as \"{name}\""))
            }
            Self::Create { root } => Step::new(action::CREATE_TEAM, "the group has no team")
                .saying(format!("create team \"{name}\" below {root}")),
            Self::TakeOver(TakenName { by, team, .. }) => {
                let why = "the group of the team with that name is no longer pushed";
                on(action::ADOPT_TEAM, why, team)
                    .saying(format!("take over team {team} of group {by} as \"{name}\""))
            }
            Self::Free { taken, .. } | Self::MoveAside(taken) => {
                let why = "the team of another group, which gives it up, still has the name";
                let TakenName { by, team, .. } = taken;
                on(action::RENAME_TEAM, why, team).saying(format!(
                    "free the name \"{name}\", which team {team} of group {by} has"
                ))
            }
            Self::InDoubt(_) => return None,
        })
    }
}

/// Plans the team of `group`, to be named `name`. Pure.
///
/// # Errors
/// Permanent, when a team that cannot become the group's has the name. Retryable, when the list does not show exactly one
/// root team.
pub(crate) fn plan_team(
    group: &OktaGroupId,
    name: &str,
    link: Option<&TeamLink>,
    teams: &[Team],
    owners: &HashMap<TeamId, OktaGroupId>,
) -> Result<Decided, Failure> {
    let own = link.and_then(|link| teams.iter().find(|team| team.id == link.team_id));
    let bearer = teams
        .iter()
        .filter(|team| team.name.eq_ignore_ascii_case(name))
        .min_by_key(|team| team.name != name);
    if let Some(own) = own {
        if own.name == name {
            return Ok(Decided::Here(TeamPlan::Keep(own.id.clone())));
        }
        let Some(bearer) = bearer.filter(|bearer| bearer.id != own.id) else {
            return Ok(Decided::Here(TeamPlan::Rename(own.id.clone())));
        };
        return match owners.get(&bearer.id) {
            Some(owner) if owner != group => Ok(Decided::ByNameOwner(TakenName {
                by: owner.clone(),
                team: bearer.id.clone(),
                own: Some(own.id.clone()),
                can_be_adopted: false,
            })),
            _ => Err(name_taken()),
        };
    }
    let root = internal_root(teams)?;
    let Some(bearer) = bearer else {
        let root = root.id.clone();
        return Ok(Decided::Here(TeamPlan::Create { root }));
    };
    let can_be_adopted = bearer.is_child_of(&root.id);
    match owners.get(&bearer.id) {
        Some(owner) if owner != group => Ok(Decided::ByNameOwner(TakenName {
            by: owner.clone(),
            team: bearer.id.clone(),
            own: None,
            can_be_adopted,
        })),
        _ if !can_be_adopted => Err(name_taken()),
        _ if bearer.name == name => Ok(Decided::Here(TeamPlan::Adopt(bearer.id.clone()))),
        _ => Ok(Decided::Here(TeamPlan::AdoptAndRename(bearer.id.clone()))),
    }
}

/// Fails if a linked team may exist but could not be read. Otherwise the run would create a second team for the group.
///
/// # Errors
/// Retryable, when `listed` does not show the team but may contain it.
pub(in crate::provision) fn check_team_read(
    team: &TeamId,
    listed: &Listed<Team>,
) -> Result<(), Failure> {
    let is_read = listed.items.iter().any(|found| found.id == *team);
    let may_be_unread = !listed.is_complete() || listed.ids_unread().any(|id: TeamId| id == *team);
    if !is_read && may_be_unread {
        return Err(team_unread(team));
    }
    Ok(())
}

/// The problem of a linked team that somebody moved below another team. The program does not move it back. Its members
/// follow the group in any place.
pub(crate) fn misplaced(group: &OktaGroupId, team: &Team) -> Option<Failure> {
    let [_, .., parent] = team.ancestors.as_slice() else {
        return None;
    };
    let what = format!(
        "team {} of group {group} hangs below team {parent}, not directly below the root team. Its members follow the \
         group, and it stays there.",
        team.id
    );
    let advice = "Move the team directly below the root team in Anypoint.";
    Some(Failure::permanent(Side::Anypoint, what, advice))
}

/// The failure when a linked team could not be read.
pub(crate) fn team_unread(team: &TeamId) -> Failure {
    let what = format!("the linked team {team} could not be read; nothing was changed");
    Failure::retryable(Side::Anypoint, what).because(Cause::Unreadable)
}

/// The root of the internal teams.
///
/// # Errors
/// Retryable, when the list does not show exactly one. An entry with a wrong place or type is then taken for a root team,
/// or the root team for another one.
pub(crate) fn internal_root(teams: &[Team]) -> Result<&Team, Failure> {
    let mut roots = teams.iter().filter(|team| team.is_internal_root());
    match (roots.next(), roots.next()) {
        (Some(root), None) => Ok(root),
        (None, _) => Err(Failure::retryable(
            Side::Anypoint,
            "the list of teams has no internal root team",
        )),
        (Some(_), Some(_)) => Err(contradiction(
            Side::Anypoint,
            "the list of teams has several internal root teams",
        )),
    }
}

/// The failure when Anypoint refused a name that no listed team has.
pub(super) fn unseen_name_taken() -> Failure {
    contradiction(
        Side::Anypoint,
        "another team has the team name, and the list of teams does not show it",
    )
}

pub(super) fn name_taken() -> Failure {
    let what = "another team of the organization has the team name: names are unique across the whole organization.";
    let advice = "Rename one of the two, the group in Okta or the team in Anypoint.";
    Failure::permanent(Side::Anypoint, what, advice).because(Cause::TeamNameTaken)
}

pub(super) fn two_groups(other: &OktaGroupId) -> Failure {
    let what = format!("group {other} has the same team name, and a name belongs to one team.");
    let advice = "Rename one of the two groups in Okta.";
    Failure::permanent(Side::Okta, what, advice).because(Cause::TeamNameTaken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Origin;

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
        match decided(name, link, owners)? {
            Decided::Here(plan) => Ok(plan),
            Decided::ByNameOwner(taken) => panic!("{taken:?}"),
        }
    }

    fn decided(
        name: &str,
        link: Option<&str>,
        owners: &[(&str, &str)],
    ) -> Result<Decided, Failure> {
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
    fn the_plan_follows_from_link_name_and_owner() {
        assert_eq!(
            plan("New", None, &[]).unwrap(),
            TeamPlan::Create { root: id("root") }
        );
        assert_eq!(plan("Ops", None, &[]).unwrap(), TeamPlan::Adopt(id("t1")));
        assert_eq!(
            plan("Ops", None, &[("t1", "00g1")]).unwrap(),
            TeamPlan::Adopt(id("t1")),
            "the group's own team, whose link was lost"
        );
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
            "a team that was deleted by hand is created again"
        );
    }

    #[test]
    fn a_name_that_another_groups_team_has_is_up_to_that_group() {
        for (name, team, link, can_be_adopted) in [
            ("Ops", "t1", None, true),
            ("Ops", "t1", Some("t2"), false),
            ("Deep", "deep", None, false),
        ] {
            let found = decided(name, link, &[(team, "00g2")]).unwrap();
            let expected = TakenName {
                by: group("00g2"),
                team: id(team),
                own: link.map(id),
                can_be_adopted,
            };
            assert_eq!(found, Decided::ByNameOwner(expected), "{name}");
        }
    }

    /// An entry with a wrong place looks like a second root team.
    #[test]
    fn several_root_teams_are_a_contradiction() {
        let teams = [team("finance", "0", &[]), team("root", "Whatever", &[])];
        let found = plan_team(&group("00g1"), "Ops", None, &teams, &HashMap::new()).unwrap_err();
        assert!(found.is_retryable() && found.cause == Cause::Contradiction);
    }

    #[test]
    fn only_a_team_below_another_team_is_misplaced() {
        for ancestors in [&[][..], &["root"]] {
            assert_eq!(
                misplaced(&group("00g1"), &team("t1", "Ops", ancestors)),
                None
            );
        }
        let found = misplaced(&group("00g1"), &team("t1", "Ops", &["root", "up", "t2"]));
        let text = found.unwrap().to_string();
        assert!(
            ["00g1", "team t1", "team t2", "Move"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
    }

    /// Only a broken table links a group to two teams. The group cannot free the name for itself.
    #[test]
    fn a_name_of_another_team_of_the_same_group_is_taken() {
        let failure = plan("Ops", Some("t2"), &[("t1", "00g1"), ("t2", "00g1")]).unwrap_err();
        assert_eq!(failure, name_taken());
    }

    /// Names that differ only in case can exist together. The exact name of the group wins.
    #[test]
    fn the_team_with_the_exact_name_is_adopted() {
        let teams = [
            team("root", "Whatever", &[]),
            team("t1", "OPS", &["root"]),
            team("t2", "Ops", &["root"]),
            team("t3", "ops", &["root"]),
        ];
        for (name, own) in [("OPS", "t1"), ("Ops", "t2"), ("ops", "t3")] {
            let plan = plan_team(&group("00g1"), name, None, &teams, &HashMap::new());
            let adopted = Decided::Here(TeamPlan::Adopt(id(own)));
            assert_eq!(plan.unwrap(), adopted, "{name}");
        }
    }

    #[test]
    fn a_name_of_another_team_elsewhere_is_a_permanent_failure() {
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
