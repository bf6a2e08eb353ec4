//! `EXCLUDE_USERS` and `EXCLUDE_GROUPS`: whom nothing changes. Pure.
//!
//! An id excludes before anything is read. A pattern needs the login or the name, so Okta is read first. A
//! deleted user has no login any more: only an id excludes them still.

use std::collections::HashSet;

use super::selection::matches;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, OktaUserId, Subject};
use crate::okta::{Group, User};

/// Users that are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExcludedUsers {
    /// By id.
    pub ids: HashSet<OktaUserId>,
    /// By login; `*` stands for any run of characters.
    pub logins: Vec<String>,
}

/// Groups that are left alone, and their teams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExcludedGroups {
    /// By id.
    pub ids: HashSet<OktaGroupId>,
    /// By display name; `*` stands for any run of characters.
    pub names: Vec<String>,
}

/// Everybody and everything that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exclusions {
    /// `EXCLUDE_USERS`.
    pub users: ExcludedUsers,
    /// `EXCLUDE_GROUPS`.
    pub groups: ExcludedGroups,
}

impl Exclusions {
    /// The setting that names a subject which is left alone.
    fn setting(subject: &Subject) -> &'static str {
        match subject {
            Subject::User(_) => "EXCLUDE_USERS",
            Subject::Group(_) => "EXCLUDE_GROUPS",
        }
    }

    /// What is said of a subject that is left alone: the setting that names it.
    pub fn in_words(subject: &Subject) -> &'static str {
        match subject {
            Subject::User(_) => "excluded by EXCLUDE_USERS: nothing changes",
            Subject::Group(_) => "excluded by EXCLUDE_GROUPS: nothing changes",
        }
    }

    /// The refusal of a command that would change something for such a subject.
    pub fn refused(subject: &Subject) -> Failure {
        let setting = Self::setting(subject);
        let (kind, id) = match subject {
            Subject::User(user) => ("user", user.as_str()),
            Subject::Group(group) => ("group", group.as_str()),
        };
        Failure::permanent(
            Side::Settings,
            format!("{setting} names {kind} {id}; nothing was done."),
            format!("Take the {kind} out of {setting} first."),
        )
    }

    /// Whether an id excludes the subject: then it is not read at all.
    pub fn names(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(user) => self.users.ids.contains(user),
            Subject::Group(group) => self.groups.ids.contains(group),
        }
    }

    /// Whether a user that was read is excluded.
    pub fn user(&self, user: &User) -> bool {
        let login = user.profile.text("login").unwrap_or_default();
        self.users.ids.contains(&user.id) || self.login(login)
    }

    /// Whether a login is excluded.
    pub fn login(&self, login: &str) -> bool {
        matches_any(&self.users.logins, login.trim())
    }

    /// Whether a group that was read is excluded.
    pub fn group(&self, group: &Group) -> bool {
        self.groups.ids.contains(&group.id) || self.name(group.name())
    }

    /// Whether a display name is excluded.
    pub fn name(&self, name: &str) -> bool {
        matches_any(&self.groups.names, name)
    }
}

/// Whether a pattern matches, in any case: Okta does not tell upper and lower case apart in logins, and a name that is
/// spelled in another way must not lose its protection.
fn matches_any(patterns: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    let mut patterns = patterns.iter();
    patterns.any(|pattern| matches(&pattern.to_lowercase(), &name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_and_patterns_exclude() {
        let exclusions = Exclusions {
            users: ExcludedUsers {
                ids: [OktaUserId::parse("00u1").unwrap()].into(),
                logins: vec!["svc-*@acme.example".to_owned()],
            },
            groups: ExcludedGroups {
                ids: HashSet::new(),
                names: vec!["Break glass*".to_owned()],
            },
        };
        let user = |id: &str, login: Option<&str>| -> User {
            let user = json!({"id": id, "status": "ACTIVE", "profile": {"login": login}});
            serde_json::from_value(user).unwrap()
        };
        assert!(exclusions.user(&user("00u1", None)));
        assert!(exclusions.user(&user("00u2", Some("SVC-deploy@Acme.example"))));
        assert!(!exclusions.user(&user("00u2", Some("ann@acme.example"))));
        assert!(!exclusions.user(&user("00u2", None)));
        let group = |name: &str| -> Group {
            let group = json!({"id": "00g1", "profile": {"name": name}});
            serde_json::from_value(group).unwrap()
        };
        assert!(exclusions.group(&group("Break glass EU")));
        assert!(exclusions.group(&group("BREAK GLASS us")));
        assert!(!exclusions.group(&group("Developers")));
        assert!(!Exclusions::default().user(&user("00u1", Some("ann@acme.example"))));
        assert!(exclusions.names(&Subject::User(OktaUserId::parse("00u1").unwrap())));
    }
}
