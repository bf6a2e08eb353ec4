//! Accounts, teams, memberships and mails that the program does not own and must leave unchanged.

use okta_anypoint::provision::{Adopt, ResetEmail, TeamRemoval};
use okta_anypoint::simulator::anypoint::{AnypointUser, Member, NATIVE, Team};
use okta_anypoint::store::{Origin, Tenure};
use serde_json::json;

use super::Model;
use crate::properties::rig::OWNER;

impl Model<'_> {
    pub(super) fn check_accounts(&mut self) {
        let end = self.end;
        let everybody = end.anypoint.users.values();
        for account in everybody.clone() {
            let first = &end.account_emails[&account.id];
            if *first != account.email {
                self.problem(format!("the address of {} was changed", account.username));
            }
            if account.username == OWNER {
                continue;
            }
            let by_hand = end.hand.accounts.get(&account.id);
            match (end.owners.get(&account.id), by_hand) {
                // An orphaned account is disabled, and may be adopted later.
                (None, None) if !account.enabled => {}
                (None, None) => self.problem(format!("nobody has {account:?}")),
                (None, Some(noted)) => {
                    if json!(noted) != json!(account) {
                        self.problem(format!("{noted:?} was changed to {account:?}"));
                    }
                }
                (Some((owner, tenure)), by_hand) => {
                    if *tenure == Tenure::Former && account.enabled {
                        self.problem(format!("former account {} is open", account.username));
                    }
                    if let Some(noted) = by_hand {
                        self.check_adoption(owner, noted);
                    }
                }
            }
        }
        for id in end.hand.accounts.keys() {
            if !end.anypoint.users.contains_key(id) {
                self.problem(format!("account {id} is gone"));
            }
        }
        for (user, link) in &end.user_links {
            let owner = end.owners.get(link.anypoint_id.as_str());
            if owner != Some(&(user.clone(), Tenure::Current)) {
                self.problem(format!("{user} and {owner:?} have one account"));
            }
        }
    }

    fn check_adoption(&mut self, owner: &str, account: &AnypointUser) {
        if account.idprovider_id != NATIVE {
            self.problem(format!(
                "single sign-on user {} was taken",
                account.username
            ));
        }
        let ever_had = &self.end.emails[owner];
        let allowed = match self.policy().adopt {
            Adopt::Never => false,
            Adopt::Username => true,
            Adopt::UsernameAndEmail => ever_had.contains(&account.email.to_lowercase()),
        };
        if !allowed {
            self.problem(format!(
                "{owner} took `{}`, which ADOPT does not allow",
                account.username
            ));
        }
        let link = self.end.user_links.get(owner);
        if link.is_some_and(|link| {
            link.anypoint_id.as_str() == account.id && link.origin == Origin::Created
        }) {
            self.problem(format!("`{}` counts as created", account.username));
        }
    }

    pub(super) fn check_teams(&mut self) {
        let end = self.end;
        let root = &end.anypoint.teams[&end.anypoint.root_team_id];
        if !root.members.is_empty() || root.name != "Everyone at Acme" {
            self.problem("the root team was changed");
        }
        for (id, noted) in &end.hand.teams {
            let Some(team) = end.anypoint.teams.get(id) else {
                if !end.teams_deleted_by_program.contains(id) {
                    self.problem(format!("hand-made team `{}` is gone", noted.name));
                }
                continue;
            };
            let linked = end.teams_ever_linked.contains(id);
            let same = noted.team_type == team.team_type
                && noted.ancestors == team.ancestors
                && (linked || (noted.name == team.name && noted.updated_at == team.updated_at));
            if !same {
                self.problem(format!("hand-made team `{}` was changed", noted.name));
            }
        }
        for id in &end.teams_deleted_by_program {
            let ours = end.teams_ever_linked.contains(id) || !end.hand.teams.contains_key(id);
            if self.policy().team_removal != TeamRemoval::Delete || !ours {
                self.problem(format!("team {id} was deleted"));
            }
        }
        for team in end.anypoint.teams.values() {
            if team.id == root.id {
                continue;
            }
            let ours = end.teams_ever_linked.contains(&team.id);
            let by_hand = end.hand.teams.contains_key(&team.id);
            if !ours && !by_hand && !team.members.is_empty() {
                self.problem(format!("nobody's team `{}` has members", team.name));
            }
            self.check_memberships(team, ours);
        }
    }

    fn check_memberships(&mut self, team: &Team, ours: bool) {
        let end = self.end;
        let is_special = |member: &Member| member.membership_type != "member" || member.external;
        for ((team_id, account), noted) in &end.hand.members {
            if *team_id != team.id {
                continue;
            }
            let may_change = ours && end.owners.contains_key(account) && !is_special(noted);
            if !may_change && team.members.get(account) != Some(noted) {
                self.problem(format!(
                    "in `{}` the {} of {} became {:?}",
                    team.name,
                    noted.membership_type,
                    self.called(account),
                    team.members.get(account)
                ));
            }
        }
        for (account, member) in &team.members {
            let noted = end
                .hand
                .members
                .contains_key(&(team.id.clone(), account.clone()));
            let made_by_us = ours && end.owners.contains_key(account) && !is_special(member);
            if !noted && !made_by_us {
                self.problem(format!(
                    "`{}` got {} as {}",
                    team.name,
                    self.called(account),
                    member.membership_type
                ));
            }
        }
    }

    pub(super) fn check_mails(&mut self) {
        let end = self.end;
        let all = end
            .anypoint
            .users
            .values()
            .chain(end.anypoint.deleted_users.values());
        for account in all {
            let mails = end
                .anypoint
                .mails
                .iter()
                .filter(|mail| mail.username.eq_ignore_ascii_case(&account.username))
                .count();
            let made_by_us = !end.hand.made.contains(&account.id) && account.username != OWNER;
            let sends = self.policy().reset_email == ResetEmail::Send;
            let right = match (made_by_us && sends, self.faultless) {
                (true, true) => mails == 1,
                // An orphaned account is disabled without a mail.
                (true, false) => true,
                (false, true) => mails == 0,
                (false, false) => made_by_us || mails == 0,
            };
            // An SSO user may have the name of an account that got a mail.
            if !right && account.idprovider_id == NATIVE {
                self.problem(format!("`{}` got {mails} mails", account.username));
            }
        }
    }
}
