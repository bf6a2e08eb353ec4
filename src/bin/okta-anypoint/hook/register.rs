//! `hook register`: makes the event hook what it has to be, with a filter where the org has them.

use anyhow::{Result, bail};
use http::StatusCode;
use okta_anypoint::deadline::Deadline;
use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::failure::Failure;
use okta_anypoint::http::CallError;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::okta::{EventHook, Filtering, HookFilter, HookSpec, Okta};
use serde_json::json;
use url::Url;

use super::judge::judge;
use super::{machine, named, show};
use crate::console::{Console, Exit, Tone};
use crate::remote::HookAccess;

pub async fn register(
    access: &HookAccess,
    url: &Url,
    name: &str,
    deadline: Deadline,
    console: &Console,
) -> Result<Exit> {
    let HookAccess { okta, hook } = access;
    let app = &hook.app;
    // A filter for an app that is not there would leave every assignment out.
    check_app(okta, app, deadline).await?;
    let secret = access.secret()?;
    let filter = HookFilter::for_app(app);
    let spec = HookSpec {
        name,
        url,
        auth_header: hook.header.as_str(),
        secret: &secret,
        event_types: &HOOK_EVENT_TYPES,
        filter: Some(&filter),
    };
    let old = existing(&okta.event_hooks(deadline).await?, name, url)?;
    let (mut hook, refused_filter) = write(okta, old.as_ref(), &spec, deadline).await?;
    let done = if old.is_some() { "updated" } else { "created" };
    if !hook.is_active() {
        hook = okta.activate_event_hook(&hook.id, deadline).await?;
    }
    console.say(format!("The event hook {} was {done}.", hook.id))?;
    let refused = match okta.verify_event_hook(&hook.id, deadline).await {
        Ok(verified) => {
            hook = verified;
            None
        }
        Err(error) => Some(Failure::from(error)),
    };
    let judged = judge(&hook, app);
    show(&hook, &judged, console)?;
    let no_filter =
        (judged.filtering == Filtering::EveryApp).then(|| without_filter(refused_filter));
    if let Some(text) = &no_filter {
        console.say_gap()?;
        console.say(text)?;
    }
    if let Some(failure) = &refused {
        console.say_gap()?;
        console.say(format!("Okta says: {}", failure.message))?;
    }
    if !hook.is_verified() {
        let lines = unverified_advice().lines();
        console.say_lines(lines.map(|line| console.paint(Tone::Bad, line)))?;
    }
    let mut result = machine(&hook, &judged);
    result["done"] = json!(done);
    result["no_filter"] = json!(no_filter);
    console.emit(&result)?;
    Ok(Exit::with_problems(
        judged.problems.len() + usize::from(refused.is_some()),
    ))
}

/// Refuses an app that Okta does not have. Without the right to read apps, it refuses none.
async fn check_app(okta: &Okta, app: &OktaAppId, deadline: Deadline) -> Result<()> {
    match okta.app(app, deadline).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => bail!(
            "Okta has no app {app}, and a hook for it would leave every assignment out; set OKTA_APP_ID to the id in the \
             app's address in Okta's admin console (`0oa…`)"
        ),
        Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates or replaces the hook. An org without event hook filters may refuse one. Then the hook has none, and the failure
/// says why.
async fn write(
    okta: &Okta,
    old: Option<&EventHook>,
    spec: &HookSpec<'_>,
    deadline: Deadline,
) -> Result<(EventHook, Option<Failure>), CallError> {
    let write = async |spec: &HookSpec<'_>| match old {
        None => okta.create_event_hook(spec, deadline).await,
        Some(old) => okta.replace_event_hook(old, spec, deadline).await,
    };
    match write(spec).await {
        Ok(hook) => Ok((hook, None)),
        Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => {
            let plain = HookSpec {
                filter: None,
                ..spec.clone()
            };
            // If something else was wrong with the hook, Okta refuses it again.
            let hook = write(&plain).await?;
            Ok((hook, Some(Failure::from(error))))
        }
        Err(error) => Err(error),
    }
}

/// Why the hook has no filter, and what that means.
fn without_filter(refused: Option<Failure>) -> String {
    let why = match refused {
        Some(failure) => format!("Okta refused the filter ({})", failure.message),
        None => "Okta accepted the hook and dropped the filter".to_owned(),
    };
    format!(
        "Without a filter: {why}. An org without event hook filters does that. Nothing is lost: Okta delivers the \
         assignments of every app, and the receiver ignores those of other apps. They count towards the org's daily limit. \
         For fewer, turn event hook filters on in Okta (Settings, Features; Early Access) and run this command again."
    )
}

fn unverified_advice() -> &'static str {
    "UNVERIFIED: Okta delivers nothing. Okta called the URL and did not get the right answer within 3 s. \
     Check that\n  - the receiver runs and can be reached from the internet at exactly this URL, with a \
     valid certificate;\n  - it has the same HOOK_SECRET and HOOK_AUTH_HEADER as this command (a wrong \
     secret is a 401);\nthen run this command again."
}

/// The hook that is ours: by name, else by URL.
fn existing(hooks: &[EventHook], name: &str, url: &Url) -> Result<Option<EventHook>> {
    let named = named(hooks, name);
    let found = if named.is_empty() {
        hooks
            .iter()
            .filter(|hook| hook.url() == url.as_str())
            .collect()
    } else {
        named
    };
    match found.as_slice() {
        [] => Ok(None),
        [hook] => Ok(Some((*hook).clone())),
        several => {
            let ids: Vec<&str> = several.iter().map(|hook| hook.id.as_str()).collect();
            bail!(
                "Okta has {} hooks of that name or URL: {}; deactivate and delete all but one in Okta \
                 (Workflow, Event Hooks), then run this again",
                ids.len(),
                ids.join(", ")
            )
        }
    }
}
