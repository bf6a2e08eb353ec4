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

    /// A field of the body breaks a rule of the API description.
    pub(super) fn field(path: &str, keyword: &'static str, message: impl Into<String>) -> Self {
        let shape = Shape::Errors {
            kind: "json",
            keyword,
            path: format!(".{path}"),
        };
        Self {
            undocumented: true,
            ..Self::new(400, message, shape)
        }
    }

    /// A query parameter breaks a rule of the API description.
    pub(super) fn parameter(name: &str, keyword: &'static str, message: impl Into<String>) -> Self {
        let shape = Shape::Errors {
            kind: "query",
            keyword,
            path: format!(".{name}"),
        };
        Self {
            undocumented: true,
            ..Self::new(400, message, shape)
        }
    }

    pub(super) fn body() -> Self {
        Self::field(
            "",
            "type",
            "Request failed to validate against RAML definition",
        )
    }

    /// A business rule: 400 with status and message.
    pub(super) fn rule(message: impl Into<String>) -> Self {
        Self::new(400, message, Shape::Message)
    }

    pub(super) fn missing(what: &str) -> Self {
        let shape = Shape::Errors {
            kind: "json",
            keyword: "exists",
            path: String::new(),
        };
        Self::new(404, format!("{what} not found"), shape)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        let shape = Shape::Errors {
            kind: "json",
            keyword: "unique",
            path: String::new(),
        };
        Self::new(409, message, shape)
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

    pub(super) fn outside(mut self) -> Self {
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
    pub(super) fn expected(self) -> Self {
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
