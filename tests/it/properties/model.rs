//! What must be true when all is quiet, written from contract §4 alone: nothing here calls a planner.

use std::collections::{BTreeMap, BTreeSet};

use okta_anypoint::ledger::{Record, Status};
use okta_anypoint::provision::{
    Adopt, GroupSelection, Policy, ResetEmail, SuspendedUsers, TeamNamePolicy, TeamRemoval,
    UsernamePolicy,
};
use okta_anypoint::simulator::anypoint::{AnypointUser, Member, NATIVE, Team};
use okta_anypoint::simulator::okta::{OktaGroup, OktaUser, UserStatus};
use okta_anypoint::store::{Origin, Tenure};
use serde_json::json;

use super::rig::End;
use crate::world::APP;

/// Words of the failures that have a true reason in these histories.
pub const TRUE_REASONS: [&str; 12] = [
    "characters that Anypoint does not take in a username",
    "shorter than the three characters",
    "belongs to Okta user",
    "is linked to Okta user",
    "has another e-mail address",
    "ADOPT=never",
    "taken outside this organization",
    "the group's name is",
    "taken by another team",
    "has the same team name",
    "teams below it",
    "cannot get a name of its own",
];

/// Where a user ended.
enum Place {
    /// No enabled account is wanted.
    Out,
    /// The linked account is the wanted one.
    In(String),
    /// The wanted account cannot be had; words of the reason, and the account that stays meanwhile.
    Refused(&'static [&'static str], Option<String>),
}

pub struct Model<'a> {
    end: &'a End,
    faultless: bool,
    pub problems: Vec<String>,
    /// Refusals that had a true reason, for the summary.
    pub refusals: usize,
}

pub fn check(end: &End, faultless: bool) -> Model<'_> {
    let mut model = Model {
        end,
        faultless,
        problems: Vec::new(),
        refusals: 0,
    };
    let places: BTreeMap<&str, Place> = end
        .users
        .iter()
        .map(|user| (user.as_str(), model.place(user)))
        .collect();
    let names = model.team_names();
    for (user, place) in &places {
        model.check_user(user, place, &names);
    }
    for group in &end.groups {
        model.check_group(group, &places, &names);
    }
    model.check_accounts();
    model.check_teams();
    model.check_mails();
    model
}

/// Where a group's team ended.
enum TeamName {
    /// The group is not pushed.
    NotPushed,
    /// The team is there, below the root, with the right name.
    Right,
    /// The name cannot be had; words of the reason.
    Refused(&'static [&'static str]),
}

impl<'a> Model<'a> {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn policy(&self) -> &'a Policy {
        &self.end.policy
    }

    // ---- Okta's side ----

    fn wanted_user(&self, user: &str) -> Option<&'a OktaUser> {
        let found = self.end.okta.users.get(user)?;
        let suspended = found.status == UserStatus::Suspended
            && self.policy().suspended == SuspendedUsers::Deactivate;
        let assigned = self.end.okta.apps[APP].users.contains_key(user);
        (assigned && !suspended && found.status != UserStatus::Deprovisioned).then_some(found)
    }

    fn pushed_group(&self, group: &str) -> Option<&'a OktaGroup> {
        let found = self.end.okta.groups.get(group)?;
        let pushed = match &self.policy().groups {
            GroupSelection::Assigned => self.end.okta.apps[APP].groups.contains_key(group),
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

    /// The username that is wanted, or words of the refusal.
    fn username(&self, user: &str) -> Result<String, &'static [&'static str]> {
        let asked = self.end.okta.apps[APP].users[user].user_name.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.policy().usernames == UsernamePolicy::Strict && !asked.chars().all(fits) {
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

    fn team_name(&self, group: &OktaGroup) -> Option<String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_ ".contains(c);
        let name = group.name();
        if self.policy().team_names == TeamNamePolicy::Strict && !name.chars().all(fits) {
            return None;
        }
        let name: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '-' })
            .collect();
        (!name.trim().is_empty()).then_some(name)
    }

    // ---- Users ----

    fn place(&mut self, user: &str) -> Place {
        if self.wanted_user(user).is_none() {
            return Place::Out;
        }
        let end = self.end;
        let linked = end
            .user_links
            .get(user)
            .and_then(|link| end.anypoint.users.get(link.anypoint_id.as_str()));
        let stays = linked.map(|account| account.id.clone());
        let name = match self.username(user) {
            Ok(name) => name,
            Err(words) => return Place::Refused(words, stays),
        };
        if let Some(account) = linked
            && account.username.eq_ignore_ascii_case(&name)
        {
            return Place::In(account.id.clone());
        }
        match self.why_not(user, &name) {
            Ok(words) => Place::Refused(words, stays),
            Err(problem) => {
                self.problem(format!("{user} wants `{name}`: {problem}"));
                Place::Refused(&[""], stays)
            }
        }
    }

    /// Why a user who wants `name` does not have it.
    fn why_not(&self, user: &str, name: &str) -> Result<&'static [&'static str], String> {
        let Some(account) = self.end.anypoint.user_by_username(name) else {
            return match self.end.anypoint.username_taken(name) {
                true => Ok(&["taken outside this organization"]),
                false => Err("the name is free, and there is no account".to_owned()),
            };
        };
        match self.end.owners.get(&account.id) {
            Some((owner, Tenure::Current)) if owner != user => {
                return match self.end.okta.users.contains_key(owner) {
                    true => Ok(&["belongs to Okta user", "is linked to Okta user"]),
                    false => self.may_not_adopt(user, account),
                };
            }
            Some((owner, _)) if owner == user => {
                return Err("it is this user's own account".to_owned());
            }
            _ => {}
        }
        self.may_not_adopt(user, account)
    }

    fn may_not_adopt(
        &self,
        user: &str,
        account: &AnypointUser,
    ) -> Result<&'static [&'static str], String> {
        let same = account
            .email
            .eq_ignore_ascii_case(self.end.okta.users[user].attribute("email"));
        match self.policy().adopt {
            Adopt::Never => Ok(&["ADOPT=never"]),
            Adopt::UsernameAndEmail if !same => Ok(&["has another e-mail address"]),
            adopt => Err(format!("{adopt:?} allows to adopt the account")),
        }
    }

    fn check_user(&mut self, user: &str, place: &Place, names: &BTreeMap<&str, TeamName>) {
        let end = self.end;
        let account = end
            .user_links
            .get(user)
            .and_then(|link| end.anypoint.users.get(link.anypoint_id.as_str()));
        match place {
            Place::Out => {
                if let Some(account) = account.filter(|account| account.enabled) {
                    self.problem(format!("{user} is out, and `{}` is open", account.username));
                }
                self.expect_done(&format!("user#{user}"));
            }
            Place::In(_) => {
                let (Some(account), Some(okta)) = (account, self.wanted_user(user)) else {
                    return self.problem(format!("{user} has no account"));
                };
                let phone = ["mobilePhone", "primaryPhone"]
                    .map(|field| okta.attribute(field).trim())
                    .into_iter()
                    .find(|phone| !phone.is_empty());
                let agrees = account.enabled
                    && account.first_name == okta.attribute("firstName").trim()
                    && account.last_name == okta.attribute("lastName").trim()
                    && phone.is_none_or(|phone| account.phone_number.as_deref() == Some(phone));
                if !agrees {
                    self.problem(format!("{user} and {account:?} do not agree"));
                }
                // A team that cannot be had is told of in the events of its members, too.
                let words: Vec<&str> = names
                    .iter()
                    .filter(|(group, _)| end.okta.groups[**group].members.contains(user))
                    .filter_map(|(_, name)| match name {
                        TeamName::Refused(words) => Some(words.iter().copied()),
                        _ => None,
                    })
                    .flatten()
                    .collect();
                let subject = format!("user#{user}");
                if words.is_empty() {
                    self.expect_done(&subject);
                } else {
                    self.expect_done_or_failed(&subject, &words);
                }
            }
            Place::Refused(words, _) => {
                self.refusals += 1;
                self.expect_failed(&format!("user#{user}"), words);
            }
        }
    }

    fn record(&self, subject: &str) -> &'a Record {
        &self.end.last_looks[subject]
    }

    fn expect_done(&mut self, subject: &str) {
        let record = self.record(subject);
        if record.status != Status::Done {
            self.problem(format!(
                "{subject} should agree, and failed: {:?}",
                record.error
            ));
        }
    }

    fn expect_done_or_failed(&mut self, subject: &str, words: &[&str]) {
        if self.record(subject).status != Status::Done {
            self.expect_failed(subject, words);
        }
    }

    fn expect_failed(&mut self, subject: &str, words: &[&str]) {
        let record = self.record(subject);
        let text = record.error.as_deref().unwrap_or_default();
        if record.status != Status::Failed || !words.iter().any(|word| text.contains(word)) {
            self.problem(format!(
                "{subject} should fail because of {words:?}, and is {:?}: {text:?}",
                record.status
            ));
        }
    }

    // ---- Groups ----

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

    fn team_names(&mut self) -> BTreeMap<&'a str, TeamName> {
        let end = self.end;
        let mut names = BTreeMap::new();
        // Those that have their name first: others may be refused because of them.
        let mut waiting: Vec<&'a OktaGroup> = Vec::new();
        for group in &end.groups {
            let Some(found) = self.pushed_group(group) else {
                if end.okta.groups.contains_key(group) {
                    names.insert(group.as_str(), TeamName::NotPushed);
                }
                continue;
            };
            match self.team_name(found) {
                None => {
                    names.insert(group, TeamName::Refused(&["the group's name is"]));
                }
                Some(name) if self.team_of(group).is_some_and(|team| team.name == name) => {
                    names.insert(group, TeamName::Right);
                }
                Some(_) => waiting.push(found),
            }
        }
        // Whoever waits needs a reason; a chain of those who wait ends at one.
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
        const TAKEN: &[&str] = &["taken by another team"];
        let name = self.team_name(group)?;
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
        let Some(other) = self.pushed_group(owner) else {
            return own.is_some().then_some(TAKEN);
        };
        if self
            .team_name(other)
            .is_some_and(|theirs| theirs.eq_ignore_ascii_case(&name))
        {
            return Some(&["has the same team name"]);
        }
        match known.get(owner) {
            Some(TeamName::Refused(_)) => Some(&[
                "taken by another team",
                "cannot get",
                "the group's name is",
                "has the same team name",
            ]),
            _ => None,
        }
    }

    fn check_group(
        &mut self,
        group: &str,
        places: &BTreeMap<&str, Place>,
        names: &BTreeMap<&str, TeamName>,
    ) {
        let end = self.end;
        let subject = format!("group#{group}");
        let team = self.team_of(group);
        if self.pushed_group(group).is_none() {
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

    /// Exactly `wanted` among the plain members that are ours; `spared` may be in or out.
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
                // A former account left its teams when it was closed, but for one that was kept then.
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

    fn called(&self, account: &str) -> String {
        let owner = self.end.owners.get(account);
        let name = self
            .end
            .anypoint
            .users
            .get(account)
            .map(|user| &user.username);
        format!("{account} {name:?} of {owner:?}")
    }

    // ---- What is not ours ----

    fn check_accounts(&mut self) {
        let end = self.end;
        let everybody = end.anypoint.users.values();
        for account in everybody.clone() {
            let first = &end.account_emails[&account.id];
            if *first != account.email {
                self.problem(format!("the address of {} was changed", account.username));
            }
            let by_hand = end.hand.accounts.get(&account.id);
            match (end.owners.get(&account.id), by_hand) {
                // What a cut-off run left behind is closed, and may be adopted later.
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

    fn check_teams(&mut self) {
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

    fn check_mails(&mut self) {
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
            let made_by_us = !end.hand.made.contains(&account.id);
            let sends = self.policy().reset_email == ResetEmail::Send;
            let right = match (made_by_us && sends, self.faultless) {
                (true, true) => mails == 1,
                // One that a cut-off run left behind is closed without a mail.
                (true, false) => true,
                (false, true) => mails == 0,
                (false, false) => made_by_us || mails == 0,
            };
            // An SSO user may bear the name of an account that got a mail.
            if !right && account.idprovider_id == NATIVE {
                self.problem(format!("`{}` got {mails} mails", account.username));
            }
        }
    }
}
