//! What would follow for a subject, in words.

use okta_anypoint::failure::Failure;
use okta_anypoint::provision::Step;
use serde::Serialize;

use crate::console::Console;

/// One thing that would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The action's name, as in metrics.
    pub action: String,
    /// What it does, in words; opaque ids and usernames only.
    pub what: String,
    /// Why.
    pub reason: String,
}

impl Planned {
    /// A step for people.
    pub fn from_step(step: &Step) -> Self {
        Self {
            action: step.action.to_string(),
            what: step.what.clone(),
            reason: step.reason.to_string(),
        }
    }

    /// Steps for people.
    pub fn from_steps(steps: &[Step]) -> Vec<Self> {
        steps.iter().map(Self::from_step).collect()
    }
}

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
                console.say(format!("  {} ({})", action.what, action.reason))?;
            }
            Ok(())
        }
        Err(failure) => console.say(format!("The next look would fail: {failure}")),
    }
}

/// A failure for machines.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    serde_json::json!({
        "side": failure.side,
        "class": failure.class,
        "code": failure.cause,
        "message": failure.message,
        "advice": failure.advice,
    })
}
