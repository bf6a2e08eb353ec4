//! The steps of a plan: one set of names and words for plans, reports, records, metrics and logs.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::anypoint::Account;
use crate::ids::AccountId;
use crate::ledger::{AuditEntry, Lease};
use crate::store::UserLink;

/// One thing that is, or would be, done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The action's name, as in the contract and the metrics.
    pub action: Cow<'static, str>,
    /// Why it follows.
    pub reason: Cow<'static, str>,
    /// The team or account, where one is meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// How many people it is about, if several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<usize>,
    /// Which fields change, by name.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<Cow<'static, str>>,
    /// What it does, in words. It can hold usernames and group names, so no report keeps it.
    #[serde(skip)]
    pub what: String,
}

impl Step {
    /// A step of that name, for that reason.
    pub(crate) fn new(action: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            action: action.into(),
            reason: reason.into(),
            id: None,
            count: None,
            fields: Vec::new(),
            what: String::new(),
        }
    }

    /// The same step, about this many people.
    #[must_use]
    pub(crate) fn about(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// The same step, about one team or account.
    #[must_use]
    pub(crate) fn on(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    /// The attributes that change, without `enabled`, which the action's name already shows.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().map(AsRef::as_ref);
        fields.filter(|field| !matches!(*field, "enabled" | "disabled"))
    }

    /// A short text without personal data: "disable account", "update account: first name", "add members (3)".
    pub fn in_short(&self) -> String {
        let mut text = self.action.replace('_', " ");
        if let Some(count) = self.count {
            text.push_str(&format!(" ({count})"));
        }
        let attributes: Vec<&str> = self.attributes().collect();
        if !attributes.is_empty() {
            text.push_str(&format!(": {}", attributes.join(", ")));
        }
        text
    }

    /// The same step, in words.
    #[must_use]
    pub(crate) fn saying(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }
}

impl fmt::Display for Step {
    /// The text of a record, as `Applied` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_record(f, &self.action, self.id.as_deref())
    }
}

/// One thing that was done, with its own reason: a run can do two things of one name for two reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) action: &'static str,
    why: Cow<'static, str>,
    /// The team or account, where one is meant.
    pub(crate) id: Option<String>,
    /// The account's username, if it is about one user's account.
    username: Option<String>,
    /// What the link named before, where that is not nothing.
    linked_before: Option<String>,
    /// The names of changed attributes.
    fields: Vec<&'static str>,
    /// The people, if the change is about several.
    people: Vec<AccountId>,
}

impl Applied {
    pub(crate) fn on(
        action: &'static str,
        id: impl ToString,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::plain(action, why).with_id(id)
    }

    pub(crate) fn plain(action: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            action,
            why: why.into(),
            id: None,
            username: None,
            linked_before: None,
            fields: Vec::new(),
            people: Vec::new(),
        }
    }

    /// The same change, whose object is known now.
    pub(crate) fn with_id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    /// The same change, for the account of that username.
    pub(crate) fn of_account(mut self, username: &str) -> Self {
        self.username = Some(username.to_owned());
        self
    }

    /// The same change of a link that named this account or team before.
    pub(crate) fn instead_of(mut self, id: Option<impl ToString>) -> Self {
        self.linked_before = id.map(|id| id.to_string());
        self
    }

    /// The same change, of these attributes.
    pub(crate) fn of(mut self, fields: Vec<&'static str>) -> Self {
        self.fields = fields;
        self
    }

    /// The same change, about these people.
    pub(crate) fn about(mut self, people: &[AccountId]) -> Self {
        self.people = people.to_vec();
        self
    }

    /// Takes over the people of a `later` change that is the same but for them. Returns any other change.
    pub(crate) fn with_more(&mut self, later: Self) -> Option<Self> {
        let is_same = !later.people.is_empty()
            && (self.action, &self.id, &self.why) == (later.action, &later.id, &later.why);
        if !is_same {
            return Some(later);
        }
        self.people.extend(later.people);
        None
    }

    /// Its entry in the audit trail of the lease's subject.
    pub(crate) fn entry(&self, lease: &Lease, now_ms: i64) -> AuditEntry {
        let (before, after) = states(self.action).unzip();
        let before = match &self.linked_before {
            Some(before) if self.id.as_ref() == Some(before) => Some("linked".to_owned()),
            Some(before) => Some(format!("linked to {before}")),
            None => before.map(str::to_owned),
        };
        let people = &self.people;
        AuditEntry {
            id: self.id.clone(),
            username: self.username.clone(),
            before,
            after: after.map(str::to_owned),
            fields: self.fields.iter().map(ToString::to_string).collect(),
            count: (!people.is_empty()).then_some(people.len()),
            ids: people
                .iter()
                .take(AuditEntry::MAX_IDS)
                .map(ToString::to_string)
                .collect(),
            why: Some(self.why.to_string()),
            ..AuditEntry::new(lease, self.action, now_ms)
        }
    }
}

/// The states before and after an action, as far as its name decides them.
fn states(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        action::CREATE_ACCOUNT => ("no account", "enabled"),
        action::ENABLE_ACCOUNT => ("disabled", "enabled"),
        action::DISABLE_ACCOUNT => ("enabled", "disabled"),
        action::LINK | action::LINK_TEAM | action::ADOPT_TEAM => ("not linked", "linked"),
        action::UNLINK | action::UNLINK_TEAM => ("linked", "not linked"),
        action::JOIN_TEAM | action::ADD_MEMBERS => ("not a member", "member"),
        action::LEAVE_TEAM | action::REMOVE_MEMBERS => ("member", "not a member"),
        action::CREATE_TEAM => ("no team", "linked"),
        action::DELETE_TEAM => ("linked", "no team"),
        _ => return None,
    })
}

/// An account at Anypoint, by both its names.
#[derive(Clone, Copy)]
pub(crate) struct AccountRef<'a> {
    pub(crate) id: &'a AccountId,
    pub(crate) username: &'a str,
}

impl<'a> From<&'a Account> for AccountRef<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            id: &account.id,
            username: &account.username,
        }
    }
}

impl<'a> From<&'a UserLink> for AccountRef<'a> {
    fn from(link: &'a UserLink) -> Self {
        Self {
            id: &link.anypoint_id,
            username: &link.username,
        }
    }
}

impl fmt::Display for Applied {
    /// The text of a record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_record(f, self.action, self.id.as_deref())
    }
}

fn write_record(f: &mut fmt::Formatter<'_>, action: &str, id: Option<&str>) -> fmt::Result {
    f.write_str(action)?;
    id.map_or(Ok(()), |id| write!(f, ":{id}"))
}

/// The names of actions (contract, "Table": `applied`).
pub(crate) mod action {
    pub(crate) const CREATE_ACCOUNT: &str = "create_account";
    pub(crate) const UPDATE_ACCOUNT: &str = "update_account";
    pub(crate) const ENABLE_ACCOUNT: &str = "enable_account";
    pub(crate) const DISABLE_ACCOUNT: &str = "disable_account";
    pub(crate) const MAIL_RESET: &str = "mail_reset";
    pub(crate) const LINK: &str = "link";
    pub(crate) const UNLINK: &str = "unlink";
    pub(crate) const JOIN_TEAM: &str = "join_team";
    pub(crate) const LEAVE_TEAM: &str = "leave_team";
    pub(crate) const CREATE_TEAM: &str = "create_team";
    pub(crate) const RENAME_TEAM: &str = "rename_team";
    pub(crate) const ADOPT_TEAM: &str = "adopt_team";
    pub(crate) const LINK_TEAM: &str = "link_team";
    pub(crate) const UNLINK_TEAM: &str = "unlink_team";
    pub(crate) const ADD_MEMBERS: &str = "add_members";
    pub(crate) const REMOVE_MEMBERS: &str = "remove_members";
    pub(crate) const DELETE_TEAM: &str = "delete_team";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_a_short_text() {
        let with = |action, fields: &[&'static str]| {
            let mut step = Step::new(action, "");
            step.fields = fields.iter().map(|field| (*field).into()).collect();
            step.in_short()
        };
        assert_eq!(
            with(action::DISABLE_ACCOUNT, &["disabled"]),
            "disable account"
        );
        assert_eq!(
            with(action::ENABLE_ACCOUNT, &["phone", "enabled"]),
            "enable account: phone"
        );
        let members = Step::new(action::ADD_MEMBERS, "").about(3);
        assert_eq!(members.in_short(), "add members (3)");
    }
}
