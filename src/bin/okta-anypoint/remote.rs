//! Access to Okta for commands that need no table.

use anyhow::{Result, anyhow};
use okta_anypoint::okta::{Okta, Scopes};
use okta_anypoint::settings::{HookSettings, RemoteSettings};
use okta_anypoint::wiring;
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

/// Okta, and the settings of the hook.
pub async fn hook_access() -> Result<HookAccess> {
    let mut reader = reader(true).await?;
    let remotes = RemoteSettings::read(&mut reader);
    let hook = HookSettings::read(&mut reader);
    let (remotes, hook) = reader.finish(remotes.zip(hook))?;
    let (okta, _) = wiring::remotes(&remotes, &clock()).map_err(|error| anyhow!(error))?;
    let okta = okta.with_scopes(Scopes::default().with_hooks());
    Ok(HookAccess { okta, hook })
}

/// Okta alone.
pub async fn hook_reader() -> Result<Okta> {
    let mut reader = reader(false).await?;
    let remotes = RemoteSettings::read(&mut reader);
    let remotes = reader.finish(remotes)?;
    let (okta, _) = wiring::remotes(&remotes, &clock()).map_err(|error| anyhow!(error))?;
    Ok(okta.with_scopes(Scopes::default().with_hooks()))
}
