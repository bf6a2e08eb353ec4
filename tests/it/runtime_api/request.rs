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

/// An HTTP request, before a gateway turns it into an event.
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

    /// Adds a header. Keeps the case of its name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body. A body that is not UTF-8 makes the event base64-encoded.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Encodes the body as base64 in any case.
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

    /// The event that `sam local start-api` makes: header names as `Http-Canonical`, and its own forms of unset values.
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

    /// The event of every gateway that the contract names, with the name of each.
    pub fn shapes(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("HTTP API 2.0", self.http_api()),
            ("HTTP API 2.0, stage", self.http_api_in_stage("prod")),
            ("HTTP API 1.0", self.rest_api("1.0", Some("$default"))),
            ("HTTP API 1.0, stage", self.rest_api("1.0", Some("prod"))),
            ("REST API, stage", self.rest_api("", Some("prod"))),
            ("REST API, no stage", self.rest_api("", None)),
            ("function URL", self.function_url()),
            ("load balancer", self.load_balancer()),
            ("load balancer, multi", self.load_balancer_multi_value()),
            ("sam local", self.sam_local()),
        ]
    }

    /// The event of an API Gateway HTTP API with a named stage, which is part of the path.
    fn http_api_in_stage(&self, stage: &str) -> Value {
        let mut event = self.http_api();
        let path = format!("/{stage}{}", event["rawPath"].as_str().unwrap());
        event["requestContext"]["stage"] = json!(stage);
        event["requestContext"]["http"]["path"] = json!(path);
        event["rawPath"] = json!(path);
        event
    }

    /// The event of an API Gateway REST API, or with `version` that of an HTTP API, in payload format 1.0. It has the
    /// original headers, and a second copy as lists.
    pub fn rest_api(&self, version: &str, stage: Option<&str>) -> Value {
        let host = "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com";
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let headers = self.headers_with(host, canonical);
        let (body, is_base64) = self.encoded();
        let mut event = json!({
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": self.method,
            "multiValueHeaders": lists(&headers),
            "headers": headers,
            "queryStringParameters": single(query),
            "multiValueQueryStringParameters": lists(&single(query)),
            "pathParameters": {"proxy": path.trim_start_matches('/')},
            "stageVariables": null,
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "a1b2c3d4e5",
                "authorizer": null,
                "domainName": host,
                "domainPrefix": "a1b2c3d4e5",
                "extendedRequestId": "mnj9KhOmOHXTRRW=",
                "httpMethod": self.method,
                "identity": {"sourceIp": "198.51.100.20", "userAgent": "Okta-Integrations", "user": null},
                "path": format!("/{}{path}", stage.unwrap_or_default()),
                "protocol": "HTTP/1.1",
                "requestId": uuid::Uuid::new_v4().to_string(),
                "requestTime": "02/Mar/2026:09:25:14 +0000",
                "requestTimeEpoch": 1_772_443_514_553_u64,
                "resourceId": "us4z18",
                "resourcePath": "/{proxy+}",
                "stage": stage,
            },
            "body": body,
            "isBase64Encoded": is_base64,
        });
        if !version.is_empty() {
            event["version"] = json!(version);
        }
        event
    }

    /// The event of a load balancer with default settings.
    pub fn load_balancer(&self) -> Value {
        let host = "hook-846800462.eu-central-1.elb.amazonaws.com";
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let (body, is_base64) = self.encoded();
        let target = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/hook/6d0ecf831eec9f09";
        json!({
            "requestContext": {"elb": {"targetGroupArn": target}},
            "httpMethod": self.method,
            "path": path,
            "queryStringParameters": single(query),
            "headers": self.headers_with(host, str::to_lowercase),
            // A load balancer sends an empty text where API Gateway sends null.
            "body": body.as_str().unwrap_or_default(),
            "isBase64Encoded": is_base64,
        })
    }

    /// The event of a load balancer whose target group asks for headers as lists.
    pub fn load_balancer_multi_value(&self) -> Value {
        let mut event = self.load_balancer();
        for (from, to) in [
            ("headers", "multiValueHeaders"),
            ("queryStringParameters", "multiValueQueryStringParameters"),
        ] {
            event[to] = lists(&event[from]);
            event.as_object_mut().unwrap().remove(from);
        }
        event
    }

    /// The body as gateways write it, and whether it is base64.
    fn encoded(&self) -> (Value, bool) {
        use base64::Engine;
        match std::str::from_utf8(&self.body) {
            Ok("") if !self.base64 => (Value::Null, false),
            Ok(text) if !self.base64 => (json!(text), false),
            _ => {
                let text = base64::engine::general_purpose::STANDARD.encode(&self.body);
                (json!(text), true)
            }
        }
    }

    fn event(&self, account: &str, api: &str, domain: &str, prefix: &str) -> Value {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let (body, is_base64) = self.encoded();
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
            "isBase64Encoded": is_base64,
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

/// The parameters of a query, each once.
fn single(query: &str) -> Value {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Each value as a list of one.
fn lists(fields: &Value) -> Value {
    let fields = fields.as_object().unwrap().iter();
    fields
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
