//! The credentials of both remotes in one secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Reader, anypoint_app, okta_credentials};
use crate::anypoint::ConnectedApp;
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};
use crate::okta::Credentials;
use crate::secrets::{Renewable, SecretStore, SecretVersion, ValueSource};

const SETTING: &str = "CREDENTIALS_SECRET_ARN";
const OKTA_TOKEN: &str = "OKTA_API_TOKEN";
const OKTA_APP: [&str; 3] = ["OKTA_CLIENT_ID", "OKTA_PRIVATE_KEY", "OKTA_KEY_ID"];
const ANYPOINT: [&str; 2] = ["ANYPOINT_CLIENT_ID", "ANYPOINT_CLIENT_SECRET"];

type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The secret of `CREDENTIALS_SECRET_ARN`: JSON with any of the six credentials, named as the
/// variables are but in lower case. It fills what the variables leave unset.
///
/// The variables choose the kind of Okta credentials: with a token among them the secret's service app
/// is not looked at, and with any part of a service app among them its token is not.
#[derive(Clone)]
pub(crate) struct CredentialsSecret {
    store: Arc<dyn SecretStore>,
    id: String,
    environment: Environment,
}

/// The variables that the secret may fill.
pub(super) fn names_to_fill(is_unset: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    let has_token = !is_unset(OKTA_TOKEN);
    let has_app = OKTA_APP.iter().any(|name| !is_unset(name));
    let token = [OKTA_TOKEN].into_iter().filter(move |_| !has_app);
    let app = OKTA_APP.into_iter().filter(move |_| !has_token);
    let names = token.chain(app).chain(ANYPOINT);
    names.filter(move |name| is_unset(name))
}

/// What the secret held when it was read.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<&'static str, SecretString>);

impl Values {
    /// The value that stands for the variable `name`.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        Some(value.expose_secret().to_owned())
    }
}

impl CredentialsSecret {
    /// The secret `id`, beside the variables of `environment`.
    pub(crate) fn new(store: Arc<dyn SecretStore>, id: String, environment: Environment) -> Self {
        Self {
            store,
            id,
            environment,
        }
    }

    /// What it holds now for the variables that are unset.
    pub(crate) async fn values(&self, deadline: Deadline) -> Result<Values, Failure> {
        let read = self
            .store
            .read(SETTING, &self.id, SecretVersion::Current, deadline);
        let text = read.await?.unwrap_or_default();
        let Ok(Value::Object(fields)) = serde_json::from_str(text.expose_secret()) else {
            return Err(self.malformed("is not a JSON object"));
        };
        let is_unset =
            |name: &str| (self.environment)(name).is_none_or(|value| value.trim().is_empty());
        let mut values = BTreeMap::new();
        for name in names_to_fill(is_unset) {
            let field = name.to_lowercase();
            let value = match fields.get(&field) {
                None | Some(Value::Null) => continue,
                Some(Value::String(text)) => text.clone(),
                // A JWK is an object, and may be stored as one.
                Some(key @ Value::Object(_)) if name == "OKTA_PRIVATE_KEY" => key.to_string(),
                Some(_) => return Err(self.malformed(&format!("has a `{field}` that is not text"))),
            };
            values.insert(name, SecretString::from(value));
        }
        Ok(Values(values))
    }

    fn malformed(&self, what: &str) -> Failure {
        Failure::permanent(
            Side::Settings,
            format!("the secret {} {what}", self.id),
            format!(
                "store a JSON object with any of okta_api_token, okta_client_id, okta_private_key, \
                 okta_key_id, anypoint_client_id and anypoint_client_secret, or change {SETTING}"
            ),
        )
    }

    /// The Okta credentials, read again from this secret when they are refused.
    pub(crate) fn okta(&self, first: Credentials) -> Renewable<Credentials> {
        Renewable::new(first, Reread(self.clone(), okta_credentials))
    }

    /// The connected app, read again from this secret when it is refused.
    pub(crate) fn anypoint(&self, first: ConnectedApp) -> Renewable<ConnectedApp> {
        Renewable::new(first, Reread(self.clone(), anypoint_app))
    }
}

/// Reads the secret again, and makes a setting of it.
struct Reread<T>(
    CredentialsSecret,
    for<'r, 'a> fn(&'r mut Reader<'a>) -> Option<T>,
);

#[async_trait]
impl<T: Send + Sync> ValueSource<T> for Reread<T> {
    async fn read(&self, deadline: Deadline) -> Result<T, Failure> {
        let Self(secret, part) = self;
        let values = secret.values(deadline).await?;
        let mut reader =
            Reader::new(|name| (secret.environment)(name)).or_else(move |name| values.get(name));
        let value = part(&mut reader);
        reader.finish(value).map_err(|error| {
            let fix = format!("complete the secret {} again", secret.id);
            Failure::permanent(Side::Settings, error.to_string(), fix)
        })
    }
}
