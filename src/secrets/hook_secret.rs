//! The hook's secret: the value in force, and the one before it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Budget, Renewable, SecretStore, SecretVersion, ValueSource};
use crate::deadline::Deadline;
use crate::failure::{Failure, Side};

const SETTING: &str = "HOOK_SECRET_ARN";
/// Strangers can cause reads with ever new wrong values. So one read every ten seconds stays available for later callers:
/// a rotated secret is known after ten seconds at the latest. A wrong value that comes again uses up nothing of this.
const BUDGET: Budget = Budget {
    every: Duration::from_secs(10),
    burst: 3,
};
const MIN_SECRET_CHARACTERS: usize = 8;
/// API Gateway takes 10,240 bytes of request line and headers, and the secret is one header of many.
const MAX_SECRET_CHARACTERS: usize = 8 * 1024;
/// What a hook secret has to be.
pub(crate) const HOOK_SECRET: &str = "the value that Okta sends: at least 8 letters, digits or other visible ASCII characters in one line; 32 random ones are better";

/// `text` as a hook secret: Okta can send it in a header, and it is hard to guess. An error repeats nothing of it.
pub(crate) fn hook_secret(text: &str) -> Result<SecretString, &'static str> {
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => return Err("is JSON, as the console stores keys and values"),
        Ok(Value::String(_)) => return Err("is JSON, a text in quotes"),
        _ => {}
    }
    if !text.bytes().all(is_visible) || text.trim() != text {
        return Err("is of no use: no header can carry it");
    }
    if text.len() < MIN_SECRET_CHARACTERS {
        return Err("is too short for a secret");
    }
    if text.len() > MAX_SECRET_CHARACTERS {
        return Err("is too long: no header can carry it");
    }
    Ok(text.into())
}

/// The values of the secret `id` that are accepted from Okta. A missing previous value is normal.
pub(crate) async fn hook_secrets(
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
impl ValueSource<Vec<SecretString>> for HookSource {
    async fn read(&self, deadline: Deadline) -> Result<Vec<SecretString>, Failure> {
        let stage = |stage| self.store.read(SETTING, &self.id, stage, deadline);
        let (current, previous) = futures_util::future::join(
            stage(SecretVersion::Current),
            stage(SecretVersion::Previous),
        )
        .await;
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
        match hook_secret(text) {
            Ok(secret) => Ok(Some(secret)),
            Err(what) => Err(self.unusable(what)),
        }
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
    fn a_secret_fits_into_a_header_and_is_hard_to_guess() {
        let longest = "x".repeat(MAX_SECRET_CHARACTERS);
        for good in [
            "12345678",
            "Basic b2t0YTpzZWNyZXQ=",
            "a long random value",
            "{not JSON}",
            "say \"please\"",
            &longest,
        ] {
            assert!(hook_secret(good).is_ok(), "{good}");
        }
        let too_long = format!("{longest}x");
        for (bad, why) in [
            ("", "short"),
            ("short", "short"),
            ("two\nlines of it", "header"),
            ("tab\tinside", "header"),
            ("gehei\u{df}nis!", "header"),
            (" padded ", "header"),
            ("nul\0inside", "header"),
            (&too_long, "too long"),
            (r#"{"a":"bbbbbbbbb"}"#, "keys and values"),
            ("{\n \"a\": \"bbbbbbbbb\"\n}", "keys and values"),
            (r#""in quotes""#, "in quotes"),
        ] {
            let fault = hook_secret(bad).unwrap_err();
            assert!(fault.contains(why), "{bad:?}: {fault}");
        }
    }
}
