//! The rules of provisioning, from the settings.

use std::time::Duration;

use super::parse::{import_mode, percent};
use super::reader::Reader;
use super::{ImportMode, changes};
use crate::provision::{
    AccountField, Adopt, Attributes, ConfirmAfter, ExcludedGroups, ExcludedUsers, Exclusions,
    GroupSelection, ImportedNames, Policy, RemovalLimit, ResetEmail, SuspendedUsers,
    TeamNamePolicy, TeamRemoval, UsernamePolicy,
};

pub(super) fn policy(reader: &mut Reader<'_>) -> Option<Policy> {
    let usernames = reader.choice("USERNAME_POLICY", &UsernamePolicy::WORDS);
    let adopt = reader.choice("ADOPT", &Adopt::WORDS);
    let suspended = reader.choice("SUSPENDED_USERS", &SuspendedUsers::WORDS);
    let groups = reader.with_default("PUSH_GROUPS", GROUPS, "assigned", groups);
    let team_names = reader.choice("TEAM_NAME_POLICY", &TeamNamePolicy::WORDS);
    let team_removal = reader.choice("TEAM_REMOVAL", &TeamRemoval::WORDS);
    let reset_email = reader.choice("RESET_EMAIL", &ResetEmail::WORDS);
    let confirm = reader.with_default("CONFIRM_SECONDS", CONFIRM, "15", confirm);
    let changes = changes(reader);
    let removals = reader.with_default("MAX_REMOVALS_PER_HOUR", REMOVALS, "20%", removals);
    let users = set(reader, "EXCLUDE_USERS", EXCLUDED_USERS, excluded_users);
    let teams = set(reader, "EXCLUDE_GROUPS", EXCLUDED_GROUPS, excluded_groups);
    let attributes = attributes(reader);
    let default_phone = set(reader, "DEFAULT_PHONE", PHONE, |text| {
        let has_digits = text.contains(char::is_numeric);
        has_digits.then(|| Some(text.to_owned()))
    });
    let imported_names = match import_mode(reader)? {
        ImportMode::Create => ImportedNames::LastChangeDecides,
        ImportMode::Off | ImportMode::Report | ImportMode::Link => ImportedNames::OktaDecides,
    };
    Some(Policy {
        usernames: usernames?,
        adopt: adopt?,
        suspended: suspended?,
        groups: groups?,
        team_names: team_names?,
        team_removal: team_removal?,
        reset_email: reset_email?,
        attributes: attributes?,
        default_phone: default_phone?,
        imported_names,
        confirm: confirm?,
        changes: changes?,
        removals: removals?,
        excluded: Exclusions {
            users: users?,
            groups: teams?,
        },
    })
}

/// What `ATTRIBUTES` takes.
const ATTRIBUTES: &str = "`first_name`, `last_name` or `phone`, each once, with `app.NAME` or `user.NAME` behind `=`, separated by \
     commas (`first_name=app.firstName,phone=user.mobilePhone`)";

/// Every fault is named, so that one start shows all of them.
fn attributes(reader: &mut Reader<'_>) -> Option<Attributes> {
    let mut attributes = Attributes::default();
    let Some(text) = reader.optional("ATTRIBUTES") else {
        return Some(attributes);
    };
    let mut is_right = true;
    for entry in text.split(',') {
        if let Err(fault) = attribute(entry, &mut attributes) {
            reader.report("ATTRIBUTES", fault, ATTRIBUTES);
            is_right = false;
        }
    }
    is_right.then_some(attributes)
}

fn attribute(entry: &str, attributes: &mut Attributes) -> Result<(), &'static str> {
    let (target, source) = entry.split_once('=').unwrap_or((entry, ""));
    let target = match target.trim() {
        "" => return Err("has an entry without a target"),
        "email" => return Err("names `email`, which is set on creation only"),
        "username" => return Err("names `username`, which is always the app username"),
        word => {
            let mut targets = AccountField::ALL.into_iter();
            targets.find(|target| target.as_str() == word)
        }
    };
    let target = target.ok_or("names an unknown target")?;
    let source = match source.trim() {
        "" => return Err("has a target without a source"),
        source => source.parse().map_err(|()| "has a malformed source")?,
    };
    let is_new = attributes.insert(target, source);
    is_new.then_some(()).ok_or("names a target twice")
}

/// What `CONFIRM_SECONDS` takes.
const CONFIRM: &str = "a number of seconds from 1 to 60";

fn confirm(text: &str) -> Option<ConfirmAfter> {
    let seconds: u64 = text.trim().parse().ok()?;
    (1..=60)
        .contains(&seconds)
        .then(|| ConfirmAfter(Duration::from_secs(seconds)))
}

const EXCLUDED_USERS: &str = "ids (`00u…`) or logins with `*` (`svc-*@acme.example`), separated by commas; not `*` alone, and no blanks inside";
const EXCLUDED_GROUPS: &str =
    "ids (`00g…`) or names with `*` (`Break glass*`), separated by commas; not `*` alone";

const PHONE: &str = "a phone number";

/// What `parse` makes of a variable, or the default if it is unset.
fn set<T: Default>(
    reader: &mut Reader<'_>,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    match reader.optional(name) {
        None => Some(T::default()),
        Some(_) => reader.with(name, expected, parse),
    }
}

/// The entries of a list: ids by their prefix, anything with a `*` is a pattern. An entry of only `*` would
/// exclude everybody, so it is refused.
fn entries(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.split(',').map(str::trim).map(|entry| {
        let says_something = entry.contains(|c: char| c != '*');
        says_something.then_some(entry)
    })
}

fn excluded_users(text: &str) -> Option<ExcludedUsers> {
    let mut users = ExcludedUsers::default();
    for entry in entries(text) {
        let entry = entry.filter(|entry| !entry.contains(char::is_whitespace))?;
        if entry.contains('*') {
            users.logins.push(entry.to_owned());
        } else if entry.starts_with("00u") {
            users.ids.insert(entry.parse().ok()?);
        } else if entry.contains('@') {
            users.logins.push(entry.to_owned());
        } else {
            return None;
        }
    }
    Some(users)
}

fn excluded_groups(text: &str) -> Option<ExcludedGroups> {
    let mut groups = ExcludedGroups::default();
    for entry in entries(text) {
        let entry = entry?;
        if entry.contains('*') {
            groups.names.push(entry.to_owned());
        } else if entry.starts_with("00g") {
            groups.ids.insert(entry.parse().ok()?);
        } else {
            return None;
        }
    }
    Some(groups)
}

const GROUPS: &str = "`assigned`, `none`, `all`, `ids:00g…,00g…` or `name:PATTERN`";

/// What `MAX_REMOVALS_PER_HOUR` takes.
const REMOVALS: &str = "a count (`50`), a share of the linked users (`20%`) or `off`";

fn removals(text: &str) -> Option<RemovalLimit> {
    match (text, text.strip_suffix('%')) {
        ("off", _) => Some(RemovalLimit::Off),
        (_, Some(share)) => percent(share).map(RemovalLimit::Percent),
        (_, None) => text.parse().ok().map(RemovalLimit::Count),
    }
}

fn groups(text: &str) -> Option<GroupSelection> {
    match text {
        "assigned" => return Some(GroupSelection::Assigned),
        "none" => return Some(GroupSelection::None),
        "all" => return Some(GroupSelection::All),
        _ => {}
    }
    if let Some(ids) = text.strip_prefix("ids:") {
        let ids: Option<Vec<_>> = ids.split(',').map(|id| id.trim().parse().ok()).collect();
        return ids.map(GroupSelection::Ids);
    }
    let pattern = text.strip_prefix("name:")?.trim();
    (!pattern.is_empty()).then(|| GroupSelection::Named(pattern.to_owned()))
}
