//! The organization itself, for checks. Source of shapes: Access Management API.

use http::Method;
use serde::Deserialize;

use super::client::Anypoint;
use crate::deadline::Deadline;
use crate::http::{CallError, if_found};

/// The organization, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    is_root: Option<bool>,
    #[serde(default)]
    parent_organization_ids: Option<Vec<String>>,
}

impl Organization {
    /// Whether it is the root organization; `None` when the answer does not say.
    pub fn is_root(&self) -> Option<bool> {
        self.is_root
            .or_else(|| self.parent_organization_ids.as_ref().map(Vec::is_empty))
    }
}

#[derive(Deserialize)]
struct IdentityProviderSettings {
    allow_new_non_sso_users: Option<bool>,
}

impl Anypoint {
    /// Fetches a token, to see whether the connected app is accepted.
    pub async fn probe_token(&self, deadline: Deadline) -> Result<(), CallError> {
        self.token(deadline).await
    }

    /// The organization; `None` when it does not exist or does not show.
    pub async fn organization(
        &self,
        deadline: Deadline,
    ) -> Result<Option<Organization>, CallError> {
        let call = self.organization_call("read the organization", Method::GET, "", &[]);
        let answer = if_found(self.send_unconfirmed(&call, deadline).await)?;
        answer.map(|answer| answer.json(&call)).transpose()
    }

    /// Whether native accounts may be created; `None` when the answer does not say.
    pub async fn allows_native_accounts(
        &self,
        deadline: Deadline,
    ) -> Result<Option<bool>, CallError> {
        let path = "/identityProviderSettings";
        let call = self.organization_call(
            "read the identity provider settings",
            Method::GET,
            path,
            &[],
        );
        let answer = self.send(&call, deadline).await?;
        let settings: IdentityProviderSettings = answer.json(&call)?;
        Ok(settings.allow_new_non_sso_users)
    }

    /// Reads one account, to see whether accounts may be read.
    pub async fn probe_accounts(&self, deadline: Deadline) -> Result<(), CallError> {
        let call = self.organization_call(
            "list the accounts",
            Method::GET,
            "/users",
            &[("limit", "1")],
        );
        self.send(&call, deadline).await.map(|_| ())
    }
}
