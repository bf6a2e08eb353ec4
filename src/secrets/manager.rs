//! AWS Secrets Manager.

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
#[cfg(feature = "local")]
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tokio::sync::OnceCell;
use tokio::time::timeout_at;

use super::{SecretStore, Stage};
use crate::aws::{AwsCall, Limits, Source, explain, load};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

/// Reads secrets from AWS Secrets Manager.
#[derive(Debug)]
pub struct SecretsManager {
    limits: Limits,
    source: Source,
    client: OnceCell<Client>,
}

impl SecretsManager {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        Self {
            limits: Limits::within(std::time::Duration::from_secs(5)),
            source: load,
            client: OnceCell::new_with(Some(client)),
        }
    }

    /// Makes its client when the first secret is read: a program that names no secret pays nothing.
    pub fn on_first_use(source: Source, limits: Limits) -> Self {
        Self {
            limits,
            source,
            client: OnceCell::new(),
        }
    }

    /// Makes `secret` the value in force of the secret that `setting` names as `id`; the value so far becomes the previous
    /// one.
    ///
    /// # Errors
    /// When it could not be stored. Whether it was may be unknown then.
    #[cfg(feature = "local")]
    pub async fn store(
        &self,
        setting: &'static str,
        id: &str,
        secret: &SecretString,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        const OPERATION: &str = "secretsmanager:PutSecretValue";
        let storing = async {
            let request = self.client().await.put_secret_value().secret_id(id);
            request.secret_string(secret.expose_secret()).send().await
        };
        match timeout_at(deadline.instant(), storing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let target = AwsCall {
                    side: Side::Settings,
                    operation: OPERATION,
                    resource: id,
                    setting,
                };
                Err(explain(target, &error))
            }
            Err(_) => {
                let what = format!("{OPERATION} on {id} did not answer in time");
                Err(Failure::retryable(Side::Settings, what))
            }
        }
    }

    async fn client(&self) -> &Client {
        let make = || async { Client::new(&(self.source)(self.limits).await) };
        self.client.get_or_init(make).await
    }
}

#[async_trait]
impl SecretStore for SecretsManager {
    async fn read(
        &self,
        setting: &'static str,
        id: &str,
        stage: Stage,
        deadline: Deadline,
    ) -> Result<Option<SecretString>, Failure> {
        const OPERATION: &str = "secretsmanager:GetSecretValue";
        let reading = async {
            let request = self.client().await.get_secret_value().secret_id(id);
            let label = match stage {
                Stage::Current => "AWSCURRENT",
                Stage::Previous => "AWSPREVIOUS",
            };
            request.version_stage(label).send().await
        };
        let Ok(answer) = timeout_at(deadline.instant(), reading).await else {
            let what = format!("{OPERATION} on {id} did not answer in time");
            return Err(Failure::retryable(Side::Settings, what));
        };
        match answer {
            Ok(found) => match found.secret_string {
                Some(text) => Ok(Some(SecretString::from(text))),
                None => Err(Failure::permanent(
                    Side::Settings,
                    format!("the secret {id} is binary"),
                    format!("store it as text, or change {setting}"),
                )),
            },
            // A secret that was never rotated has no previous version.
            Err(error)
                if stage == Stage::Previous
                    && matches!(
                        error.as_service_error(),
                        Some(GetSecretValueError::ResourceNotFoundException(_))
                    ) =>
            {
                Ok(None)
            }
            Err(error) => {
                let target = AwsCall {
                    side: Side::Settings,
                    operation: OPERATION,
                    resource: id,
                    setting,
                };
                Err(explain(target, &error))
            }
        }
    }
}
