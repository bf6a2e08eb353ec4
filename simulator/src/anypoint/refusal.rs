//! Refusals in the shapes Anypoint uses.

use std::fmt;

use serde_json::json;

use crate::call::{Call, Reply};

/// Why the simulated Anypoint said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// One sentence.
    pub message: String,
    /// Whether no documented use of the API leads here.
    pub undocumented: bool,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// The validation layer's array.
    Errors {
        kind: &'static str,
        keyword: &'static str,
        path: String,
    },
    /// A business rule: status and message.
    Message,
    /// Plain text.
    Plain,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn new(status: u16, message: impl Into<String>, shape: Shape) -> Self {
        Self {
            status,
            message: message.into(),
            undocumented: false,
            shape,
        }
    }

    fn errors(
        status: u16,
        (kind, keyword): (&'static str, &'static str),
        path: String,
        message: impl Into<String>,
    ) -> Self {
        let shape = Shape::Errors {
            kind,
            keyword,
            path,
        };
        Self::new(status, message, shape)
    }

    /// A field of the body breaks a rule of the API description.
    pub(super) fn field(path: &str, keyword: &'static str, message: impl Into<String>) -> Self {
        Self::errors(400, ("json", keyword), format!(".{path}"), message).undocumented()
    }

    /// A query parameter breaks a rule of the API description.
    pub(super) fn parameter(name: &str, keyword: &'static str, message: impl Into<String>) -> Self {
        Self::errors(400, ("query", keyword), format!(".{name}"), message).undocumented()
    }

    pub(super) fn body() -> Self {
        let message = "Request failed to validate against RAML definition";
        Self::field("", "type", message)
    }

    /// A business rule: 400 with status and message.
    pub(super) fn rule(message: impl Into<String>) -> Self {
        Self::new(400, message, Shape::Message)
    }

    pub(super) fn not_in_organization(user: &str) -> Self {
        Self::rule(format!("User {user} is not in the organization"))
    }

    /// A field of the body is none of the words that it may be.
    pub(super) fn not_allowed(field: &str) -> Self {
        let message = "must be equal to one of the allowed values";
        Self::field(field, "enum", message)
    }

    /// The body has a field that its description does not know.
    pub(super) fn additional(field: &str) -> Self {
        let message = "must NOT have additional properties";
        Self::field(field, "additionalProperties", message)
    }

    pub(super) fn missing(what: &str) -> Self {
        let message = format!("{what} not found");
        Self::errors(404, ("json", "exists"), String::new(), message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::errors(409, ("json", "unique"), String::new(), message)
    }

    pub(super) fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(405, message, Shape::Message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", Shape::Plain)
    }

    pub(super) fn forbidden() -> Self {
        Self::new(403, "Forbidden", Shape::Message)
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "Internal Server Error", Shape::Message)
    }

    pub(super) fn undocumented(mut self) -> Self {
        self.undocumented = true;
        self
    }

    pub(super) fn too_large() -> Self {
        Self {
            status: 413,
            ..Self::body()
        }
    }

    /// The validation layer refuses, though it is not the caller's fault.
    pub(super) fn documented(self) -> Self {
        Self {
            undocumented: false,
            ..self
        }
    }

    /// The answer. Validation errors come as HTML unless the caller accepts JSON, as Osprey does it.
    pub(super) fn reply(&self, call: &Call) -> Reply {
        match &self.shape {
            Shape::Plain => Reply::text(
                self.status,
                "text/plain; charset=utf-8",
                self.message.as_str(),
            ),
            Shape::Message => Reply::json(
                self.status,
                json!({"status": self.status, "message": self.message}),
            ),
            Shape::Errors { .. }
                if !call
                    .header("accept")
                    .is_some_and(|accept| accept.contains("json")) =>
            {
                let page = format!(
                    "<!doctype html><h1>{}</h1><p>{}</p>",
                    self.status, self.message
                );
                Reply::text(self.status, "text/html; charset=utf-8", page)
            }
            Shape::Errors {
                kind,
                keyword,
                path,
            } => Reply::json(
                self.status,
                json!({"errors": [{"type": kind, "keyword": keyword, "dataPath": path, "message": self.message}]}),
            ),
        }
    }
}
