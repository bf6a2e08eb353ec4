//! Our credentials: from variables, from Secrets Manager, or from both.

use std::sync::Arc;

use futures_util::future::OptionFuture;
use secrecy::SecretString;

use super::Reader;
use super::secret::{CredentialsSecret, names_to_fill};
use crate::anypoint::ConnectedApp;
use crate::deadline::Deadline;
use crate::failure::Failure;
use crate::okta::{Credentials, PrivateKey};
use crate::secrets::{Renewable, SecretStore, hook_secrets};

const PRIVATE_KEY: &str = "the service app's private key: PEM (PKCS#8, PKCS#1 or SEC1) or JWK with \
     all private parts, RSA of 2048 bits or more, or EC P-256; line breaks may be written as `\\n`";

const API_TOKEN: &str = "an API token, without `SSWS` in front";

/// Which secrets a program uses, if they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The one Okta sends.
    pub hook: bool,
    /// Those we send.
    pub credentials: bool,
}

impl Needs {
    /// The one Okta sends.
    pub const HOOK: Self = Self {
        hook: true,
        credentials: false,
    };
    /// Those we send.
    pub const CREDENTIALS: Self = Self {
        hook: false,
        credentials: true,
    };
    /// All of them.
    pub const BOTH: Self = Self {
        hook: true,
        credentials: true,
    };
}

/// Secrets that were read from elsewhere.
#[derive(Default)]
pub(super) struct Sources {
    pub hook: Option<Renewable<Vec<SecretString>>>,
    pub credentials: Option<CredentialsSecret>,
}

impl Reader<'static> {
    /// A reader of `environment`, with what it leaves unset read from the secrets that
    /// `HOOK_SECRET_ARN` and `CREDENTIALS_SECRET_ARN` name. `store` is asked only for a secret that is
    /// named, needed, and not overridden by variables.
    ///
    /// # Errors
    /// When a secret could not be read.
    pub async fn with_secrets(
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        store: Arc<dyn SecretStore>,
        needs: Needs,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let environment = Arc::new(environment);
        let (hook, credentials) = {
            let reader = Reader::new(|name| environment(name));
            let is_unset = |name: &str| reader.optional(name).is_none();
            let hook = reader.optional("HOOK_SECRET_ARN");
            let hook = hook.filter(|_| needs.hook && is_unset("HOOK_SECRET"));
            let is_incomplete = names_to_fill(is_unset).next().is_some();
            let credentials = reader.optional("CREDENTIALS_SECRET_ARN");
            (
                hook,
                credentials.filter(|_| needs.credentials && is_incomplete),
            )
        };
        let credentials =
            credentials.map(|id| CredentialsSecret::new(store.clone(), id, environment.clone()));
        let hook = hook.map(|id| hook_secrets(store, id, deadline));
        let values = credentials.as_ref().map(|secret| secret.values(deadline));
        let (hook, values) =
            futures_util::future::join(OptionFuture::from(hook), OptionFuture::from(values)).await;
        let values = values.transpose()?.unwrap_or_default();
        let mut reader =
            Reader::new(move |name| environment(name)).or_else(move |name| values.get(name));
        reader.sources = Sources {
            hook: hook.transpose()?,
            credentials,
        };
        Ok(reader)
    }
}

/// The token if there is one; else all three parts of the service app.
pub(crate) fn okta_credentials(reader: &mut Reader<'_>) -> Option<Credentials> {
    if reader.optional("OKTA_API_TOKEN").is_some() {
        let token = reader.required::<String>("OKTA_API_TOKEN", API_TOKEN);
        return token.map(|token| Credentials::ApiToken(token.into()));
    }
    let names = ["OKTA_CLIENT_ID", "OKTA_PRIVATE_KEY", "OKTA_KEY_ID"];
    if names.iter().all(|name| reader.optional(name).is_none()) {
        let expected = "an API token, or the service app's OKTA_CLIENT_ID, OKTA_PRIVATE_KEY and \
             OKTA_KEY_ID in its place";
        reader.report("OKTA_API_TOKEN", "is missing", expected);
        return None;
    }
    let client_id = reader.required("OKTA_CLIENT_ID", "the service app's client id (`0oa…`)");
    let key = reader.with_lines("OKTA_PRIVATE_KEY", PRIVATE_KEY, |text| {
        PrivateKey::parse(&SecretString::from(text.to_owned())).ok()
    });
    let key_id = reader.required(
        "OKTA_KEY_ID",
        "the id (`kid`) Okta shows for the public key",
    );
    Some(Credentials::ServiceApp {
        client_id: client_id?,
        key: key?,
        key_id: key_id?,
    })
}

/// The connected app.
pub(crate) fn anypoint_app(reader: &mut Reader<'_>) -> Option<ConnectedApp> {
    let client_id = reader.required("ANYPOINT_CLIENT_ID", "the connected app's id");
    let client_secret = reader.secret("ANYPOINT_CLIENT_SECRET", "the connected app's secret");
    Some(ConnectedApp {
        client_id: client_id?,
        client_secret: client_secret?,
    })
}
