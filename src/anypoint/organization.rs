//! The organization itself, for checks. Source of shapes: Access Management API.

use serde::Deserialize;

use super::account::NATIVE;
use super::client::Anypoint;
use crate::deadline::Deadline;
use crate::http::{CallError, if_found};

/// The organization, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Its name.
    pub name: Option<String>,
    is_root: Option<bool>,
    parent_organization_ids: Option<Vec<String>>,
    is_federated: Option<bool>,
    #[serde(rename = "idprovider_id")]
    provider: Option<String>,
}

impl Organization {
    /// Whether it is the root organization; `None` when the answer does not say.
    pub fn is_root(&self) -> Option<bool> {
        self.is_root
            .or_else(|| self.parent_organization_ids.as_ref().map(Vec::is_empty))
    }

    /// Whether people sign in through an identity provider; `None` when the answer does not say. Whether the answer
    /// names a provider that is one of several is not known.
    pub fn is_federated(&self) -> Option<bool> {
        let by_provider = self.provider.as_ref().map(|id| id != NATIVE);
        match (self.is_federated, by_provider) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (said, by_provider) => said.or(by_provider),
        }
    }
}

#[derive(Deserialize)]
struct IdentityProviderSettings {
    allow_new_non_sso_users: Option<bool>,
}

impl Anypoint {
    /// The organization; `None` when it does not exist or does not show.
    pub async fn organization(
        &self,
        deadline: Deadline,
    ) -> Result<Option<Organization>, CallError> {
        let call = self.get("read the organization", &[]);
        let answer = if_found(self.send_unconfirmed(&call, deadline).await)?;
        answer.map(|answer| answer.json(&call)).transpose()
    }

    /// Whether native accounts may be created; `None` when the answer does not say.
    pub async fn allows_native_accounts(
        &self,
        deadline: Deadline,
    ) -> Result<Option<bool>, CallError> {
        let path = ["identityProviderSettings"];
        let call = self.get("read the identity provider settings", &path);
        let answer = self.send(&call, deadline).await?;
        let settings: IdentityProviderSettings = answer.json(&call)?;
        Ok(settings.allow_new_non_sso_users)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn either_field_shows_that_people_are_federated() {
        let read = |answer: Value| {
            let organization: Organization = serde_json::from_value(answer).unwrap();
            organization.is_federated()
        };
        for (answer, expected) in [
            (json!({}), None),
            (json!({"isFederated": null, "idprovider_id": null}), None),
            (
                json!({"isFederated": false, "idprovider_id": "mulesoft"}),
                Some(false),
            ),
            (
                json!({"isFederated": true, "idprovider_id": "mulesoft"}),
                Some(true),
            ),
            (
                json!({"isFederated": false, "idprovider_id": "0c0e51b0"}),
                Some(true),
            ),
            (json!({"idprovider_id": "mulesoft"}), Some(false)),
        ] {
            assert_eq!(read(answer.clone()), expected, "{answer}");
        }
    }
}
