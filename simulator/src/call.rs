//! One request on its way through a simulator, and the answer to it.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::fault::FaultId;

/// Which state a read sees.
#[derive(Clone, Copy)]
pub(super) enum Past {
    /// The present one.
    Now,
    /// The state before the last change.
    BeforeLastChange,
    /// The state at the time when this fault was set.
    When(FaultId),
}

/// A parsed request.
pub(super) struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// At most this many items a page (a fault).
    pub page_cap: Option<usize>,
    /// Answer from an earlier state (a fault).
    pub past: Past,
    /// Objects that lists do not show (a fault).
    pub hidden: Vec<String>,
    /// Members of an Okta group who joined less than this ago are not shown (a fault).
    pub member_lag: Option<Duration>,
    /// Whether a fault really hid something.
    pub hid: bool,
    /// Whether a fault really made an earlier state answer.
    pub was_past: bool,
    /// Whether a fault gives the first page in place of another one.
    pub without_offset: bool,
    /// The status that the model gave, if it was asked.
    pub handled: Option<u16>,
    /// What about this request is outside the vendor's documents.
    pub notes: Vec<String>,
}

impl Call {
    /// A call as it comes in, without its body.
    pub fn new(method: Method, path: &str, query: &str, headers: HeaderMap) -> Self {
        let query = url::form_urlencoded::parse(query.as_bytes());
        Self {
            method,
            path: path.to_owned(),
            query: query
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            headers,
            body: Vec::new(),
            page_cap: None,
            past: Past::Now,
            hidden: Vec::new(),
            member_lag: None,
            hid: false,
            was_past: false,
            without_offset: false,
            handled: None,
            notes: Vec::new(),
        }
    }

    /// A call that does not come over the network.
    pub fn made(method: Method, address: &str, body: Option<&Value>) -> Self {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut call = Self::new(method, path, query, headers);
        if let Some(body) = body {
            call.body = body.to_string().into_bytes();
        }
        call
    }

    /// Whether a list shows the object with this id.
    pub fn shows(&mut self, id: &str) -> bool {
        let hidden = self.hidden.iter().any(|hidden| hidden == id);
        self.hid |= hidden;
        !hidden
    }

    /// The path in decoded parts, without empty ones.
    pub fn segments(&self) -> Vec<String> {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decode)
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Notes that this request is outside the vendor's documents.
    pub fn note(&mut self, why: impl AsRef<str>) {
        let note = format!("{} {}: {}", self.method, self.path, why.as_ref());
        self.notes.push(note);
    }

    /// Notes each query parameter that is not among `names`, which blanks separate.
    pub fn documented_query(&mut self, names: &str) {
        let keys: Vec<String> = self.query.iter().map(|(key, _)| key.clone()).collect();
        self.note_others("query parameter", keys, names);
    }

    /// Notes each field of a body that is not among `names`, which blanks separate.
    pub fn documented_fields(&mut self, body: &Map<String, Value>, names: &str) {
        self.note_others("body field", body.keys().cloned(), names);
    }

    fn note_others(&mut self, what: &str, keys: impl IntoIterator<Item = String>, names: &str) {
        for key in keys {
            if !names.split(' ').any(|name| name == key) {
                self.note(format!("undocumented {what} `{key}`"));
            }
        }
    }

    /// The body, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as JSON or, as an object of strings, as a form.
    pub fn json_or_form(&self) -> Option<Value> {
        if self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
        {
            let pairs = url::form_urlencoded::parse(&self.body);
            return Some(Value::Object(
                pairs
                    .map(|(k, v)| (k.into_owned(), Value::from(v.into_owned())))
                    .collect(),
            ));
        }
        self.json()
    }
}

/// What the body of an answer is.
pub(super) enum Content {
    Empty,
    Json(Value),
    Text { kind: &'static str, text: String },
}

/// An answer.
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub content: Content,
}

impl Reply {
    pub fn json(status: u16, value: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Json(value),
        }
    }

    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Empty,
        }
    }

    pub fn text(status: u16, kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content: Content::Text {
                kind,
                text: text.into(),
            },
        }
    }

    /// Sets a header to this value alone.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
