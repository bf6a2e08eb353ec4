//! Links a group to a team that has another name, at an operator's command.

use std::collections::HashMap;

use super::plan::internal_root;
use crate::anypoint::Team;
use crate::failure::{Cause, Failure, Side};
use crate::ids::{OktaGroupId, Subject, TeamId};
use crate::provision::evidence::Evidence;
use crate::provision::exclusion::Exclusions;
use crate::provision::finding::Unpushed;
use crate::provision::group::GroupState;
use crate::provision::provisioner::Look;
use crate::store::TeamLink;

/// A group and the team that becomes its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// The team as it is now.
    pub team: Team,
    /// The name that the next look gives it.
    pub name: String,
    /// The existing link, if the group is linked to this team.
    pub link: Option<TeamLink>,
}

impl Look<'_> {
    /// Finds the team that an operator names by its id or name, and checks that it can become the team of
    /// `group`. Changes nothing.
    ///
    /// # Errors
    /// When the pairing is refused, or a remote or the table does not answer.
    pub async fn pairing(&self, group: &OktaGroupId, team: &str) -> Result<Pairing, Failure> {
        let (ports, policy) = (self.ports, &self.ports.policy);
        let evidence = Evidence::without_events(ports.clock.now_ms(), policy.confirm.0);
        if policy.excluded.groups.ids.contains(group) {
            return Err(excluded(group));
        }
        let found = match self.group_state(group, &evidence).await?.0 {
            GroupState::Pushed(found) => found,
            GroupState::Excluded => return Err(excluded(group)),
            GroupState::Unpushed(why) => return Err(unpushed(group, why)),
        };
        let teams = ports.anypoint.list_teams(self.deadline).await?.telling();
        if !teams.is_complete() {
            return Err(Failure::retryable(
                Side::Anypoint,
                "the list of teams is incomplete; nothing was linked",
            ));
        }
        let teams = teams.items;
        let team = team_of(team, &teams)?;
        let link = ports.store.team_link(group).await?;
        let present = Some(team.name.as_str());
        let name = policy.team_names.team_name(group, found.name(), present)?;
        let concerned: Vec<TeamId> = teams
            .iter()
            .filter(|other| other.id == team.id || other.name.eq_ignore_ascii_case(&name))
            .map(|other| other.id.clone())
            .collect();
        let owners = ports.store.team_owners(&concerned).await?;
        check_pairing(group, team, &name, link.as_ref(), &teams, &owners)?;
        Ok(Pairing {
            team: team.clone(),
            name,
            link,
        })
    }
}

fn excluded(group: &OktaGroupId) -> Failure {
    Exclusions::refused(&Subject::Group(group.clone()))
}

// An event between two steps of an operator would give the group a new team, or give the team back to its old group.
const PAUSE: &str = "Pause the changes (`okta-anypoint pause`, on AWS `Changes=pause`)";
const RESUME: &str =
    "repeat this command, and resume them (`okta-anypoint resume`, on AWS `Changes=apply`).";

/// The refusal for a group that is not selected. With a link, the next reconcile would remove the pushed members from
/// the team, or delete the team, as `TEAM_REMOVAL` says.
fn unpushed(group: &OktaGroupId, why: Unpushed) -> Failure {
    let advice = match why {
        Unpushed::Gone => "Name a group that exists.".to_owned(),
        Unpushed::NotAssigned => format!("{PAUSE}, assign the group to the app, {RESUME}"),
        Unpushed::NotSelected | Unpushed::NotListed => {
            format!("{PAUSE}, select the group with PUSH_GROUPS, {RESUME}")
        }
    };
    let why = why.as_str();
    let what = format!("group {group} has no team: {why}; nothing was linked.");
    Failure::permanent(Side::Okta, what, advice)
}

/// Finds a team by id or name. Exact case decides between names that differ only in case.
fn team_of<'t>(text: &str, teams: &'t [Team]) -> Result<&'t Team, Failure> {
    let by_id = teams.iter().find(|team| team.id.as_str() == text);
    let spelt = teams.iter().find(|team| team.name == text);
    if let Some(team) = by_id.or(spelt) {
        return Ok(team);
    }
    let mut named = teams
        .iter()
        .filter(|team| team.name.eq_ignore_ascii_case(text));
    match (named.next(), named.next()) {
        (Some(team), None) => Ok(team),
        (None, _) => Err(Failure::permanent(
            Side::Anypoint,
            format!("no team of this organization has the id or name \"{text}\"."),
            "Name the team by its id, which is in the address of its page in Access Management.",
        )),
        (Some(one), Some(other)) => Err(Failure::permanent(
            Side::Anypoint,
            format!(
                "the team name \"{text}\" is not unique: teams {} and {} have it.",
                one.id, other.id
            ),
            "Name the team by its id.",
        )),
    }
}

/// How an operator unlinks `group` for good, and frees its name from the team that it had.
fn unlink_first(group: &OktaGroupId, left: Option<&TeamId>) -> String {
    let left = left.map_or_else(String::new, |team| {
        format!("delete or rename team {team} in Anypoint, ")
    });
    format!("{PAUSE}, unlink the group (`okta-anypoint unlink-group {group}`), {left}{RESUME}")
}

/// Whether `team` may become the team of `group`, whose team is to be named `name`. Pure.
///
/// # Errors
/// Permanent, when it may not, or when a team that keeps its name has that name.
fn check_pairing(
    group: &OktaGroupId,
    team: &Team,
    name: &str,
    link: Option<&TeamLink>,
    teams: &[Team],
    owners: &HashMap<TeamId, OktaGroupId>,
) -> Result<(), Failure> {
    let refused = |what: String, advice: String| {
        Err(Failure::permanent(Side::Anypoint, what, advice).because(Cause::LinkedElsewhere))
    };
    let misplaced = |what: &str| {
        let what = format!("team {} {what}; nothing was linked.", team.id);
        let advice = "Name an internal team directly below the root team.";
        Err(Failure::permanent(Side::Anypoint, what, advice))
    };
    if let Some(link) = link
        && link.team_id != team.id
    {
        let is_present = teams.iter().any(|team| team.id == link.team_id);
        return refused(
            format!(
                "group {group} is linked to team {} already; nothing was linked.",
                link.team_id
            ),
            unlink_first(group, is_present.then_some(&link.team_id)),
        );
    }
    if let Some(other) = owners.get(&team.id).filter(|owner| *owner != group) {
        return refused(
            format!(
                "team {} is linked to group {other}; nothing was linked.",
                team.id
            ),
            unlink_first(other, None),
        );
    }
    if team.ancestors.is_empty() {
        return misplaced("is a root team");
    }
    if !team.is_child_of(&internal_root(teams)?.id) {
        return misplaced("is not directly below the root team");
    }
    let has_name = |other: &&Team| other.id != team.id && other.name.eq_ignore_ascii_case(name);
    // A team of another group frees the name.
    let is_held = |other: &Team| owners.get(&other.id).is_some_and(|owner| owner != group);
    if let Some(bearer) = teams.iter().filter(has_name).find(|other| !is_held(other)) {
        let what = format!(
            "team {} has the name \"{name}\", which team {} is to get; nothing was linked.",
            bearer.id, team.id
        );
        let advice = format!(
            "{PAUSE}, rename or delete team {} in Anypoint, {RESUME}",
            bearer.id
        );
        return Err(Failure::permanent(Side::Anypoint, what, advice).because(Cause::TeamNameTaken));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Origin;

    fn teams() -> Vec<Team> {
        let teams = json!([
            {"team_id": "root", "team_name": "Acme", "ancestor_team_ids": []},
            {"team_id": "t1", "team_name": "Ops", "ancestor_team_ids": ["root"]},
            {"team_id": "t2", "team_name": "ops", "ancestor_team_ids": ["root"]},
            {"team_id": "t3", "team_name": "Devs", "ancestor_team_ids": ["root"]},
            {"team_id": "deep", "team_name": "Deep", "ancestor_team_ids": ["root", "t3"]},
        ]);
        let team = |team: &serde_json::Value| {
            let mut team = team.clone();
            team["team_type"] = json!("internal");
            serde_json::from_value(team).unwrap()
        };
        teams.as_array().unwrap().iter().map(team).collect()
    }

    fn check(
        team: &str,
        name: &str,
        link: Option<&str>,
        owner: Option<&str>,
    ) -> Result<(), String> {
        let teams = teams();
        let team = team_of(team, &teams).unwrap();
        let link = link.map(|team| TeamLink {
            team_id: TeamId::parse(team).unwrap(),
            team_name: String::new(),
            origin: Origin::Created,
        });
        let owner = owner.map(|owner| OktaGroupId::parse(owner).unwrap());
        let owners = owner.map(|owner| (team.id.clone(), owner));
        let owners = owners.into_iter().collect();
        let group = OktaGroupId::parse("00g1").unwrap();
        check_pairing(&group, team, name, link.as_ref(), &teams, &owners)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn teams_are_named_by_id_or_unique_name() {
        let teams = teams();
        let id = |text| team_of(text, &teams).map(|team| team.id.to_string());
        for (text, team) in [("t1", "t1"), ("ops", "t2"), ("Ops", "t1"), ("DEVS", "t3")] {
            assert_eq!(id(text).unwrap(), team);
        }
        assert!(id("OPS").unwrap_err().to_string().contains("t1 and t2"));
        assert!(!id("None").unwrap_err().is_retryable());
    }

    #[test]
    fn a_group_is_paired_with_a_team_unless_a_rule_forbids_it() {
        check("t3", "Engineers", None, None).unwrap();
        check("t3", "Engineers", Some("t3"), Some("00g1")).unwrap();
        for (team, name, link, owner, said) in [
            ("root", "Engineers", None, None, "is a root team"),
            ("deep", "Engineers", None, None, "not directly below"),
            ("t3", "Engineers", None, Some("00g2"), "unlink-group 00g2"),
            ("t3", "Engineers", Some("t1"), None, "unlink-group 00g1"),
            ("t3", "Ops", None, None, "team t1 has the name"),
        ] {
            let refused = check(team, name, link, owner).unwrap_err();
            assert!(refused.contains(said), "{team}: {refused}");
        }
    }
}
