//! `hook remove`: takes the event hook away from Okta.

use anyhow::{Result, bail};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::okta::{EventHook, Okta};
use serde_json::json;

use super::judge::superfluous;
use super::{named, several};
use crate::console::{Console, Exit};

/// Deactivates and deletes the hook of that name. Okta does not delete an active one.
pub async fn remove(
    okta: &Okta,
    name: &str,
    deadline: Deadline,
    console: &Console,
) -> Result<Exit> {
    let hooks = okta.event_hooks(deadline).await?;
    let hook = match named(&hooks, name).as_slice() {
        [] => {
            console.say(format!(
                "Okta has no event hook named \"{name}\"; nothing was removed."
            ))?;
            console.emit(&json!({"done": "absent", "id": null, "name": name, "url": null}))?;
            return Ok(Exit::Done);
        }
        [hook] => *hook,
        found => return Err(several(found, name)),
    };
    only_ours(hook)?;
    if hook.is_active() {
        okta.deactivate_event_hook(&hook.id, deadline).await?;
    }
    if let Err(error) = okta.delete_event_hook(&hook.id, deadline).await {
        console.say(format!(
            "The event hook {} is deactivated, and not deleted. Run `okta-anypoint hook remove` again.",
            hook.id
        ))?;
        return Err(error.into());
    }
    console.say(format!(
        "The event hook {} for {} was deactivated and deleted. Okta delivers nothing any more.",
        hook.id,
        hook.url()
    ))?;
    console
        .emit(&json!({"done": "removed", "id": hook.id, "name": hook.name, "url": hook.url()}))?;
    Ok(Exit::Done)
}

/// Refuses a hook that is also subscribed to event types of others: the name alone does not make it ours.
fn only_ours(hook: &EventHook) -> Result<()> {
    let foreign = superfluous(hook);
    if foreign.is_empty() {
        return Ok(());
    }
    bail!(
        "the event hook {} is also subscribed to {}, so others may need it, and it was left as it is; delete it in \
         Okta (Workflow, Event Hooks) if nobody does",
        hook.id,
        foreign.join(", ")
    )
}
