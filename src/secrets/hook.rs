//! The hook's secret: the value in force, and the one before it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::{Budget, Renewable, SecretStore, Source, Stage};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

const SETTING: &str = "HOOK_SECRET_ARN";
/// Strangers cause reads with any wrong value, so one in ten seconds is kept for callers after them: a rotated
/// secret is known ten seconds later at the latest.
const BUDGET: Budget = Budget {
    every: Duration::from_secs(10),
    burst: 3,
};
const MIN_SECRET_CHARACTERS: usize = 8;
/// What a hook secret has to be.
pub const HOOK_SECRET: &str = "the value that Okta sends: at least 8 letters, digits or other visible ASCII characters in one line; 32 random ones are better";

/// Whether Okta can send `text` as the value of a header, and nobody guesses it.
pub fn is_hook_secret(text: &str) -> bool {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    text.len() >= MIN_SECRET_CHARACTERS && text.bytes().all(is_visible) && text.trim() == text
}

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
    Ok(Renewable::with_budget(first, source, BUDGET))
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
        let mut accepted = Vec::new();
        accepted.extend(self.usable(current?)?);
        match self.usable(previous) {
            Ok(previous) => accepted.extend(previous),
            Err(failure) => {
                tracing::warn!("the hook secret's previous value is not accepted: {failure}");
            }
        }
        if accepted.is_empty() {
            return Err(self.unusable("is empty"));
        }
        Ok(accepted)
    }
}

impl HookSource {
    /// The value as Okta sends it; `None` when there is none.
    fn usable(&self, secret: Option<SecretString>) -> Result<Option<SecretString>, Failure> {
        let Some(secret) = secret else {
            return Ok(None);
        };
        // A file that was uploaded as a secret ends with a line break; no header value does.
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Ok(None);
        }
        if serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text).is_ok() {
            let what = "is JSON, as the console stores keys and values";
            return Err(self.unusable(what));
        }
        if !is_hook_secret(text) {
            return Err(self.unusable("is too short for a secret, or no header can carry it"));
        }
        Ok(Some(SecretString::from(text)))
    }

    fn unusable(&self, what: &str) -> Failure {
        Failure::permanent(
            Side::Settings,
            format!("the secret {} {what}", self.id),
            format!("store it as plain text, {HOOK_SECRET}; or change {SETTING}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_a_header_can_carry_and_nobody_guesses() {
        for good in ["12345678", "Basic b2t0YTpzZWNyZXQ=", "a long random value"] {
            assert!(is_hook_secret(good), "{good}");
        }
        for bad in [
            "",
            "short",
            "two\nlines of it",
            "tab\tinside",
            "gehei\u{df}nis!",
            " padded ",
            "nul\0inside",
        ] {
            assert!(!is_hook_secret(bad), "{bad:?}");
        }
    }
}
