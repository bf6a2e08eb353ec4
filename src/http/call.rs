//! A call to a remote, and its answer.

use std::fmt;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::error::{CallError, CallErrorKind};
use crate::failure::Side;

/// Whether a call may be sent again when its effect is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Sending it twice does what sending it once does.
    Always,
    /// Only when the remote said that it refused it (429, 503), or could not be reached at all.
    OnlyIfRefused,
    /// Never: the caller looks first whether it had an effect.
    Never,
}

/// What is sent. Never shown: it can hold secrets and personal data.
#[derive(Clone)]
pub(crate) enum Payload {
    /// Sent as JSON.
    Json(Value),
    /// Sent as a form.
    Form(Vec<(&'static str, SecretString)>),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "Json(…)",
            Self::Form(_) => "Form(…)",
        })
    }
}

/// One request to a remote.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Whom it goes to, for errors.
    pub side: Side,
    /// What it asks for, in words, for errors.
    pub operation: &'static str,
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Besides `Accept`.
    pub headers: HeaderMap,
    pub body: Option<Payload>,
    /// Whether it may be sent again blindly.
    pub repeat: Repeat,
    /// After how many 5xx it ends, when its caller has another way to ask.
    pub(super) max_server_faults: usize,
}

impl Call {
    /// A call without a body that may be repeated.
    pub(crate) fn new(side: Side, operation: &'static str, method: Method, url: Url) -> Self {
        Self {
            side,
            operation,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            repeat: Repeat::Always,
            max_server_faults: usize::MAX,
        }
    }

    /// The same call, not sent again after a second 5xx.
    #[must_use]
    pub(crate) fn twice(mut self) -> Self {
        self.max_server_faults = 2;
        self
    }

    /// The same call with a JSON body.
    #[must_use]
    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Some(Payload::Json(body));
        self
    }

    /// The same call with a form.
    #[must_use]
    pub(crate) fn form(mut self, fields: Vec<(&'static str, SecretString)>) -> Self {
        self.body = Some(Payload::Form(fields));
        self
    }

    /// The same call with a query.
    #[must_use]
    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }

    /// The same call with one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same call, repeated only when it was refused.
    #[must_use]
    pub(crate) fn only_if_refused(mut self) -> Self {
        self.repeat = Repeat::OnlyIfRefused;
        self
    }

    /// The same call, sent once.
    #[must_use]
    pub(crate) fn once(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// The error of this call when its answer is no JSON, or of another shape.
    pub(crate) fn unreadable(&self, error: &serde_json::Error) -> CallError {
        // serde's message can quote the input; its position and category can not.
        let what = match error.classify() {
            serde_json::error::Category::Eof => "truncated JSON",
            serde_json::error::Category::Syntax => "not JSON",
            _ => "JSON of another shape",
        };
        let at = error.column();
        self.error(CallErrorKind::Unreadable(format!("{what} at column {at}")))
    }

    /// The error of this call.
    pub(crate) fn error(&self, kind: CallErrorKind) -> CallError {
        CallError {
            side: self.side,
            operation: self.operation,
            kind,
            retry_after: None,
        }
    }
}

/// A successful answer (2xx). The body may be empty whatever the API says.
#[derive(Debug, Clone)]
pub(crate) struct RemoteAnswer {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl RemoteAnswer {
    /// Reads the body as JSON; the error names `call`.
    pub(crate) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| call.unreadable(&error))
    }
}

/// The address with this path, whose segments are escaped here.
pub(crate) fn address(base: &Url, path: &[&str]) -> Url {
    let segments: Vec<String> = path.iter().map(|part| segment(part)).collect();
    let mut url = base.clone();
    url.set_path(&segments.join("/"));
    url
}

/// One path segment of a URL, escaped. Parsers of URLs take `.` and `..` for steps, also as `%2E`. So their escape is
/// escaped again, and the remote finds nothing of that name.
fn segment(value: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    if value == "." || value == ".." {
        return value.replace('.', "%252E");
    }
    utf8_percent_encode(value, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_segments() {
        assert_eq!(segment("00u1-A_b"), "00u1-A_b");
        assert_eq!(segment("a/b?c#d"), "a%2Fb%3Fc%23d");
        for dots in [".", ".."] {
            let base = Url::parse("https://acme.example").unwrap();
            let found = address(&base, &["users", dots, "groups"]);
            let expected = format!("https://acme.example/users/{}/groups", segment(dots));
            assert_eq!(found.as_str(), expected, "it was taken for a step");
        }
        assert_eq!(segment("ann@acme.example"), "ann%40acme.example");
    }
}
