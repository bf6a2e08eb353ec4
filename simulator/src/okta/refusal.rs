//! Refusals in Okta's words.

use std::fmt;

use serde_json::{Value, json};

use crate::call::Reply;

/// Why the simulated Okta said no (Okta API, error codes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Okta's error code, `E0000007`.
    pub code: &'static str,
    /// One sentence.
    pub summary: String,
    /// Details, one sentence each.
    pub causes: Vec<String>,
    /// Whether no documented use of the API leads here.
    pub undocumented: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.summary)?;
        for cause in &self.causes {
            write!(f, "; {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// A refusal that belongs to normal life.
    pub fn new(status: u16, code: &'static str, summary: impl Into<String>) -> Self {
        Self {
            status,
            code,
            summary: summary.into(),
            causes: Vec::new(),
            undocumented: false,
        }
    }

    pub(super) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(
            404,
            "E0000007",
            format!("Not found: Resource not found: {id} ({kind})"),
        )
    }

    /// What was found, or that there is no such thing.
    pub(super) fn unless_found<T>(found: Option<T>, kind: &str, id: &str) -> Result<T, Self> {
        found.ok_or_else(|| Self::not_found(kind, id))
    }

    pub(super) fn invalid_token() -> Self {
        Self::new(401, "E0000011", "Invalid token provided")
    }

    pub(super) fn invalid_session() -> Self {
        Self::new(403, "E0000005", "Invalid session")
    }

    pub(super) fn no_permission() -> Self {
        let text = "You do not have permission to perform the requested action";
        Self::new(403, "E0000006", text)
    }

    pub(super) fn blank(field: &str) -> Self {
        Self::invalid(field, format!("{field}: The field cannot be left blank"))
    }

    pub(super) fn taken(field: &str) -> Self {
        let text = "An object with this field already exists in the current organization";
        Self::invalid(field, format!("{field}: {text}"))
    }

    pub(super) fn invalid(field: &str, cause: impl Into<String>) -> Self {
        let mut refusal = Self::new(400, "E0000001", format!("Api validation failed: {field}"));
        refusal.causes.push(cause.into());
        refusal
    }

    pub(super) fn malformed() -> Self {
        Self::new(400, "E0000003", "The request body was not well-formed.").undocumented()
    }

    pub(super) fn bad_search(cause: impl Into<String>) -> Self {
        let mut refusal = Self::new(400, "E0000031", "Invalid search criteria.");
        refusal.causes.push(cause.into());
        refusal.undocumented()
    }

    pub(super) fn status_forbids() -> Self {
        let text = "This operation is not allowed in the user's current status.";
        Self::new(403, "E0000038", text)
    }

    pub(super) fn bad_cursor() -> Self {
        Self::new(400, "E0000029", "Invalid paging request.").undocumented()
    }

    /// Marks it as something that no documented use of the API leads to.
    pub(super) fn undocumented(mut self) -> Self {
        self.undocumented = true;
        self
    }

    /// The body Okta sends.
    pub fn body(&self) -> Value {
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|cause| json!({"errorSummary": cause}))
            .collect();
        json!({
            "errorCode": self.code,
            "errorSummary": self.summary,
            "errorLink": self.code,
            "errorId": format!("oae{}", uuid::Uuid::new_v4().simple()),
            "errorCauses": causes,
        })
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::json(self.status, self.body())
    }
}
