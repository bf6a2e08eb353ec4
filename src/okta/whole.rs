//! Lists of which every entry has to be read: one that cannot be is an error.

use super::app::AppUser;
use super::client::Okta;
use super::group::Group;
use super::user::User;
use crate::deadline::Deadline;
use crate::http::{CallError, Listed};
use crate::ids::{OktaAppId, OktaGroupId, OktaUserId};

impl Okta {
    /// [`Okta::list_app_users`], whole.
    pub async fn app_users(
        &self,
        app: &OktaAppId,
        deadline: Deadline,
    ) -> Result<Vec<AppUser>, CallError> {
        self.list_app_users(app, deadline).await?.whole()
    }

    /// [`Okta::list_app_groups`], whole.
    pub async fn app_groups(
        &self,
        app: &OktaAppId,
        deadline: Deadline,
    ) -> Result<Vec<OktaGroupId>, CallError> {
        self.list_app_groups(app, deadline).await?.whole()
    }

    /// [`Okta::list_app_groups_expanded`], whole.
    pub async fn app_groups_expanded(
        &self,
        app: &OktaAppId,
        deadline: Deadline,
    ) -> Result<Vec<(OktaGroupId, Option<Group>)>, CallError> {
        self.list_app_groups_expanded(app, deadline).await?.whole()
    }

    /// [`Okta::list_groups`], whole.
    pub async fn groups(&self, deadline: Deadline) -> Result<Vec<Group>, CallError> {
        self.list_groups(deadline).await?.whole()
    }

    /// [`Okta::list_group_members`], whole.
    pub async fn group_members(
        &self,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<Option<Vec<User>>, CallError> {
        let members = self.list_group_members(group, deadline).await?;
        members.map(Listed::whole).transpose()
    }

    /// [`Okta::list_groups_of_user`], whole.
    pub async fn groups_of_user(
        &self,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<Option<Vec<Group>>, CallError> {
        let groups = self.list_groups_of_user(user, deadline).await?;
        groups.map(Listed::whole).transpose()
    }
}
