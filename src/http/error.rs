//! Why a call failed, in terms that its caller can act on.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;

use super::finality::{Finality, is_about_state, is_busy};
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
    /// How long the remote asked us to wait.
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
        /// Whether the same call may succeed later.
        finality: Finality,
    },
    /// The connection could not be made, or broke.
    #[error("the connection could not be made or was lost")]
    Connection,
    /// The server did not prove who it is.
    #[error("the server's TLS certificate is not trusted; is there a proxy that inspects TLS?")]
    Certificate,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The invocation's time is over, or too little of it is left to begin.
    #[error("no time was left")]
    OutOfTime,
    /// A 404 that says nothing about the object asked for: a gateway gave it, or something else that answers
    /// in the service's place.
    #[error("answered 404, and the answer is not the service's own")]
    NotTheServices404,
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
pub(crate) fn if_found<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
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
    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether it is a conflict.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    fn is_final(&self) -> bool {
        let is_final = Finality::Final;
        matches!(&self.kind, CallErrorKind::Status { finality, .. } if *finality == is_final)
    }

    /// Whether nothing shows that the service itself refused the write.
    pub(crate) fn is_unsigned(&self) -> bool {
        let is_unsigned = Finality::Unsigned;
        matches!(&self.kind, CallErrorKind::Status { finality, .. } if *finality == is_unsigned)
    }

    /// The same error, of a write in which nothing has to be unique. Its 409 means that another change of the
    /// organization is under way (Access Management API, "Concurrency").
    #[must_use]
    pub(crate) fn passing_conflict(mut self) -> Self {
        if let CallErrorKind::Status {
            status: StatusCode::CONFLICT,
            finality,
            ..
        } = &mut self.kind
        {
            *finality = Finality::Passing;
        }
        self
    }

    /// Whether it is about our credentials rather than about this call.
    pub fn is_about_credentials(&self) -> bool {
        matches!(
            self.kind,
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. }
        )
    }

    /// Whether the credentials or the rights were refused. Such a call had no effect. The cause may lie elsewhere, and
    /// pass.
    pub fn is_refusal(&self) -> bool {
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let is_refused = self
            .status()
            .is_some_and(|status| refused.contains(&status));
        self.is_about_credentials() || is_refused && !self.is_about_state()
    }

    fn is_about_state(&self) -> bool {
        self.code().is_some_and(is_about_state)
    }

    /// Whether the service could not make the answer, and asked for no pause.
    pub(crate) fn is_server_fault(&self) -> bool {
        let fault = self.status().is_some_and(|status| status.is_server_error());
        fault && self.retry_after.is_none()
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

    /// Whether the same call, sent again within seconds, may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match &self.kind {
            CallErrorKind::Status { status, code, .. } => {
                let busy = code.as_deref().is_some_and(is_busy);
                let transient = status.is_server_error()
                    && !matches!(
                        *status,
                        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
                    );
                busy || transient
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
                    || *status == StatusCode::TOO_EARLY
            }
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. } => false,
            CallErrorKind::Connection
            | CallErrorKind::Certificate
            | CallErrorKind::TimedOut
            | CallErrorKind::OutOfTime
            | CallErrorKind::NotTheServices404
            | CallErrorKind::Unreadable(_) => true,
        }
    }

    /// Whether a retry may heal it. Only an error about the object itself is permanent: about its names, its values,
    /// its neighbours. So the error of a read is never permanent, and that of a write only when the service itself
    /// refuses it.
    pub fn class(&self) -> Class {
        if self.is_final() {
            Class::Permanent
        } else {
            Class::Retryable
        }
    }

    /// Whether the answer refuses this one call, so that another call may succeed at the same moment. It says nothing
    /// about whether the same call may succeed later ([`CallError::class`]).
    pub(crate) fn is_about_this_call(&self) -> bool {
        const ABOUT_OTHERS: [StatusCode; 6] = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let is_of_this_call = self
            .status()
            .is_some_and(|status| status.is_client_error() && !ABOUT_OTHERS.contains(&status));
        (is_of_this_call || self.is_about_state()) && !self.is_transient()
    }

    /// Whether it is a fault of the one object that was asked for by its id. Calls about other objects may succeed.
    pub(crate) fn is_about_the_object(&self) -> bool {
        self.is_unreadable() || self.is_about_this_call()
    }

    /// Whether a failed read may be about this one object. The service answers, but not with this object.
    pub(crate) fn may_be_about_one(&self) -> bool {
        let is_denied = self.is_refusal() && !self.is_about_credentials();
        self.is_about_the_object()
            || is_denied
            || self.is_server_fault()
            || matches!(self.kind, CallErrorKind::NotTheServices404)
    }

    /// Whether the answer is not what the API describes.
    pub fn is_unreadable(&self) -> bool {
        matches!(self.kind, CallErrorKind::Unreadable(_))
    }

    /// Why it failed, in the word that records keep.
    pub fn cause(&self) -> Cause {
        match &self.kind {
            CallErrorKind::Status { status, .. } => match *status {
                status if self.is_final() && status != StatusCode::CONFLICT => Cause::ValueRefused,
                StatusCode::UNAUTHORIZED => Cause::RefusedCredentials,
                StatusCode::FORBIDDEN => Cause::RefusedRights,
                StatusCode::NOT_FOUND => Cause::NotFound,
                StatusCode::TOO_MANY_REQUESTS => Cause::Throttled,
                StatusCode::REQUEST_TIMEOUT => Cause::Timeout,
                status if status.is_server_error() => {
                    if self.is_throttling() {
                        Cause::Throttled
                    } else {
                        Cause::Unavailable
                    }
                }
                _ if self.is_transient() => Cause::Busy,
                status if status.is_client_error() => Cause::Rejected,
                _ => Cause::Unavailable,
            },
            CallErrorKind::Connection => Cause::Unreachable,
            CallErrorKind::Certificate => Cause::Certificate,
            CallErrorKind::TimedOut => Cause::Timeout,
            CallErrorKind::OutOfTime => Cause::OutOfTime,
            CallErrorKind::NotTheServices404 => Cause::NotTheServices404,
            CallErrorKind::Unreadable(_) => Cause::Unreadable,
            CallErrorKind::Unauthorized(_) | CallErrorKind::SignIn { .. } => {
                Cause::RefusedCredentials
            }
        }
    }

    /// What an operator can do about it; `None` where only time helps.
    fn advice(&self) -> Option<Cow<'static, str>> {
        if let CallErrorKind::SignIn { fix, .. } = &self.kind {
            return Some(Cow::Owned(format!("{fix} {COMES_BACK}")));
        }
        let text = match (&self.kind, self.side) {
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
            (CallErrorKind::NotTheServices404, Side::Okta) => BETWEEN_US_AND_OKTA,
            (CallErrorKind::NotTheServices404, _) => {
                "If it lasts, check ANYPOINT_BASE_URL, ANYPOINT_ORG_ID (the root organization) and every \
                 proxy or gateway between here and Anypoint."
            }
            (CallErrorKind::Status { status, .. }, side) => match (*status, side) {
                _ if self.class() == Class::Permanent => {
                    return Some(Cow::Borrowed("Look at the status and fix the cause."));
                }
                _ if self.is_about_this_call() => match side {
                    Side::Okta => BETWEEN_US_AND_OKTA,
                    _ => {
                        "If it lasts, check ANYPOINT_BASE_URL and every proxy or gateway between here and Anypoint."
                    }
                },
                (StatusCode::FORBIDDEN, Side::Okta) => {
                    "Give the token's admin role, or the service app, the rights for this call."
                }
                (StatusCode::FORBIDDEN, _) => {
                    "Give the connected app the five scopes of the README on the root business group (a \
                     redirect or 403 can also mean that native accounts are switched off)."
                }
                (StatusCode::NOT_FOUND, Side::Okta) => "Check OKTA_APP_ID and OKTA_ORG_URL.",
                (StatusCode::NOT_FOUND, _) => {
                    "Check ANYPOINT_ORG_ID (the root organization) and ANYPOINT_BASE_URL."
                }
                (status, _) if status.is_redirection() => {
                    "Check the address in the settings, and every proxy or gateway on the way."
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Cow::Owned(format!("{text} {COMES_BACK}")))
    }
}

const BETWEEN_US_AND_OKTA: &str =
    "If it lasts, check OKTA_ORG_URL and every proxy or gateway between here and Okta.";

/// What happens once the cause is gone.
const COMES_BACK: &str = "Changes come back by themselves when it works.";

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure {
            side: error.side,
            class: error.class(),
            cause: error.cause(),
            message: error.to_string(),
            advice: error.advice().map(Cow::into_owned),
            retry_after: error.retry_after,
        }
    }
}
