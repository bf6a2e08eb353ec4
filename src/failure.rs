//! What can go wrong, in the one shape that everything above the adapters reasons about.
//!
//! A [`Failure`] says on which side it happened, whether a retry may heal it, and what to do about
//! it. Its text never holds names, addresses, secrets or bodies: it goes into logs and into the
//! table as it is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether doing it again may help (`error_class` in the table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A retry may heal it: throttling, time-outs, 5xx, lost connections.
    Retryable,
    /// Somebody has to change something first.
    Permanent,
}

impl Class {
    /// The word used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Permanent => "permanent",
        }
    }
}

/// Where it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Okta refused or did not answer.
    Okta,
    /// Anypoint refused or did not answer.
    Anypoint,
    /// The table (DynamoDB or the embedded database).
    Table,
    /// The queue.
    Queue,
    /// A setting, or a rule that a setting turns on.
    Settings,
    /// This program.
    Program,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Okta => "Okta",
            Self::Anypoint => "Anypoint",
            Self::Table => "the table",
            Self::Queue => "the queue",
            Self::Settings => "the settings",
            Self::Program => "this program",
        })
    }
}

/// One failure: where, what, of which class, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it went wrong.
    pub side: Side,
    /// Whether a retry may heal it.
    pub class: Class,
    /// What failed, without personal data.
    pub message: String,
    /// What an operator can do about it, when there is something.
    pub advice: Option<String>,
    /// How long the remote asked to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that a retry may heal.
    pub fn retryable(side: Side, message: impl Into<String>) -> Self {
        Self {
            side,
            class: Class::Retryable,
            message: message.into(),
            advice: None,
            retry_after: None,
        }
    }

    /// A failure that stays until somebody follows `advice`.
    pub fn permanent(side: Side, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            side,
            class: Class::Permanent,
            message: message.into(),
            advice: Some(advice.into()),
            retry_after: None,
        }
    }

    /// The same failure, not to be retried before `wait` is over.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Whether a retry may heal it.
    pub fn is_retryable(&self) -> bool {
        self.class == Class::Retryable
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side, self.message)?;
        if let Some(advice) = &self.advice {
            let end = if self.message.ends_with('.') { "" } else { "." };
            write!(f, "{end} What to do: {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
