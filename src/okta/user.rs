//! Users. Source of shapes: Okta API, "Users".

use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::client::Okta;
use super::profile::{Profile, Source};
use crate::deadline::Deadline;
use crate::http::{
    Call, CallError, Entry, Gathering, Listed, Page, another_object, entries, if_found,
    not_as_written,
};
use crate::ids::OktaUserId;

entries!(User: "id");

/// Where a user stands in Okta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserStatus {
    /// `SUSPENDED`: cannot sign in, keeps its assignments.
    Suspended,
    /// `DEPROVISIONED`: deactivated.
    Deprovisioned,
    /// Any other state: the person may have an account downstream.
    Live(String),
}

impl<'de> Deserialize<'de> for UserStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "SUSPENDED" => Self::Suspended,
            "DEPROVISIONED" => Self::Deprovisioned,
            _ => Self::Live(text),
        })
    }
}

impl UserStatus {
    /// Okta's word for it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Suspended => "SUSPENDED",
            Self::Deprovisioned => "DEPROVISIONED",
            Self::Live(text) => text,
        }
    }
}

/// An Okta user, as far as it matters here. Its `Debug` form shows no personal data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Answered")]
pub struct User {
    /// The user's id.
    pub id: OktaUserId,
    /// Where the user stands.
    pub status: UserStatus,
    /// The login.
    login: String,
    /// Attributes of the profile.
    pub profile: Profile,
}

/// A user as Okta answers. Every user has a profile and a login (Okta API, "Users: profile").
#[derive(Deserialize)]
struct Answered {
    id: OktaUserId,
    status: UserStatus,
    profile: Profile,
}

impl TryFrom<Answered> for User {
    type Error = &'static str;

    /// The login decides who is excluded, so an answer without it cannot be read.
    fn try_from(answered: Answered) -> Result<Self, Self::Error> {
        let login = answered.profile.text("login").ok_or("no login")?;
        Ok(Self {
            login: login.to_owned(),
            id: answered.id,
            status: answered.status,
            profile: answered.profile,
        })
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {})", self.id, self.status.as_str())
    }
}

/// A user to be created without activation.
#[derive(Clone)]
pub struct NewUser {
    /// The login, which is the e-mail address.
    pub login: String,
    /// The e-mail address.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
}

/// A text inside the quotation marks of a filter.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

impl Okta {
    /// Reads a user by id; `None` when there is none.
    pub async fn user(
        &self,
        user: &OktaUserId,
        deadline: Deadline,
    ) -> Result<Option<User>, CallError> {
        let call = self.user_call(user.as_str());
        self.read_object(&call, user.as_str(), deadline).await
    }

    /// Reads a user by login; `None` when there is none.
    pub async fn user_by_login(
        &self,
        login: &str,
        deadline: Deadline,
    ) -> Result<Option<User>, CallError> {
        let found = self.users_with_login(login, deadline).await?;
        Ok(found.whole()?.into_iter().next())
    }

    /// The user whom Okta finds by that login, if there is one. A user who cannot be read is known by their id.
    ///
    /// # Errors
    /// Also when the answer holds no user at all.
    pub async fn users_with_login(
        &self,
        login: &str,
        deadline: Deadline,
    ) -> Result<Listed<User>, CallError> {
        if login.contains('/') {
            // Okta reads a login with a slash by no address, only by its id ("Retrieve a user").
            let filter = format!("profile.login eq \"{}\"", escaped(login));
            let query = [("filter", filter.as_str()), ("limit", "2")];
            let call = self.get("find the user by login", &["users"]);
            return self.read_list(call.query(&query), deadline).await;
        }
        let call = self.user_call(login);
        let mut found = Gathering::new(&call);
        // Without a login the address would be that of all users.
        if login.trim().is_empty() {
            return Ok(found.end());
        }
        if let Some(answer) = if_found(self.send(&call, deadline).await)? {
            found.add(Page::of_one(&answer.body).map_err(|error| call.unreadable(&error))?);
        }
        Ok(found.end())
    }

    /// The users with that primary e-mail address.
    pub async fn users_with_email(
        &self,
        email: &str,
        deadline: Deadline,
    ) -> Result<Listed<User>, CallError> {
        let filter = format!("profile.email eq \"{}\"", escaped(email));
        let query = [("filter", filter.as_str()), ("limit", "200")];
        let call = self.get("find users by e-mail address", &["users"]);
        let call = call.query(&query);
        self.read_list(call, deadline).await
    }

    fn user_call(&self, key: &str) -> Call {
        self.get("read the user", &["users", key])
    }

    /// Creates a user in the state `STAGED` (`activate=false`).
    pub async fn create_staged_user(
        &self,
        new: &NewUser,
        deadline: Deadline,
    ) -> Result<User, CallError> {
        let call = self
            .call("create the user", Method::POST, &["users"])
            .query(&[("activate", "false")])
            .json(json!({"profile": {
                "login": new.login,
                "email": new.email,
                "firstName": new.first_name,
                "lastName": new.last_name,
            }}));
        let answer = self.send(&call, deadline).await?;
        match answer.echo().inner("profile").text("login") {
            Some(other) if !other.eq_ignore_ascii_case(&new.login) => Err(another_object(&call)),
            _ => answer.json(&call),
        }
    }

    /// Changes first and last name, where one is given; other attributes are kept (a partial update).
    pub async fn update_names(
        &self,
        user: &OktaUserId,
        first_name: Option<&str>,
        last_name: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let path = ["users", user.as_str()];
        let mut profile = serde_json::Map::new();
        for (key, value) in [("firstName", first_name), ("lastName", last_name)] {
            profile.extend(value.map(|value| (key.to_owned(), json!(value))));
        }
        let call = self
            .call("update the user's names", Method::POST, &path)
            .json(json!({"profile": profile}));
        let echo = self.send(&call, deadline).await?.echo();
        echo.check_id(&call, User::ID, user.as_str())?;
        let echo = echo.inner("profile");
        let mut others = Vec::new();
        for (key, value) in [("firstName", first_name), ("lastName", last_name)] {
            others.extend((!echo.agrees(key, value)).then_some(key));
        }
        match others.is_empty() {
            true => Ok(()),
            false => Err(not_as_written(&call, &others)),
        }
    }
}

impl User {
    /// Forgets the attributes that nobody asked for: lists hold many people.
    pub(super) fn keep(&mut self, kept: &[&Source]) {
        self.profile.keep_of_user(kept);
    }

    /// The login.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The primary e-mail address, when there is one.
    pub fn email(&self) -> Option<&str> {
        self.profile.text("email")
    }
}
