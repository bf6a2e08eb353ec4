//! The app instance: who and what is assigned to it. Source of shapes: Okta API, "Application
//! Users" and "Application Groups".

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::Okta;
use super::group::Group;
use super::profile::{AttributeName, Profile, Source, non_empty};
use super::user::User;
use crate::deadline::Deadline;
use crate::http::{CallError, Entry, Listed, entries};
use crate::ids::{OktaAppId, OktaGroupId, OktaUserId};

entries!(AppUser: "id", AppGroup: "id");

/// The assignment of one user to the app. Its `Debug` form shows no personal data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct AppUser {
    /// The user's id (`00u…`), not that of the assignment.
    pub id: OktaUserId,
    /// Okta's word for the assignment's state. It decides about access, so an answer without it cannot be read.
    pub status: String,
    /// The sign-in data of this app.
    credentials: Option<AppCredentials>,
    /// What the app keeps of the user, as Okta maps it.
    #[serde(default, deserialize_with = "Profile::of_app_user")]
    profile: Profile,
    /// The user itself, when it was asked for with `expand=user`.
    #[serde(rename = "_embedded")]
    embedded: Option<Embedded>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppCredentials {
    user_name: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
struct Embedded {
    user: Option<User>,
}

impl std::fmt::Debug for AppUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppUser({}, {})", self.id, self.status)
    }
}

impl AppUser {
    /// The username in the app; `None` when it is empty, or when the answer does not say.
    pub fn username(&self) -> Option<&str> {
        non_empty(self.credentials.as_ref()?.user_name.as_deref()?)
    }

    /// The text of an attribute of the app profile, if there is one.
    pub fn text(&self, name: &AttributeName) -> Option<&str> {
        self.profile.text(name.as_str())
    }

    /// Whether an attribute of the app profile holds something that is not text.
    pub(crate) fn is_unread(&self, name: &AttributeName) -> bool {
        self.profile.is_unread(name.as_str())
    }

    /// Forgets the attributes that nobody asked for: lists hold many people.
    fn keep(&mut self, kept: &[&Source]) {
        self.profile.keep_of_app(kept);
        let embedded = self.embedded.as_mut();
        if let Some(user) = embedded.and_then(|embedded| embedded.user.as_mut()) {
            user.keep(kept);
        }
    }

    /// The user, when the answer carried it. A user with another id does not count.
    pub fn user(&self) -> Option<&User> {
        let user = self.embedded.as_ref()?.user.as_ref()?;
        (user.id == self.id).then_some(user)
    }

    /// Whether the user is assigned. Apps with a stored credential keep the app user after the
    /// assignment ended, in one of these states (Okta API, "Application Users: status").
    pub fn is_assigned(&self) -> bool {
        !matches!(
            &*self.status,
            "DEPROVISIONED" | "INACTIVE" | "REVOKED" | "SUSPENDED" | "UNASSIGNED"
        )
    }
}

#[derive(Deserialize)]
struct AppGroup {
    id: OktaGroupId,
    #[serde(rename = "_embedded")]
    embedded: Option<EmbeddedGroup>,
}

#[derive(Deserialize)]
struct EmbeddedGroup {
    group: Option<Group>,
}

impl Okta {
    /// The assignment of one user; `None` when there is none.
    pub async fn app_user(
        &self,
        app: &OktaAppId,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<Option<AppUser>, CallError> {
        let path = ["apps", app.as_str(), "users", user.as_str()];
        let call = self.get("read the app user", &path);
        self.read_object(&call, user.as_str(), deadline).await
    }

    /// All assignments, each with its user, 500 a page. Of both profiles, only the names, addresses and
    /// phone numbers of the user and the attributes in `kept` are kept.
    pub async fn list_app_users(
        &self,
        app: &OktaAppId,
        kept: &[&Source],
        deadline: Deadline,
    ) -> Result<Listed<AppUser>, CallError> {
        let path = ["apps", app.as_str(), "users"];
        let call = self
            .get("list the app's users (OKTA_APP_ID)", &path)
            .query(&[("limit", "500"), ("expand", "user")]);
        let keep = |app_user: &mut AppUser| app_user.keep(kept);
        self.read_list_changing(call, keep, deadline).await
    }

    /// Reads the first app user only: fails when the app itself cannot be read. Asked before the
    /// absence of an assignment may disable an account.
    pub async fn check_app(&self, app: &OktaAppId, deadline: Deadline) -> Result<(), CallError> {
        let path = ["apps", app.as_str(), "users"];
        let call = self.get("read the app (OKTA_APP_ID)", &path);
        self.check_list(call, deadline).await.map(|_| ())
    }

    /// The groups assigned to the app, 200 a page.
    pub async fn list_app_groups(
        &self,
        app: &OktaAppId,
        deadline: Deadline,
    ) -> Result<Listed<OktaGroupId>, CallError> {
        let path = ["apps", app.as_str(), "groups"];
        let call = self.get("list the app's groups (OKTA_APP_ID)", &path);
        let call = call.query(&[("limit", "200")]);
        let groups: Listed<AppGroup> = self.read_list(call, deadline).await?;
        Ok(groups.map(|group| group.id))
    }

    /// The groups assigned to the app with the groups themselves, 200 a page. A group that an answer
    /// did not carry is `None` and has to be read by its id.
    pub async fn list_app_groups_expanded(
        &self,
        app: &OktaAppId,
        deadline: Deadline,
    ) -> Result<Listed<(OktaGroupId, Option<Group>)>, CallError> {
        let path = ["apps", app.as_str(), "groups"];
        let query = [("limit", "200"), ("expand", "group")];
        let call = self.get("list the app's groups", &path).query(&query);
        let groups: Listed<AppGroup> = self.read_list(call, deadline).await?;
        Ok(groups.map(|app_group| {
            let group = app_group.embedded.and_then(|embedded| embedded.group);
            let group = group.filter(|group| group.id == app_group.id);
            (app_group.id, group)
        }))
    }

    /// Whether a group is assigned to the app.
    pub async fn is_app_group(
        &self,
        app: &OktaAppId,
        group: &OktaGroupId,
        deadline: Deadline,
    ) -> Result<bool, CallError> {
        let path = ["apps", app.as_str(), "groups", group.as_str()];
        let call = self.get("read the app's group", &path);
        let found: Option<AppGroup> = self.read_object(&call, group.as_str(), deadline).await?;
        Ok(found.is_some())
    }

    /// Assigns a user to the app under `username`. Gives the assignment as Okta made it, when the
    /// answer has it: a mapping of the app may have overruled the name.
    pub async fn assign(
        &self,
        app: &OktaAppId,
        user: &OktaUserId,
        username: &str,
        deadline: Deadline,
    ) -> Result<Option<AppUser>, CallError> {
        let path = ["apps", app.as_str(), "users"];
        let call = self
            .call("assign the app", Method::POST, &path)
            .json(json!({
                "id": user,
                "scope": "USER",
                "credentials": {"userName": username},
            }));
        let answer = self.send(&call, deadline).await?;
        let echo = answer.echo();
        echo.check_id(&call, AppUser::ID, user.as_str())?;
        Ok(serde_json::from_slice(&answer.body).ok())
    }
}
