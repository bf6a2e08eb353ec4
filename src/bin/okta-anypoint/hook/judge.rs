//! Whether a hook delivers exactly what is needed.

use std::collections::BTreeSet;

use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::okta::{EventHook, Filtering};

/// What there is to say about a hook.
pub struct Judgement {
    /// What keeps it from delivering exactly what is needed, a sentence each.
    pub problems: Vec<String>,
    /// What could be better and is no fault.
    pub advice: Option<String>,
    /// Its filter.
    pub filtering: Filtering,
}

impl Judgement {
    /// The word of the filter for machines.
    pub fn filter_word(&self) -> &'static str {
        match self.filtering {
            Filtering::ThisApp => "this_app",
            Filtering::EveryApp => "every_app",
            Filtering::Other(_) => "other",
        }
    }
}

/// Judges a hook for `app`.
pub fn judge(hook: &EventHook, app: &OktaAppId) -> Judgement {
    let mut problems = Vec::new();
    let again = "`okta-anypoint hook register --url URL` fixes it";
    if !hook.is_active() {
        problems.push(format!("it is not active and delivers nothing; {again}"));
    }
    if !hook.is_verified() {
        problems.push(format!("it is UNVERIFIED and delivers nothing; {again}"));
    }
    let filtering = hook.filtering(app);
    if let Filtering::Other(faults) = &filtering {
        problems.extend(faults.iter().map(|fault| format!("{fault}; {again}")));
    }
    let (missing, superfluous) = differences(hook);
    if !missing.is_empty() {
        problems.push(format!(
            "it is not subscribed to {}; {again}",
            missing.join(", ")
        ));
    }
    if !superfluous.is_empty() {
        problems.push(format!(
            "it is subscribed to event types that nobody needs: {}; {again}",
            superfluous.join(", ")
        ));
    }
    let advice = (filtering == Filtering::EveryApp).then(|| {
        "Okta also delivers the assignments of other apps, and the receiver ignores them. Run `okta-anypoint hook \
         register --url URL` for fewer deliveries, if the org has event hook filters (in Okta: Settings, Features)."
            .to_owned()
    });
    Judgement {
        problems,
        advice,
        filtering,
    }
}

/// Event types that are needed and missing, and those that are there and not needed.
pub fn differences(hook: &EventHook) -> (Vec<&'static str>, Vec<String>) {
    let subscribed: BTreeSet<&str> = hook.event_types().iter().map(String::as_str).collect();
    let missing = HOOK_EVENT_TYPES
        .into_iter()
        .filter(|needed| !subscribed.contains(needed))
        .collect();
    let superfluous = hook
        .event_types()
        .iter()
        .filter(|found| !HOOK_EVENT_TYPES.contains(&found.as_str()))
        .cloned()
        .collect();
    (missing, superfluous)
}
