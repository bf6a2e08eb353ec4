//! Access to Okta alone, for the commands about the event hook: they need no table and no Anypoint.

use anyhow::{Result, anyhow};
use okta_anypoint::http::HttpClient;
use okta_anypoint::okta::{Okta, Scopes};
use okta_anypoint::settings::{HookSettings, Needs, OktaSettings, Reader};
use secrecy::SecretString;

use crate::table::{clock, reader};

/// Okta, and what the hook is registered with.
pub struct HookAccess {
    pub okta: Okta,
    pub hook: HookSettings,
}

impl HookAccess {
    /// The secret that Okta is to send: the current one.
    pub fn secret(&self) -> Result<SecretString> {
        let first = self.hook.secrets.current().first().cloned();
        first.ok_or_else(|| anyhow!("there is no hook secret"))
    }
}

/// Okta, and what the hook is registered with.
pub async fn hook_access() -> Result<HookAccess> {
    let (okta, hook) = okta_and(Needs::BOTH, HookSettings::read).await?;
    Ok(HookAccess { okta, hook })
}

/// Okta, with the right to manage event hooks, and what `more` reads from the settings.
pub async fn okta_and<T>(
    needs: Needs,
    more: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<(Okta, T)> {
    let mut reader = reader(needs).await?;
    let settings = OktaSettings::read(&mut reader);
    let more = more(&mut reader);
    let (settings, more) = reader.finish(settings.zip(more))?;
    let http = HttpClient::new(clock()).map_err(|error| anyhow!(error))?;
    let okta = settings.client(http, Scopes::default().with_hooks());
    Ok((okta, more))
}
