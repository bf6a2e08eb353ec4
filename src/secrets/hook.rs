//! The hook's secret: the value in force, and the one before it.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::{Renewable, SecretStore, Source, Stage};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

const SETTING: &str = "HOOK_SECRET_ARN";

/// The values of the secret `id` that are accepted from Okta.
///
/// # Errors
/// When the value in force could not be read. A missing previous value is normal.
pub async fn hook_secrets(
    store: Arc<dyn SecretStore>,
    id: String,
    deadline: Deadline,
) -> Result<Renewable<Vec<SecretString>>, Failure> {
    let source = HookSource { store, id };
    let first = source.read(deadline).await?;
    Ok(Renewable::new(first, source))
}

struct HookSource {
    store: Arc<dyn SecretStore>,
    id: String,
}

#[async_trait]
impl Source<Vec<SecretString>> for HookSource {
    async fn read(&self, deadline: Deadline) -> Result<Vec<SecretString>, Failure> {
        let stage = |stage| self.store.read(SETTING, &self.id, stage, deadline);
        let (current, previous) =
            futures_util::future::join(stage(Stage::Current), stage(Stage::Previous)).await;
        let previous = previous.unwrap_or_else(|failure| {
            tracing::warn!("the hook secret's previous value is not accepted now: {failure}");
            None
        });
        // A file that was uploaded as a secret ends with a line break; no header value does.
        let accepted: Vec<SecretString> = [current?, previous]
            .into_iter()
            .flatten()
            .map(|secret| secret.expose_secret().trim().to_owned())
            .filter(|secret| !secret.is_empty())
            .map(SecretString::from)
            .collect();
        if accepted.is_empty() {
            return Err(Failure::permanent(
                Side::Settings,
                format!("the secret {} is empty", self.id),
                format!("store the value that Okta sends as plain text, or change {SETTING}"),
            ));
        }
        Ok(accepted)
    }
}
