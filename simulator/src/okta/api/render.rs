//! Objects as the API prints them.

use serde_json::{Value, json};

use super::super::objects::{ApiToken, AppGroup, AppUser, EventHook, OktaApp, OktaGroup, OktaUser};
use crate::call::Call;
use crate::clock::iso;

/// What an assignment shows of the object that is assigned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Embed {
    Nothing,
    Object,
}

impl Embed {
    /// As the call's `expand` asks.
    pub fn asked(call: &Call, kind: &str) -> Self {
        match call.query("expand") == Some(kind) {
            true => Self::Object,
            false => Self::Nothing,
        }
    }
}

fn time(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, |ms| Value::from(iso(ms)))
}

pub(super) fn user(user: &OktaUser, base: &str) -> Value {
    json!({
        "id": user.id,
        "status": user.status.as_str(),
        "created": iso(user.created),
        "activated": time(user.activated),
        "statusChanged": time(user.status_changed),
        "lastLogin": null,
        "lastUpdated": iso(user.last_updated),
        "passwordChanged": null,
        "realmId": "guosim00000000000001",
        "type": {"id": "otysim00000000000001"},
        "profile": user.profile,
        "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}},
        "_links": {"self": {"href": format!("{base}/api/v1/users/{}", user.id)}},
    })
}

pub(super) fn group(group: &OktaGroup, base: &str) -> Value {
    let own = format!("{base}/api/v1/groups/{}", group.id);
    json!({
        "id": group.id,
        "created": iso(group.created),
        "lastUpdated": iso(group.last_updated),
        "lastMembershipUpdated": iso(group.last_membership_updated),
        "objectClass": ["okta:user_group"],
        "type": group.kind,
        "profile": group.profile,
        "_links": {"self": {"href": own}, "users": {"href": format!("{own}/users")}, "apps": {"href": format!("{own}/apps")}},
    })
}

pub(super) fn app(app: &OktaApp, base: &str) -> Value {
    let own = format!("{base}/api/v1/apps/{}", app.id);
    json!({
        "id": app.id,
        "orn": format!("orn:okta:idp:00osim00000000000001:apps:{}:{}", app.name, app.id),
        "name": app.name,
        "label": app.label,
        "status": if app.active { "ACTIVE" } else { "INACTIVE" },
        "created": iso(app.created),
        "lastUpdated": iso(app.last_updated),
        "accessibility": {"selfService": false, "errorRedirectUrl": null, "loginRedirectUrl": null},
        "visibility": {"autoLaunch": false, "autoSubmitToolbar": false, "hide": {"iOS": false, "web": false}},
        "features": [],
        "signOnMode": "SAML_2_0",
        "credentials": {"userNameTemplate": {"template": "${fn:substringBefore(source.login, \"@\")}", "type": "BUILT_IN"}},
        "settings": {"app": {}},
        "_links": {"self": {"href": own}, "users": {"href": format!("{own}/users")}, "groups": {"href": format!("{own}/groups")}},
    })
}

pub(super) fn app_user(
    app: &OktaApp,
    assignment: &AppUser,
    of: &OktaUser,
    embed: Embed,
    base: &str,
) -> Value {
    let mut value = json!({
        "id": of.id,
        "externalId": null,
        "created": iso(assignment.created),
        "lastUpdated": iso(assignment.last_updated),
        "scope": if assignment.individual { "USER" } else { "GROUP" },
        "status": "ACTIVE",
        "statusChanged": iso(assignment.created),
        "passwordChanged": null,
        "lastSync": null,
        "syncState": "DISABLED",
        "credentials": {"userName": assignment.user_name},
        "profile": assignment.profile,
        "_links": {
            "app": {"href": format!("{base}/api/v1/apps/{}", app.id)},
            "user": {"href": format!("{base}/api/v1/users/{}", of.id)},
        },
    });
    if embed == Embed::Object {
        value["_embedded"] = json!({"user": user(of, base)});
    }
    value
}

pub(super) fn app_group(
    app: &OktaApp,
    assignment: &AppGroup,
    of: &OktaGroup,
    embed: Embed,
    base: &str,
) -> Value {
    let mut value = json!({
        "id": of.id,
        "lastUpdated": iso(assignment.last_updated),
        "priority": assignment.priority,
        "profile": assignment.profile,
        "_links": {
            "app": {"href": format!("{base}/api/v1/apps/{}", app.id)},
            "group": {"href": format!("{base}/api/v1/groups/{}", of.id)},
            "self": {"href": format!("{base}/api/v1/apps/{}/groups/{}", app.id, of.id)},
        },
    });
    if embed == Embed::Object {
        value["_embedded"] = json!({"group": group(of, base)});
    }
    value
}

/// An API token that was last used at its `last_used`, or at `now_ms`.
pub(super) fn api_token(token: &ApiToken, now_ms: i64, base: &str) -> Value {
    const WINDOW_MS: i64 = 30 * 24 * 60 * 60 * 1000;
    let used = token.last_used.unwrap_or(now_ms);
    let own = format!("{base}/api/v1/api-tokens/{}", token.id);
    json!({
        "id": token.id,
        "name": token.name,
        "userId": token.user_id,
        "clientName": token.client_name,
        "tokenWindow": "P30D",
        "network": {"connection": "ANYWHERE"},
        "created": iso(0),
        "lastUpdated": iso(used),
        "expiresAt": iso(used + WINDOW_MS),
        "_links": {"self": {"href": own, "hints": {"allow": ["GET", "DELETE"]}}},
    })
}

pub(super) fn hook(hook: &EventHook, base: &str) -> Value {
    let own = format!("{base}/api/v1/eventHooks/{}", hook.id);
    let headers: Vec<Value> = hook
        .headers
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let other = if hook.active {
        "deactivate"
    } else {
        "activate"
    };
    let mut links =
        json!({"self": {"href": own}, "verify": {"href": format!("{own}/lifecycle/verify")}});
    links[other] = json!({"href": format!("{own}/lifecycle/{other}")});
    let mapped: Vec<Value> = hook
        .filter
        .iter()
        .map(|(event, expression)| {
            json!({"event": event, "condition": {"version": null, "expression": expression}})
        })
        .collect();
    let filter = match mapped.is_empty() {
        true => Value::Null,
        false => json!({"type": "EXPRESSION_LANGUAGE", "eventFilterMap": mapped}),
    };
    json!({
        "id": hook.id,
        "status": if hook.active { "ACTIVE" } else { "INACTIVE" },
        "verificationStatus": if hook.verified { "VERIFIED" } else { "UNVERIFIED" },
        "name": hook.name,
        "description": hook.description,
        "created": iso(hook.created),
        "createdBy": "00usimadmin000000001",
        "lastUpdated": iso(hook.last_updated),
        "events": {"type": "EVENT_TYPE", "items": hook.events, "filter": filter},
        "channel": {
            "type": "HTTP",
            "version": "1.0.0",
            "config": {
                "uri": hook.uri,
                "method": "POST",
                "headers": headers,
                "authScheme": {"type": "HEADER", "key": hook.auth_key},
            },
        },
        "_links": links,
    })
}
