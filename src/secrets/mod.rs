//! Secrets that live outside the environment, and what happens when they change.
//!
//! Two secrets can be kept in AWS Secrets Manager instead of in variables: the hook's
//! (`HOOK_SECRET_ARN`) and the credentials of both remotes (`CREDENTIALS_SECRET_ARN`). They are read
//! during start-up, only if they are named there and not overridden, and held as [`Renewable`] values:
//! read again in the background when they are some minutes old, and at once (at most once a
//! minute) when the other side refuses what we have. A rotation therefore needs no new deployment,
//! and a Secrets Manager that is out of reach stops nothing that already runs.

mod hook_secret;
mod manager;
mod renewable;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::deadline::Deadline;
use crate::failure::Failure;

pub(crate) use hook_secret::{HOOK_SECRET, hook_secret, hook_secrets};
pub use manager::SecretsManager;
pub use renewable::Renewable;
pub(crate) use renewable::{Budget, Caller, ValueSource};

/// Which version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretVersion {
    /// The one in force.
    Current,
    /// The one before it, for as long as the other side may still use it.
    Previous,
}

/// Keeps secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret that `setting` names as `id`; `None` when it has no such version.
    ///
    /// # Errors
    /// When it could not be read, or is not text.
    async fn read(
        &self,
        setting: &'static str,
        id: &str,
        stage: SecretVersion,
        deadline: Deadline,
    ) -> Result<Option<SecretString>, Failure>;
}
