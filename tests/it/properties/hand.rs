//! What people do by hand in Anypoint, and a record of everything they own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use okta_anypoint::simulator::anypoint::{AnypointUser, AnypointWorld, Member, Team};
use okta_anypoint::store::Tenure;

use super::history::{EMAILS, Join, Step, TEAMS, USERNAMES};

/// The last state of everything made or changed by hand.
#[derive(Clone, Default)]
pub struct Hand {
    /// Every account that was ever made by hand.
    pub made: BTreeSet<String>,
    /// Those of them that still exist.
    pub accounts: BTreeMap<String, AnypointUser>,
    /// Teams that were made by hand, members left out.
    pub teams: BTreeMap<String, Team>,
    /// Memberships that were made by hand, by team and account.
    pub members: BTreeMap<(String, String), Member>,
}

impl Hand {
    /// `None` if there was no suitable object, or Anypoint refused.
    pub fn does(
        &mut self,
        step: &Step,
        anypoint: &mut AnypointWorld,
        owners: &HashMap<String, (String, Tenure)>,
        linked_teams: &BTreeSet<String>,
    ) -> Option<()> {
        // Former accounts are left alone, because no look reads them any more.
        let accounts: Vec<String> = anypoint
            .users
            .keys()
            .filter(|id| {
                owners
                    .get(*id)
                    .is_none_or(|(_, tenure)| *tenure == Tenure::Current)
            })
            // People do not change an orphaned account.
            .filter(|id| owners.contains_key(*id) || self.accounts.contains_key(*id))
            .cloned()
            .collect();
        let root = anypoint.root_team_id.clone();
        let teams: Vec<String> = anypoint
            .teams
            .keys()
            .filter(|id| **id != root)
            .filter(|id| linked_teams.contains(*id) || self.teams.contains_key(*id))
            .cloned()
            .collect();
        let account = |n: &usize| pick(&accounts, *n);
        let team = |n: &usize| pick(&teams, *n);
        match step {
            Step::HandUser {
                name,
                email,
                enabled,
            } => {
                let name = USERNAMES[*name].replace('.', "_");
                let id = anypoint
                    .add_user(&name, "Hand", "Made", EMAILS[*email])
                    .ok()?;
                if !enabled {
                    anypoint.disable(&id).ok()?;
                }
                self.made.insert(id.clone());
                self.accounts
                    .insert(id.clone(), anypoint.users[&id].clone());
            }
            Step::SsoUser { name } => {
                let id = anypoint.add_sso_user(USERNAMES[*name], "S", "So", EMAILS[0], "idp-1");
                self.made.insert(id.clone());
                self.accounts
                    .insert(id.clone(), anypoint.users[&id].clone());
            }
            Step::HandTeam { name, parent } => {
                let parent = match parent {
                    Some(n) => Some(team(n)?),
                    None => None,
                };
                let id = anypoint.add_team(TEAMS[*name], parent).ok()?;
                self.note_team(anypoint, &id);
            }
            Step::HandJoin {
                account: a,
                team: t,
                how,
            } => {
                let (account, team) = (account(a)?, team(t)?);
                match how {
                    Join::Plain => anypoint.add_member(team, account, "member"),
                    Join::Maintainer => anypoint.add_member(team, account, "maintainer"),
                    Join::External => anypoint.mark_external(team, account),
                }
                .ok()?;
                let member = anypoint.teams[team].members[account].clone();
                self.members
                    .insert((team.to_owned(), account.to_owned()), member);
            }
            Step::HandLeave {
                account: a,
                team: t,
            } => {
                let (account, team) = (account(a)?, team(t)?);
                anypoint.remove_member(team, account).ok()?;
                self.members.remove(&(team.to_owned(), account.to_owned()));
            }
            Step::HandEnable {
                account: a,
                enabled,
            } => {
                let id = account(a)?;
                anypoint
                    .edit_user(id, |user| user.enabled = *enabled)
                    .ok()?;
                self.note_account(anypoint, id);
            }
            Step::HandName { account: a } => {
                let id = account(a)?;
                let drift = |user: &mut AnypointUser| {
                    user.last_name = "Drifted".to_owned();
                    user.phone_number = Some("555-0999".to_owned());
                };
                anypoint.edit_user(id, drift).ok()?;
                self.note_account(anypoint, id);
            }
            Step::HandRenameTeam { team: t, name } => {
                let id = team(t)?;
                anypoint.rename_team(id, TEAMS[*name]).ok()?;
                if self.teams.contains_key(id) {
                    self.note_team(anypoint, id);
                }
            }
            Step::HandDeleteTeam { team: t } => {
                anypoint.delete_team(team(t)?).ok()?;
                self.teams.retain(|id, _| anypoint.teams.contains_key(id));
                self.members
                    .retain(|(team, _), _| anypoint.teams.contains_key(team));
            }
            Step::HandDeleteAccount { account: a } => {
                let id = account(a)?;
                anypoint.delete_user(id).ok()?;
                self.accounts.remove(id);
                self.members.retain(|(_, account), _| account != id);
            }
            Step::ForeignName { name } => {
                let name = USERNAMES[*name];
                if anypoint.username_taken(name) {
                    return None;
                }
                anypoint.foreign_usernames.insert(name.to_owned());
            }
            Step::RevokeTokens => anypoint.revoke_tokens(),
            _ => unreachable!("a step by hand"),
        }
        Some(())
    }

    fn note_account(&mut self, anypoint: &AnypointWorld, id: &str) {
        if let Some(noted) = self.accounts.get_mut(id) {
            *noted = anypoint.users[id].clone();
        }
    }

    fn note_team(&mut self, anypoint: &AnypointWorld, id: &str) {
        self.teams.insert(id.to_owned(), anypoint.teams[id].clone());
    }
}

fn pick(ids: &[String], n: usize) -> Option<&str> {
    (!ids.is_empty()).then(|| ids[n % ids.len()].as_str())
}
