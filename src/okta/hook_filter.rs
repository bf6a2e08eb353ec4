//! Event hook filters: of the events that carry an app, Okta sends only those about ours. A self-service Early Access
//! feature. Source of shapes: Okta API, "Event Hooks"; Okta help, "Okta Expression Language and event hooks".

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::event::{HOOK_EVENT_TYPES, app_event_types};
use crate::ids::OktaAppId;

/// A filter that lets events about one app through. Event types that carry no app have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFilter {
    expression: String,
}

impl HookFilter {
    /// The filter for `app`. An id has no quote or blank in it, so it cannot end the text that it stands in.
    pub fn for_app(app: &OktaAppId) -> Self {
        let expression = format!("event.target.?[type eq 'AppInstance' && id eq '{app}'].size()>0");
        Self { expression }
    }

    pub(super) fn as_json(&self) -> Value {
        let condition = json!({"expression": self.expression});
        let map: Vec<Value> = app_event_types()
            .map(|event| json!({"event": event, "condition": condition}))
            .collect();
        json!({"type": "EXPRESSION_LANGUAGE", "eventFilterMap": map})
    }
}

/// Which events of its types a hook sends, as seen from one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtering {
    /// Of the types that carry an app only the events about this one.
    ThisApp,
    /// No event about this app is left out, and of some types events about every app are sent.
    EveryApp,
    /// A filter that may leave needed events out. A sentence for each fault.
    Other(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    event_filter_map: Vec<Mapped>,
}

#[derive(Deserialize)]
struct Mapped {
    event: String,
    condition: Option<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    expression: Option<String>,
}

impl Filtering {
    pub(super) fn of(filter: Option<&Value>, app: &OktaAppId) -> Self {
        let Some(filter) = filter else {
            return Self::EveryApp;
        };
        let Ok(filter) = Filter::deserialize(filter) else {
            let fault = "it has a filter of a form that this program does not know";
            return Self::Other(vec![fault.to_owned()]);
        };
        let expressions: Vec<(String, String)> = filter
            .event_filter_map
            .into_iter()
            .filter_map(|mapped| Some((mapped.event, mapped.condition?.expression?)))
            .filter(|(_, expression)| !expression.trim().is_empty())
            .collect();
        let with_app: BTreeSet<&str> = app_event_types().collect();
        let faults: Vec<String> = expressions
            .iter()
            // The filter of an event type that is not needed does not matter.
            .filter(|(event, _)| HOOK_EVENT_TYPES.contains(&event.as_str()))
            .filter_map(|(event, expression)| match app_in(expression) {
                Some(named) if !with_app.contains(event.as_str()) => Some(format!(
                    "its filter for {event} asks for the app {named}, and these events carry no app: none is sent"
                )),
                Some(named) if named != app.as_str() => Some(format!(
                    "its filter for {event} is about the app {named}, not {app}: the events of {app} are left out"
                )),
                Some(_) => None,
                None => Some(format!(
                    "it has a filter for {event} that is not ours and may leave needed events out"
                )),
            })
            .collect();
        if !faults.is_empty() {
            return Self::Other(faults);
        }
        let filtered: BTreeSet<&str> = expressions
            .iter()
            .map(|(event, _)| event.as_str())
            .collect();
        match with_app.is_subset(&filtered) {
            true => Self::ThisApp,
            false => Self::EveryApp,
        }
    }
}

/// The app in an expression of our form, whatever blanks Okta puts into it.
fn app_in(expression: &str) -> Option<String> {
    let bare: String = expression.split_whitespace().collect();
    let app = bare
        .strip_prefix("event.target.?[typeeq'AppInstance'&&ideq'")?
        .strip_suffix("'].size()>0")?;
    OktaAppId::parse(app).ok().map(|app| app.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> OktaAppId {
        OktaAppId::parse("0oaOURS1").unwrap()
    }

    fn with(change: impl FnOnce(&mut Vec<Value>)) -> Filtering {
        let mut filter = HookFilter::for_app(&app()).as_json();
        change(filter["eventFilterMap"].as_array_mut().unwrap());
        Filtering::of(Some(&filter), &app())
    }

    #[track_caller]
    fn fault(found: Filtering) -> String {
        match found {
            Filtering::Other(faults) => faults.join("; "),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_of_ours_is_recognized() {
        let map = HookFilter::for_app(&app()).as_json()["eventFilterMap"].clone();
        assert_eq!(map.as_array().unwrap().len(), 6);
        assert_eq!(with(|_| {}), Filtering::ThisApp);
        // As Okta returns it, with its own blanks, and for a type that is not needed.
        let as_given_back = with(|map| {
            map[0]["condition"] = json!({"version": null, "expression":
                "event.target.?[ type eq 'AppInstance' && id eq '0oaOURS1' ].size() > 0"});
            map.push(json!({"event": "user.account.lock", "condition": {"expression": "false"}}));
        });
        assert_eq!(as_given_back, Filtering::ThisApp);
    }

    #[test]
    fn a_missing_filter_is_no_fault() {
        assert_eq!(Filtering::of(None, &app()), Filtering::EveryApp);
        assert_eq!(with(|map| map.truncate(2)), Filtering::EveryApp);
        let empty = with(|map| map[0]["condition"] = json!({"expression": null}));
        assert_eq!(empty, Filtering::EveryApp);
    }

    #[test]
    fn a_filter_that_may_leave_events_out_is_named() {
        let other_app = Filtering::of(
            Some(&HookFilter::for_app(&OktaAppId::parse("0oaTHEIRS").unwrap()).as_json()),
            &app(),
        );
        assert!(fault(other_app).contains("about the app 0oaTHEIRS, not 0oaOURS1"));
        let group = json!({"event": "group.lifecycle.create",
            "condition": {"expression": "event.target.?[displayName eq 'Sales'].size()>0"}});
        let named = fault(with(|map| map.push(group)));
        assert!(named.contains("group.lifecycle.create") && !named.contains("Sales"));
        let ours_elsewhere = with(|map| {
            let mut other = map[0].clone();
            other["event"] = json!("user.lifecycle.suspend");
            map.push(other);
        });
        assert!(fault(ours_elsewhere).contains("carry no app"));
        let narrower = with(|map| {
            map[0]["condition"]["expression"] = json!(
                "event.target.?[type eq 'AppInstance' && id eq '0oaOURS1'].size()>0 && event.actor.id eq '00u1'"
            );
        });
        assert!(fault(narrower).contains("not ours"));
        fault(Filtering::of(Some(&json!("odd")), &app()));
    }
}
