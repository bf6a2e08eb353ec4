//! Who is excluded, where only Okta can say. Reads only, and only where patterns are set.

use std::collections::{HashMap, HashSet};

use super::provisioner::{Look, Provisioner, few_at_once};
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::ids::{OktaGroupId, OktaUserId, Subject, TeamId};
use crate::okta::Group;

/// Up to this many users are read one by one; above, the app's whole list is.
const ONE_BY_ONE: usize = 20;

impl Provisioner {
    /// Whether nothing changes for a subject. Asks Okta only where patterns are set; an id is not read.
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
    /// Whether a user's login is excluded. An id is compared before any look.
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
        if open.len() > ONE_BY_ONE {
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
                // Who cannot be read stays as they are, as who is excluded does.
                Err(error) if error.is_unreadable() => true,
                Err(error) => return Err(error),
            };
            Ok(is_excluded.then(|| user.clone()))
        });
        found.extend(few_at_once(reads.collect()).await?.into_iter().flatten());
        Ok(found)
    }

    /// Takes the teams of excluded groups out of `owners`. `listed` are groups that were read already.
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

    /// Whether the team of a group that is gone has an excluded name: the link still knows it.
    pub(super) async fn excludes_team_of(&self, group: &OktaGroupId) -> Result<bool, Failure> {
        let excluded = &self.ports.policy.excluded;
        if excluded.groups.names.is_empty() {
            return Ok(false);
        }
        let link = self.ports.store.team_link(group).await?;
        Ok(link.is_some_and(|link| excluded.name(&link.team_name)))
    }
}
