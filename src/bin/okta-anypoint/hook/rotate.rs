//! `hook rotate`: a new secret, in Secrets Manager and in Okta.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use okta_anypoint::aws::{self, Limits};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::secrets::{Renewable, SecretsManager};
use okta_anypoint::settings::{HookSettings, Reader};
use secrecy::SecretString;
use url::Url;

use super::register::register;
use super::the_hook;
use crate::console::{Console, Exit, Usage};
use crate::remote::{self, HookAccess};
use crate::table::LOOK_TIME;

const SETTING: &str = "HOOK_SECRET_ARN";

/// How often the secret has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Once: the present value stays good as the previous one, for deliveries that are under way.
    Routine,
    /// Twice: others know the present value, so it must not stay good as the previous one.
    Leaked,
}

pub async fn rotate(name: &str, reason: Reason, console: &Console) -> Result<Exit> {
    let reader = Reader::from_env();
    let id = match (reader.optional("HOOK_SECRET"), reader.optional(SETTING)) {
        (None, Some(id)) => id,
        (Some(_), _) => {
            return Err(by_hand(
                "HOOK_SECRET is set, and no program can change it for the others",
            ));
        }
        (None, None) => return Err(by_hand("HOOK_SECRET_ARN is not set")),
    };
    let access = remote::hook_access().await?;
    let deadline = Deadline::within(LOOK_TIME);
    let hooks = access.okta.event_hooks(deadline).await?;
    let hook = the_hook(&hooks, name)?;
    let url: Url = hook.url().parse().context("the hook's address in Okta")?;
    let store = SecretsManager::on_first_use(aws::load, Limits::within(LOOK_TIME));
    let rounds = match reason {
        Reason::Routine => 1,
        Reason::Leaked => 2,
    };
    for round in 1..=rounds {
        let deadline = Deadline::within(LOOK_TIME);
        let value: [u8; 32] = rand::random();
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(value));
        // First the receiver's side: it accepts the new value and the one before it.
        store.store(SETTING, &id, &secret, deadline).await?;
        console.say(format!(
            "Secrets Manager has a new value ({round} of {rounds})."
        ))?;
        let access = HookAccess {
            okta: access.okta.clone(),
            hook: HookSettings {
                secrets: Renewable::from(vec![secret]),
                ..access.hook.clone()
            },
        };
        let finish = format!("`okta-anypoint hook register --url {url}`");
        match register(&access, &url, name, deadline, console).await {
            Ok(Exit::Done) => {}
            Ok(Exit::Problem) => bail!(
                "Okta has the new value, but could not verify the hook with it. Fix that, then finish with \
                 {finish}; running `hook rotate` again would make the value in use invalid"
            ),
            Err(error) => {
                return Err(error.context(format!(
                    "Okta still sends the previous value, which the receiver accepts. Finish with {finish}; running \
                     `hook rotate` again would make that value invalid"
                )));
            }
        }
    }
    console.say(match reason {
        Reason::Routine => {
            "The value before it is accepted until the next rotation. If it leaked, run this again with --leaked."
        }
        Reason::Leaked => {
            "The leaked value is refused by every receiver that has read the secret again: five minutes from now at the \
             latest."
        }
    })?;
    Ok(Exit::Done)
}

fn by_hand(why: &str) -> anyhow::Error {
    let text = format!(
        "{why}. `hook rotate` changes the secret that {SETTING} names; otherwise rotate by hand: set HOOK_SECRET to a new \
         value and HOOK_SECRET_PREVIOUS to the one in use, restart the receiver, run `hook register`, and if the old value \
         leaked restart once more without HOOK_SECRET_PREVIOUS"
    );
    Usage(text).into()
}
