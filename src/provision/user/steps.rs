//! A user's plan as steps, with reasons and in words.

use super::account::{AccountPlan, Retire};
use super::plan::UserPlan;
use super::view::WantedTeam;
use crate::anypoint::AccountChanges;
use crate::ids::{AccountId, TeamId};
use crate::provision::policy::ResetEmail;
use crate::provision::step::{Step, action};
use crate::store::UserLink;

/// Why the steps follow, in a plan and in the audit trail.
pub(super) mod why {
    pub(crate) const IS_THEIRS: &str = "the account belongs to the user now";
    pub(crate) const LINK_CHANGED: &str = "the link's contents changed";
    pub(crate) const MAIL_OWED: &str = "the owner was never sent the mail";
    pub(crate) const MAIL_IN_DOUBT: &str =
        "an earlier run created the account and may not have asked for the mail";
    pub(crate) const NEW_PASSWORD: &str = "a new account needs a password of its owner's choice";
    pub(crate) const IN_GROUP: &str = "the user is in the team's group";
    pub(crate) const NOT_IN_GROUP: &str = "the user is not in the team's group";
}

impl UserPlan {
    /// The steps of the plan, in the order in which the run applies them.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(Retire {
            account,
            disable: Some(changes),
            reason,
            ..
        }) = &self.orphan
        {
            steps.extend(update_step(account, changes, reason));
        }
        let link = match &self.account {
            AccountPlan::Nothing => None,
            AccountPlan::Keep {
                account,
                changes,
                link,
                mail,
                ..
            } => {
                steps.extend(update_step(account, changes, self.why));
                steps.extend(mail_step(*mail, why::MAIL_OWED));
                link.as_ref().map(|link| link_step(link, why::LINK_CHANGED))
            }
            AccountPlan::Adopt(adoption) => {
                let account = &adoption.link.anypoint_id;
                steps.extend(update_step(account, &adoption.changes, self.why));
                steps.extend(mail_step(adoption.mail, why::MAIL_IN_DOUBT));
                Some(link_step(&adoption.link, why::IS_THEIRS))
            }
            AccountPlan::Create { person, mail } => {
                let name = &person.username;
                let create = Step::new(action::CREATE_ACCOUNT, self.why);
                steps.push(create.saying(format!("create account \"{name}\"")));
                steps.extend(mail_step(*mail, why::NEW_PASSWORD));
                let words = format!("link the new account \"{name}\"");
                Some(Step::new(action::LINK, why::IS_THEIRS).saying(words))
            }
        };
        if let Some(retire) = &self.retire {
            if let Some(changes) = &retire.disable {
                steps.extend(update_step(&retire.account, changes, retire.reason));
            }
            let leave = retire.leave.iter();
            steps.extend(leave.map(|(team, _)| leave_step(team, retire.reason)));
        }
        steps.extend(link);
        let leave = self.leave.iter();
        steps.extend(leave.map(|team| leave_step(team, why::NOT_IN_GROUP)));
        steps.extend(self.join.iter().map(join_step));
        steps
    }
}

fn update_step(account: &AccountId, changes: &AccountChanges, why: &'static str) -> Option<Step> {
    if changes.is_empty() {
        return None;
    }
    let mut step = Step::new(update_name(changes), why).on(account);
    step.fields = changes.fields().into_iter().map(Into::into).collect();
    let attributes: Vec<&str> = step.attributes().collect();
    let values = attributes.join(", ");
    let words = match (changes.enabled, attributes.is_empty()) {
        (None, _) => format!("set {values} of account {account}"),
        (Some(true), true) => format!("enable account {account}"),
        (Some(false), true) => format!("disable account {account}"),
        (Some(true), false) => format!("enable account {account} and set its {values}"),
        (Some(false), false) => format!("disable account {account} and set its {values}"),
    };
    Some(step.saying(words))
}

/// The action's name. A change of `enabled` decides it.
pub(super) fn update_name(changes: &AccountChanges) -> &'static str {
    match changes.enabled {
        Some(false) => action::DISABLE_ACCOUNT,
        Some(true) => action::ENABLE_ACCOUNT,
        None => action::UPDATE_ACCOUNT,
    }
}

fn link_step(link: &UserLink, why: &'static str) -> Step {
    let (account, origin) = (&link.anypoint_id, link.origin.as_str());
    let words = format!("link account {account} (\"{}\", {origin})", link.username);
    Step::new(action::LINK, why).on(account).saying(words)
}

fn mail_step(mail: ResetEmail, why: &'static str) -> Option<Step> {
    let step = Step::new(action::MAIL_RESET, why).saying("ask for a password reset mail");
    (mail == ResetEmail::Send).then_some(step)
}

fn leave_step(team: &TeamId, why: &'static str) -> Step {
    let step = Step::new(action::LEAVE_TEAM, why).on(team);
    step.saying(format!("remove the account from team {team}"))
}

fn join_step(wanted: &WantedTeam) -> Step {
    let step = Step::new(action::JOIN_TEAM, why::IN_GROUP);
    let name = &wanted.group_name;
    match &wanted.team {
        Some(team) => step.on(team).saying(format!(
            "add the account to team {team} of group \"{name}\""
        )),
        None => step.saying(format!(
            "add the account to the team of group \"{name}\", and create the team first if it is missing"
        )),
    }
}
