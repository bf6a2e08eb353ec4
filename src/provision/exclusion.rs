//! `EXCLUDE_USERS` and `EXCLUDE_GROUPS`: the users and groups that this program never changes.
//!
//! An id excludes before anything is read. A pattern needs the login or the name, so Okta is read first. A
//! deleted user no longer has a login, so only an id can exclude them.

use std::collections::{HashMap, HashSet};

use super::provisioner::{Look, Provisioner, few_at_once};
use super::selection::matches;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::ids::{OktaGroupId, OktaUserId, Subject, TeamId};
use crate::okta::{Group, User};

/// The excluded users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExcludedUsers {
    /// By id.
    pub ids: HashSet<OktaUserId>,
    /// By login; `*` stands for any run of characters.
    pub logins: Vec<String>,
}

/// The excluded groups, with their teams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExcludedGroups {
    /// By id.
    pub ids: HashSet<OktaGroupId>,
    /// By display name; `*` stands for any run of characters.
    pub names: Vec<String>,
}

/// All excluded users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exclusions {
    /// `EXCLUDE_USERS`.
    pub users: ExcludedUsers,
    /// `EXCLUDE_GROUPS`.
    pub groups: ExcludedGroups,
}

impl Exclusions {
    /// The setting that excludes subjects of this kind.
    fn setting(subject: &Subject) -> &'static str {
        match subject {
            Subject::User(_) => "EXCLUDE_USERS",
            Subject::Group(_) => "EXCLUDE_GROUPS",
        }
    }

    /// Says which setting excludes the subject.
    pub fn in_words(subject: &Subject) -> &'static str {
        match subject {
            Subject::User(_) => "excluded by EXCLUDE_USERS: nothing changes",
            Subject::Group(_) => "excluded by EXCLUDE_GROUPS: nothing changes",
        }
    }

    /// The refusal of a command that would change something for an excluded subject.
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

    /// Whether an id excludes the subject. If so, it is not read at all.
    pub(crate) fn names(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(user) => self.users.ids.contains(user),
            Subject::Group(group) => self.groups.ids.contains(group),
        }
    }

    /// Whether a user that was read is excluded.
    pub(crate) fn user(&self, user: &User) -> bool {
        self.users.ids.contains(&user.id) || self.login(user.login())
    }

    /// Whether a login is excluded.
    pub(crate) fn login(&self, login: &str) -> bool {
        matches_any(&self.users.logins, login.trim())
    }

    /// Whether a group that was read is excluded.
    pub(crate) fn group(&self, group: &Group) -> bool {
        self.groups.ids.contains(&group.id) || self.name(group.name())
    }

    /// Whether a display name is excluded.
    pub(crate) fn name(&self, name: &str) -> bool {
        matches_any(&self.groups.names, name)
    }
}

/// Whether a pattern matches, ignoring case. Okta ignores case in logins, and a name spelled in another case must stay
/// protected.
fn matches_any(patterns: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    let mut patterns = patterns.iter();
    patterns.any(|pattern| matches(&pattern.to_lowercase(), &name))
}

/// Up to this many users are read one by one. For more, the app's whole list is read.
const MAX_ONE_BY_ONE: usize = 20;

impl Provisioner {
    /// Whether a subject is excluded. Asks Okta only if patterns are set and the id does not decide.
    ///
    /// # Errors
    /// When Okta or the table does not answer.
    pub async fn excludes(&self, subject: &Subject, deadline: Deadline) -> Result<bool, Failure> {
        if self.ports.policy.excluded.names(subject) {
            return Ok(true);
        }
        let look = self.look(deadline);
        match subject {
            Subject::User(user) => look.excludes_login_of(user).await,
            Subject::Group(group) => look.excludes_group(group, &[]).await,
        }
    }
}

impl Look<'_> {
    /// Whether a user's login is excluded. The caller has compared the id before any look.
    pub(super) async fn excludes_login_of(&self, user: &OktaUserId) -> Result<bool, Failure> {
        let excluded = &self.ports.policy.excluded;
        if excluded.users.logins.is_empty() {
            return Ok(false);
        }
        let found = self.ports.okta.user(user, self.deadline).await?;
        Ok(found.is_some_and(|found| excluded.user(&found)))
    }

    /// Those of `users` that are excluded.
    pub(super) async fn excluded_among(
        &self,
        users: &[OktaUserId],
    ) -> Result<HashSet<OktaUserId>, Failure> {
        let ports = self.ports;
        let excluded = &ports.policy.excluded;
        let is_named = |user: &&OktaUserId| excluded.users.ids.contains(*user);
        let mut found: HashSet<OktaUserId> = users.iter().filter(is_named).cloned().collect();
        if excluded.users.logins.is_empty() {
            return Ok(found);
        }
        let mut open: Vec<&OktaUserId> = users.iter().filter(|user| !is_named(user)).collect();
        if open.len() > MAX_ONE_BY_ONE {
            let listed = ports.okta.list_app_users(&ports.app, &[], self.deadline);
            let listed = listed.await?.telling();
            let listed: HashMap<&OktaUserId, _> = listed
                .items
                .iter()
                .filter_map(|app_user| Some((&app_user.id, app_user.user()?)))
                .collect();
            open.retain(|user| match listed.get(user) {
                Some(known) => {
                    if excluded.user(known) {
                        found.insert((*user).clone());
                    }
                    false
                }
                None => true,
            });
        }
        let reads = open.into_iter().map(async |user| {
            let is_excluded = match ports.okta.user(user, self.deadline).await {
                Ok(read) => read.is_some_and(|read| excluded.user(&read)),
                // A user who cannot be read stays as they are, like an excluded one.
                Err(error) if error.is_unreadable() => true,
                Err(error) => return Err(error),
            };
            Ok(is_excluded.then(|| user.clone()))
        });
        found.extend(few_at_once(reads.collect()).await?.into_iter().flatten());
        Ok(found)
    }

    /// Removes the teams of excluded groups from `owners`. `listed` are groups that were already read.
    pub(super) async fn drop_excluded_teams(
        &self,
        owners: &mut HashMap<TeamId, OktaGroupId>,
        listed: &[Group],
    ) -> Result<(), Failure> {
        let mut excluded = HashSet::new();
        for group in owners.values() {
            if self.excludes_group(group, listed).await? {
                excluded.insert(group.clone());
            }
        }
        owners.retain(|_, group| !excluded.contains(group));
        Ok(())
    }

    async fn excludes_group(&self, group: &OktaGroupId, listed: &[Group]) -> Result<bool, Failure> {
        let excluded = &self.ports.policy.excluded;
        if excluded.groups.ids.contains(group) || excluded.groups.names.is_empty() {
            return Ok(excluded.groups.ids.contains(group));
        }
        if let Some(found) = listed.iter().find(|found| found.id == *group) {
            return Ok(excluded.group(found));
        }
        match self.ports.okta.group(group, self.deadline).await? {
            Some(found) => Ok(excluded.group(&found)),
            None => self.excludes_team_of(group).await,
        }
    }

    /// Whether the team of a group that is gone has an excluded name. The link still has the name.
    pub(super) async fn excludes_team_of(&self, group: &OktaGroupId) -> Result<bool, Failure> {
        let excluded = &self.ports.policy.excluded;
        if excluded.groups.names.is_empty() {
            return Ok(false);
        }
        let link = self.ports.store.team_link(group).await?;
        Ok(link.is_some_and(|link| excluded.name(&link.team_name)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn users_and_groups_are_excluded_by_id_or_pattern() {
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
        let user = |id: &str, login: &str| -> User {
            let user = json!({"id": id, "status": "ACTIVE", "profile": {"login": login}});
            serde_json::from_value(user).unwrap()
        };
        assert!(exclusions.user(&user("00u1", "ann@acme.example")));
        assert!(exclusions.user(&user("00u2", "SVC-deploy@Acme.example")));
        assert!(!exclusions.user(&user("00u2", "ann@acme.example")));
        let group = |name: &str| -> Group {
            let group = json!({"id": "00g1", "profile": {"name": name}});
            serde_json::from_value(group).unwrap()
        };
        assert!(exclusions.group(&group("Break glass EU")));
        assert!(exclusions.group(&group("BREAK GLASS us")));
        assert!(!exclusions.group(&group("Developers")));
        assert!(!Exclusions::default().user(&user("00u1", "ann@acme.example")));
        assert!(exclusions.names(&Subject::User(OktaUserId::parse("00u1").unwrap())));
    }
}
