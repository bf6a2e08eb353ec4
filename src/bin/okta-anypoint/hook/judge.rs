//! Whether a hook delivers exactly what is needed.

use okta_anypoint::event::HOOK_EVENT_TYPES;
use okta_anypoint::ids::OktaAppId;
use okta_anypoint::okta::{EventHook, Filtering};

/// The findings about a hook.
pub struct Judgement {
    /// What keeps it from delivering exactly what is needed, a sentence each.
    pub problems: Vec<String>,
    /// What could be better and is not an error.
    pub advice: Option<String>,
    pub filtering: Filtering,
    /// Event types that are needed and not subscribed to.
    pub missing: Vec<&'static str>,
    /// Event types that it is subscribed to and that are not needed.
    pub superfluous: Vec<String>,
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
    let (missing, superfluous) = (missing(hook), superfluous(hook));
    if !missing.is_empty() {
        problems.push(format!(
            "it is not subscribed to {}; {again}",
            missing.join(", ")
        ));
    }
    if !superfluous.is_empty() {
        problems.push(format!(
            "it is subscribed to event types that are not needed: {}; {again}",
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
        missing,
        superfluous,
    }
}

fn missing(hook: &EventHook) -> Vec<&'static str> {
    let is_missing = |needed: &&str| !hook.event_types().iter().any(|found| found == needed);
    HOOK_EVENT_TYPES.into_iter().filter(is_missing).collect()
}

/// Event types that the hook is subscribed to and that are not needed.
pub fn superfluous(hook: &EventHook) -> Vec<String> {
    let is_superfluous = |found: &&String| !HOOK_EVENT_TYPES.contains(&found.as_str());
    hook.event_types()
        .iter()
        .filter(is_superfluous)
        .cloned()
        .collect()
}
