//! Event hooks: registration and verification. Source of shapes: Okta API, "Event Hooks".

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::client::Okta;
use super::hook_filter::{Filtering, HookFilter};
use crate::deadline::Deadline;
use crate::http::{CallError, entries};
use crate::ids::OktaAppId;

entries!(EventHook: "id");

/// An event hook as Okta has it. The secret is never part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventHook {
    /// The hook's id (`who…`).
    pub id: String,
    /// Its display name.
    pub name: String,
    description: Option<String>,
    status: Option<String>,
    verification_status: Option<String>,
    #[serde(default)]
    events: Events,
    channel: Channel,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
struct Events {
    #[serde(default)]
    items: Vec<String>,
    /// Which events of a type are sent; `None` for all.
    filter: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Channel {
    config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    uri: String,
    #[serde(default)]
    headers: Value,
    auth_scheme: Option<AuthScheme>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct AuthScheme {
    key: Option<String>,
}

impl EventHook {
    /// Where deliveries go.
    pub fn url(&self) -> &str {
        &self.channel.config.uri
    }

    /// The name of the header that carries the secret.
    pub fn auth_header(&self) -> Option<&str> {
        self.channel.config.auth_scheme.as_ref()?.key.as_deref()
    }

    /// The event types it is subscribed to.
    pub fn event_types(&self) -> &[String] {
        &self.events.items
    }

    /// Which events of its types it sends, as seen from `app`.
    pub fn filtering(&self, app: &OktaAppId) -> Filtering {
        Filtering::of(self.events.filter.as_ref(), app)
    }

    /// Whether it is switched on. Only an active and verified hook gets deliveries.
    pub fn is_active(&self) -> bool {
        self.status.as_deref() == Some("ACTIVE")
    }

    /// Whether Okta has called the URL and got the right answer, since its last change.
    pub fn is_verified(&self) -> bool {
        self.verification_status.as_deref() == Some("VERIFIED")
    }
}

/// What a hook is to be.
#[derive(Debug, Clone)]
pub struct HookSpec<'a> {
    /// Its display name.
    pub name: &'a str,
    /// Where deliveries go.
    pub url: &'a Url,
    /// The header that carries the secret.
    pub auth_header: &'a str,
    /// The secret.
    pub secret: &'a SecretString,
    /// The event types.
    pub event_types: &'a [&'a str],
    /// Which events of the types; `None` for all.
    pub filter: Option<&'a HookFilter>,
}

impl Okta {
    /// All event hooks of the org; there are 25 active ones at the most.
    pub async fn event_hooks(&self, deadline: Deadline) -> Result<Vec<EventHook>, CallError> {
        let call = self.get("list the event hooks", &["eventHooks"]);
        self.read_list(call, deadline).await?.whole()
    }

    /// Creates a hook. It gets no deliveries before it is verified.
    pub async fn create_event_hook(
        &self,
        spec: &HookSpec<'_>,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        let call = self
            .call("create the event hook", Method::POST, &["eventHooks"])
            .json(body(spec, None));
        self.send(&call, deadline).await?.json(&call)
    }

    /// Makes `hook` what `spec` says; its description and additional headers stay. Okta replaces the whole hook,
    /// so a filter that `spec` lacks ends. A change of URL, header or secret makes it unverified.
    pub async fn replace_event_hook(
        &self,
        hook: &EventHook,
        spec: &HookSpec<'_>,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        let path = ["eventHooks", &hook.id];
        let call = self
            .call("update the event hook", Method::PUT, &path)
            .json(body(spec, Some(hook)));
        self.send(&call, deadline).await?.object(&call, &hook.id)
    }

    /// Switches a hook on.
    pub async fn activate_event_hook(
        &self,
        id: &str,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        self.hook_verb("activate the event hook", id, "activate", deadline)
            .await
    }

    /// Switches a hook off.
    pub async fn deactivate_event_hook(
        &self,
        id: &str,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        self.hook_verb("deactivate the event hook", id, "deactivate", deadline)
            .await
    }

    /// Deletes a hook. Okta refuses it for an active one.
    pub async fn delete_event_hook(&self, id: &str, deadline: Deadline) -> Result<(), CallError> {
        let path = ["eventHooks", id];
        let call = self.call("delete the event hook", Method::DELETE, &path);
        self.send(&call, deadline).await.map(|_| ())
    }

    /// Lets Okta call the hook's URL. Fails with 400 when the answer is not the right one.
    pub async fn verify_event_hook(
        &self,
        id: &str,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        self.hook_verb("verify the event hook", id, "verify", deadline)
            .await
    }

    async fn hook_verb(
        &self,
        operation: &'static str,
        id: &str,
        verb: &str,
        deadline: Deadline,
    ) -> Result<EventHook, CallError> {
        let path = ["eventHooks", id, "lifecycle", verb];
        let call = self.call(operation, Method::POST, &path);
        self.send(&call, deadline).await?.object(&call, id)
    }
}

fn body(spec: &HookSpec<'_>, old: Option<&EventHook>) -> Value {
    let headers = old.map_or(Value::Null, |old| old.channel.config.headers.clone());
    let headers = if headers.is_array() {
        headers
    } else {
        json!([])
    };
    let mut body = json!({
        "name": spec.name,
        "events": {"type": "EVENT_TYPE", "items": spec.event_types},
        "channel": {"type": "HTTP", "version": "1.0.0", "config": {
            "uri": spec.url.as_str(),
            "headers": headers,
            "authScheme": {
                "type": "HEADER",
                "key": spec.auth_header,
                "value": spec.secret.expose_secret(),
            },
        }},
    });
    if let Some(filter) = spec.filter {
        body["events"]["filter"] = filter.as_json();
    }
    if let Some(description) = old.and_then(|old| old.description.as_deref()) {
        body["description"] = json!(description);
    }
    body
}
