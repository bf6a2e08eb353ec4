//! The expected team of each group in the end, its members, and the reasons for a missing one.

use std::collections::{BTreeMap, BTreeSet};

use okta_anypoint::provision::TeamRemoval;
use okta_anypoint::simulator::anypoint::Team;
use okta_anypoint::simulator::okta::OktaGroup;
use okta_anypoint::store::Tenure;

use super::{Model, Place, TeamName};

impl<'a> Model<'a> {
    fn team_of(&self, group: &str) -> Option<&'a Team> {
        let link = self.end.team_links.get(group)?;
        self.end.anypoint.teams.get(link.team_id.as_str())
    }

    fn group_of(&self, team: &str) -> Option<&'a str> {
        self.end
            .team_links
            .iter()
            .find(|(_, link)| link.team_id.as_str() == team)
            .map(|(group, _)| group.as_str())
    }

    pub(super) fn team_names(&mut self) -> BTreeMap<&'a str, TeamName> {
        let end = self.end;
        let mut names = BTreeMap::new();
        // First the groups that have their names, because others may be refused because of them.
        let mut waiting: Vec<&'a OktaGroup> = Vec::new();
        for group in &end.groups {
            let Some(found) = self.wish().group(group) else {
                if end.okta.groups.contains_key(group) {
                    names.insert(group.as_str(), TeamName::NotPushed);
                }
                continue;
            };
            match self.wish().team_name(found) {
                None => {
                    names.insert(group, TeamName::Refused(&["the group's name is"]));
                }
                Some(name)
                    if self.team_of(group).is_some_and(|team| {
                        team.name == name || team.name == told_apart(&name, group)
                    }) =>
                {
                    names.insert(group, TeamName::Right);
                }
                Some(_) => waiting.push(found),
            }
        }
        // A waiting group needs a reason. A chain of waiting groups ends at one.
        while let Some(at) = waiting.iter().position(|group| {
            let reason = self.why_no_team(group, &names);
            if let Some(words) = reason {
                names.insert(group.id.as_str(), TeamName::Refused(words));
            }
            reason.is_some()
        }) {
            waiting.remove(at);
        }
        for group in waiting {
            let own = self.team_of(&group.id).map(|team| &team.name);
            self.problem(format!(
                "{} `{}` has no team of its name, for no reason (its team: {own:?})",
                group.id,
                group.name()
            ));
            names.insert(group.id.as_str(), TeamName::Refused(&[""]));
        }
        names
    }

    fn why_no_team(
        &self,
        group: &OktaGroup,
        known: &BTreeMap<&str, TeamName>,
    ) -> Option<&'static [&'static str]> {
        const TAKEN: &[&str] = &["another team of the organization"];
        let name = self.wish().team_name(group)?;
        let own = self.team_of(&group.id);
        let mut bearers: Vec<&Team> = self
            .end
            .anypoint
            .teams
            .values()
            .filter(|team| team.name.eq_ignore_ascii_case(&name))
            .filter(|team| own.is_none_or(|own| own.id != team.id))
            .collect();
        bearers.sort_by_key(|team| team.name != name);
        let bearer = bearers.first()?;
        let below_root = bearer.ancestors.last() == Some(&self.end.anypoint.root_team_id);
        let Some(owner) = self.group_of(&bearer.id) else {
            return (own.is_some() || !below_root).then_some(TAKEN);
        };
        // The team of a group that is not pushed moves aside.
        let other = self.wish().group(owner)?;
        if self
            .wish()
            .team_name(other)
            .is_some_and(|theirs| theirs.eq_ignore_ascii_case(&name))
        {
            // A sanitized name gets the end of the group's id.
            let is_called = |group: &OktaGroup| group.name().eq_ignore_ascii_case(&name);
            let same: &[_] = &["has the same team name"];
            return (is_called(group) && is_called(other)).then_some(same);
        }
        match known.get(owner) {
            Some(TeamName::Refused(_)) => Some(&[
                "another team of the organization",
                "cannot get",
                "the group's name is",
                "has the same team name",
            ]),
            _ => None,
        }
    }

    pub(super) fn check_group(
        &mut self,
        group: &str,
        places: &BTreeMap<&str, Place>,
        names: &BTreeMap<&str, TeamName>,
    ) {
        let end = self.end;
        let subject = format!("group#{group}");
        let team = self.team_of(group);
        if self.wish().group(group).is_none() {
            match (self.policy().team_removal, team) {
                (TeamRemoval::Delete, Some(team)) => {
                    let parent = |other: &Team| other.ancestors.contains(&team.id);
                    if end.anypoint.teams.values().any(parent) {
                        self.expect_failed(&subject, &["teams below it"]);
                    } else {
                        self.problem(format!("{group} is not pushed, and its team is there"));
                    }
                    self.expect_members(team, &BTreeSet::new(), &BTreeSet::new());
                }
                (TeamRemoval::Empty, Some(team)) => {
                    self.expect_members(team, &BTreeSet::new(), &BTreeSet::new());
                    self.expect_done(&subject);
                }
                _ => self.expect_done(&subject),
            }
            return;
        }
        match &names[group] {
            TeamName::NotPushed => {}
            TeamName::Right => self.expect_done(&subject),
            TeamName::Refused(words) => {
                self.refusals += 1;
                self.expect_failed(&subject, words);
            }
        }
        let Some(team) = team else { return };
        let hand_made = end.hand.teams.contains_key(&team.id);
        if !hand_made && team.ancestors != [end.anypoint.root_team_id.clone()] {
            self.problem(format!(
                "the team of {group} hangs below {:?}",
                team.ancestors
            ));
        }
        let members = &end.okta.groups[group].members;
        let (mut wanted, mut spared) = (BTreeSet::new(), BTreeSet::new());
        for member in members {
            match places.get(member.as_str()) {
                Some(Place::In(account)) => {
                    wanted.insert(account.as_str());
                }
                Some(Place::Refused(_, Some(account))) => {
                    spared.insert(account.as_str());
                }
                _ => {}
            }
        }
        self.expect_members(team, &wanted, &spared);
    }

    /// Exactly `wanted` among the plain members that the program owns. `spared` may be in or out.
    fn expect_members(&mut self, team: &Team, wanted: &BTreeSet<&str>, spared: &BTreeSet<&str>) {
        for account in wanted {
            if !team.members.contains_key(*account) {
                self.problem(format!("`{}` lacks {}", team.name, self.called(account)));
            }
        }
        for (account, member) in &team.members {
            let plain = member.membership_type == "member" && !member.external;
            let ours = match self.end.owners.get(account) {
                Some((_, Tenure::Current)) => true,
                // A former account left its teams when it was disabled, except for a team that was kept.
                Some((_, Tenure::Former)) => {
                    let by_hand = (team.id.clone(), account.clone());
                    self.policy().team_removal != TeamRemoval::Keep
                        && !self.end.hand.members.contains_key(&by_hand)
                }
                None => false,
            };
            let known = wanted.contains(account.as_str()) || spared.contains(account.as_str());
            if plain && ours && !known {
                self.problem(format!(
                    "`{}` still holds {}",
                    team.name,
                    self.called(account)
                ));
            }
        }
    }
}

/// A team name with the end of the group's id.
fn told_apart(name: &str, group: &str) -> String {
    format!("{name} {}", &group[group.len().saturating_sub(6)..])
}
