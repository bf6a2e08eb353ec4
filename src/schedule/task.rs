//! The tasks, and how an invocation names one.

use serde::Deserialize as _;
use serde_json::Value;

use crate::failure::{Failure, Side};
use crate::settings::Mode;

words! {
    /// A task that runs on a schedule.
    pub enum Task {
        /// Reads the System Log for events that no delivery brought.
        CatchUp = "catch_up",
        /// Compares both sides as a whole.
        Reconcile = "reconcile",
        /// Brings people from Anypoint to Okta.
        Import = "import",
    }
}

/// What an invocation asks for: `{"task":"reconcile","mode":"report"}`. `mode` is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invocation {
    /// The task.
    pub task: Task,
    /// The mode, when the invocation overrides the setting.
    pub mode: Option<Mode>,
}

impl Invocation {
    /// Reads the event of an invocation. Other keys are ignored.
    ///
    /// # Errors
    /// Permanent, when task or mode are missing or unknown.
    pub fn parse(event: &Value) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::permanent(
                Side::Settings,
                format!("the invocation has {what}."),
                "Send {\"task\":\"catch_up\"}, {\"task\":\"reconcile\"} or {\"task\":\"import\"}, if you \
                 like with \"mode\":\"report\" or \"mode\":\"apply\".",
            )
        };
        let task = event.get("task").ok_or_else(|| wrong("no task"))?;
        let task = Task::deserialize(task).map_err(|_| wrong("an unknown task"))?;
        let mode = event.get("mode").unwrap_or(&Value::Null);
        let mode = Option::deserialize(mode).map_err(|_| wrong("an unknown mode"))?;
        Ok(Self { task, mode })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_invocation_needs_a_known_task_and_mode() {
        let read = |event: Value| Invocation::parse(&event).map(|i| (i.task, i.mode));
        assert_eq!(
            read(json!({"task": "catch_up"})).unwrap(),
            (Task::CatchUp, None)
        );
        assert_eq!(
            read(json!({"task": "import", "mode": "report", "more": 1})).unwrap(),
            (Task::Import, Some(Mode::Report))
        );
        assert_eq!(
            read(json!({"task": "reconcile", "mode": "apply"})).unwrap(),
            (Task::Reconcile, Some(Mode::Apply))
        );
        for bad in [
            json!({}),
            json!({"task": "Reconcile"}),
            json!({"task": 1}),
            json!({"task": "import", "mode": "dry"}),
            json!({"task": "import", "mode": true}),
            json!("reconcile"),
            json!(null),
        ] {
            let failure = read(bad.clone()).unwrap_err();
            assert!(!failure.is_retryable() && failure.advice.is_some(), "{bad}");
        }
    }
}
