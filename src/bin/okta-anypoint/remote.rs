//! Access to Okta alone, for the commands about the event hook: they need no table and no Anypoint.

use anyhow::{Result, anyhow};
use okta_anypoint::http::HttpClient;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::okta::{Okta, Scopes};
use okta_anypoint::settings::{HookSettings, Needs, OktaSettings, app_id};
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
        let first = self.hook.auth.secrets.current().first().cloned();
        first.ok_or_else(|| anyhow!("there is no hook secret"))
    }
}

/// Okta, how it proves itself to the hook, and whose events the hook sends.
pub async fn hook_access() -> Result<HookAccess> {
    let mut reader = reader(Needs::BOTH).await?;
    let okta = OktaSettings::read(&mut reader);
    let hook = HookSettings::read(&mut reader);
    let (okta, hook) = reader.finish(okta.zip(hook))?;
    Ok(HookAccess {
        okta: client(&okta)?,
        hook,
    })
}

/// Okta, and the app whose events matter.
pub async fn hook_and_app() -> Result<(Okta, OktaAppId)> {
    let mut reader = reader(Needs::CREDENTIALS).await?;
    let okta = OktaSettings::read(&mut reader);
    let app = app_id(&mut reader);
    let (okta, app) = reader.finish(okta.zip(app))?;
    Ok((client(&okta)?, app))
}

/// Okta alone.
pub async fn hook_reader() -> Result<Okta> {
    let mut reader = reader(Needs::CREDENTIALS).await?;
    let okta = OktaSettings::read(&mut reader);
    client(&reader.finish(okta)?)
}

fn client(settings: &OktaSettings) -> Result<Okta> {
    let http = HttpClient::new(clock()).map_err(|error| anyhow!(error))?;
    Ok(settings.client(http, Scopes::default().with_hooks()))
}
