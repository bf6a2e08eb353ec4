//! Requests in payload format 2.0: API Gateway HTTP APIs, function URLs, `sam local start-api`
//! (Amazon API Gateway, "Lambda proxy integrations for HTTP APIs: payload format").
//!
//! The few fields that matter are read here rather than through `lambda_http`: it stops with a panic,
//! which the caller sees as a 502, at a path that is no URI and at a body that is not base64.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::receiver::{Answer, Body, Receiver, Request};

/// A request. Everything else of the payload is skipped unread.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpEvent {
    headers: Option<HashMap<String, Option<String>>>,
    request_context: RequestContext,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Http {
    method: Option<String>,
}

/// An answer in payload format 2.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAnswer {
    status_code: u16,
    headers: HashMap<&'static str, &'static str>,
    body: String,
    is_base64_encoded: bool,
}

impl From<Answer> for HttpAnswer {
    fn from(answer: Answer) -> Self {
        Self {
            status_code: answer.status,
            headers: answer.headers.iter().copied().collect(),
            body: answer.body,
            is_base64_encoded: false,
        }
    }
}

/// Lets the receiver answer a request.
pub async fn answer(receiver: &Receiver, event: &HttpEvent) -> HttpAnswer {
    let header = |name: &str| {
        let headers = event.headers.as_ref()?;
        let (_, value) = headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        value.as_deref().map(str::as_bytes)
    };
    let text = event.body.as_deref().unwrap_or_default();
    let body = if event.is_base64_encoded == Some(true) {
        Body::Base64(text)
    } else {
        Body::Plain(text.as_bytes())
    };
    let method = event
        .request_context
        .http
        .method
        .as_deref()
        .unwrap_or_default();
    receiver
        .answer(&Request {
            method,
            header: &header,
            body,
        })
        .await
        .into()
}
