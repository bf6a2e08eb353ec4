//! Access to Okta alone, for the commands about the event hook: they need no table and no Anypoint.

use anyhow::{Result, anyhow};
use okta_anypoint::http::HttpClient;
use okta_anypoint::okta::{Okta, Scopes};
use okta_anypoint::settings::{HookAuth, OktaSettings};
use secrecy::SecretString;

use crate::table::{clock, reader};

/// Okta, and what the hook is registered with.
pub struct HookAccess {
    pub okta: Okta,
    pub auth: HookAuth,
}

impl HookAccess {
    /// The secret that Okta is to send: the current one.
    pub fn secret(&self) -> Result<SecretString> {
        let first = self.auth.secrets.current().first().cloned();
        first.ok_or_else(|| anyhow!("there is no hook secret"))
    }
}

/// Okta, and how it proves itself to the hook.
pub async fn hook_access() -> Result<HookAccess> {
    let mut reader = reader(true).await?;
    let okta = OktaSettings::read(&mut reader);
    let auth = HookAuth::read(&mut reader);
    let (okta, auth) = reader.finish(okta.zip(auth))?;
    Ok(HookAccess {
        okta: client(&okta)?,
        auth,
    })
}

/// Okta alone.
pub async fn hook_reader() -> Result<Okta> {
    let mut reader = reader(false).await?;
    let okta = OktaSettings::read(&mut reader);
    client(&reader.finish(okta)?)
}

fn client(settings: &OktaSettings) -> Result<Okta> {
    let http = HttpClient::new(clock()).map_err(|error| anyhow!(error))?;
    Ok(settings.client(http, Scopes::default().with_hooks()))
}
