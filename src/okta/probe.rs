//! Reads that only find out whether something may be read, and what the app is.

use serde::Deserialize;

use super::app::AppUser;
use super::client::Okta;
use crate::deadline::Deadline;
use crate::http::{CallError, Gathering, Listed, Page, entries};
use crate::ids::OktaAppId;

entries!(App: "id");

/// The app instance. Source of shape: Okta API, "Applications".
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    id: OktaAppId,
    /// The label an administrator gave it.
    pub label: Option<String>,
    /// The technical name of its type.
    pub name: Option<String>,
    /// `ACTIVE` or `INACTIVE`.
    pub status: Option<String>,
    /// How people sign in to it (`SAML_2_0`, `BOOKMARK` …).
    pub sign_on_mode: Option<String>,
}

/// What a program may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// Users (`okta.users.read`).
    Users,
    /// Groups (`okta.groups.read`).
    Groups,
    /// Apps (`okta.apps.read`).
    Apps,
    /// The System Log (`okta.logs.read`).
    Log,
}

impl Readable {
    /// The scope that a service app needs for it.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Users => "okta.users.read",
            Self::Groups => "okta.groups.read",
            Self::Apps => "okta.apps.read",
            Self::Log => "okta.logs.read",
        }
    }
}

impl Okta {
    /// The app instance; `None` when there is none.
    pub async fn app(&self, app: &OktaAppId, deadline: Deadline) -> Result<Option<App>, CallError> {
        let call = self.get("read the app", &["apps", app.as_str()]);
        self.read_object(&call, app.as_str(), deadline).await
    }

    /// Up to `most` assignments of the app; a sample, not the list.
    pub async fn some_app_users(
        &self,
        app: &OktaAppId,
        most: usize,
        deadline: Deadline,
    ) -> Result<Listed<AppUser>, CallError> {
        let path = ["apps", app.as_str(), "users"];
        let call = self.get("list some of the app's users", &path);
        let mut call = call.query(&[("limit", &most.to_string())]);
        let mut list = Gathering::new(&call);
        let answer = self.send_for_page(&mut call, deadline).await?;
        list.add(Page::read(&answer.body).map_err(|error| call.unreadable(&error))?);
        Ok(list.end())
    }

    /// Reads one item of a kind, to see whether it may be read. Returns whether there is one.
    pub async fn probe(&self, what: Readable, deadline: Deadline) -> Result<bool, CallError> {
        let (operation, path) = match what {
            Readable::Users => ("list the users", "users"),
            Readable::Groups => ("list the groups", "groups"),
            Readable::Apps => ("list the apps", "apps"),
            Readable::Log => ("read the System Log", "logs"),
        };
        let call = self.get(operation, &[path]);
        self.check_list(call, deadline).await
    }
}
