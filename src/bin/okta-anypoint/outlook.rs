//! What would follow for a subject: for people, and a failure for machines.

use okta_anypoint::failure::Failure;
use okta_anypoint::insight::Planned;

use crate::console::Console;

/// Says what the next look at a subject would do.
pub fn say_next(
    console: &Console,
    id: &str,
    plan: &Result<Vec<Planned>, Failure>,
) -> anyhow::Result<()> {
    match plan {
        Ok(actions) if actions.is_empty() => console.say("Both sides are in sync."),
        Ok(actions) => {
            console.say(format!(
                "The next event, or `okta-anypoint push {id}`, would:"
            ))?;
            for action in actions {
                console.say_behind("  ", 4, format!("{} ({})", action.what, action.reason))?;
            }
            Ok(())
        }
        Err(failure) => console.say(format!("The next look would fail: {failure}")),
    }
}

/// The fields that `explain` and `link` show.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "side": failure.side,
        "class": failure.class,
        "code": failure.cause,
        "message": failure.message,
        "advice": failure.advice,
    })
}
