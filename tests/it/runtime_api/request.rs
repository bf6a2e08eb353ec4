//! The events that gateways make of HTTP requests, and the samples in `events/`.

use std::path::Path;

use serde_json::{Value, json};

/// The sample request `events/NAME.json`.
pub fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("events/{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The names of all samples for the hook, in the order of their story.
pub fn hook_samples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    names.sort();
    names
}

/// An HTTP request, before a gateway makes an event of it.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    base64: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            base64: false,
        }
    }

    /// With one more header, its name in the case given.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body. One that is not UTF-8 makes the event base64-encoded.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With the body base64-encoded whatever it is.
    pub fn base64(mut self) -> Self {
        self.base64 = true;
        self
    }

    /// The event of an API Gateway HTTP API (payload format 2.0): lower-case header names.
    pub fn http_api(&self) -> Value {
        let host = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
        let mut event = self.event("123456789012", "a1b2c3d4e5", host, "a1b2c3d4e5");
        event["headers"] = self.headers_with(host, str::to_lowercase);
        event
    }

    /// The event of a Lambda function URL.
    pub fn function_url(&self) -> Value {
        let id = "abcdefghij0123456789klmnopqrstuv";
        let host = format!("{id}.lambda-url.eu-central-1.on.aws");
        let mut event = self.event("anonymous", id, &host, id);
        event["headers"] = self.headers_with(&host, str::to_lowercase);
        event
    }

    /// The event that `sam local start-api` makes: header names as `Http-Canonical`, and its own
    /// idea of what is unset.
    pub fn sam_local(&self) -> Value {
        let mut event = self.event("123456789012", "1234567890", "localhost", "localhost");
        event["headers"] = self.headers_with("127.0.0.1:3000", canonical);
        event["requestContext"]["http"]["userAgent"] = json!("Custom User Agent String");
        event["requestContext"]["http"]["sourceIp"] = json!("127.0.0.1");
        event["cookies"] = json!([]);
        event["pathParameters"] = json!({});
        event["stageVariables"] = Value::Null;
        if event.get("body").is_none() {
            event["body"] = json!("");
        }
        event
    }

    fn event(&self, account: &str, api: &str, domain: &str, prefix: &str) -> Value {
        use base64::Engine;
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let text = std::str::from_utf8(&self.body)
            .ok()
            .filter(|_| !self.base64);
        let encoded = text.is_none();
        let body = match text {
            Some("") => Value::Null,
            Some(text) => json!(text),
            None => json!(base64::engine::general_purpose::STANDARD.encode(&self.body)),
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "requestContext": {
                "accountId": account,
                "apiId": api,
                "domainName": domain,
                "domainPrefix": prefix,
                "http": {
                    "method": self.method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "198.51.100.20",
                    "userAgent": "Okta-Integrations",
                },
                "requestId": uuid::Uuid::new_v4().to_string(),
                "routeKey": "$default",
                "stage": "$default",
                "time": "02/Mar/2026:09:25:14 +0000",
                "timeEpoch": 1_772_443_514_553_u64,
            },
            "isBase64Encoded": encoded,
        });
        if !body.is_null() {
            event["body"] = body;
        }
        event
    }

    fn headers_with(&self, host: &str, case: impl Fn(&str) -> String) -> Value {
        let mut headers = serde_json::Map::new();
        headers.insert(case("host"), json!(host));
        headers.insert(case("x-forwarded-proto"), json!("https"));
        for (name, value) in &self.headers {
            let name = case(name);
            let value = match headers.get(&name).and_then(Value::as_str) {
                Some(first) if name.to_lowercase() != "host" => format!("{first},{value}"),
                _ => value.clone(),
            };
            headers.insert(name, json!(value));
        }
        Value::Object(headers)
    }
}

/// `x-okta-request-id` → `X-Okta-Request-Id`.
fn canonical(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_uppercase() + &rest.to_lowercase()
    });
    parts.collect::<Vec<_>>().join("-")
}
