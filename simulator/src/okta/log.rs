//! The System Log and the deliveries made of it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::objects::{AppUser, OktaApp, OktaGroup, OktaUser};
use crate::clock::iso;

/// The id of the administrator who does everything.
pub(super) const ACTOR: &str = "00usimadmin000000001";

/// What an event is about (Okta API, System Log, `target`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Id of the object.
    pub id: String,
    /// `User`, `UserGroup`, `AppUser`, `AppInstance`.
    pub kind: String,
    /// Login, app username, label, or `unknown` for groups.
    pub alternate_id: String,
    /// A name for people.
    pub display_name: String,
}

impl Target {
    pub(super) fn new(kind: &str, id: &str, alternate_id: &str, display_name: &str) -> Self {
        Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            alternate_id: alternate_id.to_owned(),
            display_name: display_name.to_owned(),
        }
    }

    pub(super) fn user(user: &OktaUser) -> Self {
        Self::new("User", &user.id, user.login(), &user.full_name())
    }

    pub(super) fn group(group: &OktaGroup) -> Self {
        Self::new("UserGroup", &group.id, "unknown", group.name())
    }

    pub(super) fn app(app: &OktaApp) -> Self {
        Self::new("AppInstance", &app.id, &app.label, &app.name)
    }

    pub(super) fn app_user(assignment: &AppUser, user: &OktaUser) -> Self {
        Self::new(
            "AppUser",
            &assignment.assignment_id,
            &assignment.user_name,
            &user.full_name(),
        )
    }
}

/// What did it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// An administrator's request.
    Request,
    /// A background job.
    Job,
}

/// An entry of the System Log. [`LogEvent::to_json`] prints it in full, as the API and the deliveries do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogEvent {
    /// Unique id.
    pub uuid: String,
    /// When it happened, epoch milliseconds.
    pub published_ms: i64,
    /// `application.user_membership.add`, …
    pub event_type: String,
    /// `SUCCESS` and others.
    pub outcome: String,
    /// What it is about.
    pub targets: Vec<Target>,
    /// `debugContext.debugData`.
    pub debug: Vec<(String, String)>,
    /// Whether a background job did it (transaction JOB, no client) rather than a request.
    pub by_job: bool,
}

/// Okta's message; for types without a message here, the words of the type.
fn display_message(event_type: &str) -> Cow<'_, str> {
    let message = match event_type {
        "user.lifecycle.create" => "Create Okta user",
        "user.lifecycle.activate" => "Activate Okta user",
        "user.lifecycle.reactivate" => "Reactivate Okta user",
        "user.lifecycle.deactivate" => "Deactivate Okta user",
        "user.lifecycle.suspend" => "Suspend Okta user",
        "user.lifecycle.unsuspend" => "Unsuspend Okta user",
        "user.lifecycle.delete.initiated" => "Delete Okta user initiated",
        "user.account.update_profile" => "Update user profile for Okta",
        "group.lifecycle.create" => "Create Okta group",
        "group.lifecycle.delete" => "Delete Okta group",
        "group.profile.update" => "Update Okta group profile",
        "group.user_membership.add" => "Add user to group membership",
        "group.user_membership.remove" => "Remove user from group membership",
        "group.application_assignment.add" => "Add assigned application to group",
        "group.application_assignment.remove" => "Remove assigned application from group",
        "group.application_assignment.update" => "Update assigned application to group",
        "application.user_membership.add" => "Add user to application membership",
        "application.user_membership.remove" => "Remove user's application membership",
        "application.user_membership.update" => "Update user's application membership",
        "application.user_membership.change_username" => "Change application username",
        "application.user_membership.restore" => "Restore user's application membership",
        "event_hook.delivery" => "Event hook delivery",
        _ => return event_type.replace(['.', '_'], " ").into(),
    };
    message.into()
}

impl LogEvent {
    /// The whole entry, nulls included.
    pub fn to_json(&self) -> Value {
        let target: Vec<Value> = self
            .targets
            .iter()
            .map(|t| {
                json!({
                    "id": t.id, "type": t.kind, "alternateId": t.alternate_id, "displayName": t.display_name,
                    "detailEntry": null,
                })
            })
            .collect();
        let debug: Map<String, Value> = self
            .debug
            .iter()
            .map(|(k, v)| (k.clone(), Value::from(v.as_str())))
            .collect();
        let (transaction, client_ip) = match self.by_job {
            true => ("JOB", Value::Null),
            false => ("WEB", Value::from("192.0.2.10")),
        };
        let legacy = match self.event_type.as_str() {
            "application.user_membership.add" => {
                Value::from("app.generic.provision.assign_user_to_app")
            }
            _ => Value::Null,
        };
        json!({
            "uuid": self.uuid,
            "published": iso(self.published_ms),
            "eventType": self.event_type,
            "version": "0",
            "displayMessage": display_message(&self.event_type),
            "severity": "INFO",
            "client": {
                "userAgent": null, "zone": null, "device": null, "id": null, "ipAddress": client_ip,
                "geographicalContext": null, "ipChain": [],
            },
            "device": null,
            "actor": {
                "id": ACTOR, "type": "User", "alternateId": "admin@acme.example",
                "displayName": "Ada Admin", "detailEntry": null,
            },
            "outcome": {"result": self.outcome, "reason": null},
            "target": target,
            "transaction": {"type": transaction, "id": format!("sim{}", &self.uuid), "detail": {}},
            "debugContext": {"debugData": debug},
            "legacyEventType": legacy,
            "authenticationContext": {
                "authenticationProvider": null, "credentialProvider": null, "credentialType": null, "issuer": null,
                "authenticationStep": 0, "rootSessionId": "trsSimulated", "externalSessionId": "trsSimulated",
                "authenticatorContext": null, "interface": null,
            },
            "securityContext": {"asNumber": null, "asOrg": null, "isp": null, "domain": null, "isProxy": null},
            "insertionTimestamp": null,
        })
    }
}

/// The body of an event hook delivery (Okta concept page, Event Hooks): one envelope around any number of events.
///
/// `source` is the hook's own address; `event_time_ms` is when it is sent, epoch milliseconds.
pub fn delivery(source: &str, event_time_ms: i64, events: &[LogEvent]) -> Value {
    let events: Vec<Value> = events.iter().map(LogEvent::to_json).collect();
    let time = iso(event_time_ms);
    json!({
        "eventType": "com.okta.event_hook",
        "eventTypeVersion": "1.0",
        "cloudEventsVersion": "0.1",
        "source": source,
        "eventId": Uuid::new_v4().to_string(),
        "data": {"events": events},
        "eventTime": time.replace('Z', "211Z"),
        "contentType": "application/json",
    })
}
