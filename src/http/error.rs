//! Why a call failed, in terms that its caller can act on.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use crate::failure::{Cause, Class, Failure, Side};

/// A call that got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct CallError {
    /// Whom we called.
    pub side: Side,
    /// What we asked for, in words ("read the app user").
    pub operation: &'static str,
    /// What happened.
    pub kind: CallErrorKind,
    /// How long the remote asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallErrorKind {
    /// An answer with an error status. `code` is the part of the body that is safe to show: an error
    /// code or the name of the offending field, never values.
    #[error("answered {status}{}", code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// Error code or field, when the body had one.
        code: Option<String>,
    },
    /// The connection could not be made, or broke.
    #[error("the connection could not be made or was lost")]
    Connection,
    /// The server did not prove who it is.
    #[error("the server's TLS certificate is not trusted; is there a proxy that takes TLS apart?")]
    Certificate,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The invocation's time is over, or too little of it is left to begin.
    #[error("no time was left")]
    OutOfTime,
    /// A success status with a body that is not what the API describes.
    #[error("the answer could not be read ({0})")]
    Unreadable(String),
    /// The credentials were refused after a fresh token, too.
    #[error("the credentials were refused ({0})")]
    Unauthorized(String),
    /// A token was refused for a reason that is known.
    #[error("{cause}")]
    SignIn {
        /// What was wrong.
        cause: String,
        /// What an operator can do about it.
        fix: String,
    },
}

/// What a call found: `None` when the remote answered that the object asked for does not exist (404).
///
/// # Errors
/// Every other error, as it is.
pub fn if_found<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

impl CallError {
    /// The status of the answer, when there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self.kind {
            CallErrorKind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The remote's own error code, when the body had one.
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            CallErrorKind::Status { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the remote saw a conflict.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether it is about who we are rather than about this call.
    pub fn is_about_credentials(&self) -> bool {
        matches!(
            self.kind,
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. }
        )
    }

    /// Whether the remote wants all callers to slow down. Anypoint answers 503 where others answer 429
    /// (MuleSoft knowledge base, 001116018); a 503 that names no pause is an outage like any other.
    pub(super) fn is_throttling(&self) -> bool {
        match self.status() {
            Some(StatusCode::TOO_MANY_REQUESTS) => true,
            Some(StatusCode::SERVICE_UNAVAILABLE) => self.retry_after.is_some(),
            _ => false,
        }
    }

    /// Whether a retry may heal it.
    pub fn class(&self) -> Class {
        match &self.kind {
            CallErrorKind::Status { status, code } => {
                // Okta, "Error codes": a user that is still activating, and a running reconciliation.
                let busy = matches!(code.as_deref(), Some("E0000112" | "E0000239" | "E0000195"));
                let transient = status.is_server_error()
                    && !matches!(
                        *status,
                        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
                    );
                if busy
                    || transient
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
                {
                    Class::Retryable
                } else {
                    Class::Permanent
                }
            }
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. } => Class::Permanent,
            CallErrorKind::Connection
            | CallErrorKind::Certificate
            | CallErrorKind::TimedOut
            | CallErrorKind::OutOfTime
            | CallErrorKind::Unreadable(_) => Class::Retryable,
        }
    }

    /// Why it failed, in the word that records keep.
    pub fn cause(&self) -> Cause {
        match &self.kind {
            CallErrorKind::Status { status, .. } => match *status {
                StatusCode::UNAUTHORIZED => Cause::RefusedCredentials,
                StatusCode::FORBIDDEN => Cause::RefusedRights,
                StatusCode::NOT_FOUND => Cause::NotFound,
                StatusCode::BAD_REQUEST => Cause::ValueRefused,
                StatusCode::TOO_MANY_REQUESTS => Cause::Throttled,
                StatusCode::REQUEST_TIMEOUT => Cause::Timeout,
                status if status.is_server_error() => {
                    if self.is_throttling() {
                        Cause::Throttled
                    } else {
                        Cause::Unavailable
                    }
                }
                _ if self.class() == Class::Retryable => Cause::Busy,
                _ => Cause::Rejected,
            },
            CallErrorKind::Connection => Cause::Unavailable,
            CallErrorKind::Certificate => Cause::Certificate,
            CallErrorKind::TimedOut => Cause::Timeout,
            CallErrorKind::OutOfTime => Cause::OutOfTime,
            CallErrorKind::Unreadable(_) => Cause::Unreadable,
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. } => {
                Cause::RefusedCredentials
            }
        }
    }

    fn advice(&self) -> Cow<'static, str> {
        if let CallErrorKind::SignIn { fix, .. } = &self.kind {
            return Cow::Owned(fix.clone());
        }
        Cow::Borrowed(match (&self.kind, self.side) {
            (CallErrorKind::Unauthorized(_), Side::Okta) => {
                "Check OKTA_API_TOKEN (it dies with the admin who made it and after 30 days without \
                 use), or the service app's key and scopes: okta.users.read, okta.apps.read, \
                 okta.groups.read; okta.logs.read for catch-up."
            }
            (CallErrorKind::Unauthorized(_), _) => {
                "Check the connected app's id and secret, and that it has, on the root business group, \
                 the scopes Access Controls Admin, Access Controls Viewer, Edit users in an \
                 organization, View Organization, View Users in a particular organization."
            }
            (CallErrorKind::Status { status, .. }, Side::Okta)
                if *status == StatusCode::FORBIDDEN =>
            {
                "Give the token's admin role, or the service app, the rights for this call, then \
                 replay the event."
            }
            (CallErrorKind::Status { status, .. }, _) if *status == StatusCode::FORBIDDEN => {
                "Give the connected app the five scopes of the README on the root business group (a \
                 redirect or 403 can also mean that native accounts are switched off), then replay."
            }
            (CallErrorKind::Status { status, .. }, side) if *status == StatusCode::NOT_FOUND => {
                if side == Side::Okta {
                    "Check OKTA_APP_ID and OKTA_ORG_URL, then replay the event."
                } else {
                    "Check ANYPOINT_ORG_ID (the root organization) and ANYPOINT_BASE_URL, then replay."
                }
            }
            _ => "Look at the status, mend the cause, then replay the event.",
        })
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let message = error.to_string();
        let failure = match error.class() {
            Class::Retryable => Failure::retryable(error.side, message).after(error.retry_after),
            Class::Permanent => Failure::permanent(error.side, message, error.advice()),
        };
        failure.because(error.cause())
    }
}
